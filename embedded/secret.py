"""Passwords between processes of one machine, kept in files that only their owner can read."""

import os
import secrets
from pathlib import Path

SECRET_BYTES = 24
"""192 random bits."""


def write_private(path: Path, text: str) -> None:
    """Writes a file that only this user can read, whole or not at all."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def read_or_make(path: Path) -> str:
    """The secret in `path`; the first time, a new one (letters, digits, `-` and `_`)."""
    if not path.exists():
        write_private(path, secrets.token_urlsafe(SECRET_BYTES))
    return path.read_text().strip()
