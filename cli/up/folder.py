"""The data folder of a suite on one machine: made, checked, and locked for one suite at a time."""

import fcntl
import os
from contextlib import ExitStack
from pathlib import Path

from services.shared.errors import SettingError

LOCK = "lock"
LOGS = "logs"
REMEDY = "set LEADSCORE_DATA_DIR to another"


def take_folder(folder: Path, stack: ExitStack) -> Path:
    """Makes the folder and locks it until the stack is left; answers its full path. Raises SettingError if that cannot
    be.
    """
    try:
        folder = folder.expanduser().absolute()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (folder / LOGS).mkdir(exist_ok=True)
        lock = stack.enter_context((folder / LOCK).open("a+"))
    except (OSError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or error
        raise SettingError(f"the data folder {folder} cannot be written ({why}); {REMEDY}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise SettingError(f"another suite runs in the data folder {folder}; stop it or {REMEDY}") from None
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return folder


def is_taken(folder: Path) -> bool:
    """Whether a suite runs in a data folder."""
    try:
        with (folder / LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
