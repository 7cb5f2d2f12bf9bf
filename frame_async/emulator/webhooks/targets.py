"""Where webhooks may go: to this machine, and to hosts that were allowed by name.

Whoever may register an endpoint could otherwise send requests, from this machine, to
whatever it reaches. A name is judged when it is registered and its addresses each
time that something is delivered, for a name can lead somewhere else by then.
"""

import socket
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from aiohttp import ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult
from attrs import define, field

from frame_async.emulator.api import checks

AddressInfo: TypeAlias = tuple[int, int, int, str, tuple[Any, ...]]
"""What ``socket.getaddrinfo`` returns for each address."""


class TargetError(OSError):
    """A host leads to an address where nothing may be delivered."""


@define(eq=False)
class Targets:
    """Tells where something may be delivered."""

    allowed: frozenset[str] = frozenset()
    """Names of hosts that need not be this machine, in lower case."""
    _permitted: set[str] = field(init=False, factory=set[str], repr=False)

    def check(self, url: str) -> None:
        """Check the address of an endpoint by what it says.

        Raises:
            ValueError: It is no plain HTTP(S) address, or leads to another machine
                by a name that is not allowed.
        """
        if checks.url(url):
            raise ValueError("url must be an absolute HTTP(S) URL, of the form http://host/path")
        parts = urlsplit(url)
        if "@" in parts.netloc:
            raise ValueError("url must hold no user name and password")
        host = parts.hostname or ""
        if not (self._allows(host) or _is_local_name(host) or is_loopback(host)):
            raise ValueError(
                f"url leads to {host}, which is not this machine: "
                "use a loopback address, or allow the host by name"
            )

    def admit(self, host: str, addresses: list[ResolveResult]) -> list[ResolveResult]:
        """Return those addresses of a host that may be connected to.

        Raises:
            TargetError: There is none.
        """
        if self._allows(host):
            self._permitted.update(address["host"] for address in addresses)
            return addresses
        local = [address for address in addresses if is_loopback(address["host"])]
        if not local:
            raise TargetError(f"{host} does not lead to this machine")
        return local

    def open_socket(self, address: AddressInfo) -> socket.socket:
        """Open the socket of a connection: the last look at where it goes.

        Raises:
            TargetError: The address was not admitted.
        """
        family, kind, protocol, _, place = address
        host = str(place[0])
        if not (is_loopback(host) or self._allows(host) or host in self._permitted):
            raise TargetError(f"{host} is not this machine")
        return socket.socket(family, kind, protocol)

    def _allows(self, host: str) -> bool:
        return host.lower() in self.allowed


class Resolver(AbstractResolver):
    """Resolves names, and lets only addresses through where something may be delivered."""

    def __init__(
        self, targets: Targets, resolver: Callable[[], AbstractResolver] = ThreadedResolver
    ) -> None:
        self._targets = targets
        self._resolver = resolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Resolve a name, or raise `TargetError` when it leads elsewhere."""
        return self._targets.admit(host, await self._resolver.resolve(host, port, family))

    async def close(self) -> None:
        """Let go of what the resolver holds."""
        await self._resolver.close()


def is_loopback(host: str) -> bool:
    """Tell whether a host is an address of this machine, written as such."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _is_local_name(host: str) -> bool:
    return host == "localhost" or host.endswith(".localhost")  # RFC 6761, 6.3
