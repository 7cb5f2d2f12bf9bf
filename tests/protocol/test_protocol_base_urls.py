"""Base URLs: the forms that are accepted, and all the others, refused by name."""

from ipaddress import ip_address
from traceback import TracebackException
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

import frame_async
from frame_async.errors import ConfigurationError
from frame_async.protocol.credentials import (
    BASE_URL_VARIABLE,
    DEFAULT_BASE_URL,
    is_loopback,
    normal_base_url,
)

PACKAGE = frame_async.__path__[0]

NOT_HTTPS = "must begin with https://, or http:// for loopback"
USER_INFO = "must not have user information"
QUERY = "must not have a query"
FRAGMENT = "must not have a fragment"
HOST = "must name a host, or host:port"
PATH = "must have a plain path"
REMOTE = (
    "must use https:// (http:// is for loopback, and for hosts in allow_http_to or "
    "FRAME_ALLOW_HTTP_TO)"
)
NO_URL = "is not a URL"


def refusal(url: object, *source: str) -> ConfigurationError:
    """The error that a base URL is refused with."""
    with pytest.raises(ConfigurationError) as caught:
        normal_base_url(url, *source)
    return caught.value


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("https://api.framepayments.com", "https://api.framepayments.com/v1"),
        ("https://api.framepayments.com/", "https://api.framepayments.com/v1"),
        ("https://api.framepayments.com/v1", "https://api.framepayments.com/v1"),
        ("https://api.framepayments.com/v1/", "https://api.framepayments.com/v1"),
        ("https://api.staging.framepayments.com", "https://api.staging.framepayments.com/v1"),
        ("https://proxy.example/frame", "https://proxy.example/frame/v1"),
        ("https://proxy.example/frame/", "https://proxy.example/frame/v1"),
        ("https://proxy.example/frame/v1", "https://proxy.example/frame/v1"),
        ("https://proxy.example/a/b-c/d_e/f~g/h.i", "https://proxy.example/a/b-c/d_e/f~g/h.i/v1"),
        ("https://proxy.example/v1/x", "https://proxy.example/v1/x/v1"),
        ("https://proxy.example/v12", "https://proxy.example/v12/v1"),
        ("https://proxy.example/xv1", "https://proxy.example/xv1/v1"),
        ("https://proxy.example/.well-known/...", "https://proxy.example/.well-known/.../v1"),
        ("https://proxy.example/MAX/", "https://proxy.example/MAX/v1"),
        ("https://proxy.example:8443", "https://proxy.example:8443/v1"),
        ("https://proxy.example:1", "https://proxy.example:1/v1"),
        ("https://proxy.example:65535/", "https://proxy.example:65535/v1"),
        ("HTTPS://Proxy.Example", "https://Proxy.Example/v1"),
        ("https://a", "https://a/v1"),
        ("https://a-b.c_d.example.", "https://a-b.c_d.example./v1"),
        (f"https://{'a' * 63}.example", f"https://{'a' * 63}.example/v1"),
        ("https://10.0.0.1", "https://10.0.0.1/v1"),
        ("https://[2001:db8::1]", "https://[2001:db8::1]/v1"),
        ("https://[2001:DB8::1]:8443/v1", "https://[2001:DB8::1]:8443/v1"),
        ("https://[::ffff:127.0.0.1]", "https://[::ffff:127.0.0.1]/v1"),
        ("https://localhost", "https://localhost/v1"),
        ("http://localhost", "http://localhost/v1"),
        ("http://LOCALHOST:8080/v1/", "http://LOCALHOST:8080/v1"),
        ("http://127.0.0.1", "http://127.0.0.1/v1"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080/v1"),
        ("http://127.255.255.254:80", "http://127.255.255.254:80/v1"),
        ("http://[::1]", "http://[::1]/v1"),
        ("http://[::1]:8080/v1", "http://[::1]:8080/v1"),
        ("http://[0:0:0:0:0:0:0:1]", "http://[0:0:0:0:0:0:0:1]/v1"),
    ],
)
def test_good_urls_get_one_v1_and_no_slash(url: str, normal: str) -> None:
    """An accepted URL ends in exactly one /v1, with nothing behind it, whatever it ended in."""
    assert normal_base_url(url) == normal


def test_the_default_is_frames_production_host() -> None:
    """The default is the host that Frame publishes, and it passes its own check."""
    assert DEFAULT_BASE_URL == "https://api.framepayments.com"
    assert normal_base_url(DEFAULT_BASE_URL) == "https://api.framepayments.com/v1"


