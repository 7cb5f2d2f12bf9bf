"""Idempotency keys: how one is made, and which of a caller's own are accepted."""

import hashlib
import uuid
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frame_async.errors import UsageError, ValidationError
from frame_async.protocol.idempotency import LONGEST_KEY, IdempotencyKey, check_key
from frame_async.secret import Secret

VISIBLE = "".join(map(chr, range(0x21, 0x7F)))


class OrderKey(StrEnum):
    """A caller's way of naming a key."""

    FIRST = "order-1"


class Shouting(str):
    """A string that shows itself as something else."""

    __slots__ = ()

    def __str__(self) -> str:
        return "SOMETHING ELSE"


def refusal(key: object) -> ValidationError:
    """The error that a key is refused with."""
    with pytest.raises(ValidationError) as caught:
        check_key(key)
    return caught.value


@pytest.mark.parametrize(
    "key", ["k", "order-1", "!", "~", "a" * 255, VISIBLE, '"quoted"', "0"], ids=lambda k: k[:12]
)
def test_visible_ascii_is_accepted_unchanged(key: str) -> None:
    """One to 255 characters of visible ASCII are a key as they are."""
    assert check_key(key) == key


@given(st.text(alphabet=VISIBLE, min_size=1, max_size=255))
def test_every_visible_ascii_text_is_a_key(key: str) -> None:
    """Any text of visible ASCII up to 255 characters passes unchanged."""
    assert check_key(key) == key


@pytest.mark.parametrize(
    "key",
    [
        *(
            " ",
            "a b",
            " a",
            "a ",
            "a\n",
            "\na",
            "a\r\n",
            "a\tb",
            "a\x00",
            "a\x1f",
            "a\x7f",
            "a\x80",
        ),
        *(
            "\u00e9",
            "a\u00a0",
            "a\u200b",
            "\u0661",
            "\ud800",
            "a\u2028",
            "\U0001f511",
            "a" * 254 + "\n",
        ),
    ],
    ids=ascii,
)
def test_other_characters_are_refused(key: str) -> None:
    """A space, control character, line end or non-ASCII character anywhere makes it no key."""
    assert refusal(key).problems[0].rule == (
        "must be visible ASCII, without spaces or control characters"
    )


@pytest.mark.parametrize(
    "key",
    ["sk_sandbox_abc", "sk_production_abc", "pk_sandbox_abc", "sk_live_x", "whsec_0123456789"],
)
def test_a_secret_is_no_key(key: str) -> None:
    """An API key or webhook secret given as idempotency key is refused, and not repeated."""
    error = refusal(key)
    assert error.problems[0].rule == "must not be an API key or a secret"
    assert key not in str(error)


@pytest.mark.parametrize("key", ["{}", "{}-1", "order-{}", "1/{}/2"])
@pytest.mark.parametrize("api_key", ["sk_sandbox_0123456789", "0wn_pr3fix_0123456789"])
def test_the_api_key_in_use_is_no_key(key: str, api_key: str) -> None:
    """The client's own API key is found wherever it stands, whatever it begins with."""
    given = key.format(api_key)
    with pytest.raises(ValidationError) as no:
        check_key(given, Secret(api_key))
    assert no.value.problems[0].rule == "must not be an API key or a secret"
    assert api_key not in str(no.value)
    assert check_key("a-1", Secret("a")) == "a-1"  # too short to be told from chance


@pytest.mark.parametrize("key", ["sk_42", "order-sk_sandbox_1", "sku_sandbox_1", "pk-live_1"])
def test_what_only_resembles_a_secret_is_a_key(key: str) -> None:
    """Keys of one's own that begin or end like one are keys."""
    assert check_key(key) == key


@given(st.text(min_size=1, max_size=255))
def test_any_text_is_a_key_only_if_visible_ascii(key: str) -> None:
    """Among all texts, exactly those of visible ASCII are keys."""
    if set(key) <= set(VISIBLE):
        assert check_key(key) == key
    else:
        refusal(key)


