"""The user that PostgreSQL runs as when this process is root's: it refuses to be root."""

import os
import pwd
import stat
import subprocess
from pathlib import Path

from embedded.child import StartError, User

ACCOUNT = "leadscore"
CREATE_TIMEOUT_S = 30.0


def database_user() -> User | None:
    """The user to run as; None stands for the user of this process. Creates the account if need be, as root."""
    if os.geteuid() != 0:
        return None
    try:
        account = pwd.getpwnam(ACCOUNT)
    except KeyError:
        account = _create()
    return User(account.pw_uid, account.pw_gid)


def _create() -> pwd.struct_passwd:
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", ACCOUNT]
    try:
        subprocess.run(command, capture_output=True, timeout=CREATE_TIMEOUT_S, check=False)
        # It may also have failed because another process was faster.
        return pwd.getpwnam(ACCOUNT)
    except (OSError, KeyError, subprocess.TimeoutExpired):
        raise StartError(
            f"PostgreSQL cannot run as root, and the account {ACCOUNT!r} for it could not be made; "
            "run this as another user, or set LEADSCORE_DATABASE_URL"
        ) from None


def give_to(user: User | None, path: Path) -> None:
    """Makes `user` the owner of `path`; nothing to do for the user of this process."""
    if user is not None:
        os.chown(path, user.uid, user.gid)


def make_reachable(path: Path) -> None:
    """Lets everybody pass through (not list) the folders above `path`: the account must get to its files."""
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)


def make_readable(programs: Path) -> None:
    """Lets everybody run the programs below a folder, should they have been installed for their owner alone."""
    reachable = stat.S_IROTH | stat.S_IXOTH
    if programs.stat().st_mode & reachable == reachable:
        return
    for path in (programs, *programs.rglob("*")):
        mode = stat.S_IMODE(path.stat().st_mode)
        # What its owner may run, everybody may.
        path.chmod(mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0))