@pytest.mark.parametrize(
    ("fault", "url"),
    [
        *((NOT_HTTPS, url) for url in ("", "host", "host/v1", "//host", "/v1", "ftp://host")),
        *((NOT_HTTPS, url) for url in ("ws://host", "file:///etc/passwd", "javascript:alert(1)")),
        *((NOT_HTTPS, url) for url in ("api.framepayments.com:443", "httpss://host", "://host")),
        *((NOT_HTTPS, url) for url in ("localhost:8080", "127.0.0.1", "?", "#", "data:,x")),
        (USER_INFO, "https://user:SECRET@host"),
        (USER_INFO, "https://SECRET@host"),
        (USER_INFO, "https://@host"),
        (USER_INFO, "https://:@host"),
        (USER_INFO, "http://localhost:80@evil.example"),
        (USER_INFO, "https://host\\@evil.example"),
        (QUERY, "https://host?key=SECRET"),
        (QUERY, "https://host/v1?"),
        (QUERY, "https://host?"),
        (FRAGMENT, "https://host#SECRET"),
        (FRAGMENT, "https://host/v1#"),
        (FRAGMENT, "https://host#"),
        *((HOST, url) for url in ("https:", "https:/", "https://", "https:///v1", "https:host")),
        *((HOST, url) for url in ("https://:443", "https://-a", "https://a-", "https://a..b")),
        *((HOST, url) for url in ("https://.a", "https://.", "https://a-.b", "https://a.-b")),
        *((HOST, url) for url in ("https://ho%73t", "https://a,b", "https://a;b", "https://_a")),
        *((HOST, url) for url in ("https://host\\evil", "https://a|b", "https://a'b", "https://*")),
        *((HOST, url) for url in ("https://host:", "https://host:/v1", "https://[::1]:")),
        *((HOST, url) for url in ("https://[::1%25lo]", "http://[::1%25lo]", "https://[v1.a]")),
        (HOST, f"https://{'a' * 64}.example"),
        *((PATH, url) for url in ("https://host//", "https://host//v1", "https://host/a//b")),
        *((PATH, url) for url in ("https://host/%2e%2e", "https://host/%2E", "https://host/a%20b")),
        *((PATH, url) for url in ("https://host/..", "https://host/../v1", "https://host/.")),
        *(
            (PATH, url)
            for url in ("https://host/a/./b", "https://host/a/../b/", "https://host/a/.")
        ),
        *((PATH, url) for url in ("https://host/a;b", "https://host/a:b", "https://host/a@b")),
        *((PATH, url) for url in ("https://host/\\evil", "https://host/a*", "https://host/v1//")),
        *(
            (REMOTE, url)
            for url in ("http://host", "http://api.framepayments.com", "http://0.0.0.0")
        ),
        (REMOTE, "http://localhost.evil.example"),
        (REMOTE, "http://127.0.0.1.evil.example"),
        (REMOTE, "http://evil.localhost"),
        (REMOTE, "http://localhost."),
        (REMOTE, "http://127.0.0.1."),
        (REMOTE, "http://0x7f.1"),
        (REMOTE, "http://127.1"),
        (REMOTE, "http://2130706433"),
        (REMOTE, "http://0177.0.0.1"),
        (REMOTE, "http://127.0.0.01"),
        (REMOTE, "http://126.255.255.255"),
        (REMOTE, "http://128.0.0.1"),
        (REMOTE, "http://10.0.0.1"),
        (REMOTE, "http://[::]"),
        (REMOTE, "http://[::2]"),
        (REMOTE, "http://[fe80::1]"),
        (REMOTE, "http://[::ffff:127.0.0.1]"),
        (REMOTE, "http://[::ffff:7f00:1]"),
        *((NO_URL, url) for url in ("https://host:0", "https://host:65536", "https://host:x")),
        *((NO_URL, url) for url in ("https://host:-1", "https://host:+1", "https://host:1_0")),
        *((NO_URL, url) for url in ("https://host:00", "https://host:4 43", "https://host:\u0664")),
        *((NO_URL, url) for url in ("https://[::1", "https://::1]", " https://host")),
        *((NO_URL, url) for url in ("https://host ", "https://ho st", "https://host/a b", " ")),
        *((NO_URL, url) for url in ("https://host\n", "https://host/v1\n", "\nhttps://host")),
        *((NO_URL, url) for url in ("https://ho\nst", "https://host\t/v1", "https://ho\tst")),
        *((NO_URL, url) for url in ("https://host\x00", "https://host/\x7f", "https://host\r\n")),
        *((NO_URL, url) for url in ("https://h\u00f6st", "https://host/\u00e9", "https://\uff48")),
        *(
            (NO_URL, url)
            for url in ("https://host\u2044evil", "https://host\u200b", "https://\ud800")
        ),
    ],
    ids=ascii,
)
def test_other_urls_are_refused_by_fault(fault: str, url: str) -> None:
    """Every other URL is refused with the one phrase that says what is wrong with it."""
    assert str(refusal(url)) == (
        f"base_url {fault}; use the form https://api.framepayments.com "
        "or https://api.framepayments.com/v1"
    )


