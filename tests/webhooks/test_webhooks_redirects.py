"""Redirects: what is appended is verified, nothing else is, and the rest of a URL stays."""

import base64
import hashlib
import hmac
import json
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from support.signing import OTHER, SECRET

import frame_async
from frame_async.errors import ConfigurationError, RedirectError, ValidationError
from frame_async.webhooks import Redirect, RedirectScheme, RedirectSigner

PACKAGE = str(Path(frame_async.__file__).parent)
NOW = 1_781_115_881
PAID: dict[str, Any] = {
    "session": "60574c6d-2f16-4b03-a852-079fffd087db",
    "client_reference_id": "order-42",
    "result": "paid",
    "payment_status": "paid",
    "issued_at": NOW,
}
REDIRECT = Redirect(**PAID | {"issued_at": datetime.fromtimestamp(NOW, UTC)})


class Stopped:
    """A clock that stands still."""

    def __init__(self, seconds: float = NOW) -> None:
        self.seconds = seconds

    def time(self) -> float:
        return self.seconds

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(f"nobody sleeps {seconds} s here")


def signer(secrets: Any = SECRET, at: float = NOW, **scheme: Any) -> RedirectSigner:
    """A signer at a point in time."""
    return RedirectSigner(secrets, scheme=RedirectScheme(**scheme), clock=Stopped(at))


def by_hand(payload: Any = PAID, secret: str = SECRET) -> str:
    """The two parameters as the emulator makes them, with nothing of the code under test."""
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    text = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    digest = hmac.new(
        secret.encode(), f"frame_redirect.{text}".encode(), hashlib.sha256
    ).hexdigest()
    return f"frame_payload={text}&frame_signature={digest}"


def refused(url: Any, by: RedirectSigner | None = None) -> RedirectError:
    """The error with which a URL is refused; neither it nor our frames show the secret."""
    with pytest.raises(RedirectError) as caught:
        (by or signer()).verify(url)
    shown = [str(caught.value)]
    for frame, _ in traceback.walk_tb(caught.value.__traceback__):
        if frame.f_code.co_filename.startswith(PACKAGE):
            shown += map(repr, frame.f_locals.values())
    assert not [text for text in shown if SECRET in text]
    assert caught.value.__context__ is None
    return caught.value


# --- what is believed ----------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example/thanks?{}",
        "https://shop.example/thanks?a=1&a=&b&{}#top",
        "/thanks?{}",
        "?{}",
        "https://shop.example/thanks?{}&utm=later",
    ],
)
def test_the_agreed_form_is_read(url: str) -> None:
    """A payload in the form that the emulator sends gives what it says."""
    assert signer().verify(url.format(by_hand())) == REDIRECT


def test_the_agreed_form_is_written() -> None:
    """What is appended is that form: the payload in base64url, then its hex signature."""
    url = signer().append("https://shop.example/thanks", REDIRECT)
    parts = urlsplit(url).query.split("&")
    assert [part.partition("=")[0] for part in parts] == ["frame_payload", "frame_signature"]
    text = parts[0].partition("=")[2]
    assert json.loads(base64.urlsafe_b64decode(text + "==")) == PAID
    assert "=" not in text
    assert (
        parts[1].partition("=")[2]
        == hmac.new(SECRET.encode(), f"frame_redirect.{text}".encode(), hashlib.sha256).hexdigest()
    )


def test_fields_that_lack_or_are_new() -> None:
    """Only session and result must be there; what is unknown is kept, unknown values too."""
    few = {"session": "s", "result": "teleported", "issued_at": NOW, "shipping": {"x": 1}}
    redirect = signer().verify("?" + by_hand(few))
    assert (redirect.session, redirect.result) == ("s", "teleported")
    assert (redirect.client_reference_id, redirect.payment_status) == (None, None)
    assert redirect.extra == {"shipping": {"x": 1}}
    assert signer().verify(signer().append("https://a.b/", redirect)) == redirect