def test_an_empty_key_is_refused() -> None:
    """No characters are no key, and the message says so."""
    assert refusal("").problems[0].rule == "must not be empty"


@pytest.mark.parametrize("length", [256, 257, 100_000])
def test_a_long_key_is_refused(length: int) -> None:
    """More than 255 characters are refused, with the limit and the length in the message."""
    assert refusal("a" * length).problems[0].rule == (
        f"must not be longer than 255 characters, has {length}"
    )


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (b"order-1", "bytes"),
        (1, "int"),
        (None, "NoneType"),
        (True, "bool"),
        (["order-1"], "list"),
        (uuid.UUID(int=0), "UUID"),
        (object(), "object"),
    ],
)
def test_other_types_are_refused_by_name(key: Any, name: str) -> None:
    """What is no string is refused, and the message names its type."""
    assert refusal(key).problems[0].rule == f"must be a string, not {name}"


def test_the_refusal_says_where_and_what_to_do() -> None:
    """The error names the parameter and the remedy, and is the caller's mistake."""
    error = refusal("order 1")
    (problem,) = error.problems
    assert problem.path == "idempotency_key"
    assert problem.fix == "use 1 to 255 visible ASCII characters"
    assert str(error) == f"invalid idempotency key: {problem}"
    assert isinstance(error, UsageError)


def test_the_refusal_does_not_echo_the_key() -> None:
    """A refused key doesn't show in the message: it may be anything, a secret too."""
    assert "4242" not in str(refusal("4242 4242"))


@pytest.mark.parametrize(("key", "text"), [(OrderKey.FIRST, "order-1"), (Shouting("k"), "k")])
def test_subclasses_of_str_become_plain_strings(key: str, text: str) -> None:
    """A key of a subclass of str is taken by its characters, whatever it shows itself as."""
    checked = check_key(key)
    assert type(checked) is str
    assert checked == text


def test_the_longest_key_has_255_characters() -> None:
    """The published limit is the one that is checked."""
    assert LONGEST_KEY == 255
    assert check_key("x" * LONGEST_KEY) == "x" * LONGEST_KEY


@pytest.mark.parametrize(
    ("parts", "joined"),
    [
        (("orders", "42"), "6:orders2:42"),
        (("orders", 42), "6:orders2:42"),
        (("42", "orders"), "2:426:orders"),
        (("orders4", "2"), "7:orders41:2"),
        (("",), "0:"),
        (("ä", -1), "2:ä2:-1"),
        ((OrderKey.FIRST,), "7:order-1"),
    ],
)
def test_a_derived_key_stands_for_its_parts(parts: tuple[str | int, ...], joined: str) -> None:
    """It is ``frame-`` and 40 digits of the SHA-256 of the parts, each after its length."""
    key = IdempotencyKey.derive(*parts)
    assert key == f"frame-{hashlib.sha256(joined.encode()).hexdigest()[:40]}"
    assert check_key(key) == key


def test_a_derived_key_stays_the_same_in_every_version() -> None:
    """Keys derived years ago must be found again, so one is written down."""
    key = "frame-7f20c4087d4d65969b7c5c0296711443eb67b31f"
    assert IdempotencyKey.derive("orders", 42) == key


@pytest.mark.parametrize(
    "parts",
    [(), (None,), ("a", None), (1.0,), (True,), ("a", False), (b"a",), ("\ud800",), (["a"],)],
)
def test_what_no_key_is_derived_of(parts: tuple[Any, ...]) -> None:
    """No parts, or one that is neither text nor an integer, are refused, with the remedy."""
    with pytest.raises(ValidationError) as caught:
        IdempotencyKey.derive(*parts)
    (problem,) = caught.value.problems
    assert (problem.path, problem.rule) == ("parts", "must be strings or integers")
    assert problem.fix == 'pass strings or integers, such as derive("orders", "42")'