@pytest.mark.parametrize(
    "url",
    [
        "http://evil.example[::1]",
        "http://[::1]evil.example",
        "http://[::1].evil.example",
        "http://[localhost]",
        "https://[12345::1]",
        "https://[::1.2.3]",
        "https://[]",
        "https://[:]",
        "https://[...]",
        "https://[::1",
        "https://[::1]]",
    ],
)
def test_brackets_hold_one_ip_address_and_stand_alone(url: str) -> None:
    """Square brackets are for a whole IPv6 address; Python versions differ, we don't."""
    refusal(url)


def test_a_bracketed_name_is_no_host_even_where_python_lets_it_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What early releases of Python 3.11 split without a look is refused all the same."""
    from urllib.parse import SplitResult

    from frame_async.protocol import credentials

    parts = SplitResult("http", "[:abc:]", "", "", "")
    monkeypatch.setattr(credentials, "urlsplit", lambda url: parts)
    assert HOST in str(refusal("http://[:abc:]"))


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (None, "NoneType"),
        (b"https://user:SECRET@host", "bytes"),
        (1, "int"),
        (["https://user:SECRET@host"], "list"),
        (object(), "object"),
    ],
)
def test_other_types_are_refused_by_name(url: Any, name: str) -> None:
    """What is no string is refused, and the message names its type."""
    assert str(refusal(url)) == f"base_url must be a string, not {name}"


@pytest.mark.parametrize("url", ["ftp://host", 5, "https://[", "http://host"])
def test_the_message_names_the_source(url: object) -> None:
    """Every refusal begins with the name of where the URL came from."""
    assert str(refusal(url, BASE_URL_VARIABLE)).startswith("FRAME_API_BASE_URL ")


@pytest.mark.parametrize(
    "url",
    [
        "https://user:SECRET@host",
        "http://user:SECRET@localhost",
        "ftp://user:SECRET@host",
        "https://user:SECRET@host:99999",
        "https://user:SECRET@[::1",
        "https://user:SECRET@h\u00f6st",
        "https://user:SECRET@host\n",
        "https://host?key=SECRET",
        "https://host#SECRET",
        "https://SECRET..host",
        b"https://user:SECRET@host",
        ["https://user:SECRET@host"],
    ],
    ids=ascii,
)
def test_a_refused_url_never_shows(url: object) -> None:
    """Neither the message nor a traceback with local variables shows the refused URL."""
    error = refusal(url, "the source")
    formatted = TracebackException.from_exception(error, capture_locals=True)
    ours = [frame.locals for frame in formatted.stack if frame.filename.startswith(PACKAGE)]
    assert ours
    assert formatted.__cause__ is None
    assert formatted.__context__ is None
    assert "SECRET" not in f"{error} {error!r} {ours}"


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.0.0.0", True),
        ("127.255.255.255", True),
        ("::1", True),
        ("0:0::0:1", True),
        ("126.255.255.255", False),
        ("128.0.0.0", False),
        ("0.0.0.0", False),
        ("::", False),
        ("::2", False),
        ("::ffff:127.0.0.1", False),
        ("::127.0.0.1", False),
        ("localhost.", False),
        ("localhost.localdomain", False),
        ("127.1", False),
        ("example.com", False),
        ("", False),
    ],
)
def test_loopback_is_told_by_the_name_alone(host: str, local: bool) -> None:
    """Only 127.0.0.0/8, ::1 and localhost are this machine, without asking any resolver."""
    assert is_loopback(host) is local


LIKE_URLS = st.text(alphabet="htps:/.@?#[]%\\ v1a-_~\n\u00e9", max_size=25).map("https://".__add__)
PLAUSIBLE = st.from_regex(
    r"https?://[a-z0-9.\[\]:%@-]{1,20}(/[a-z0-9.%]{0,4}){0,3}", fullmatch=True
)
LOCAL = st.sampled_from(["localhost", "127.0.0.1", "[::1]"]).flatmap(
    lambda host: st.text(alphabet=".:@[]%1a/", max_size=6).map(f"http://{host}".__add__)
)


@given(st.text() | LIKE_URLS | PLAUSIBLE | LOCAL)
def test_any_text_is_normal_or_a_configuration_error(url: str) -> None:
    """Whatever the text, it is refused with `ConfigurationError`, or normal once and for all."""
    try:
        normal = normal_base_url(url)
    except ConfigurationError:
        return
    assert normal_base_url(normal) == normal
    assert normal.endswith("/v1")
    assert "//" not in normal.partition("://")[2]
    assert not set(normal) & set("@?#\\% \n\t")
    assert normal.isascii()


@given(LOCAL)
def test_plain_http_never_leaves_this_machine(url: str) -> None:
    """A plain HTTP URL that passes leads to loopback, as the HTTP client reads it, too."""
    try:
        normal = normal_base_url(url)
    except ConfigurationError:
        return
    host = URL(normal, encoded=True).raw_host
    assert host is not None
    assert host == "localhost" or ip_address(host).is_loopback