@pytest.mark.parametrize("position", range(3))
def test_while_secrets_change_any_of_them_counts(position: int) -> None:
    """With several secrets each verifies, and the first signs."""
    secrets = ["x" * 32, "y" * 32]
    secrets.insert(position, SECRET)
    assert signer(secrets).verify("?" + by_hand()) == REDIRECT
    refused("?" + by_hand(secret=OTHER), signer(secrets))
    url = signer(secrets).append("https://a.b/", REDIRECT)
    assert signer(secrets[0]).verify(url) == REDIRECT


# --- the rest of the URL --------------------------------------------------------------

QUERY = st.text("abAB01=&;%+?/:@!$'()*,~._-", max_size=40)
FRAGMENT = st.text("ab=&%+?#/", max_size=10)
SCHEMES = st.builds(
    RedirectScheme,
    encoding=st.sampled_from(["base64url", "json"]),
    algorithm=st.sampled_from(["sha256", "sha384", "sha512"]),
    digest=st.sampled_from(["hex", "base64url"]),
    covers=st.sampled_from(["payload", "url"]),
)
REDIRECTS = st.builds(
    Redirect,
    session=st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    result=st.sampled_from(["paid", "processing", "canceled"]),
    client_reference_id=st.none() | st.text(st.characters(exclude_categories=["Cs"])),
    payment_status=st.none() | st.just("paid"),
    issued_at=st.just(REDIRECT.issued_at),
)


@given(
    path=st.sampled_from(["", "/", "/a/b%20c", "/ä"]),
    query=st.none() | QUERY,
    fragment=st.none() | FRAGMENT,
    redirect=REDIRECTS,
    scheme=SCHEMES,
)
def test_query_and_fragment_stay_byte_for_byte(
    path: str, query: str | None, fragment: str | None, redirect: Redirect, scheme: RedirectScheme
) -> None:
    """Whatever the URL has, it has it afterwards, in front of the payload and after it."""
    own = RedirectSigner(SECRET, scheme=scheme, clock=Stopped())
    base = f"https://shop.example{path}"
    before = base if query is None else f"{base}?{query}"
    url = own.append(before if fragment is None else f"{before}#{fragment}", redirect)
    head, _, tail = url.partition("#")
    assert tail == (fragment or "")
    assert head.startswith(before)
    added = head[len(before) :].removeprefix("&" if query else "?")
    assert added.startswith("frame_payload=")
    assert added.count("&") == 1
    assert own.verify(url) == redirect
    assert own.verify(f"{head}#another") == redirect
    assert own.append(url, redirect) == url


@given(scheme=SCHEMES, bit=st.integers(0, 7), place=st.integers(0, 10_000), redirect=REDIRECTS)
def test_any_change_is_noticed(
    scheme: RedirectScheme, bit: int, place: int, redirect: Redirect
) -> None:
    """A change to any character of payload or signature is refused, in every scheme."""
    own = RedirectSigner(SECRET, scheme=scheme, clock=Stopped())
    url = own.append("https://shop.example/?a=1", redirect)
    at = url.index("frame_payload=") + len("frame_payload=")
    at += place % (len(url) - at)
    changed = f"{url[:at]}{chr(ord(url[at]) ^ 1 << bit)}{url[at + 1 :]}"
    try:
        read = own.verify(changed)
    except RedirectError:
        return
    # The same bytes, written otherwise: %2f for %2F, or spare bits of base64url.
    assert read == redirect
    assert scheme.encoding == "json" or scheme.digest == "base64url"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("https://a.b?frame_payload=x", "https://a.b?"),
        ("https://a.b/?x=1&frame_payload=x&y=%20+&frame_signature=z", "https://a.b/?x=1&y=%20+&"),
        ("https://a.b/?frame%5Fpayload=x&&x", "https://a.b/?&x&"),
        ("https://a.b/?frame_signature&frame_payload=x&x#f", "https://a.b/?x&"),
        ("https://a.b/?Frame_Payload=x", "https://a.b/?Frame_Payload=x&"),
        ("https://a.b/?x=1&", "https://a.b/?x=1&&"),
        ("https://a.b/?&", "https://a.b/?&&"),
        ("https://a.b/?", "https://a.b/?"),
    ],
)
def test_older_parameters_of_the_same_names_go(before: str, after: str) -> None:
    """What has one of the two names already is dropped, so that each is there once."""
    url = signer().append(before, REDIRECT)
    assert url.startswith(f"{after}frame_payload=")
    assert signer().verify(url) == REDIRECT


