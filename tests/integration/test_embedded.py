"""The embedded servers: data that survives, doors closed to others, and no process that outlives its parent."""

import asyncio
import json
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import nats
import psycopg
import pytest
from nats.js import api

from embedded.child import Child, StartError
from embedded.nats import NatsServer
from embedded.ports import NoSuchAddress, ReservedPort
from embedded.postgres import Postgres

GONE_DEADLINE_S = 20.0

PARENT = """
import asyncio, sys
from pathlib import Path
from embedded.nats import NatsServer
from embedded.postgres import Postgres

async def main():
    nats, postgres = NatsServer(Path(sys.argv[1]) / "nats"), Postgres(Path(sys.argv[1]) / "postgres")
    await asyncio.gather(nats.start(), postgres.start())
    print(nats.child.pid, postgres.child.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def wait_until_gone(descriptor: int) -> None:
    """Waits for the end of a process that is nobody's child here."""
    ended, _, _ = select.select([descriptor], [], [], GONE_DEADLINE_S)
    os.close(descriptor)
    assert ended, "the process still runs"


def write_a_row(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (id int)")
        connection.execute("INSERT INTO kept VALUES (1)")


def count_rows(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM kept").fetchone()
    assert row is not None
    return int(row[0])


async def test_what_postgres_committed_survives_its_death_and_the_next_start(tmp_path: Path) -> None:
    server = Postgres(tmp_path / "postgres")
    await server.start()
    address = server.url
    write_a_row(server.url)
    await server.kill()
    assert not server.alive
    assert not await server.healthy()
    await server.start()
    assert server.url == address, "clients find it where it was"
    assert await server.healthy()
    write_a_row(server.url)
    await server.stop()
    again = Postgres(tmp_path / "postgres")
    await again.start()
    assert count_rows(again.url) == 2
    await again.stop()


async def test_a_pid_file_that_names_a_living_stranger_does_not_block_postgres(tmp_path: Path) -> None:
    server = Postgres(tmp_path / "postgres", fsync=False)
    await server.start()
    pid_file = tmp_path / "postgres" / "cluster" / "postmaster.pid"
    left_behind = pid_file.read_text().splitlines()
    await server.kill()
    pid_file.write_text("\n".join([str(os.getpid()), *left_behind[1:]]))
    await server.start()
    assert await server.healthy()
    await server.stop()


async def test_files_of_an_interrupted_creation_are_made_anew(tmp_path: Path) -> None:
    half = tmp_path / "postgres" / "cluster.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    server = Postgres(tmp_path / "postgres", fsync=False)
    await server.start()
    assert await server.healthy()
    await server.stop()


async def test_postgres_asks_for_the_password_and_keeps_it_from_others(tmp_path: Path) -> None:
    server = Postgres(tmp_path / "postgres", fsync=False)
    await server.start()
    for user in ("leadscore", "postgres"):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(host="127.0.0.1", port=server.port, user=user, password="guess", sslmode="disable")
    for name in ("password", "superuser-password"):
        assert (tmp_path / "postgres" / name).stat().st_mode & 0o077 == 0
    with psycopg.connect(server.url) as connection:
        row = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
    assert row == (False,)
    await server.stop()


async def test_data_of_another_postgres_version_is_refused_in_a_sentence(tmp_path: Path) -> None:
    cluster = tmp_path / "postgres" / "cluster"
    cluster.mkdir(parents=True)
    (cluster / "PG_VERSION").write_text("15\n")
    with pytest.raises(StartError, match="PostgreSQL 15"):
        await Postgres(tmp_path / "postgres").start()


async def test_what_nats_acknowledged_survives_its_death(tmp_path: Path) -> None:
    server = NatsServer(tmp_path / "nats")
    await server.start()
    address = server.url
    client = await nats.connect(server.url)
    stream = client.jetstream()
    await stream.add_stream(api.StreamConfig(name="KEPT", subjects=["kept"]))
    await stream.publish("kept", b"fact")
    await client.close()
    await server.kill()
    assert not await server.healthy()
    await server.start()
    assert server.url == address, "clients find it where it was"
    client = await nats.connect(server.url)
    assert (await client.jetstream().stream_info("KEPT")).state.messages == 1
    await client.close()
    await server.stop()


async def test_nats_asks_for_the_password_and_keeps_it_from_others(tmp_path: Path, nats_server: NatsServer) -> None:
    with socket.create_connection(("127.0.0.1", nats_server.port), GONE_DEADLINE_S) as stranger:
        stranger.sendall(b"CONNECT {}\r\nPING\r\n")
        said = b"".join(iter(lambda: stranger.recv(4_096), b""))
    assert b"Authorization Violation" in said
    for name in ("password", "nats-server.conf"):
        assert (tmp_path / "nats" / name).stat().st_mode & 0o077 == 0


async def test_a_folder_with_a_strange_name_is_no_trouble(tmp_path: Path) -> None:
    folder = tmp_path / 'dätä "d\'ir" $x # {é}' / ("long" * 30)
    servers = NatsServer(folder / "nats"), Postgres(folder / "postgres", fsync=False)
    await asyncio.gather(*(server.start() for server in servers))
    assert all([await server.healthy() for server in servers])
    await asyncio.gather(*(server.stop() for server in servers))


async def test_a_taken_port_is_named(tmp_path: Path, nats_server: NatsServer) -> None:
    with pytest.raises(StartError, match=f"port {nats_server.port} on 127.0.0.1 is taken"):
        await NatsServer(tmp_path / "other", port=nats_server.port).start()


def test_an_address_of_another_machine_is_named() -> None:
    with pytest.raises(NoSuchAddress, match=r"192\.0\.2\.77 is not an address"):
        ReservedPort("192.0.2.77", 0)


def test_no_server_outlives_a_parent_that_was_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    for _ in range(2):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
            assert parent.stdout is not None
            servers = [os.pidfd_open(int(pid)) for pid in parent.stdout.readline().split()]
            assert len(servers) == 2, "both run"
            parent.send_signal(signal.SIGKILL)
            for server in servers:
                wait_until_gone(server)


async def test_a_child_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ready")
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); open('ready', 'w').close(); signal.pause()"
    child = Child("deaf", [sys.executable, "-c", deaf], log=tmp_path / "log", folder=tmp_path)
    child.start()
    await asyncio.to_thread((tmp_path / "ready").read_text)
    await child.stop(grace_s=0.05)
    assert await child.ended() == -signal.SIGKILL


async def test_a_child_that_is_held_goes_on_when_it_is_released(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ready")
    patient = "import sys; open('ready', 'w').close(); sys.stdin.read(); print('goes on')"
    child = Child("patient", [sys.executable, "-c", patient], log=tmp_path / "log", folder=tmp_path)
    child.start(held=True)
    await asyncio.to_thread((tmp_path / "ready").read_text)
    assert child.last_words() == ""
    child.release()
    assert await child.ended() == 0
    assert child.last_words() == "goes on"


async def test_a_child_that_is_not_held_has_nothing_to_wait_for(tmp_path: Path) -> None:
    child = Child("quick", [sys.executable, "-c", "import sys; sys.stdin.read()"], log=tmp_path / "log")
    child.start()
    assert await child.ended() == 0


async def test_where_servers_will_be_is_known_before_they_start(tmp_path: Path) -> None:
    for server in (NatsServer(tmp_path / "nats"), Postgres(tmp_path / "postgres")):
        server.reserve()
        url = server.url
        try:
            await server.start()
            assert server.url == url
        finally:
            await server.stop()


async def test_a_child_says_how_it_ended_and_what_it_said_last(tmp_path: Path) -> None:
    child = Child("brief", [sys.executable, "-c", "print('one'); raise SystemExit('two')"], log=tmp_path / "log")
    child.start()
    assert await child.ended() == 1
    assert child.last_words() == "two"
    assert not child.alive


async def test_a_child_sees_the_environment_that_it_is_given(tmp_path: Path) -> None:
    shown = "import json, os; print(json.dumps(os.environ.get('GIVEN')))"
    child = Child("shown", [sys.executable, "-c", shown], log=tmp_path / "log", environment={"GIVEN": "yes"})
    child.start()
    await child.ended()
    assert json.loads(child.last_words()) == "yes"
