"""Error answers in every envelope: read what can be read, fail on nothing."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.growth import growth

from frame_async.errors import ServerAnswer
from frame_async.protocol.redaction import clean
from frame_async.serialization import load_error

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\ud800-\udfff]")


def load(value: Any, status: int = 422) -> ServerAnswer:
    """What is read from an answer with this JSON."""
    return load_error(status, json.dumps(value).encode(), clean=clean)


def texts(answer: ServerAnswer) -> list[str]:
    """Every text of an answer that a user may see."""
    told = [part for place, said in answer.field_errors.items() for part in (place, *said)]
    return [str(answer), *told, *filter(None, (answer.type, answer.code, answer.message))]


# --- the envelopes of frame-api.md ---------------------------------------------------


def test_the_envelope_of_the_cli() -> None:
    """Type, message and nested field errors of the envelope that Frame's CLI reads."""
    answer = load(
        {
            "error": {
                "type": "validation_error",
                "message": "Invalid parameters",
                "errors": {
                    "line_items": ["must be filled"],
                    "profile": {"individual": ["is missing", "is odd"]},
                },
            }
        }
    )
    assert answer == ServerAnswer(
        422,
        type="validation_error",
        message="Invalid parameters",
        field_errors={
            "line_items": ("must be filled",),
            "profile.individual": ("is missing", "is odd"),
        },
    )


@pytest.mark.parametrize(
    ("details", "message", "field_errors"),
    [
        ("Product is gone", "Product is gone", {}),
        ({"message": "Product is gone"}, "Product is gone", {}),
        ({"message": "No", "customer": ["is odd"]}, "No", {"customer": ("is odd",)}),
        ({"message": ["is odd"]}, "Unprocessable Entity", {"message": ("is odd",)}),
        (["is odd"], "Unprocessable Entity", {"": ("is odd",)}),
        ("", "Unprocessable Entity", {}),
        (None, "Unprocessable Entity", {}),
    ],
)
def test_the_standard_envelope(details: Any, message: str, field_errors: dict[str, Any]) -> None:
    """What the details say is the message, and the status in words where they say nothing."""
    answer = load({"error_details": details, "error": "Unprocessable Entity"})
    assert answer == ServerAnswer(422, message=message, field_errors=field_errors)


def test_an_error_with_half_an_emoji() -> None:
    """An error that quotes a cut name is read like any other."""
    answer = load_error(422, b'{"error": {"code": "bad", "message": "Ada \\ud83d"}}', clean=clean)
    assert (answer.code, answer.message) == ("bad", "Ada \ufffd")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"error": "text"}, ServerAnswer(422, message="text")),
        (
            {"error": {"message": "m", "code": "c"}},
            ServerAnswer(422, code="c", message="m"),
        ),
        ({"code": "c", "message": "m"}, ServerAnswer(422, code="c", message="m")),
        ({"error": {"message": "m", "code": 422}}, ServerAnswer(422, code="422", message="m")),
        ({"code": 0, "message": "m"}, ServerAnswer(422, code="0", message="m")),
        ({"code": True, "message": "m"}, ServerAnswer(422, message="m")),
        (
            {"code": "charge_declined", "error_details": {"data": {"reason": "stolen_card"}}},
            ServerAnswer(
                422, code="charge_declined", field_errors={"data.reason": ("stolen_card",)}
            ),
        ),
        ({"type": "t", "error": "m"}, ServerAnswer(422, type="t", message="m")),
        (
            {"error": {"message": "m"}, "code": "c", "type": "t", "errors": {"a": ["x"]}},
            ServerAnswer(422, type="t", code="c", message="m", field_errors={"a": ("x",)}),
        ),
        (
            {"error": "m", "errors": {"a": "x"}},
            ServerAnswer(422, message="m", field_errors={"a": ("x",)}),
        ),
        (
            {"message": "m", "errors": ["x", "y"]},
            ServerAnswer(422, message="m", field_errors={"": ("x", "y")}),
        ),
        ({"error": {}, "message": "m"}, ServerAnswer(422, message="m")),
        ({"error": None, "message": "m"}, ServerAnswer(422, message="m")),
        ({"error": "", "message": "m"}, ServerAnswer(422, message="m")),
        ({"error": {"code": "c"}, "message": "m"}, ServerAnswer(422, code="c", message="m")),
        ({"error": {"message": ""}, "message": "m"}, ServerAnswer(422, message="m")),
        ({"error": {"message": 3, "type": [], "code": {}}}, ServerAnswer(422)),
        ({}, ServerAnswer(422)),
        ([], ServerAnswer(422)),
        ("text", ServerAnswer(422)),
        (None, ServerAnswer(422)),
        (3, ServerAnswer(422)),
    ],
)  # fmt: skip
def test_envelopes(body: Any, expected: ServerAnswer) -> None:
    """Every other envelope that was seen, mixtures of them, and ones without any sense."""
    assert load(body) == expected


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ({"a": "x"}, {"a": ("x",)}),
        ({"a": ["x", "y"]}, {"a": ("x", "y")}),
        ({"a": {"b": {"c": ["x"]}}}, {"a.b.c": ("x",)}),
        ({"line_items": {"2": {"product": ["x"]}}}, {"line_items[2].product": ("x",)}),
        ({"line_items": [{"product": ["x"]}, {"q": "y"}]},
         {"line_items[0].product": ("x",), "line_items[1].q": ("y",)}),
        ({"line_items": ["x", {"product": ["y"]}]},
         {"line_items": ("x",), "line_items[1].product": ("y",)}),
        ({"2": ["x"]}, {"2": ("x",)}),
        ({"a": {"²": ["x"]}}, {"a.²": ("x",)}),
        ({"a": [["x"], ["y"]]}, {"a[0]": ("x",), "a[1]": ("y",)}),
        ({"a": 3, "b": True, "c": 1.5}, {"a": ("3",), "b": ("True",), "c": ("1.5",)}),
        ({"a": None, "b": [None], "c": {}, "d": []}, {}),
        ({"a.b": ["x"], "a": {"b": ["y"]}}, {"a.b": ("x", "y")}),
        ("x", {"": ("x",)}),
        ([{"a": "x"}], {"[0].a": ("x",)}),
    ],
)  # fmt: skip
def test_nested_errors_become_paths(errors: Any, expected: dict[str, tuple[str, ...]]) -> None:
    """Nested hashes and lists are flattened to the paths that requests have too."""
    assert load({"error": {"errors": errors}}).field_errors == expected


