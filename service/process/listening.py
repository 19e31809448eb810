"""The sockets that the server listens on, bound before anything that takes long.

A port that is taken is then told in one line, before any model is loaded. Until the server listens on them, connections
are refused: a balancer that only looks whether somebody answers must not send anything yet.
"""

import socket
from collections.abc import Sequence


class CannotListen(Exception):
    """An address cannot be listened on; the message names host and port, and says why."""


def bind(hosts: Sequence[str], port: int) -> list[socket.socket]:
    """Return a bound socket for every address of the hosts; nothing is accepted before somebody listens on them.

    `::` serves both IPv6 and IPv4, as `0.0.0.0` serves all of IPv4. With port 0 all sockets get the same free port.

    Args:
        hosts: Addresses or names.
        port: The port; 0 for a free one.

    Raises:
        CannotListen: One of them cannot be bound; none is left open.
    """
    bound: list[socket.socket] = []
    try:
        for host in hosts:
            for family, address in _addresses(host, port):
                chosen = bound[0].getsockname()[1] if bound else port
                bound.append(_bind(family, address, chosen, host))
    except CannotListen:
        for open_socket in bound:
            open_socket.close()
        raise
    return bound


def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, str]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise CannotListen(f"cannot listen on {host}: {getattr(error, 'strerror', None) or error}") from None
    return list(dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found))


def _bind(family: socket.AddressFamily, address: str, port: int, host: str) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if address == "::" else 1)
        opened.bind((address, port))
        opened.setblocking(False)
    except OSError as error:
        opened.close()
        raise CannotListen(f"cannot listen on {host} port {port}: {error.strerror}") from None
    return opened
