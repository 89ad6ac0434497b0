"""Programs of node, as child processes that talk in lines."""

import asyncio
import contextlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from bench.outcome import NotMeasured

INSTALL_DEADLINE_S = 300.0
STOP_GRACE_S = 10.0
INSTALLED = ".package-lock.json"
"""What npm writes last, below node_modules."""


async def install(project: Path) -> None:
    """Installs what a project's lock file names, unless that is done. Raises NotMeasured if node or npm is missing."""
    missing = [program for program in ("node", "npm") if shutil.which(program) is None]
    if missing:
        raise NotMeasured(f"there is no program {' and no '.join(missing)}; it needs Node.js 20 or newer with npm")
    lock, installed = project / "package-lock.json", project / "node_modules" / INSTALLED
    if installed.exists() and installed.stat().st_mtime >= lock.stat().st_mtime:
        return
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    process = await asyncio.create_subprocess_exec(*command, cwd=project, stdout=asyncio.subprocess.DEVNULL)
    async with asyncio.timeout(INSTALL_DEADLINE_S):
        if await process.wait() != 0:
            raise NotMeasured(f"`npm ci` in {project} failed; it needs the npm registry the first time")


class NodeProcess:
    """A program that runs while the context is open. It says "ready" first; each later line goes to `heard`."""

    def __init__(
        self, program: Path, settings: Mapping[str, Any], heard: Callable[[str], None] = lambda line: None
    ) -> None:
        self._command = ["node", str(program), json.dumps(settings)]
        self._heard = heard
        self._process: asyncio.subprocess.Process
        self._listening: asyncio.Task[None]

    async def __aenter__(self) -> "NodeProcess":
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(*self._command, stdin=pipe, stdout=pipe)
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        assert line == b"ready\n", f"{self._command} did not start"
        self._listening = asyncio.create_task(self._listen(self._process.stdout))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_GRACE_S)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        await self._listening

    def send(self, line: str) -> None:
        """Writes a line to its input."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())

    async def _listen(self, lines: asyncio.StreamReader) -> None:
        async for line in lines:
            self._heard(line.decode().strip())