def test_status_and_request_id_are_kept() -> None:
    """The status and the request id come from the head, whatever is in the body."""
    answer = load_error(503, b"{", "req_1", clean)
    assert (answer.status, answer.request_id) == (503, "req_1")
    assert load_error(503, b'{"status": 1, "request_id": "x"}', "req_2").request_id == "req_2"
    assert load_error(503, b"{}").request_id is None


# --- what is no JSON -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", None),
        (b" \r\n", None),
        (b"Bad Gateway", "Bad Gateway"),
        (b"upstream\r\n\x1b[31mfailed", "upstream [31mfailed"),
        (b"caf\xe9", "caf\ufffd"),
        (b"{", "{"),
        (b"<html><title>502 Bad\n Gateway</title><h1>x</h1>", "HTML page: 502 Bad Gateway"),
        (b"  <HTML><TITLE lang='en'> Oops </TITLE>", "HTML page: Oops"),
        (b"<html><title></title>", "HTML page:"),
        (b"<html><body>nothing</body></html>", "HTML page"),
        (b"<html><title>never closed", "HTML page"),
        (b"<html><title>" + b"x" * 1_000 + b"</title>", "HTML page"),
        (b"<!doctype html>" + b" " * 70_000 + b"<title>too far</title>", "HTML page"),
    ],
    ids=range(13),
)
def test_pages_and_plain_text(data: bytes, message: str | None) -> None:
    """Of HTML, the title is told; of plain text, the text; of nothing, nothing."""
    assert load_error(502, data, clean=clean) == ServerAnswer(502, message=message)


@pytest.mark.parametrize("piece", [b"<title>", b"<title", b"<title>x<", b"</title", b"<title >\n"])
def test_hostile_pages_are_read_quickly(piece: bytes) -> None:
    """A page made to keep a regular expression busy is read in linear time."""

    def read(parts: int) -> object:
        return load_error(502, b"<html>" + piece * 1_250 * parts, clean=clean)

    assert growth(read) < 100


# --- safe to show --------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"type": "a\x1b[31m", "code": "b\x00", "message": "c\r\nd\u202e"}},
        {"error": "e\u2028f"},
        {"errors": {"g\nh": {"i\tj": ["k\x85l"]}}},
        {"error_details": {"m\x07": "n\x9b"}},
    ],
)
def test_no_text_has_control_characters(body: Any) -> None:
    """Types, codes, messages and both halves of field errors are made safe."""
    assert not [text for text in texts(load(body)) if CONTROL.search(text)]


def test_secrets_are_hidden_everywhere() -> None:
    """A key that a server echoes is hidden in message, type, code, paths and field errors."""
    key = "sk_sandbox_abcdef123456"
    answer = load(
        {"error": {"type": key, "code": key, "message": f"no {key}!", "errors": {key: [key]}}}
    )
    assert len(texts(answer)) == 6
    assert not [text for text in texts(answer) if key in text]
    assert answer.message == "no [hidden]!"


def test_cleaning_is_left_to_the_function_that_is_given() -> None:
    """Every text goes through `clean` exactly as it is, once, and nothing else does."""
    seen: list[str] = []

    def spy(text: str) -> str:
        seen.append(text)
        return text.upper()

    body = b'{"error": {"type": "t", "code": "c", "message": "m", "errors": {"a": ["x"]}}}'
    answer = load_error(422, body, "req", spy)
    assert seen == ["t", "c", "m", "a", "x"]
    assert answer == ServerAnswer(422, "T", "C", "M", {"A": ("X",)}, "req")


# --- attacks -------------------------------------------------------------------------


