"""The bootstrap key of a suite on one machine."""

import hashlib
import ipaddress
import secrets
from dataclasses import replace

from embedded.secret import write_private
from services.shared.settings import Settings

FILE = "admin-key.sha256"
KEY_BYTES = 24
"""192 random bits."""


def hash_of(key: str) -> str:
    """The SHA-256 that the services know a key by."""
    return hashlib.sha256(key.encode()).hexdigest()


def take_key(settings: Settings) -> tuple[Settings, str | None]:
    """The settings for the services, who get no more than the key's hash, and a key that was made just now.

    A key that is set is the only way in. Where none is set, one is made the first time; and as nobody but this machine
    can call, callers without a key act for the default tenant.
    """
    if settings.admin_key or settings.admin_key_sha256:
        known = settings.admin_key_sha256 or hash_of(settings.admin_key)
        return replace(settings, admin_key="", admin_key_sha256=known), None
    path = settings.data_dir / FILE
    made = None
    if not path.exists():
        made = f"lsk_{secrets.token_urlsafe(KEY_BYTES)}"
        write_private(path, hash_of(made))
    known = path.read_text().strip()
    return replace(settings, admin_key_sha256=known, anonymous=_is_loopback(settings.host)), made


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
