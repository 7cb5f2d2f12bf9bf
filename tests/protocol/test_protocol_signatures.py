"""Signatures: whose secret made them, which headers have one, and what is refused by name."""

import hmac
from enum import StrEnum
from traceback import TracebackException
from typing import Any, cast

import pytest

import frame_async
from frame_async.errors import ConfigurationError, ValidationError, WebhookError
from frame_async.protocol.signatures import (
    SECRET_VARIABLE,
    SIGNATURE_HEADER,
    Algorithm,
    Secrets,
    check_secrets,
    sent_digest,
)
from frame_async.secret import Secret

PACKAGE = frame_async.__path__[0]
ONE, TWO, THREE = "whsec_PRIVATE1234567890", "PRIVATE2_abcdefgh", "PRIVATE3_abcdefgh"
VISIBLE = "".join(map(chr, range(0x21, 0x7F)))
DIGITS = "0123456789abcdef" * 3 + "FEDCBA9876543210"
GOOD = f"sha256={DIGITS}"


class Kept(StrEnum):
    """A caller's way of keeping secrets."""

    ONE = "whsec_PRIVATE1234567890"


def secrets_of(given: object) -> Secrets:
    """Secrets that are accepted."""
    return check_secrets(Secret(given), "secrets")


def digest(secret: str, message: bytes, algorithm: str = "sha256") -> bytes:
    """An HMAC, made with nothing of the code under test."""
    return hmac.new(secret.encode(), message, algorithm).digest()


def shown_by(error: BaseException) -> str:
    """The message, and all variables of our own frames; no other error may hang on it."""
    assert error.__cause__ is None
    assert error.__context__ is None
    told = TracebackException.from_exception(error, capture_locals=True)
    ours = [frame for frame in told.stack if frame.filename.startswith(PACKAGE)]
    return "\n".join([str(error), repr(error), *(str(frame.locals) for frame in ours)])


# --- secrets


def test_the_names_that_frame_publishes() -> None:
    """The header is the one of Frame's documentation, the variable has the prefix of the others."""
    assert SIGNATURE_HEADER == "X-Frame-Signature"
    assert SECRET_VARIABLE == "FRAME_WEBHOOK_SECRET"


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_a_signature_is_an_hmac(algorithm: Algorithm) -> None:
    """A message is signed with HMAC and the named hash function, and matched with the same."""
    secrets = secrets_of(ONE)
    assert secrets.sign(b"message", algorithm) == digest(ONE, b"message", algorithm)
    assert secrets.match(b"message", digest(ONE, b"message", algorithm), algorithm)
    assert not secrets.match(b"massage", digest(ONE, b"message", algorithm), algorithm)
    assert not secrets.match(b"message", digest(TWO, b"message", algorithm), algorithm)


def test_sha256_is_the_default() -> None:
    """Without another word it is SHA-256, as for webhooks."""
    secrets = secrets_of(ONE)
    assert secrets.sign(b"message") == digest(ONE, b"message")
    assert secrets.match(b"message", digest(ONE, b"message"))


def test_the_first_secret_signs_and_each_matches() -> None:
    """While one secret replaces another, the first signs, and a digest under any is right."""
    secrets = secrets_of([ONE, TWO, THREE])
    assert secrets.sign(b"message") == digest(ONE, b"message")
    assert [secrets.match(b"message", digest(s, b"message")) for s in (ONE, TWO, THREE)] == [
        True
    ] * 3
    assert not secrets.match(b"message", digest("PRIVATE4", b"message"))


@pytest.mark.parametrize("secrets", [ONE, [ONE], (ONE,), Kept.ONE, [Kept.ONE], ["x" * 16, ONE]])
def test_secrets_come_alone_or_listed(secrets: object) -> None:
    """A string is one secret, a list or tuple has several, and a subclass of str is a string."""
    assert secrets_of(secrets).match(b"message", digest(ONE, b"message"))


@pytest.mark.parametrize(
    "secret", ["x" * 16, VISIBLE, "x" * 512, "whsec_" * 4, "xsk_" * 4, "k_" * 8, "SK_" * 6]
)
def test_visible_ascii_is_a_secret(secret: str) -> None:
    """Up to 512 characters of visible ASCII are a secret, with whsec_ or without."""
    assert secrets_of(secret).sign(b"") == digest(secret, b"")


SHAPE = (
    " has whitespace, control or non-ASCII characters, or is over 512 long; "
    "copy it again, without quotes or line ends"
)
KEY = " is an API key; use the secret that belongs to the webhook endpoint"
LISTED = " must be a string or a list of strings, not "
SHORT = " is too short: give a secret of 16 characters or more, not counting whsec_"
BAD: list[tuple[object, str]] = [
    (None, f"given{LISTED}NoneType"),
    (b"PRIVATE", f"given{LISTED}bytes"),
    ({"PRIVATE": "PRIVATE"}, f"given{LISTED}dict"),
    (Secret("PRIVATE"), f"given{LISTED}Secret"),
    ([], "given must not be empty; give at least one secret"),
    ((), "given must not be empty; give at least one secret"),
    ("", "given must not be empty"),
    ([""], "given must not be empty"),
    ([b"PRIVATE"], "given must be a string, not bytes"),
    ([ONE, TWO, None], "given[2] must be a string, not NoneType"),
    ([ONE, ""], "given[1] must not be empty"),
    *((text, f"given{SHAPE}") for text in (" ", "PRIVATE\n", " PRIVATE", "PRIVATE\x7f", "PRIV\te")),
    *((text, f"given{SHAPE}") for text in ("PRIVATE\u00e9", "PRIVATE" + "x" * 506, "sk_PRIVATE ")),
    ("sk_PRIVATE", f"given{KEY}"),
    (["pk_PRIVATE", ONE], f"given[0]{KEY}"),
    ("a", f"given{SHORT}"),
    ("whsec_", f"given{SHORT}"),
    ("whsec_PRIVATE12345678", f"given{SHORT}"),
    ([ONE, "PRIVATE12345678"], f"given[1]{SHORT}"),
]


