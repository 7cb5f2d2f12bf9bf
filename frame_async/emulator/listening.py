"""The socket that the emulator listens on."""

import asyncio
import os
import socket
from ipaddress import ip_address

from attrs import define

from .api.http import Acceptor

_BACKLOG = 1024
_LOOPBACK = {4: "127.0.0.1", 6: "::1"}


@define(eq=False)
class Listening:
    """What there is while the emulator runs."""

    server: asyncio.Server
    acceptor: Acceptor
    url: str


def url_of(address: str, port: int) -> str:
    """Return where clients reach a socket: by loopback, where it listens on all addresses."""
    ip = ip_address(address)
    reachable = _LOOPBACK[ip.version] if ip.is_unspecified else address
    return f"http://[{reachable}]:{port}" if ip.version == 6 else f"http://{reachable}:{port}"


def lengthen_queues(server: asyncio.Server) -> None:
    """Let more clients queue for being accepted than asyncio accepts at once."""
    if os.name == "posix":
        for listening in server.sockets:
            with socket.socket(fileno=os.dup(listening.fileno())) as same:
                same.listen(_BACKLOG)
