"""The signed payload on a URL: written, read and refused, by scheme, against HMAC by hand."""

import base64
import hmac
from datetime import UTC, datetime
from itertools import product
from typing import Any, cast
from urllib.parse import quote

import pytest
from attrs import asdict
from hypothesis import given
from hypothesis import strategies as st

from frame_async.errors import ConfigurationError, RedirectError
from frame_async.protocol.redirects import (
    LONGEST_URL,
    RedirectScheme,
    append_payload,
    check_age,
    signed_payload,
)
from frame_async.protocol.signatures import Secrets, check_secrets
from frame_async.secret import Secret

SECRET = "whsec_0123456789abcdef"
PAYLOADS = [
    b"",
    b"\0\0\x17",
    b"a",
    b"ab",
    b"abc",
    b'{"a": "\xc3\xa4+b"}',
    bytes(range(256)),
    b"\xfb\xff\xfe?/%2f ",
]
PARAMETERS = ("encoding", "algorithm", "digest", "covers")
SCHEMES = [
    RedirectScheme(**cast("Any", dict(zip(PARAMETERS, each, strict=True))))
    for each in product(
        ("base64url", "json"),
        ("sha256", "sha384", "sha512"),
        ("hex", "base64url"),
        ("payload", "url"),
    )
]
PLAIN = RedirectScheme()


def secrets(*given: str) -> Secrets:
    """Secrets, or the one of these tests."""
    return check_secrets(Secret(list(given) or SECRET), "secrets")


