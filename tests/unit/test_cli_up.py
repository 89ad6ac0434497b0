"""The pieces of `leadscore up`: folder, key, ports, doors, watching, logs, and what it says."""

import asyncio
import hashlib
import os
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from cli.doors import Doors, find_doors, listening_doors, read_doors, remove_doors, write_doors
from cli.source import read_pipe
from cli.up import supervisor
from cli.up.folder import is_taken, take_folder
from cli.up.keys import take_key
from cli.up.logs import LOG_BYTES_MAX, LogFollower
from cli.up.ports import reserve_own_ports, reserve_ports
from cli.up.start import environment_of
from cli.up.supervisor import keep_running
from cli.up.welcome import welcome
from embedded.child import Child, StartError
from services.shared.errors import SettingError
from services.shared.settings import Settings

FREE = replace(Settings(), gateway_port=0, ingest_port=0, scorer_port=0, query_port=0)
DEADLINE_S = 20.0


def test_a_folder_is_locked_for_one_suite_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "data"
    with ExitStack() as stack:
        assert take_folder(folder, stack) == folder
        assert is_taken(folder)
        with ExitStack() as other, pytest.raises(SettingError, match="another suite runs in the data folder"):
            take_folder(folder, other)
    assert not is_taken(folder)


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with ExitStack() as stack, pytest.raises(SettingError, match=r"cannot be written .*set LEADSCORE_DATA_DIR"):
        take_folder(tmp_path / "file" / "data", stack)


def test_a_key_is_made_once_and_only_its_hash_is_kept(tmp_path: Path) -> None:
    settings = replace(FREE, data_dir=tmp_path)
    first, made = take_key(settings)
    again, nothing = take_key(settings)
    assert made is not None
    assert nothing is None
    assert first.admin_key_sha256 == again.admin_key_sha256 == hashlib.sha256(made.encode()).hexdigest()
    assert first.anonymous, "only this machine can call"
    kept = [path.read_text() for path in tmp_path.iterdir()]
    assert not any(made in text for text in kept)
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.iterdir())


def test_a_key_that_is_set_is_the_only_way_in_and_is_passed_on_as_a_hash(tmp_path: Path) -> None:
    settings, made = take_key(replace(FREE, data_dir=tmp_path, admin_key="sesame", api_key="mine"))
    environment = environment_of(settings)
    assert made is None
    assert not settings.anonymous
    assert environment["LEADSCORE_ADMIN_KEY_SHA256"] == hashlib.sha256(b"sesame").hexdigest()
    assert environment["LEADSCORE_ADMIN_KEY"] == environment["LEADSCORE_API_KEY"] == ""


def test_nobody_is_let_in_without_a_key_from_other_machines(tmp_path: Path) -> None:
    settings, made = take_key(replace(FREE, data_dir=tmp_path, host="0.0.0.0"))
    assert made
    assert not settings.anonymous
    assert "authorization: Bearer" in welcome(settings, listening_doors(settings), made)


async def test_port_0_becomes_a_port_that_stays_ours() -> None:
    async with AsyncExitStack() as stack:
        settings = reserve_ports(FREE, stack)
        ports = {settings.gateway_port, settings.ingest_port, settings.scorer_port, settings.query_port}
        assert len(ports - {0}) == 4
        assert settings.target("query") == f"127.0.0.1:{settings.query_port}"
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", settings.query_port))


async def test_several_processes_have_a_port_each_and_gateways_are_told_all_of_them() -> None:
    async with AsyncExitStack() as stack:
        settings = reserve_ports(replace(FREE, ingest_processes=3, gateway_processes=2), stack)
        before = settings.query_address
        settings, own = reserve_own_ports(settings, stack)
        assert {name: len(ports) for name, ports in own.items()} == {"gateway": 2, "ingest": 3, "scorer": 0, "query": 0}
        assert len({*own["ingest"], *own["gateway"], settings.ingest_port}) == 6
        assert settings.target("ingest") == "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in own["ingest"])
        assert settings.query_address == before
        assert listening_doors(settings).ingest == f"127.0.0.1:{settings.ingest_port}", "clients are told one"


