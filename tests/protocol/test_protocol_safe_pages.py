"""Pages that a payer may be sent to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frame_async.protocol.credentials import is_safe_page


@pytest.mark.parametrize(
    "url",
    [
        "https://pay.framepayments.com/s/abc",
        "https://pay.framepayments.com",
        "HTTPS://pay.framepayments.com/s?a=1#b",
        "https://pay.framepayments.com/s?mail=a@b",
        "https://p\u00e4y.example/s",
        "https://pay.example:8443/s",
        "https://[2001:db8::1]/s",
        "http://127.0.0.1:8080/pay/abc",
        "http://localhost/pay",
        "http://[::1]:8080/pay",
    ],
)
def test_https_and_loopback_are_safe(url: str) -> None:
    """HTTPS anywhere and HTTP on this machine are pages that a payer may be sent to."""
    assert is_safe_page(url) is True


@pytest.mark.parametrize(
    "url",
    [
        *("", "pay", "/pay", "//pay.example", "https:", "https://", "https:///pay", "https:pay"),
        *("http://pay.example", "http://localhost.evil.example", "http://127.1", "http://[::2]"),
        *("http://x[::1]/", "http://[::1]x/", "http://", "javascript:alert(1)", "data:text/html,x"),
        *("file:///etc/passwd", "ftp://pay.example", "javascript://pay.example/%0aalert(1)"),
        *("javascript://localhost/%0aalert(1)", "ftp://127.0.0.1/x", "file://localhost/etc/passwd"),
        *("https://user@pay.example", "https://a:b@pay.example", "http://localhost@evil.example"),
        *("https://pay.example\\@evil.example", "https://pay.example\\x", "https:\\\\pay.example"),
        *("https://pay.example/a b", " https://pay.example", "https://pay.example "),
        *("https://pay.example\n", "https://pay.example/\r\nX: 1", "\thttps://pay.example"),
        *("https://pay.example/\x00", "https://pay.example/\u202e", "https://\ud800", "https://["),
    ],
    ids=ascii,
)
def test_anything_else_is_not(url: str) -> None:
    """Other schemes, other hosts in plain HTTP, and whatever could mislead a reader are not."""
    assert is_safe_page(url) is False


@given(st.text() | st.text(max_size=20).map("https://".__add__))
def test_any_text_is_judged_without_an_error(url: str) -> None:
    """Whatever a server calls a page, the answer is yes or no, and yes only for a clean URL."""
    if is_safe_page(url):
        assert url.lower().startswith(("https://", "http://"))
        assert url.isprintable()
