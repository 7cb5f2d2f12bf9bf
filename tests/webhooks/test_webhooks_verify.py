"""Webhooks are believed only when Frame signed exactly these bytes."""

import email.message
import pickle
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict
from support.signing import OTHER, SECRET, event_body, signature, signed

import frame_async
from frame_async.errors import ConfigurationError, UsageError, ValidationError, WebhookError
from frame_async.webhooks import LARGEST_BODY, WebhookReceiver

PACKAGE = str(Path(frame_async.__file__).parent)
PRIVATE = "payer@example.com"


@pytest.fixture
def receiver() -> WebhookReceiver:
    """A receiver with one secret."""
    return WebhookReceiver(SECRET)


def refused(receiver: WebhookReceiver, body: Any, headers: Any) -> WebhookError:
    """The error with which a webhook is refused; it and its frames show nothing private."""
    with pytest.raises(WebhookError) as caught:
        receiver.verify(body, headers)
    assert_silent(caught.value, receiver)
    return caught.value


def assert_silent(error: BaseException, *own: object) -> None:
    """Neither error nor our frames show a secret, a body or a header; no error hangs on it."""
    shown = [str(error), repr(error), str(vars(error)), *map(repr, own)]
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename.startswith(PACKAGE):
            shown += map(repr, frame.f_locals.values())
    for private in (SECRET, OTHER, PRIVATE, signature(event_body())):
        assert not [text for text in shown if private in text]
    assert error.__cause__ is None
    assert error.__context__ is None


# --- what is believed ----------------------------------------------------------------


def test_a_signed_webhook_is_read(receiver: WebhookReceiver) -> None:
    """A body with its signature gives the event in it."""
    body = event_body()
    event = receiver.verify(body, signed(body))
    assert (event.id, event.type, event.session_id) == ("evt_0123", "transfer.succeeded", "ses_1")


@given(body=st.binary(max_size=200), change=st.integers(0, 10_000))
def test_any_change_of_the_body_is_noticed(body: bytes, change: int) -> None:
    """A body of which one bit was changed is refused for its signature, whatever it is."""
    headers = signed(body + b"x")
    changed = bytearray(body + b"x")
    changed[change % len(changed)] ^= 1 << change % 8
    with pytest.raises(WebhookError, match="doesn't match") as caught:
        WebhookReceiver(SECRET).verify(bytes(changed), headers)
    assert not caught.value.signed


