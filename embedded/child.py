"""A child process: started tied to this process, watched, stopped, killed."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from services.shared.errors import LeadscoreError

TETHER = Path(__file__).with_name("tether.py")
STOP_GRACE_S = 10.0
"""How long a child may take to stop in order before it is killed."""
LEFTOVERS_GRACE_S = 5.0
"""How long processes of a run that was killed may take to notice it, before they are killed too."""
LEFTOVERS_LOOK_S = 0.05
LOG_TAIL_BYTES = 4_096
NOT_FOR_SERVERS = ("LEADSCORE_", "PG")
"""Variables that begin so are none of the servers' business: keys of the suite, and what would change their ways."""


class StartError(LeadscoreError):
    """A server cannot be started; the message says why in a sentence."""


@dataclass(frozen=True)
class User:
    """A user of the machine that a child runs as."""

    uid: int
    gid: int


class Child:
    """A program that runs as a child of this process, in a session of its own, with its output in a file.

    It dies with its parent. Start it from a thread that lives as long as the process: the kernel takes the end of the
    thread that started it for the end of the parent. May be started again when it has ended.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        user: User | None = None,
        orphan_signal: signal.Signals = signal.SIGKILL,
    ) -> None:
        self.name = name
        self.log = log
        self._command = command
        self._folder = folder
        self._environment = environment
        self._user = user
        self._orphan_signal = orphan_signal
        self._process: subprocess.Popen[bytes] | None = None
        self._ended: Future[int] = Future()

    @property
    def pid(self) -> int:
        """The process id. Only after `start`."""
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and not self._ended.done()

    def start(self, *, held: bool = False) -> None:
        """Starts the program. Its standard input is empty, and if it is `held`, does not end before it is released.
        Raises StartError if the system refuses.
        """
        assert not self.alive, f"{self.name} runs already"
        user = self._user or User(-1, -1)
        tether = [sys.executable, "-I", "-S", str(TETHER), str(os.getpid()), str(int(self._orphan_signal))]
        self._ended = Future()
        try:
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    [*tether, str(user.uid), str(user.gid), *self._command],
                    stdin=subprocess.PIPE if held else subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self._folder,
                    env=self._environment,
                    start_new_session=True,
                )
        except OSError as error:
            raise StartError(f"{self.name} cannot be started: {error}") from error
        threading.Thread(target=self._watch, args=(self._process, self._ended), daemon=True).start()

    def release(self) -> None:
        """Ends the standard input of a program that is held."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    @staticmethod
    def _watch(process: subprocess.Popen[bytes], ended: Future[int]) -> None:
        ended.set_result(process.wait())

    async def ended(self) -> int:
        """Waits for the end; the exit code, or the negative number of the signal that ended it."""
        return await asyncio.shield(asyncio.wrap_future(self._ended))

    def send(self, number: signal.Signals) -> None:
        """Sends a signal; does nothing if the program has ended."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def stop(self, *signals: signal.Signals, grace_s: float = STOP_GRACE_S) -> None:
        """Sends each of `signals` (default: SIGTERM) until one ended the program within `grace_s`; then kills it."""
        for number in signals or (signal.SIGTERM,):
            if not self.alive:
                return
            self.send(number)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.ended(), grace_s)
        await self.kill()

    async def kill(self) -> None:
        """Ends the program at once (-9)."""
        if self.alive:
            self.send(signal.SIGKILL)
            await self.ended()

    def last_words(self) -> str:
        """The last line of the log; empty if there is none."""
        with contextlib.suppress(OSError), self.log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - LOG_TAIL_BYTES))
            lines = log.read().decode(errors="replace").strip().splitlines()
            return lines[-1].strip() if lines else ""
        return ""


def server_environment() -> dict[str, str]:
    """The environment of this process, as a server may see it."""
    return {name: value for name, value in os.environ.items() if not name.startswith(NOT_FOR_SERVERS)}


async def end_leftovers(folder: Path) -> None:
    """Waits until no process of an earlier run works in `folder` any more; kills what does not go by itself.

    The caller makes sure that no other living parent uses the folder.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LEFTOVERS_GRACE_S):
            while _processes_in(folder):  # noqa: ASYNC110  # Nobody tells when processes that are not children end.
                await asyncio.sleep(LEFTOVERS_LOOK_S)
    for pid in _processes_in(folder):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def _processes_in(folder: Path) -> list[int]:
    """The processes whose working directory is `folder`; none where the system does not tell (Linux does)."""
    inside = []
    for entry in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            if entry.readlink() == folder:
                inside.append(int(entry.parent.name))
    return inside
