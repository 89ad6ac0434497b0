"""The socket that the gateway listens on."""

import socket

from services.shared.errors import SettingError


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; port 0 takes a free one. Raises SettingError if the port is taken or may not be used."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except (OSError, OverflowError) as error:
        listening.close()
        message = f"port {port} on {host} is taken or may not be used ({error}); set LEADSCORE_GATEWAY_PORT"
        raise SettingError(message) from error
    return listening
