"""API keys and base URLs: what is accepted, and what is refused by name.

Sources: Frame's documentation of keys (``sk_sandbox_``, ``sk_production_``, ``pk_``,
restricted keys exist, HTTPS only) and of hosts (every path under ``/v1``).
"""

import re
from collections.abc import Collection, Iterable
from enum import StrEnum
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Final, cast
from urllib.parse import SplitResult, urlsplit

from frame_async.errors import ConfigurationError
from frame_async.secret import Secret

DEFAULT_BASE_URL: Final = "https://api.framepayments.com"
"""Frame's production host; sandbox and live mode share it, the key tells them apart."""

KEY_VARIABLE: Final = "FRAME_SECRET_KEY"
BASE_URL_VARIABLE: Final = "FRAME_API_BASE_URL"
HTTP_VARIABLE: Final = "FRAME_ALLOW_HTTP_TO"
HTTP_HOSTS: Final = f"allow_http_to or {HTTP_VARIABLE}"

SECRET_PREFIX: Final = re.compile(r"(sk|pk|rk)_(sandbox|production|live|test)_|whsec_")
"""What API keys and webhook secrets begin with."""

_KEY: Final = re.compile(r"[!-~]{1,512}")
_LABEL: Final = r"[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
_HOST: Final = re.compile(rf"({_LABEL}(\.{_LABEL})*\.?|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?")
_PATH: Final = re.compile(r"(/(?!\.{1,2}(/|\Z))[A-Za-z0-9._~-]+)*/?")  # no dot segments
# Written out, since `is_loopback` of ::ffff:127.0.0.1 depends on the Python version.
_LOOPBACK: Final = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
_NEVER_KEYS: Final = {
    "pk_": ("a publishable key, which is for browsers", "sk_"),
    "whsec_": ("a webhook secret", "sk_"),
}


class Mode(StrEnum):
    """Which of Frame's two worlds a key belongs to."""

    SANDBOX = "sandbox"
    LIVE = "live"
    UNKNOWN = "unknown"
    """A key with a prefix that isn't published, such as a restricted key."""


def check_api_key(key: Secret[object], source: str = "api_key") -> Mode:
    """The mode of a secret key.

    Raises:
        ConfigurationError: it can't be one; the message names `source`, never the key.
    """
    value = key.reveal()
    if value is not None and not isinstance(value, str):
        found = type(value).__name__
        value = key
        raise ConfigurationError(f"{source} must be a string, not {found}")
    if not value:
        raise ConfigurationError(
            f"no API key: pass api_key=... or set {KEY_VARIABLE} to a secret key (sk_...)"
        )
    shape, mode, prefix = bool(_KEY.fullmatch(value)), _mode(value), _never(value)
    value = key  # what follows may raise, and a traceback shows local variables
    if not shape:
        raise ConfigurationError(
            f"{source} has whitespace, control or non-ASCII characters, or is over 512 long; "
            "copy it again, without quotes or line ends"
        )
    if prefix is not None:
        what, instead = _NEVER_KEYS[prefix]
        raise ConfigurationError(
            f"{source} is {what} ({prefix}...); use a secret key ({instead}...)"
        )
    return mode


def has_key(text: str, key: Secret[str]) -> bool:
    """Whether an API key is in a text; what is shorter than 8 characters is in many by chance."""
    return len(key.reveal()) >= 8 and key.reveal() in text


def _mode(key: str) -> Mode:
    if key.startswith("sk_sandbox_"):
        return Mode.SANDBOX
    return Mode.LIVE if key.startswith("sk_production_") else Mode.UNKNOWN


def _never(key: str) -> str | None:
    return next((prefix for prefix in _NEVER_KEYS if key.startswith(prefix)), None)


