"""Listening sockets, and enough open files for what connects to them."""

import logging
import resource
import socket
from collections.abc import Sequence
from typing import Any

logger = logging.getLogger("certbound.tls")

_OTHER_FILES = 256
"""Database, logs, the event loop's own, outgoing connections."""


def bind(host: str, ports: Sequence[int]) -> list[socket.socket]:
    """Listening sockets for every address of `host` and every port; 0 picks a free one.

    Raises:
        OSError: an address is taken or not this machine's; the message names it.
    """
    bound: list[socket.socket] = []
    try:
        for port in ports:
            chosen = port
            for family, *_, address in socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            ):
                listening = _bind_one(family, (address[0], chosen, *address[2:]))
                bound.append(listening)
                chosen = listening.getsockname()[1]
    except OSError:
        for each in bound:
            each.close()
        raise
    return bound


def _bind_one(family: socket.AddressFamily, address: tuple[Any, ...]) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(address)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        raise OSError(error.errno, f"{address[0]} port {address[1]}: {error.strerror}") from error
    return listening


def allow_open_files(connections: int) -> None:
    """Raise this process's soft limit so that the cap on connections is reached first.

    Many systems start a process with 1024; without a free descriptor nobody could even be turned
    away.
    """
    needed = connections + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        logger.warning("only %d of %d open files are allowed to this process", hard, needed)
        needed = hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