async def test_a_taken_port_names_the_setting_to_change() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = replace(FREE, query_port=taken.getsockname()[1])
        async with AsyncExitStack() as stack:
            with pytest.raises(StartError, match=r"is taken by another program; set LEADSCORE_QUERY_PORT"):
                reserve_ports(settings, stack)


async def test_a_foreign_address_names_the_setting_to_change() -> None:
    async with AsyncExitStack() as stack:
        with pytest.raises(StartError, match="set LEADSCORE_HOST"):
            reserve_ports(replace(FREE, host="192.0.2.77"), stack)


def test_doors_are_found_in_the_data_folder_while_a_suite_runs(tmp_path: Path) -> None:
    settings = replace(Settings(), data_dir=tmp_path)
    running = Doors("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", "127.0.0.1:4")
    write_doors(tmp_path, running)
    assert read_doors(tmp_path) == running
    assert find_doors(settings, {}) == running
    remove_doors(tmp_path)
    assert find_doors(settings, {}).gateway == "127.0.0.1:8080"


def test_what_the_environment_says_goes_before_the_data_folder(tmp_path: Path) -> None:
    write_doors(tmp_path, Doors("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", "127.0.0.1:4"))
    settings = replace(Settings(), data_dir=tmp_path, ingest_port=5, scorer_port=0)
    environment = {
        "LEADSCORE_QUERY_ADDRESS": "example.org:50053",
        "LEADSCORE_INGEST_PORT": "5",
        "LEADSCORE_SCORER_PORT": "0",
    }
    doors = find_doors(settings, environment)
    assert doors == Doors("127.0.0.1:1", "127.0.0.1:5", "127.0.0.1:3", "example.org:50053")


@pytest.mark.parametrize("text", ["", "no JSON", "[]", "{}", '{"gateway": 1}'])
def test_a_broken_file_of_doors_is_passed_over(tmp_path: Path, text: str) -> None:
    (tmp_path / "doors.json").write_text(text)
    assert read_doors(tmp_path) is None


@pytest.mark.parametrize(("host", "gateway"), [("0.0.0.0", "127.0.0.1:8080"), ("::", "[::1]:8080")])
def test_a_suite_that_listens_everywhere_is_reached_on_this_machine(host: str, gateway: str) -> None:
    assert listening_doors(replace(Settings(), host=host)).gateway == gateway


class FakePart:
    """A part whose deaths, health and starts are the test's to say."""

    name = "part"

    def __init__(self, healthy: Callable[[], bool] = lambda: True, failing_starts: int = 0) -> None:
        self.starts = self.kills = 0
        self._healthy = healthy
        self._failing_starts = failing_starts
        self.child = FakeChild()

    @property
    def alive(self) -> bool:
        return not self.child.end.done()

    async def start(self) -> None:
        self.starts += 1
        if self.starts <= self._failing_starts:
            raise StartError("part cannot start")
        self.child.end = asyncio.get_running_loop().create_future()

    async def healthy(self) -> bool:
        return self._healthy()

    async def stop(self) -> None:
        await self.kill()

    async def kill(self) -> None:
        self.kills += 1
        if self.alive:
            self.child.end.set_result(-9)


class FakeChild(Child):
    """A process without a process."""

    def __init__(self) -> None:
        super().__init__("part", [], log=Path("/dev/null"))
        self.end: asyncio.Future[int] = asyncio.get_event_loop().create_future()

    @property
    def pid(self) -> int:
        return 42

    async def ended(self) -> int:
        return await asyncio.shield(self.end)


class Told:
    """What the terminal was told, with a way to wait for a line."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._arrived = asyncio.Event()

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        self._arrived.set()

    async def until(self, count: int) -> list[str]:
        async with asyncio.timeout(DEADLINE_S):
            while len(self.lines) < count:
                self._arrived.clear()
                await self._arrived.wait()
        return self.lines


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A supervisor with hasty habits."""
    monkeypatch.setattr(supervisor, "LOOK_INTERVAL_S", 0.001)
    monkeypatch.setattr(supervisor, "WAIT_S_MIN", 0.001)
    monkeypatch.setattr(supervisor, "WAIT_S_MAX", 0.004)