def normal_base_url(url: object, source: str = "base_url", http_to: Collection[str] = ()) -> str:
    """The base URL with exactly one ``/v1`` at its end and no slash behind it.

    Raises:
        ConfigurationError: not HTTPS (HTTP is for loopback and the hosts in `http_to`), or
            with user information, query, fragment or anything else that doesn't belong.
    """
    if not isinstance(url, str):
        found = type(url).__name__
        url = ""  # it may hold a password, and a traceback shows local variables
        raise ConfigurationError(f"{source} must be a string, not {found}")
    parts = _split(url)
    fault = "is not a URL" if parts is None else _fault(parts, url, http_to)
    if parts is None or fault:
        url = ""  # for the same reason
        parts = None
        raise ConfigurationError(
            f"{source} {fault}; use the form {DEFAULT_BASE_URL} or {DEFAULT_BASE_URL}/v1"
        )
    path = parts.path.rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path if path.endswith('/v1') else path + '/v1'}"


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        usable = parts.port != 0 and url.isascii() and url.isprintable() and " " not in url
    except ValueError:
        return None
    return parts if usable else None


def _fault(parts: SplitResult, url: str, http_to: Collection[str]) -> str:
    """What is wrong with a base URL in one phrase; empty when nothing is."""
    host = parts.hostname or ""
    faults = {
        "must begin with https://, or http:// for loopback": parts.scheme not in ("https", "http"),
        "must not have user information": "@" in parts.netloc,
        "must not have a query": "?" in url,
        "must not have a fragment": "#" in url,
        "must name a host, or host:port": not _HOST.fullmatch(parts.netloc)
        or (":" in host and not _is_ip(host)),
        "must have a plain path": not _PATH.fullmatch(parts.path),
        f"must use https:// (http:// is for loopback, and for hosts in {HTTP_HOSTS})": (
            parts.scheme == "http" and not is_loopback(host) and host not in http_to
        ),
    }
    return next((fault for fault, found in faults.items() if found), "")


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def check_http_hosts(given: object, source: str = "allow_http_to") -> frozenset[str]:
    """Hosts that may be reached by plain HTTP, in lower case; an emulator elsewhere, say.

    Raises:
        ConfigurationError: they are no names or addresses of hosts, or one is Frame's own.
    """
    plain = isinstance(given, Iterable) and not isinstance(given, str)
    names = list(cast("Iterable[object]", given)) if plain else None
    if names is None or not all(isinstance(name, str) for name in names):
        raise ConfigurationError(f'{source} must be a list of hosts, such as ("emulator",)')
    hosts = frozenset(str(name).lower() for name in names)
    for host in sorted(hosts):
        if not re.fullmatch(rf"{_LABEL}(\.{_LABEL})*", host) and not _is_ip(host):
            raise ConfigurationError(
                f"{source} must name hosts alone, such as emulator, without a scheme or port"
            )
        if f".{host}".endswith(".framepayments.com"):
            raise ConfigurationError(f"{source} can't name a host of Frame's: it needs https://")
    return hosts


def require_sandbox(base_url: str, mode: Mode, source: str = "base_url") -> None:
    """Let a key cross a network in clear only if it is worth nothing.

    Raises:
        ConfigurationError: plain HTTP beyond loopback, and not a sandbox key.
    """
    parts = urlsplit(base_url)
    beyond = parts.scheme == "http" and not is_loopback(parts.hostname or "")
    if beyond and mode is not Mode.SANDBOX:
        raise ConfigurationError(
            f"{source} is http:// beyond loopback, where only a key of the sandbox "
            "(sk_sandbox_...) may be sent in clear"
        )


def is_safe_page(url: str, http_to: Collection[str] = ()) -> bool:
    """Whether a payer may be sent there: HTTPS, or HTTP on this machine or to `http_to`."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    plain = url.isprintable() and " " not in url and "\\" not in url and "@" not in parts.netloc
    if not plain or not host:
        return False
    if parts.scheme == "http":  # the name alone: not http://x[::1]
        known = is_loopback(host) or host in http_to
        return bool(_HOST.fullmatch(parts.netloc)) and known
    return parts.scheme == "https"


@lru_cache(maxsize=64)  # asked for the page of each session, and of few hosts
def is_loopback(host: str) -> bool:
    """Whether a host is this machine by its very name: 127.0.0.0/8, ::1 or localhost."""
    if not _is_ip(host):
        return host == "localhost"
    return any(ip_address(host) in network for network in _LOOPBACK)
