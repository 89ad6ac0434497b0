"""Ports that are ours before the server that will listen on them runs, and between its runs."""

import errno
import socket
import sys

from embedded.child import StartError


class NoSuchAddress(StartError):
    """The address is none of this machine."""


class ReservedPort:
    """A port on one address, bound but not listened on.

    Linux lets a server with SO_REUSEADDR (all that are started here set it) listen beside that, and gives the port to
    nobody else meanwhile, not even as the far end of an outgoing connection. Elsewhere the reservation is only a look.
    """

    def __init__(self, host: str, port: int) -> None:
        """Reserves `port`, 0 for a free one. Raises StartError if it is taken or may not be used, NoSuchAddress if it
        is `host` that is wrong.
        """
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((host, port))
        except OSError as error:
            self._socket.close()
            raise _refusal(host, port, error) from error
        self.number: int = self._socket.getsockname()[1]
        if sys.platform != "linux":
            self._socket.close()

    def release(self) -> None:
        """Gives the port back."""
        self._socket.close()


def _refusal(host: str, port: int, error: OSError) -> StartError:
    if error.errno == errno.EADDRINUSE:
        return StartError(f"port {port} on {host} is taken by another program")
    if error.errno == errno.EACCES:
        return StartError(f"port {port} on {host} may not be used by this user")
    if error.errno == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror):
        return NoSuchAddress(f"{host} is not an address of this machine")
    return StartError(f"port {port} on {host} cannot be used: {error.strerror}")