def base64url(data: bytes) -> str:
    """Base64 in the alphabet of URLs, without padding."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def by_hand(payload: bytes, scheme: RedirectScheme = PLAIN, before: str = "https://a.b/?") -> str:
    """A URL with payload and signature, made with nothing of the code under test."""
    text = base64url(payload) if scheme.encoding == "base64url" else quote(payload, safe="")
    unsigned = f"{before}{scheme.payload_name}={text}"
    plain = text.encode() if scheme.encoding == "base64url" else payload
    signed = plain if scheme.covers == "payload" else unsigned.encode()
    mac = hmac.new(SECRET.encode(), scheme.domain.encode() + signed, scheme.algorithm).digest()
    written = mac.hex() if scheme.digest == "hex" else base64url(mac)
    return f"{unsigned}&{scheme.signature_name}={written}"


def refused(url: str, scheme: RedirectScheme = PLAIN, *given: str) -> RedirectError:
    """The error with which a URL is refused."""
    with pytest.raises(RedirectError) as caught:
        signed_payload(url, scheme, secrets(*given))
    return caught.value


# --- writing and reading


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: f"{s.encoding}-{s.digest}-{s.covers}")
def test_every_scheme_writes_what_is_made_by_hand(scheme: RedirectScheme) -> None:
    """In every scheme the URL is that of its description, and its payload is read again."""
    for payload in PAYLOADS:
        url = by_hand(payload, scheme)
        assert append_payload("https://a.b/", payload, scheme, secrets()) == url
        if payload or scheme.encoding == "json":
            assert signed_payload(url, scheme, secrets()) == payload


def test_the_defaults_of_a_scheme() -> None:
    """The defaults are those that the emulator and the documentation name."""
    defaults = {
        "payload_name": "frame_payload",
        "signature_name": "frame_signature",
        "encoding": "base64url",
        "algorithm": "sha256",
        "digest": "hex",
        "covers": "payload",
        "domain": "frame_redirect.",
        "max_age": 3600.0,
        "leeway": 60.0,
    }
    assert asdict(PLAIN) == defaults


def test_the_names_are_parameters() -> None:
    """Both parameters may have other names, which are then the only ones that count."""
    scheme = RedirectScheme(payload_name="p.1", signature_name="s-1")
    url = append_payload("https://a.b/", b"x", scheme, secrets())
    assert url == by_hand(b"x", scheme)
    assert signed_payload(f"{url}&frame_payload=x", scheme, secrets()) == b"x"
    assert "the parameter frame_payload is missing" in str(refused(url))


@pytest.mark.parametrize(
    ("url", "before", "after"),
    [
        ("https://a.b", "https://a.b?", ""),
        ("http://a.b/c", "http://a.b/c?", ""),
        ("https://a.b/?", "https://a.b/?", ""),
        ("https://a.b/?x=1", "https://a.b/?x=1&", ""),
        ("https://a.b/?x=%20+&&x", "https://a.b/?x=%20+&&x&", ""),
        ("https://a.b/?x=1?y#top", "https://a.b/?x=1?y&", "#top"),
        ("https://a.b/#top?x=1#y", "https://a.b/?", "#top?x=1#y"),
        ("https://a.b/#", "https://a.b/?", "#"),
        (
            "https://a.b/?frame_payload=x&y=1&frame_signature=z&frame_payload",
            "https://a.b/?y=1&",
            "",
        ),
        ("https://a.b/?frame%5Fpayload=x=y&x=1", "https://a.b/?x=1&", ""),
        ("https://a.b/?x=frame_payload", "https://a.b/?x=frame_payload&", ""),
        ("https://a.b/?frame+payload=1", "https://a.b/?frame+payload=1&", ""),
    ],
)
@pytest.mark.parametrize("covers", ["payload", "url"])
def test_the_rest_of_the_url_stays(url: str, before: str, after: str, covers: Any) -> None:
    """Query and fragment stay as they are, but for older parameters of the same names."""
    scheme = RedirectScheme(covers=covers)
    written = append_payload(url, b"payload", scheme, secrets())
    assert written == by_hand(b"payload", scheme, before) + after
    assert signed_payload(written, scheme, secrets()) == b"payload"


@pytest.mark.parametrize(
    "url",
    [
        *("", "a.b/x", "/x", "ftp://a.b/", "https://", "https:/a", "https://a b", " https://a.b"),
        *(f"https://a.b/{character}" for character in "\x00\x1f\x7f\u2003\t\n"),
    ],
)
def test_only_web_addresses_are_appended_to(url: str) -> None:
    """What is no absolute HTTP(S) URL, or has a space or control character, is refused."""
    with pytest.raises(ConfigurationError, match="must be of the form https://host/path"):
        append_payload(url, b"x", PLAIN, secrets())


def test_a_plus_is_a_space_in_json() -> None:
    """Percent-encoding and plus signs may be written as a form does: the same text is signed."""
    scheme = RedirectScheme(encoding="json")
    payload = b'{"a": "1 + 1"}'
    url = by_hand(payload, scheme).replace("%20", "+").replace("%22", '"').replace("%3A", ":")
    assert signed_payload(url, scheme, secrets()) == payload


def test_each_secret_verifies() -> None:
    """With several secrets a signature under each is right, and with none of them refused."""
    url = by_hand(b"x")
    assert signed_payload(url, PLAIN, secrets("another_secret_of_ours", SECRET)) == b"x"
    assert "the signature doesn't match" in str(refused(url, PLAIN, "another_secret_of_ours"))


# --- what is refused

GOOD = by_hand(b"payload").partition("?")[2]
PAYLOAD, SIGNATURE = GOOD.split("&")
MATCH = "the signature doesn't match: another secret or scheme, or the URL was changed"
HEX = "the parameter frame_signature must be in lower-case hexadecimal digits"
ONCE = ", and must be there once"
NOT_ASCII = "the parameter frame_signature has characters that are not ASCII"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "the parameter frame_payload is missing"),
        (GOOD, "the parameter frame_payload is missing"),
        (f"https://a.b/#?{GOOD}", "the parameter frame_payload is missing"),
        (f"?{SIGNATURE}", "the parameter frame_payload is missing"),
        (f"?{PAYLOAD}", "the parameter frame_signature is missing"),
        (f"?{PAYLOAD}#&{SIGNATURE}", "the parameter frame_signature is missing"),
        (f"?{GOOD}&{PAYLOAD}", f"the parameter frame_payload is there 2 times{ONCE}"),
        (
            f"?{GOOD}&frame%5Fsignature&{SIGNATURE}",
            f"the parameter frame_signature is there 3 times{ONCE}",
        ),
        (f"?{PAYLOAD}&frame_signature=\u00e9", NOT_ASCII),
        (f"?frame_payload=\u00e9&{SIGNATURE}", NOT_ASCII.replace("signature", "payload")),
        (f"?{PAYLOAD}&frame_signature=", HEX),
        (f"?{PAYLOAD}&{SIGNATURE}0", HEX),
        (f"?{PAYLOAD}&{SIGNATURE}\n", HEX),
        (f"?{PAYLOAD}&frame_signature={'A' * 64}", HEX),
        (f"?{PAYLOAD}&{SIGNATURE}00", MATCH),
        (f"?{PAYLOAD}x&{SIGNATURE}", MATCH),
        (f"?{PAYLOAD}&frame_signature={'0' * 64}", MATCH),
    ],
)
def test_what_is_not_signed_is_refused(url: str, message: str) -> None:
    """Missing, doubled, malformed or wrong: each is refused in words that name it."""
    error = refused(url)
    assert str(error) == message
    assert not error.signed


def test_a_long_url_is_not_looked_at() -> None:
    """A URL of 16,384 characters is read, one more is too long."""
    assert LONGEST_URL == 16_384
    url = by_hand(b"payload")
    padded = f"{url}#{'x' * (16_384 - len(url) - 1)}"
    assert signed_payload(padded, PLAIN, secrets()) == b"payload"
    assert str(refused(padded + "x")) == "the URL is longer than 16384 characters"


@pytest.mark.parametrize("written", ["!", "a", "aaaaa", "=", "YQ==", "a+/b", "aa\n"])
def test_a_digest_in_base64url(written: str) -> None:
    """Where the signature is in base64url, anything else is refused as that."""
    scheme = RedirectScheme(digest="base64url")
    message = "the parameter frame_signature must be in base64url"
    assert str(refused(f"?{PAYLOAD}&frame_signature={written}", scheme)) == message


@pytest.mark.parametrize("text", ["", "a", "YWJja", "YQ==", "YQ=", "a+b/", "!", "YQ.", "YR", "YWJ"])
def test_a_payload_that_is_no_base64url(text: str) -> None:
    """Signed text that is no base64url without padding is refused, and said to be signed."""
    mac = hmac.new(SECRET.encode(), f"frame_redirect.{text}".encode(), "sha256").hexdigest()
    error = refused(f"?frame_payload={text}&frame_signature={mac}")
    assert str(error) == "the payload is signed, but no base64url"
    assert error.signed


@given(st.binary(min_size=1, max_size=40), st.integers(1, 3))
def test_spare_bits_do_not_verify(payload: bytes, spare: int) -> None:
    """Of the texts that base64url would read as one signature, one alone is right."""
    scheme = RedirectScheme(digest="base64url")
    url = append_payload("https://a.b/", payload, scheme, secrets())
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet.index(url[-1])
    assert last % 4 == 0  # 32 bytes leave 2 bits over
    assert signed_payload(url, scheme, secrets()) == payload
    error = refused(url[:-1] + alphabet[last + spare], scheme)
    assert str(error) == "the parameter frame_signature must be in base64url"


def test_a_webhook_is_no_redirect_and_the_other_way_round() -> None:
    """Under one secret, what signs a webhook signs no redirect, and no redirect a webhook."""
    text = base64url(b'{"session":"s","result":"paid"}')
    of_webhook = hmac.new(SECRET.encode(), text.encode(), "sha256").hexdigest()
    url = f"https://a.b/?frame_payload={text}&frame_signature={of_webhook}"
    assert "doesn't match" in str(refused(url))
    assert signed_payload(url, RedirectScheme(domain=""), secrets())
    for covers in ("payload", "url"):
        scheme = RedirectScheme(covers=covers, encoding="json")
        signed_url = append_payload("https://a.b/", b'{"id":"evt_1"}', scheme, secrets())
        digest = bytes.fromhex(signed_url.rpartition("=")[2])
        for body in (b'{"id":"evt_1"}', signed_url.rpartition("&")[0].encode()):
            assert not secrets().match(body, digest, "sha256")
    with pytest.raises(ConfigurationError, match="domain must be up to 64 ASCII characters"):
        RedirectScheme(domain="é")


@pytest.mark.parametrize("digest", ["hex", "base64url"])
def test_a_digest_counts_in_its_own_form_only(digest: Any) -> None:
    """The right signature in the other form is refused."""
    other = RedirectScheme(digest="base64url" if digest == "hex" else "hex")
    error = refused(by_hand(b"payload", other), RedirectScheme(digest=digest))
    assert str(error) == (HEX if digest == "hex" else MATCH)


def test_a_signed_url_ends_with_its_signature() -> None:
    """Where the URL is covered, all of it before the signature counts, and nothing follows."""
    scheme = RedirectScheme(covers="url")
    url = by_hand(b"x", scheme, "https://a.b/?order=42&")
    assert signed_payload(f"{url}#top", scheme, secrets()) == b"x"
    assert signed_payload(url.replace("_signature", "%5Fsignature"), scheme, secrets()) == b"x"
    for changed in (url.replace("42", "43"), url.replace("a.b", "a.c"), url[1:]):
        assert str(refused(changed, scheme)) == MATCH
    for longer in (f"{url}&", f"{url}&utm=1"):
        message = "something follows the parameter frame_signature"
        assert str(refused(longer, scheme)) == message
    assert str(refused(url.replace("order=42", "\ud800"), scheme)) == MATCH


# --- the scheme

NAME = " must be the name of a query parameter: letters, digits, _ . -"
SECONDS = " must be a number of seconds, 0 or more"
ENCODINGS = " must be one of base64url, json"
ALGORITHMS = " must be one of sha256, sha384, sha512"
NO_SECONDS = (-1, -0.001, 1e9, float("nan"), "60", True)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        *(("payload_name", name, NAME) for name in ("", "a b", "a&b", "a\n", "\u00e9", "x" * 65)),
        *(("payload_name", name, NAME) for name in (1, None)),
        *(("signature_name", name, NAME) for name in ("", "a=b", None)),
        ("signature_name", "frame_payload", " must differ from payload_name"),
        *(("encoding", word, ENCODINGS) for word in ("hex", "", None, ["json"])),
        *(("algorithm", word, ALGORITHMS) for word in ("md5", "SHA256", 256)),
        *(("digest", word, " must be one of hex, base64url") for word in ("json", "", b"hex")),
        *(("covers", word, " must be one of payload, url") for word in ("query", "", None)),
        *(("max_age", value, SECONDS) for value in (*NO_SECONDS, False)),
        *(("leeway", value, SECONDS) for value in (*NO_SECONDS, None)),
    ],
)
def test_a_scheme_checks_itself(field: str, value: object, message: str) -> None:
    """A scheme that can't work is refused when it is made, by the name of its field."""
    with pytest.raises(ConfigurationError) as caught:
        RedirectScheme(**cast("Any", {field: value}))
    assert str(caught.value) == f"{field}{message}"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("payload_name", name) for name in ("a", "A.b_c-9", "x" * 64)),
        *(("signature_name", name) for name in ("s", "frame_payload2")),
        *(("max_age", value) for value in (None, 0, 0.0, 0.5, 1, 999_999_999)),
        *(("leeway", value) for value in (0, 0.0, 0.5, 1, 999_999_999)),
    ],
)
def test_a_scheme_takes_what_works(field: str, value: object) -> None:
    """Names of 1 to 64 characters, and times from 0 to below 1e9, are taken as they are."""
    assert getattr(RedirectScheme(**cast("Any", {field: value})), field) == value


