"""Where a call shows its write key, which is a key like any other of the suite."""

import base64
import binascii
from http import HTTPStatus

from gateway.problems import Problem


def authorization_of(header: str | None, write_key: str | None) -> str | None:
    """What the services are shown: the key of the authorization header, as Basic (the key as user name, no password) or
    as Bearer; failing that header, the body's `writeKey`. None if there is no key. Raises Problem for a header that
    holds none.
    """
    scheme, _, credentials = (header or "").partition(" ")
    if scheme.lower() == "basic":
        return f"Bearer {_user_name(credentials)}"
    if header is not None:
        return header
    return f"Bearer {write_key}" if write_key else None


def _user_name(credentials: str) -> str:
    try:
        return base64.b64decode(credentials.strip(), validate=True).decode("ascii").removesuffix(":")
    except (binascii.Error, ValueError):
        detail = "the authorization must be Basic with the key as user name and without a password, in Base64"
        raise Problem(HTTPStatus.UNAUTHORIZED, detail, headers={"www-authenticate": "Bearer"}) from None