@pytest.mark.parametrize(
    "url", ["", "shop.example/x", "/x", "ftp://a.b/", "https://", "https://a b/", "https://a.b/\n"]
)
def test_only_web_addresses_are_appended_to(url: str) -> None:
    """What is no absolute HTTP(S) URL is refused."""
    with pytest.raises(ConfigurationError, match="must be of the form https://host/path"):
        signer().append(url, REDIRECT)


# --- what is refused -----------------------------------------------------------------

GOOD = by_hand()
PAYLOAD, SIGNATURE = GOOD.split("&")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "the parameter frame_payload is missing"),
        ("https://a.b/", "the parameter frame_payload is missing"),
        (f"https://a.b/#{GOOD}", "the parameter frame_payload is missing"),
        (f"?{PAYLOAD}", "the parameter frame_signature is missing"),
        (f"?{SIGNATURE}", "the parameter frame_payload is missing"),
        (f"?{GOOD}&{PAYLOAD}", "the parameter frame_payload is there 2 times"),
        (f"?{GOOD}&{SIGNATURE}", "the parameter frame_signature is there 2 times"),
        (f"?{GOOD}&frame_payload", "the parameter frame_payload is there 2 times"),
        (f"?frame%5fpayload=x&{GOOD}", "the parameter frame_payload is there 2 times"),
        (f"?{GOOD}&{GOOD}&{GOOD}", "the parameter frame_payload is there 3 times"),
        (f"?{PAYLOAD}&{SIGNATURE.upper()}", "the parameter frame_signature is missing"),
        (f"?{PAYLOAD}&frame_signature=", "must be in lower-case hexadecimal digits"),
        (f"?{PAYLOAD}&frame_signature={'A' * 64}", "must be in lower-case hexadecimal digits"),
        (f"?{PAYLOAD}&frame_signature=é", "has characters that are not ASCII"),
        (f"?{PAYLOAD}&frame_signature=\ud800", "has characters that are not ASCII"),
        (f"?{PAYLOAD}&{SIGNATURE}0", "must be in lower-case hexadecimal digits"),
        (f"?{PAYLOAD}&{SIGNATURE}00", "the signature doesn't match"),
        (f"?{PAYLOAD}&{SIGNATURE[:-2]}", "the signature doesn't match"),
        (f"?{PAYLOAD}&{SIGNATURE}\n", "must be in lower-case hexadecimal digits"),
        (f"?{PAYLOAD}x&{SIGNATURE}", "the signature doesn't match"),
        (f"?{PAYLOAD}=&{SIGNATURE}", "the signature doesn't match"),
        (f"?frame_payload=&{SIGNATURE}", "the signature doesn't match"),
        ("?" + by_hand(secret=OTHER), "the signature doesn't match"),
        (f"?{GOOD}&{'x' * 16_384}", "the URL is longer than 16384 characters"),
    ],
)
def test_what_is_not_signed_is_refused(url: str, says: str) -> None:
    """Missing, doubled, malformed or wrong: each is refused in words that name it."""
    error = refused(url)
    assert says in str(error)
    assert not error.signed


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        (b"", "but no base64url"),
        (b'{"session": "\xff"}', "is not UTF-8"),
        (b"{", "is not JSON"),
        (b"[]", "is a JSON list"),
        (b"[" * 5000, "is nested too deeply"),
        (b'{"session": "a", "result": "paid", "session": "b"}', "has a name twice"),
        ({}, "session: is missing"),
        (PAID | {"session": None}, "session: must be str, not NoneType"),
        (PAID | {"result": 1}, "result: must be str, not int"),
        (PAID | {"issued_at": "noon"}, "issued_at: must be epoch seconds"),
        (PAID | {"client_reference_id": ["x"]}, "client_reference_id: "),
        (PAID | {"issued_at": None}, "has no issued_at"),
    ],
)
def test_a_signed_payload_that_is_no_redirect(payload: Any, says: str) -> None:
    """A payload that is signed and can't be used is refused, and said to be signed."""
    error = refused("?" + by_hand(payload))
    assert says in str(error)
    assert error.signed