# --- age

ISSUED = datetime(2026, 6, 10, 18, 24, 41, tzinfo=UTC)
AT = ISSUED.timestamp()
OLD = "the redirect is older than 3600 seconds; a webhook tells how it ended"
AHEAD = "the redirect is from the future; check the clocks"


@pytest.mark.parametrize(
    ("later", "message"),
    [(0, ""), (3600, ""), (3600.5, OLD), (1e9, OLD), (-60, ""), (-60.5, AHEAD), (-1e9, AHEAD)],
)
def test_a_redirect_grows_old(later: float, message: str) -> None:
    """A redirect is believed for `max_age` after it was issued, and for `leeway` before."""
    if not message:
        check_age(ISSUED, AT + later, PLAIN)
        return
    with pytest.raises(RedirectError) as caught:
        check_age(ISSUED, AT + later, PLAIN)
    assert str(caught.value) == message
    assert caught.value.signed


def test_without_an_age_nothing_is_too_old() -> None:
    """Where the age doesn't count, neither does its lack; otherwise a lack is refused."""
    check_age(None, AT, RedirectScheme(max_age=None))
    check_age(ISSUED, 0, RedirectScheme(max_age=None))
    with pytest.raises(
        RedirectError, match="the payload is signed, but has no issued_at"
    ) as caught:
        check_age(None, AT, PLAIN)
    assert caught.value.signed
