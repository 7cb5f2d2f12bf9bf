"""The `aiohttp.ClientSession` that sends: ours, or one of the user's own."""

import netrc
import os
import ssl
import sys
from pathlib import Path
from typing import Any, Final

import aiohttp
from attrs import define, field
from yarl import URL

from frame_async._version import __version__
from frame_async.engine.tls import default_tls_context, without_key_log
from frame_async.errors import ConfigurationError
from frame_async.protocol.addresses import PROXY_VARIABLE, named_by_environment
from frame_async.secret import Secret

LONGEST_FIELD: Final = 131_072
"""Bytes of one header of an answer. aiohttp refuses 8,190 unless told otherwise, and then
an answer that proves a session would be lost for the length of a header."""
MOST_FIELDS: Final = 2_000
"""Headers of an answer, for the same reason."""

EXACT: Final = 1e9
"""Seconds; aiohttp rounds timeouts above its threshold, which is 5, up to whole seconds."""

USER_AGENT: Final = (
    f"frame-async/{__version__} Python/{sys.version_info.major}.{sys.version_info.minor} "
    f"aiohttp/{aiohttp.__version__}"
)

_NOT_IN_A_SESSION: Final = (
    *("Host", "Connection", "Content-Length", "Content-Encoding", "Transfer-Encoding"),
    *("Cookie", "Expect", "TE", "Trailer", "Upgrade"),
)
"""Default headers of a session that would change the request, and that a request can't undo."""


@define(kw_only=True, eq=False, repr=False)
class HttpSettings:
    """How requests reach a host."""

    base_url: str
    key: Secret[str]
    limit: int
    """Exchanges in flight, at most."""
    connect_timeout: float
    tls: ssl.SSLContext | None = None
    session: aiohttp.ClientSession | None = None
    """The user's own, which stays theirs to close."""
    proxy: Secret[str] | None = None
    headers: Secret[dict[str, str]] = field(factory=lambda: Secret[dict[str, str]]({}))
    """The user's own headers for every request."""
    ignored: str = field(init=False, default="")
    """The environment's variable that names a proxy which isn't used."""
    tls_used: ssl.SSLContext | bool = field(init=False, default=True)
    """True to loopback, where none is used."""

    def __attrs_post_init__(self) -> None:
        session = self.session
        if session is not None:
            check_session(session, self.base_url)
        if self.proxy is None and (session is None or not session.trust_env):
            self.ignored, _ = named_by_environment(self.base_url)
        if session is None and self.base_url.startswith("https:"):
            self.tls_used = default_tls_context() if self.tls is None else without_key_log(self.tls)

    def make_session(self, connector: aiohttp.BaseConnector) -> aiohttp.ClientSession:
        """A session of our own, on that connector."""
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            headers=self._headers(),
            **self._options(),
        )

    def for_each_request(self) -> dict[str, Any]:
        """What every request is given beside its own: all of it, on a session that isn't ours."""
        proxy = {} if self.proxy is None else {"proxy": URL(self.proxy.reveal())}
        if self.session is None:
            return {"allow_redirects": False, **proxy}
        return {"allow_redirects": False, "raise_for_status": False, **self._options(), **proxy}

    def headers_of_each(self) -> dict[str, str]:
        """The headers that every request is given beside its own."""
        return {} if self.session is None else self._headers()

    def hint(self) -> str:
        """What may help when there is no connection."""
        if not self.ignored:
            return ""
        return (
            f'{self.ignored} is set, and not used: pass proxy="environment" or set '
            f"{PROXY_VARIABLE}=environment to use it"
        )

    def _options(self) -> dict[str, Any]:
        return {
            "timeout": aiohttp.ClientTimeout(
                total=None, sock_connect=self.connect_timeout, ceil_threshold=EXACT
            ),
            "auto_decompress": False,
            "max_line_size": LONGEST_FIELD,
            "max_field_size": LONGEST_FIELD,
            "max_headers": MOST_FIELDS,
        }

    def _headers(self) -> dict[str, str]:
        extra = dict(self.headers.reveal())
        agents = [extra.pop(name) for name in list(extra) if name.lower() == "user-agent"]
        return {
            "Authorization": f"Bearer {self.key.reveal()}",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
            "User-Agent": " ".join([*agents, USER_AGENT]),
            **extra,
        }


def check_session(session: object, base_url: str) -> None:
    """A session of the user's own: nothing of it may change the request.

    Raises:
        ConfigurationError: it isn't one, is closed, or has what a request can't overrule.
    """
    if not isinstance(session, aiohttp.ClientSession):
        raise ConfigurationError(
            f"http must be an aiohttp.ClientSession, not {type(session).__name__}"
        )
    if session.closed:
        raise ConfigurationError("http is closed; pass an aiohttp.ClientSession that is open")
    if getattr(session, "auth", None) is not None:  # aiohttp 4 has none
        raise ConfigurationError(
            "http has auth=, which would replace the API key; make the session without it"
        )
    if session.trust_env and _is_in_netrc(URL(base_url).host):
        raise ConfigurationError(
            "http has trust_env=True, and .netrc has a password for this address, which would "
            "replace the API key; make the session without it"
        )
    found = [name for name in _NOT_IN_A_SESSION if name in session.headers]
    if found:
        raise ConfigurationError(
            f"http has the default header {', '.join(found)}, which would change the request; "
            "make the session without it"
        )
    cookies = session.cookie_jar.filter_cookies(URL(base_url))
    if cookies:
        raise ConfigurationError(
            f"http has cookies for this address ({', '.join(sorted(cookies))}); make the session "
            "with cookie_jar=aiohttp.DummyCookieJar()"
        )


def _is_in_netrc(host: str | None) -> bool:
    """Whether aiohttp would find a password for a host where the environment says."""
    name = "_netrc" if sys.platform == "win32" else ".netrc"
    path = Path(os.environ.get("NETRC") or Path.home() / name)
    try:
        return netrc.netrc(path).authenticators(host or "") is not None
    except (OSError, RuntimeError, netrc.NetrcParseError):
        return False