@pytest.mark.usefixtures("quick")
async def test_a_part_that_dies_starts_again_and_the_terminal_says_so() -> None:
    part, told = FakePart(), Told()
    keeping = asyncio.create_task(keep_running(part, told))
    part.child.end.set_result(-11)
    lines = await told.until(2)
    assert lines[0] == "part has ended (killed by SIGSEGV); it starts again in 0.001 s"
    assert lines[1] == "part runs again (pid 42)"
    keeping.cancel()


@pytest.mark.usefixtures("quick")
async def test_a_part_is_replaced_only_after_several_bad_answers_in_a_row() -> None:
    answers = iter([False, False, True, False, False, False])
    part = FakePart(healthy=lambda: next(answers, True))
    told = Told()
    keeping = asyncio.create_task(keep_running(part, told))
    lines = await told.until(2)
    assert "does not answer" in lines[0]
    assert next(answers, None) is None, "the good answer in between began the count anew"
    assert part.kills == part.starts == 1
    keeping.cancel()


@pytest.mark.usefixtures("quick")
async def test_the_wait_grows_while_a_part_cannot_be_started() -> None:
    part, told = FakePart(failing_starts=4), Told()
    keeping = asyncio.create_task(keep_running(part, told))
    part.child.end.set_result(0)
    lines = await told.until(10)
    waits = [line.split(" in ")[1] for line in lines if " starts again in " in line]
    assert waits == ["0.001 s", "0.002 s", "0.004 s", "0.004 s", "0.004 s"]
    assert lines[1] == "part cannot start"
    assert lines[-1] == "part runs again (pid 42)"
    keeping.cancel()


def test_only_what_is_worth_knowing_comes_from_a_log(tmp_path: Path) -> None:
    log = tmp_path / "part.log"
    log.write_text("2026-01-01 00:00:00,000 ERROR   old: before this run\n")
    follower = LogFollower("part", log)
    with log.open("a") as file:
        file.write("2026-01-01 00:00:00,000 INFO    services: all is well\n")
        file.write("2026-01-01 00:00:00,000 WARNING services.shared.bus: the stream is away\n")
        file.write("Traceback (most recent call last):\n")
        file.write("[17] 2026/01/01 00:00:00.000000 [WRN] Plaintext passwords detected\n")
        file.write("[17] 2026/01/01 00:00:00.000000 [ERR] JetStream out of space\n")
        file.write("2026-01-01 00:00:00.000 UTC [9] x ERROR:  duplicate key value violates unique constraint\n")
    assert follower.look() == ["part: the stream is away", "part: JetStream out of space"]
    assert follower.look() == []


def test_a_log_that_is_noisy_is_cut_short(tmp_path: Path) -> None:
    log = tmp_path / "part.log"
    follower = LogFollower("part", log)
    log.write_text("2026-01-01 00:00:00,000 WARNING a.b: again\n" * 10)
    assert follower.look() == ["part: again"] * 3 + [f"part: 7 more such lines in {log}"]


def test_a_log_that_has_grown_is_begun_anew_under_the_writers_hands(tmp_path: Path) -> None:
    log = tmp_path / "part.log"
    with log.open("ab") as writer:
        follower = LogFollower("part", log)
        writer.write(b"x" * (LOG_BYTES_MAX + 1))
        writer.flush()
        follower.look()
        writer.write(b"2026-01-01 00:00:00,000 WARNING a.b: after\n")
        writer.flush()
        assert follower.look() == ["part: after"]
        assert log.stat().st_size < 100
    assert (tmp_path / "part.log.1").stat().st_size == LOG_BYTES_MAX + 1


async def test_a_pipe_is_read_to_its_end() -> None:
    receiving, sending = os.pipe()
    with os.fdopen(sending, "wb") as writer:
        writer.write(b"lead_id,type\na,page_view\n")
    assert b"".join([chunk async for chunk in read_pipe(receiving)]) == b"lead_id,type\na,page_view\n"
    os.close(receiving)


def test_waiting_for_a_silent_pipe_can_be_interrupted() -> None:
    receiving, sending = os.pipe()

    async def read() -> None:
        async for _ in read_pipe(receiving):
            pass

    async def give_up() -> None:
        reading = asyncio.create_task(read())
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait([reading])

    asyncio.run(asyncio.wait_for(give_up(), DEADLINE_S))
    os.close(sending)
