"""API keys: which are accepted, which mode they belong to, and how the others are refused."""

from enum import StrEnum
from traceback import TracebackException
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import frame_async
from frame_async.errors import ConfigurationError
from frame_async.protocol.credentials import KEY_VARIABLE, Mode, check_api_key
from frame_async.secret import Secret

VISIBLE = "".join(map(chr, range(0x21, 0x7F)))
PACKAGE = frame_async.__path__[0]


class Keys(StrEnum):
    """A caller's way of keeping keys."""

    SANDBOX = "sk_sandbox_abc"


def refusal(key: object, *source: str) -> ConfigurationError:
    """The error that a key is refused with."""
    with pytest.raises(ConfigurationError) as caught:
        check_api_key(Secret(key), *source)
    return caught.value


def shown_by(error: BaseException) -> str:
    """All that a traceback with local variables shows of our own frames, and the message."""
    formatted = TracebackException.from_exception(error, capture_locals=True)
    ours = [frame for frame in formatted.stack if frame.filename.startswith(PACKAGE)]
    assert ours
    assert formatted.__cause__ is None
    assert formatted.__context__ is None
    return "\n".join([str(error), repr(error), *(str(frame.locals) for frame in ours)])


@pytest.mark.parametrize(
    ("key", "mode"),
    [
        ("sk_sandbox_abc123", Mode.SANDBOX),
        ("sk_production_abc123", Mode.LIVE),
        (Keys.SANDBOX, Mode.SANDBOX),
        ("sk_sandboxabc", Mode.UNKNOWN),
        ("sk_productionabc", Mode.UNKNOWN),
        ("sk_abc", Mode.UNKNOWN),
        ("rk_sandbox_abc", Mode.UNKNOWN),
        ("restricted", Mode.UNKNOWN),
        ("xsk_sandbox_abc", Mode.UNKNOWN),
        ("xpk_sandbox_abc", Mode.UNKNOWN),
        ("SK_SANDBOX_abc", Mode.UNKNOWN),
        ("pk", Mode.UNKNOWN),
        ("k", Mode.UNKNOWN),
        ("sk_production_" + "x" * 498, Mode.LIVE),
    ],
)
def test_the_prefix_tells_the_mode(key: str, mode: Mode) -> None:
    """A published prefix tells the mode; any other key may be a restricted one."""
    assert check_api_key(Secret(key)) is mode


def test_modes_have_names_for_people() -> None:
    """The modes read as Frame calls them."""
    assert [str(mode) for mode in Mode] == ["sandbox", "live", "unknown"]


@pytest.mark.parametrize("key", [None, ""])
def test_a_missing_key_is_refused_with_both_ways_to_give_one(key: str | None) -> None:
    """No key, or an empty one, is refused with the argument and the variable to set."""
    assert str(refusal(key)) == (
        "no API key: pass api_key=... or set FRAME_SECRET_KEY to a secret key (sk_...)"
    )


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (
            "pk_sandbox_SECRET",
            "is a publishable key, which is for browsers (pk_...); use a secret key (sk_...)",
        ),
        ("pk_", "is a publishable key, which is for browsers (pk_...); use a secret key (sk_...)"),
        ("whsec_SECRET", "is a webhook secret (whsec_...); use a secret key (sk_...)"),
    ],
)
def test_keys_of_other_kinds_are_refused_by_kind(key: str, message: str) -> None:
    """A publishable key or a webhook secret is refused as what it is."""
    assert str(refusal(key)) == f"api_key {message}"


BAD_SHAPES = [
    *(" ", " sk_sandbox_SECRET", "sk_sandbox_SECRET ", "sk_sandbox_ SECRET", "sk_sandbox_SECRET\n"),
    *("\nsk_sandbox_SECRET", "sk_sandbox_SECRET\r\n", "sk_sandbox_SECRET\r\nX-Evil: 1"),
    *("sk_sandbox_SECRET\t", "sk_sandbox_SECRET\x00", "sk_sandbox_SECRET\x7f", "Bearer SECRET"),
    *("sk_sandbox_SECRET\u00e9", "sk_sandbox_SECRET\u00a0", "\u200bsk_sandbox_SECRET"),
    *("\ufeffsk_sandbox_SECRET", "sk_sandbox_SECRET\ud800", "s\u043a_sandbox_SECRET"),
    "pk_SECRET\n",
    "sk_sandbox_SECRET" + "x" * 496,
]