def test_deep_errors_are_cut() -> None:
    """Field errors within 16 levels are read; what lies deeper is left out."""
    value: Any = "x"
    for _ in range(15):
        value = {"a": value}
    assert load({"errors": value}).field_errors == {".".join("a" * 15): ("x",)}
    assert load({"errors": {"a": value}}).field_errors == {}
    listed: Any = "x"
    for _ in range(15):
        listed = [listed]
    assert load({"errors": listed}).field_errors == {"[0]" * 14: ("x",)}
    assert load({"errors": [listed]}).field_errors == {}


@pytest.mark.parametrize("data", [b"[" * 200_000, b'{"error":' * 200_000, b"1" * 5_000])
def test_what_json_readers_choke_on(data: bytes) -> None:
    """Endless nesting and endless numbers end as plain text, cut short."""
    message = load_error(500, data, clean=clean).message
    assert message is not None
    assert message == data[:297].decode() + "..."


def test_many_errors_are_bounded() -> None:
    """Of a million field errors a hundred are kept, and the text of the answer stays short."""
    many = load({"message": "m", "errors": {f"field{n}": ["x" * 1_000] * 2 for n in range(5_000)}})
    assert sum(len(told) for told in many.field_errors.values()) == 100
    assert str(many).endswith("; and 47 more, see .field_errors]")
    assert len(str(many)) < 2_000


def test_errors_without_a_message_have_no_colon() -> None:
    """An error that belongs to no field is told without a path."""
    assert str(load({"errors": ["x", "y"]})) == "HTTP 422: no reason given [x, y]"


@given(data=st.binary(max_size=300), status=st.integers(100, 999))
def test_arbitrary_bytes(data: bytes, status: int) -> None:
    """Whatever bytes come, there is an answer with the status and safe texts."""
    answer = load_error(status, data, clean=clean)
    assert answer.status == status
    assert not [text for text in texts(answer) if CONTROL.search(text)]


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
parts = st.sampled_from(["type", "code", "message", "errors", "error_details", "error"])
bodies = st.dictionaries(parts, anything | st.dictionaries(parts, anything))


@given(body=anything | bodies)
def test_arbitrary_json(body: Any) -> None:
    """Whatever JSON comes, every text of the answer is one line and safe to show."""
    answer = load(body)
    assert not [text for text in texts(answer) if CONTROL.search(text)]
    assert all(len(text) <= 300 for text in texts(answer)[1:])
    str(answer).encode()


@given(said=st.text(min_size=1), names=st.lists(st.text("abc", min_size=1), min_size=1, max_size=9))
def test_nesting_becomes_a_dotted_path(said: str, names: list[str]) -> None:
    """However a message is nested, its path is made of the names on the way to it."""
    errors: Any = [said]
    for name in reversed(names):
        errors = {name: errors}
    assert load({"errors": errors}).field_errors == {clean(".".join(names)): (clean(said),)}


MEGABYTE = 2**20

LONG_TEXTS = {
    "words": "x y " * (MEGABYTE // 4),
    "credentials": "Bearer " * (MEGABYTE // 7),
    "keys": "sk_a " * (MEGABYTE // 5),
    "one word": "a" * MEGABYTE,
    "spaces": " " * MEGABYTE,
    "after spaces": "x" + " " * MEGABYTE,
    "invisible": "\u200b" * (MEGABYTE // 3),
}


class Counting:
    """A pattern that counts the characters that it is given."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self.pattern = pattern
        self.seen = 0

    def sub(self, by: Any, text: str) -> str:
        """As of a pattern."""
        self.seen += len(text)
        return self.pattern.sub(by, text)


FORMS: dict[str, Callable[[str], bytes]] = {
    "text": lambda text: text.encode(),
    "page": lambda text: f"<html><title>{text}".encode(),
    "message": lambda text: json.dumps({"error": {"message": text}}).encode(),
    "cut": lambda text: json.dumps({"error": {"message": text}}).encode()[:MEGABYTE],
    "details": lambda text: json.dumps({"error_details": text, "error": "no"}).encode(),
    "fields": lambda text: json.dumps({"error": {"errors": {"a": [text] * 2}}}).encode(),
    "names": lambda text: json.dumps({"error": {"errors": {text: ["b"]}}}).encode(),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("text", LONG_TEXTS)
def test_a_megabyte_costs_little(form: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a megabyte of error text, wherever it stands, little more is read than can be shown."""
    from frame_async.protocol import redaction
    from frame_async.serialization import _lenient

    names = ("_INVISIBLE", "_SPACE", "_KEY_LIKE", "_CREDENTIALS")
    patterns = [Counting(getattr(redaction, name)) for name in names]
    for name, pattern in zip(names, patterns, strict=True):
        monkeypatch.setattr(redaction, name, pattern)
    repaired = Counting(_lenient._HALF)
    monkeypatch.setattr(_lenient, "_HALF", repaired)
    load_error(422, FORMS[form](LONG_TEXTS[text]), None, redaction.clean)
    assert sum(pattern.seen for pattern in patterns) < 50_000
    assert repaired.seen <= 65_536