def test_a_signed_text_that_is_no_base64url() -> None:
    """Text that was signed as it is, but isn't base64url, is refused after its signature."""
    for text in ("a", "a=", "a+b/", "!"):
        digest = hmac.new(
            SECRET.encode(), f"frame_redirect.{text}".encode(), hashlib.sha256
        ).hexdigest()
        error = refused(f"?frame_payload={text}&frame_signature={digest}")
        assert str(error) == "the payload is signed, but no base64url"
        assert error.signed


@pytest.mark.parametrize("url", [None, 1, b"https://a.b/", ["?"]])
def test_a_url_is_text(url: Any) -> None:
    """Something else than a string is a mistake in the code, and named."""
    for use in (signer().verify, lambda url: signer().append(url, REDIRECT)):
        with pytest.raises(ValidationError, match="url: must be a string, not"):
            use(url)


@given(url=st.text(max_size=80), scheme=SCHEMES)
def test_nothing_hostile_gets_through(url: str, scheme: RedirectScheme) -> None:
    """Whatever text is passed in, it is refused with the one error."""
    for text in (url, f"?frame_payload={url}&frame_signature={url}"):
        with pytest.raises(RedirectError):
            RedirectSigner(SECRET, scheme=scheme).verify(text)


# --- age -----------------------------------------------------------------------------


@pytest.mark.parametrize(("later", "good"), [(0, True), (3600, True), (3601, False), (-60, True)])
def test_a_redirect_grows_old(later: int, good: bool) -> None:
    """A redirect is believed for an hour, and a minute before its time; not longer."""
    url = "?" + by_hand()
    if good:
        assert signer(at=NOW + later).verify(url) == REDIRECT
    else:
        error = refused(url, signer(at=NOW + later))
        assert str(error) == (
            "the redirect is older than 3600 seconds; a webhook tells how it ended"
        )
        assert error.signed


def test_a_redirect_from_the_future() -> None:
    """A redirect that was issued more than the leeway ahead of now is refused."""
    error = refused("?" + by_hand(), signer(at=NOW - 61))
    assert "is from the future" in str(error)
    assert error.signed
    assert signer(at=NOW - 61, leeway=61).verify("?" + by_hand()) == REDIRECT


def test_age_is_a_parameter() -> None:
    """The age may be another, or not count; then the time of issue may be missing, too."""
    refused("?" + by_hand(), signer(at=NOW + 11, max_age=10))
    assert signer(at=NOW + 10, max_age=10).verify("?" + by_hand()) == REDIRECT
    assert signer(at=NOW * 2, max_age=None).verify("?" + by_hand()) == REDIRECT
    assert signer(at=0, max_age=None).verify("?" + by_hand()) == REDIRECT
    timeless = signer(max_age=None).verify("?" + by_hand(PAID | {"issued_at": None}))
    assert timeless == evolve(REDIRECT, issued_at=None)


def test_the_clock_of_the_system_is_the_default() -> None:
    """Without a clock, the age is measured against the time of day."""
    own = RedirectSigner(SECRET)
    now = datetime.now(UTC)
    url = own.append("https://a.b/", evolve(REDIRECT, issued_at=now))
    assert own.verify(url).issued_at == now.replace(microsecond=0)
    past = now - timedelta(hours=1, seconds=2)
    refused(own.append("https://a.b/", evolve(REDIRECT, issued_at=past)), own)


# --- other schemes -------------------------------------------------------------------