@pytest.mark.parametrize("key", BAD_SHAPES, ids=lambda key: ascii(key)[:30])
def test_other_shapes_are_refused(key: str) -> None:
    """Whitespace, control and non-ASCII characters, or over 512, are refused with a remedy."""
    assert str(refusal(key)) == (
        "api_key has whitespace, control or non-ASCII characters, or is over 512 long; "
        "copy it again, without quotes or line ends"
    )


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (b"sk_sandbox_SECRET", "bytes"),
        (bytearray(b"sk_sandbox_SECRET"), "bytearray"),
        (b"", "bytes"),
        (0, "int"),
        (False, "bool"),
        ([], "list"),
        (["sk_sandbox_SECRET"], "list"),
        ({"key": "sk_sandbox_SECRET"}, "dict"),
        (Secret("sk_sandbox_SECRET"), "Secret"),
    ],
)
def test_other_types_are_refused_by_name(key: Any, name: str) -> None:
    """What is no string is refused, and the message names its type and nothing of it."""
    assert str(refusal(key)) == f"api_key must be a string, not {name}"


@pytest.mark.parametrize("key", [b"SECRET", "SECRET\n", "pk_SECRET", "whsec_SECRET", 3])
def test_the_message_names_the_source(key: object) -> None:
    """Every refusal begins with the name of where the key came from."""
    assert str(refusal(key, KEY_VARIABLE)).startswith("FRAME_SECRET_KEY ")


@pytest.mark.parametrize(
    "key",
    [
        *BAD_SHAPES[1:],
        *("pk_sandbox_SECRET", "whsec_SECRET", b"sk_sandbox_SECRET", ["sk_sandbox_SECRET"]),
    ],
    ids=lambda key: ascii(key)[:30],
)
def test_a_refused_key_never_shows(key: object) -> None:
    """Neither the message nor a traceback with local variables shows the refused key."""
    assert "SECRET" not in shown_by(refusal(key, "the source"))


def test_the_mode_never_shows_the_key() -> None:
    """What comes back of an accepted key is its mode alone."""
    assert "abc" not in repr(check_api_key(Secret("sk_sandbox_abc")))


@given(st.text(alphabet=VISIBLE, min_size=1, max_size=512))
def test_every_visible_ascii_text_of_no_forbidden_kind_is_accepted(key: str) -> None:
    """Up to 512 characters of visible ASCII are accepted unless the prefix says otherwise."""
    if key.startswith(("pk_", "whsec_")):
        refusal(key)
    else:
        assert check_api_key(Secret(key)) in Mode


ANYTHING = st.one_of(
    st.text(), st.binary(), st.integers(), st.floats(), st.none(), st.lists(st.text())
)


def mode_of(key: object) -> Mode | None:
    """The mode of a key, or None when it is refused."""
    try:
        return check_api_key(Secret(key))
    except ConfigurationError:
        return None


@given(ANYTHING)
def test_anything_is_a_key_or_refused_as_configuration(key: object) -> None:
    """Whatever is given, only visible ASCII has a mode; all else is a `ConfigurationError`."""
    if mode_of(key) is not None:
        assert isinstance(key, str)
        assert 0 < len(key) <= 512
        assert set(key) <= set(VISIBLE)


@given(st.text(min_size=13))
def test_no_refused_text_ever_shows(key: str) -> None:
    """A refused key of any characters is neither in the message nor in a traceback of ours."""
    if mode_of(key) is None:
        shown = shown_by(refusal(key))
        assert key not in shown
        assert repr(key) not in shown
