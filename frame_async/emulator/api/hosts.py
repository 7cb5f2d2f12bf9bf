"""Whose name a request came to: the emulator answers to its own names alone.

A web page whose name was made to point here (DNS rebinding) is known by its ``Host``: no
stranger can own ``localhost`` or an address of this machine.
"""

import re
from collections.abc import Collection
from ipaddress import ip_address

from aiohttp import web

from .answers import RefusedError, error_answer

_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^][:/@\s]+))(?::[0-9]{1,5})?", re.ASCII)


def require_own_host(request: web.BaseRequest, own_hosts: Collection[str], *, remote: bool) -> None:
    """Let a request through if it has one ``Host``, and that is the emulator's own.

    Its own are ``localhost`` and what ends with ``.localhost``, loopback addresses, and
    `own_hosts`, where it was told to listen and what it was told to be called, in lower case;
    each with any port, for there may be a tunnel. If
    other machines may reach it (`remote`), so are all addresses, and names without a dot, as
    containers have them.

    Raises:
        RefusedError: 403.
    """
    hosts = request.headers.getall("Host", ())
    if len(hosts) != 1 or not _is_own(_name_of(hosts[0]), own_hosts, remote=remote):
        raise RefusedError(error_answer(403, "permission_error", _REFUSAL))


_REFUSAL = (
    "Host is not the emulator's own: use localhost, 127.0.0.1 or the address that it listens on; "
    "names of containers are taken with --allow-remote, others with --allow-host NAME."
)


def _name_of(host: str) -> str:
    """Return a ``Host`` header without its port; empty when it is none."""
    parts = _HOST.fullmatch(host)
    return (parts[1] or parts[2]).lower().removesuffix(".") if parts else ""


def _is_own(name: str, own_hosts: Collection[str], *, remote: bool) -> bool:
    if not name or name == "localhost" or name in own_hosts or name.endswith(".localhost"):
        return bool(name)
    try:
        return ip_address(name).is_loopback or remote
    except ValueError:
        return remote and ("." not in name or name == "host.docker.internal")
