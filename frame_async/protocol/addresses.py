"""Addresses, proxies and headers that a client is given, or finds in the environment."""

import os
import re
from collections.abc import Collection, Mapping
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from frame_async.errors import ConfigurationError
from frame_async.protocol.credentials import (
    BASE_URL_VARIABLE,
    DEFAULT_BASE_URL,
    HTTP_VARIABLE,
    SECRET_PREFIX,
    check_http_hosts,
    has_key,
    normal_base_url,
)
from frame_async.secret import Secret
from frame_async.shapes import is_mapping

PROXY_VARIABLE: Final = "FRAME_PROXY"
ENVIRONMENT: Final = "environment"
"""In place of a proxy's URL: the one that the environment's variables name."""

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 5.6.2
_VALUE: Final = re.compile(r"[\x21-\x7e]([\t\x20-\x7e]*[\x21-\x7e])?")  # RFC 9110 5.5
_OURS: Final = frozenset(
    {
        *("authorization", "idempotency-key", "accept", "accept-encoding", "cookie"),
        *("content-type", "content-length", "content-encoding", "transfer-encoding"),
        *("host", "connection", "expect", "te", "trailer", "upgrade", "proxy-authorization"),
    }
)
"""Lower case; what the library sets, or what would change the request or its framing."""


def find_http_hosts(given: object) -> frozenset[str]:
    """Hosts that may be reached by plain HTTP: those given, or those that the environment names.

    Raises:
        ConfigurationError: they are no hosts.
    """
    if given is not None:
        return check_http_hosts(given)
    named = os.environ.get(HTTP_VARIABLE, "").split(",")
    return check_http_hosts([name.strip() for name in named if name.strip()], HTTP_VARIABLE)


def find_base_url(given: Secret[str | None], http_to: Collection[str]) -> str:
    """The address of the API, checked: what was given, or the environment's, or Frame's.

    Raises:
        ConfigurationError: it can't be one; the message never shows it.
    """
    # What is refused may hold a password, hence the box.
    if given.reveal() is not None:
        return normal_base_url(given.reveal(), http_to=http_to)
    if os.environ.get(BASE_URL_VARIABLE) == "":
        raise ConfigurationError(f"{BASE_URL_VARIABLE} is set but empty; give it a URL or unset it")
    named = os.environ.get(BASE_URL_VARIABLE, DEFAULT_BASE_URL)
    return normal_base_url(named, BASE_URL_VARIABLE, http_to)


def find_proxy(given: Secret[object], base_url: str) -> Secret[str] | None:
    """The URL of the proxy that requests to `base_url` go through; None for none.

    ``"environment"`` means what ``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY`` and ``NO_PROXY``
    say now. Without an argument, `PROXY_VARIABLE` counts, but to loopback.

    Raises:
        ConfigurationError: it can't be one; the message never shows it.
    """
    source = "proxy"
    if given.reveal() is None and not base_url.startswith("http:"):  # which is this machine
        given, source = Secret(os.environ.get(PROXY_VARIABLE) or None), PROXY_VARIABLE
    if given.reveal() is None:
        return None
    if given.reveal() == ENVIRONMENT:
        name, found = named_by_environment(base_url)
        given, source = found, name
        if found.reveal() is None:
            return None
    _check_proxy(given, source)
    return Secret(str(given.reveal()))


def named_by_environment(base_url: str) -> tuple[str, Secret[object]]:
    """The variable that names a proxy for an address, and the proxy's URL, which may be None."""
    parts, proxies = urlsplit(base_url), getproxies()
    for scheme in (parts.scheme, "all"):
        if proxies.get(scheme) and not proxy_bypass(parts.hostname or ""):
            return f"{scheme.upper()}_PROXY", Secret(proxies[scheme])
    return "", Secret(None)


def _check_proxy(given: Secret[object], source: str) -> None:
    example = 'such as "http://user:password@proxy.example:3128"'
    value = given.reveal()
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
        good = parts is not None and parts.scheme in ("http", "https") and bool(parts.hostname)
        good = good and parts is not None and (parts.port is None or parts.port > 0)
        plain = isinstance(value, str) and value.isascii() and value.isprintable()
        good = good and plain and " " not in str(value)
        good = good and parts is not None and parts.path in ("", "/") and not parts.query
    except ValueError:
        good = False
    value = parts = None  # what follows may raise, and a traceback shows local variables
    if not good:
        raise ConfigurationError(
            f"{source} must be the URL of an HTTP proxy, {example} (both percent-encoded), or "
            f'"{ENVIRONMENT}"'
        )


def check_headers(given: Secret[Any], key: Secret[str]) -> Secret[dict[str, str]]:
    """Headers for every request, as given; an application's ``User-Agent`` among them.

    Raises:
        ConfigurationError: not a mapping of strings, not a header, one that is ours, or one
            with an API key or webhook secret in it, `key` above all; the message names it
            and never shows its value.
    """
    headers: Mapping[Any, Any] = {} if given.reveal() is None else given.reveal()
    faults = _header_faults(headers, key)
    headers = {}  # what follows may raise, and a traceback shows local variables
    if faults:
        raise ConfigurationError(f"headers: {'; '.join(faults)}")
    return Secret(dict(given.reveal() or {}))


def _header_faults(headers: object, key: Secret[str]) -> list[str]:
    if not is_mapping(headers):
        return [f"must be a mapping of names to values, not {type(headers).__name__}"]
    names = [str(name).lower() for name in headers]
    twice = {name for name in names if names.count(name) > 1}
    found = [_header_fault(name, value, twice, key) for name, value in headers.items()]
    return [fault for fault in found if fault]


def _header_fault(name: object, value: object, twice: Collection[str], key: Secret[str]) -> str:
    if not isinstance(name, str) or not _TOKEN.fullmatch(name):
        return "names must be letters, digits and hyphens"
    if _holds_secret(name, key):
        return "the name of one is an API key or a secret"
    if name.lower() in _OURS:
        return f"{name} is set by the library"
    if name.lower() in twice:
        return f"{name} is given twice"
    if not isinstance(value, str) or not _VALUE.fullmatch(value):
        return f"the value of {name} must be visible ASCII, without line breaks"
    if _holds_secret(value, key):
        return f"{name} has an API key or a secret in it; the library sends the key itself"
    return ""


def _holds_secret(text: str, key: Secret[str]) -> bool:
    words = re.split(r"[^A-Za-z0-9_]+", text)
    return has_key(text, key) or any(map(SECRET_PREFIX.match, words))