def test_another_scheme_by_hand() -> None:
    """Names, encodings and the hash function are parameters; by hand it is the same."""
    own = signer(
        payload_name="p", signature_name="s", encoding="json", algorithm="sha512",
        digest="base64url",
    )  # fmt: skip
    raw = json.dumps(PAID | {"client_reference_id": "ä + b"}, ensure_ascii=False).encode()
    digest = hmac.new(SECRET.encode(), b"frame_redirect." + raw, hashlib.sha512).digest()
    written = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    for text in (quote(raw), quote(raw).replace("%20", "+"), quote(raw, safe='{}",:')):
        redirect = own.verify(f"https://a.b/?p={text}&s={written}")
        assert redirect == evolve(REDIRECT, client_reference_id="ä + b")
    assert "s=" + "A" * 86 not in own.append("https://a.b/", REDIRECT)
    refused(f"https://a.b/?p={quote(raw)}&s={written}!", own)
    refused(f"https://a.b/?p={quote(raw)}&s=a", own)


def test_a_signature_over_the_url() -> None:
    """When the URL is covered, a change of any part before the signature is noticed."""
    own = signer(covers="url")
    url = own.append("https://shop.example/thanks?order=42#top", REDIRECT)
    head = url.partition("#")[0]
    unsigned, _, digest = head.rpartition("&frame_signature=")
    assert (
        digest
        == hmac.new(
            SECRET.encode(), f"frame_redirect.{unsigned}".encode(), hashlib.sha256
        ).hexdigest()
    )
    assert own.verify(url) == REDIRECT
    for changed in (
        url.replace("order=42", "order=43"),
        url.replace("shop", "shap"),
        url.replace("https", "http"),
        url.replace("/thanks", ""),
    ):
        assert "the signature doesn't match" in str(refused(changed, own))
    assert "something follows" in str(refused(f"{head}&utm=1", own))
    assert "something follows" in str(refused(f"{head}&", own))
    refused(url, signer())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"payload_name": ""}, "payload_name must be the name of a query parameter"),
        ({"payload_name": "a b"}, "payload_name must be the name"),
        ({"payload_name": "a&b"}, "payload_name must be the name"),
        ({"payload_name": "a\n"}, "payload_name must be the name"),
        ({"payload_name": 1}, "payload_name must be the name"),
        ({"signature_name": "é"}, "signature_name must be the name"),
        ({"signature_name": "frame_payload"}, "signature_name must differ from payload_name"),
        ({"encoding": "hex"}, "encoding must be one of base64url, json"),
        ({"algorithm": "md5"}, "algorithm must be one of sha256, sha384, sha512"),
        ({"algorithm": ["sha256"]}, "algorithm must be one of"),
        ({"digest": "json"}, "digest must be one of hex, base64url"),
        ({"covers": "query"}, "covers must be one of payload, url"),
        ({"max_age": -1}, "max_age must be a number of seconds, 0 or more"),
        ({"max_age": float("nan")}, "max_age must be a number"),
        ({"max_age": "60"}, "max_age must be a number"),
        ({"leeway": None}, "leeway must be a number"),
        ({"leeway": True}, "leeway must be a number"),
    ],
)
def test_a_scheme_checks_itself(options: dict[str, Any], says: str) -> None:
    """A scheme that can't work is refused when it is made, by the name of its field."""
    with pytest.raises(ConfigurationError, match=says):
        RedirectScheme(**options)


@pytest.mark.parametrize("secrets", ["", " ", None, [], [None], b"x" * 32, "sk_sandbox_x"])
def test_what_can_be_no_secret(secrets: Any) -> None:
    """An unusable secret is refused when the signer is made; there is no default."""
    with pytest.raises(ConfigurationError, match="secrets"):
        RedirectSigner(secrets)


def test_a_signer_shows_its_scheme_only() -> None:
    """A signer's repr has the scheme and no secret."""
    own = signer(leeway=1)
    assert repr(own) == f"<RedirectSigner {own.scheme!r}>"
    assert SECRET not in repr(own) + repr(vars(own))
