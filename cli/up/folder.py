"""The data folder of a suite on one machine: made, checked, and locked for one suite at a time."""

import fcntl
import os
from contextlib import ExitStack
from pathlib import Path

from services.shared.errors import SettingError

LOCK = "lock"


def take_folder(folder: Path, stack: ExitStack) -> None:
    """Makes the folder and locks it until the stack is left. Raises SettingError if that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "logs").mkdir(exist_ok=True)
        lock = stack.enter_context((folder / LOCK).open("w"))
    except OSError as error:
        raise SettingError(
            f"the data folder {folder} cannot be written ({error.strerror}); set LEADSCORE_DATA_DIR to another"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise SettingError(
            f"another suite runs in the data folder {folder}; stop it or set LEADSCORE_DATA_DIR"
        ) from None
    lock.write(f"{os.getpid()}\n")
    lock.flush()
