"""Becomes the program on its command line, tied to the life of the process that started it.

    python -I -S tether.py PARENT_PID SIGNAL UID GID PROGRAM ARGUMENT...

The kernel sends SIGNAL to the program when its parent ends, however that happens. A program of its own, because running
Python code between fork and exec is not safe in a process with threads. It changes the user itself (unless UID is -1):
the change would undo the tie, and the new user need not be able to read this file. Imports nothing of the project.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1
"""From linux/prctl.h."""
ORPHANED = 70
"""Exit code when the parent was gone before the tie was made."""


def main() -> None:
    """Ties, checks that the parent is still there, and becomes the program."""
    parent, number, uid, gid = (int(argument) for argument in sys.argv[1:5])
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux" and ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:
        raise SystemExit(ORPHANED)
    os.execv(sys.argv[5], sys.argv[5:])  # noqa: S606  # The program comes from our own code.


main()