@given(bit=st.integers(0, 255))
def test_any_change_of_the_signature_is_noticed(bit: int) -> None:
    """A signature of which one bit was changed is refused."""
    body = event_body()
    digest = bytearray.fromhex(signature(body).removeprefix("sha256="))
    digest[bit // 8] ^= 1 << bit % 8
    with pytest.raises(WebhookError, match="doesn't match"):
        WebhookReceiver(SECRET).verify(body, {"X-Frame-Signature": f"sha256={digest.hex()}"})


def test_what_openssl_signs() -> None:
    """The signature is HMAC-SHA256, as openssl computes it of RFC 4231's message."""
    digest = "1965eccd1338f941021a0e1c8aa95dd0c9de9df51a07e2381836333b1390237c"
    headers = {"X-Frame-Signature": f"sha256={digest}"}
    body = b"what do ya want for nothing?"
    with pytest.raises(WebhookError, match="signed, but unusable") as caught:
        WebhookReceiver(SECRET).verify(body, headers)
    assert caught.value.signed


@pytest.mark.parametrize("position", range(3))
def test_while_secrets_change_any_of_them_counts(position: int) -> None:
    """With several secrets, a signature under each of them is right, wherever it stands."""
    secrets = ["x" * 32, "y" * 32]
    secrets.insert(position, SECRET)
    body = event_body()
    assert WebhookReceiver(secrets).verify(body, signed(body)).id == "evt_0123"
    refused(WebhookReceiver(secrets), body, signed(body, OTHER))


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_of_any_kind(receiver: WebhookReceiver, kind: Any) -> None:
    """Whatever holds the raw bytes will do."""
    body = event_body()
    assert receiver.verify(kind(body), signed(body)).id == "evt_0123"


def stdlib(headers: dict[str, str]) -> email.message.Message:
    """Headers as http.server has them, which are no mapping."""
    message = email.message.Message()
    for name, value in headers.items():
        message[name] = value
    return message


SHAPES: dict[str, Any] = {
    "dict": dict,
    "lower case": lambda headers: {name.lower(): value for name, value in headers.items()},
    "upper case": lambda headers: {name.upper(): value for name, value in headers.items()},
    "pairs": lambda headers: list(headers.items()),
    "iterator": lambda headers: iter(headers.items()),
    "aiohttp": CIMultiDict,
    "http.server": stdlib,
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_headers_of_any_framework(receiver: WebhookReceiver, shape: Any) -> None:
    """Headers are found in whatever a framework has them in, with names in any case."""
    body = event_body()
    assert receiver.verify(body, shape(signed(body))).id == "evt_0123"
    refused(receiver, body, shape({"X-Frame-Event": "transfer.succeeded"}))


def test_hexadecimal_digits_in_either_case(receiver: WebhookReceiver) -> None:
    """Digits may be in upper case: it is the bytes that are compared. The prefix may not."""
    body = event_body()
    digits = signature(body).removeprefix("sha256=").upper()
    assert receiver.verify(body, {"x-frame-signature": f"sha256={digits}"}).id == "evt_0123"
    refused(receiver, body, {"x-frame-signature": f"SHA256={digits}"})


def test_other_headers_are_not_believed(receiver: WebhookReceiver) -> None:
    """The type is what the signed body says, not what the header beside it does."""
    body = event_body()
    event = receiver.verify(body, signed(body) | {"X-Frame-Event": "transfer.failed"})
    assert event.type == "transfer.succeeded"


# --- hostile headers -----------------------------------------------------------------

GOOD = signature(event_body())
BAD_VALUES: dict[str, Any] = {
    "empty": "",
    "no prefix": GOOD.removeprefix("sha256="),
    "another algorithm": GOOD.replace("sha256", "sha1"),
    "short": GOOD[:-1],
    "long": GOOD + "0",
    "no digits": "sha256=" + "g" * 64,
    "line end": GOOD + "\n",
    "space before": " " + GOOD,
    "space after": GOOD + " ",
    "joined by a proxy": f"{GOOD}, {GOOD}",
    "not ASCII": "sha256=" + "é" * 64,
    "digits of another script": "sha256=" + "٣" * 64,
    "surrogate": "sha256=\ud800" + "0" * 63,
    "nul": GOOD + "\0",
    "bytes": GOOD.encode(),
    "list": [GOOD],
    "none": None,
    "number": 1,
}


@pytest.mark.parametrize("value", BAD_VALUES.values(), ids=BAD_VALUES)
def test_a_malformed_signature_is_refused(receiver: WebhookReceiver, value: Any) -> None:
    """Whatever isn't exactly one signature is refused in words that tell the form."""
    error = refused(receiver, event_body(), {"X-Frame-Signature": value})
    kind = "" if isinstance(value, str) else f", not {type(value).__name__}"
    assert str(error) == (
        f"the header X-Frame-Signature must be the text sha256= and 64 hexadecimal digits{kind}"
    )
    assert not error.signed


@pytest.mark.parametrize(
    "headers",
    [
        CIMultiDict([("X-Frame-Signature", GOOD), ("x-frame-signature", GOOD)]),
        [("X-Frame-Signature", GOOD), ("X-FRAME-SIGNATURE", "sha256=")],
        {"X-Frame-Signature": GOOD, "x-frame-signature": GOOD},
    ],
)
def test_a_doubled_signature_is_refused(receiver: WebhookReceiver, headers: Any) -> None:
    """Two signatures are refused, even where both are right: whose would count?"""
    error = refused(receiver, event_body(), headers)
    assert str(error) == ("the header X-Frame-Signature is there 2 times, and must be there once")


@pytest.mark.parametrize("headers", [{}, [], {"Signature": GOOD}, {b"x": b"y"}, {1: GOOD}])
def test_a_missing_signature_is_refused(receiver: WebhookReceiver, headers: Any) -> None:
    """No signature is no webhook."""
    error = refused(receiver, event_body(), headers)
    assert str(error) == "the header X-Frame-Signature is missing"


def test_raw_asgi_headers_are_named(receiver: WebhookReceiver) -> None:
    """Headers in bytes, as ASGI has them, are found, and refused for being bytes."""
    error = refused(receiver, event_body(), [(b"x-frame-signature", GOOD.encode())])
    assert str(error).endswith(", not bytes")


@pytest.mark.parametrize("headers", [None, 1, "X-Frame-Signature", [1], [("a", "b", "c")]])
def test_what_are_no_headers(receiver: WebhookReceiver, headers: Any) -> None:
    """Something else than headers is a mistake in the code, and is named."""
    with pytest.raises(ValidationError, match="headers: must be a mapping or pairs") as caught:
        receiver.verify(event_body(), headers)
    assert_silent(caught.value)


# --- hostile bodies ------------------------------------------------------------------

PAYER = f'"{PRIVATE}"'.encode()
BAD_BODIES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "no JSON": (PAYER + b"}", "is not JSON"),
    "byte-order mark": (b"\xef\xbb\xbf" + event_body(), "is not JSON"),
    "invalid UTF-8": (b'{"id": "\xff' + PAYER[1:] + b"}", "is not UTF-8"),
    "half an emoji for an id": (b'{"id": "\\ud800", "type": "t"}', "id: must be 1 to 255 visible"),
    "list": (b"[" + PAYER + b"]", "is a JSON list"),
    "text": (PAYER, "is a JSON str"),
    "null": (b"null", "is a JSON NoneType"),
    "deep": (b'{"data":' * 100_000, "is nested too deeply"),
    "closed and deep": (b"[" * 70 + b"]" * 70, "is a JSON list"),
    "deep within": (b'{"data":' * 70 + b"1" + b"}" * 70, "is nested too deeply"),
    "huge integer": (b'{"data": {"amount": ' + b"9" * 400 + b"}}", "more than 64 bits"),
    "vast integer": (b'{"data": {"amount": ' + b"9" * 5000 + b"}}", "is not JSON"),
    "huge number": (b'{"data": 1e400}', "is not JSON"),
    "not a number": (b'{"data": NaN}', "is not JSON"),
    "doubled id": (b'{"id": "a", "type": "t", "id": "b"}', "a name twice"),
    "doubled, escaped": (b'{"id": "a", "type": "t", "\\u0069d": "b"}', "a name twice"),
    "doubled within": (b'{"id":"a","type":"t","data":{"x":[{"y":1,"y":1}]}}', "a name twice"),
    "no id": (event_body(id=None), "id: is missing"),
    "empty id": (event_body(id=""), "id: must be 1 to 255 visible ASCII characters"),
    "long id": (event_body(id="x" * 256), "id: must be 1 to 255"),
    "id with a space": (event_body(id="evt 1"), "id: must be 1 to 255"),
    "id of bytes that no store takes": (event_body(id="evt\0"), "id: must be 1 to 255"),
    "numeric id": (event_body(id=1), "id: must be str, not int"),
    "no type": (event_body(type=None), "type: is missing"),
    "empty type": (event_body(type=""), "type: must not be empty"),
    "bad time": (event_body(created=PRIVATE), "created: must be epoch seconds or an ISO 8601"),
    "time out of range": (event_body(created=1e18), "created: must be a time between"),
    "bad livemode": (event_body(livemode="false"), "livemode: must be bool, not str"),
    "bad data": (event_body(data=[PRIVATE]), "data: must be an object, not list"),
}


@pytest.mark.parametrize(("body", "says"), BAD_BODIES.values(), ids=BAD_BODIES)
def test_a_signed_body_that_is_no_event(receiver: WebhookReceiver, body: bytes, says: str) -> None:
    """A body that Frame signed and that can't be used is refused, and said to be signed."""
    error = refused(receiver, body, signed(body))
    assert str(error).startswith("signed, but unusable: unreadable event: ")
    assert says in str(error)
    assert error.signed


@pytest.mark.parametrize("body", [b"", b"{}", b"[" * 100_000, b"\xff"])
def test_an_unsigned_body_is_not_even_read(receiver: WebhookReceiver, body: bytes) -> None:
    """Without the right signature nothing else is said of a body than that."""
    error = refused(receiver, body, signed(body, OTHER))
    assert "the signature doesn't match the body" in str(error)


def test_the_size_is_judged_before_the_signature() -> None:
    """A body over the limit is refused before it is hashed, one at the limit is not."""
    body = event_body()
    at_limit = WebhookReceiver(SECRET, max_bytes=len(body))
    assert at_limit.verify(body, signed(body)).id == "evt_0123"
    over = WebhookReceiver(SECRET, max_bytes=len(body) - 1)
    error = refused(over, body, {})
    assert str(error) == f"the body is larger than {len(body) - 1} bytes"
    wide = memoryview(bytearray(8 * len(body))).cast("Q")  # as many items, more bytes
    assert "larger than" in str(refused(at_limit, wide, {}))


def test_the_default_limit_is_a_mebibyte(receiver: WebhookReceiver) -> None:
    """1,048,576 bytes are looked at, one more is too large."""
    assert LARGEST_BODY == 1_048_576
    body = event_body()
    padded = body + b" " * (LARGEST_BODY - len(body))
    assert receiver.verify(padded, signed(padded)).id == "evt_0123"
    assert "larger than 1048576 bytes" in str(refused(receiver, padded + b" ", {}))


@pytest.mark.parametrize("body", ["{}", None, {"id": "evt_1"}, 1, [1]])
def test_a_body_that_was_parsed_already(receiver: WebhookReceiver, body: Any) -> None:
    """Something else than bytes is a mistake in the code, not a bad webhook."""
    with pytest.raises(ValidationError, match="body: must be bytes, not") as caught:
        receiver.verify(body, signed(event_body()))
    assert isinstance(caught.value, UsageError)
    assert_silent(caught.value)


@given(
    body=st.one_of(st.binary(max_size=100), st.text(max_size=50), st.none()),
    headers=st.one_of(
        st.dictionaries(st.text(max_size=5) | st.just("X-Frame-Signature"), st.text() | st.none()),
        st.lists(st.tuples(st.binary(max_size=5), st.binary(max_size=5))),
        st.none(),
    ),
)
def test_nothing_hostile_gets_through(body: Any, headers: Any) -> None:
    """Whatever is passed in ends in one of two errors of ours, and never in another."""
    with pytest.raises((WebhookError, ValidationError)):
        WebhookReceiver(SECRET).verify(body, headers)


# --- secrets -------------------------------------------------------------------------

BAD_SECRETS: dict[str, tuple[Any, str]] = {
    "empty": ("", "secrets must not be empty"),
    "no secrets": ([], "secrets must not be empty; give at least one"),
    "no secrets in a tuple": ((), "secrets must not be empty; give at least one"),
    "one empty": ([SECRET, ""], r"secrets\[1\] must not be empty"),
    "one None": ([None, SECRET], r"secrets\[0\] must be a string, not NoneType"),
    "only None": ([None], "secrets must be a string, not NoneType"),
    "bytes": (SECRET.encode(), "secrets must be a string or a list of strings, not bytes"),
    "one of bytes": ([SECRET.encode()], "secrets must be a string, not bytes"),
    "a mapping": ({SECRET: 1}, "secrets must be a string or a list of strings, not dict"),
    "a number": (1, "secrets must be a string or a list of strings, not int"),
    "a space": (" ", "secrets has whitespace"),
    "a line end": (SECRET + "\n", "secrets has whitespace"),
    "a space inside": (SECRET[:9] + " " + SECRET[9:], "secrets has whitespace"),
    "not ASCII": (SECRET + "é", "secrets has whitespace, control or non-ASCII"),
    "too long": ("x" * 513, "or is over 512 long"),
    "short": ("abcdefghijklmno", "secrets is too short: give a secret of 16 characters or more"),
    "only its prefix": (["whsec_", SECRET], r"secrets\[0\] is too short"),
    "an API key": ("sk_sandbox_" + SECRET, "secrets is an API key"),
    "a publishable key": (["pk_live", SECRET], r"secrets\[0\] is an API key"),
}


@pytest.mark.parametrize(("secrets", "says"), BAD_SECRETS.values(), ids=BAD_SECRETS)
def test_what_can_be_no_secret(secrets: Any, says: str) -> None:
    """An unusable secret is refused when the receiver is made, by name and never shown."""
    with pytest.raises(ConfigurationError, match=says) as caught:
        WebhookReceiver(secrets)
    assert_silent(caught.value)


def test_the_secret_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an argument the environment's secret counts; without either it is missed."""
    with pytest.raises(ConfigurationError, match="set FRAME_WEBHOOK_SECRET"):
        WebhookReceiver()
    monkeypatch.setenv("FRAME_WEBHOOK_SECRET", SECRET)
    body = event_body()
    assert WebhookReceiver().verify(body, signed(body)).id == "evt_0123"
    refused(WebhookReceiver(OTHER), body, signed(body))
    monkeypatch.setenv("FRAME_WEBHOOK_SECRET", "")
    with pytest.raises(ConfigurationError, match="FRAME_WEBHOOK_SECRET must not be empty"):
        WebhookReceiver()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"max_bytes": 0}, "max_bytes must be an integer, 1 or more"),
        ({"max_bytes": True}, "max_bytes must be an integer"),
        ({"max_bytes": 1.5}, "max_bytes must be an integer"),
        ({"keep_for": 0}, "keep_for must be a number of days above 0"),
        ({"keep_for": float("nan")}, "keep_for must be a number of days above 0"),
        ({"keep_for": float("inf")}, "keep_for must be a number of days above 0"),
        ({"lease": -1}, "lease must be a number of seconds above 0"),
        ({"lease": True}, "lease must be a number of seconds above 0"),
        ({"lease": "10"}, "lease must be a number of seconds above 0"),
        ({"scope": ""}, "scope must be 1 to 64 letters"),
        ({"scope": "a:b"}, "scope must be 1 to 64 letters"),
        ({"scope": "a" * 65}, "scope must be 1 to 64 letters"),
        ({"scope": None}, "scope must be 1 to 64 letters"),
        ({"store": 1}, "store must be a URL"),
        ({"store": "nowhere://"}, "store must be a URL"),
    ],
)
def test_options_are_checked(options: dict[str, Any], says: str) -> None:
    """An option that can't be used is refused by name when the receiver is made."""
    with pytest.raises(ConfigurationError, match=says) as caught:
        WebhookReceiver(SECRET, **options)
    assert_silent(caught.value)


def test_a_receiver_shows_and_gives_away_nothing(receiver: WebhookReceiver) -> None:
    """A receiver's repr is its name only, and it refuses to be pickled."""
    assert repr(receiver) == "<WebhookReceiver>"
    with pytest.raises(TypeError, match="can't be pickled"):
        pickle.dumps(receiver)
    assert SECRET not in repr(vars(receiver))


class Counting(Mapping[str, str]):
    """Headers that count how often they are read."""

    def __init__(self, headers: dict[str, str]) -> None:
        self.headers, self.reads = headers, 0

    def __getitem__(self, name: str) -> str:
        return self.headers[name]

    def __iter__(self) -> Iterator[str]:
        self.reads += 1
        return iter(self.headers)

    def __len__(self) -> int:
        return len(self.headers)


def test_headers_are_read_once(receiver: WebhookReceiver) -> None:
    """Headers are gone through once, so none can change between two looks."""
    body = event_body()
    headers = Counting(signed(body))
    receiver.verify(body, headers)
    assert headers.reads == 1