@pytest.mark.parametrize(("secrets", "message"), BAD, ids=[ascii(bad)[:30] for bad, _ in BAD])
def test_what_can_be_no_secret(secrets: object, message: str) -> None:
    """It is refused by the name of its source, and the place in a list of several."""
    with pytest.raises(ConfigurationError) as caught:
        check_secrets(Secret(secrets), "given")
    assert str(caught.value) == message
    assert "PRIV" not in shown_by(caught.value)


def test_secrets_never_show() -> None:
    """A repr has nothing of the secrets."""
    assert "PRIVATE" not in repr(secrets_of([ONE, TWO]))


# --- headers


class Items:
    """Headers as the standard library has them: with items, and no mapping."""

    def __init__(self, *pairs: tuple[object, object]) -> None:
        self.pairs = pairs

    def items(self) -> tuple[tuple[object, object], ...]:
        return self.pairs


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Frame-Signature": GOOD},
        {"x-frame-signature": GOOD.replace("F", "f"), "X-Frame-Event": "x", b"\xff": "y", 1: "z"},
        [("a", "b"), ("X-FRAME-SIGNATURE", GOOD)],
        [(b"X-Frame-Event", b"x"), (b"X-Frame-signature", GOOD)],
        iter([("X-Frame-Signature", GOOD)]),
        Items(("X-Frame-Signature", GOOD)),
    ],
)
def test_the_digest_of_any_kind_of_headers(headers: object) -> None:
    """It is found in mappings and pairs, by a name and with digits in either case."""
    assert sent_digest(Secret(cast("Any", headers))) == bytes.fromhex(DIGITS)


def refused(headers: object) -> WebhookError:
    """The error with which headers are refused; it shows no value of them."""
    with pytest.raises(WebhookError) as caught:
        sent_digest(Secret(cast("Any", headers)))
    assert "0123456" not in shown_by(caught.value)
    return caught.value


@pytest.mark.parametrize("headers", [{}, [], {"Signature": GOOD}, {"X-Frame-Signatur": GOOD}])
def test_a_missing_signature(headers: object) -> None:
    """No header of the name is said to be missing."""
    assert str(refused(headers)) == "the header X-Frame-Signature is missing"


@pytest.mark.parametrize("times", [2, 3])
def test_a_doubled_signature(times: int) -> None:
    """Several headers of the name are refused, alike or not, with their number."""
    message = f"the header X-Frame-Signature is there {times} times, and must be there once"
    assert str(refused([("x-frame-signature", GOOD)] * times)) == message


MALFORMED: list[tuple[object, str]] = [
    *((text, "") for text in ("", DIGITS, GOOD[:-1], GOOD + "0", GOOD + "\n", " " + GOOD)),
    *((text, "") for text in ("sha1=" + DIGITS, "SHA256=" + DIGITS, "sha256=g" + DIGITS[1:])),
    *((text, "") for text in ("sha256=\u0661" + DIGITS[1:], f"{GOOD}, {GOOD}", "sha256=")),
    (Kept.ONE, ""),
    (GOOD.encode(), ", not bytes"),
    ([GOOD], ", not list"),
    (None, ", not NoneType"),
]


@pytest.mark.parametrize(("value", "found"), MALFORMED, ids=range(len(MALFORMED)))
def test_a_malformed_signature(value: object, found: str) -> None:
    """Whatever isn't sha256= and 64 hexadecimal digits is refused, a wrong type by its name."""
    assert str(refused({"X-Frame-Signature": value})) == (
        f"the header X-Frame-Signature must be the text sha256= and 64 hexadecimal digits{found}"
    )


@pytest.mark.parametrize(
    ("headers", "kind"),
    [
        (None, "NoneType"),
        (1, "int"),
        ("X-Frame-Signature", "str"),
        ([1], "list"),
        (["abc"], "list"),
    ],
)
def test_what_are_no_headers(headers: object, kind: str) -> None:
    """Something else than headers is a mistake in the code: it is named, with the remedy."""
    with pytest.raises(ValidationError) as caught:
        sent_digest(Secret(cast("Any", headers)))
    (problem,) = caught.value.problems
    assert problem.path == "headers"
    assert problem.rule == f"must be a mapping or pairs, not {kind}"
    assert problem.fix == "pass the headers of the request as your web framework gives them"
    shown_by(caught.value)
