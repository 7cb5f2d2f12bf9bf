"""Signed JSON is read strictly: one meaning, or none."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.signing import event_body

from frame_async.errors import UnreadableError
from frame_async.models import Event, Redirect
from frame_async.serialization.events import DEEPEST, dump_redirect, load_event, load_redirect

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def data_of(data: bytes) -> dict[str, Any]:
    """What is read of an event whose ``data`` is this JSON."""
    return dict(load_event(b'{"id":"evt_1","type":"t","data":%b}' % data).data)


def refused(data: bytes) -> str:
    """What is said of an event whose ``data`` is this JSON."""
    with pytest.raises(UnreadableError) as caught:
        data_of(data)
    (problem,) = caught.value.problems
    return problem.rule


def test_an_event_is_read() -> None:
    """Each field of the body is where it belongs, times in UTC, what is unknown in extra."""
    event = load_event(event_body(api_version="2026-01"))
    assert event.id == "evt_0123"
    assert event.type == "transfer.succeeded"
    assert event.created == datetime(2026, 6, 10, 18, 24, 41, tzinfo=UTC)
    assert event.livemode is False
    assert event.data["payment_link_session"] == "ses_1"
    assert event.extra == {"object": "event", "api_version": "2026-01"}


@pytest.mark.parametrize("load", [load_event, load_redirect])
@pytest.mark.parametrize(
    ("data", "kind"), [(b"[]", "list"), (b'"x"', "str"), (b"null", "NoneType")]
)
def test_what_is_no_object_is_refused(load: Any, data: bytes, kind: str) -> None:
    """JSON that is no object is neither an event nor a redirect, and is called what it is."""
    with pytest.raises(UnreadableError) as caught:
        load(data)
    assert [problem.rule for problem in caught.value.problems] == [f"is a JSON {kind}"]


def test_the_least_event() -> None:
    """An id and a type make an event."""
    assert load_event(b'{"id":"evt_1","type":"t"}') == Event(id="evt_1", type="t")
    nulls = b'{"id":"e","type":"t","created":null,"livemode":null,"data":null}'
    assert load_event(nulls) == Event(id="e", type="t")


@pytest.mark.parametrize(
    ("fields", "created", "extra"),
    [
        ({"created": 1_767_268_800}, NOON, {}),
        ({"created": "2026-01-01T12:00:00Z"}, NOON, {}),
        ({"created_at": "2026-01-01T13:00:00+01:00"}, NOON, {}),
        ({"created_at": 1_767_268_800}, NOON, {}),
        ({"created": None, "created_at": "2026-01-01 12:00:00"}, NOON, {}),
        ({"created": 1_767_268_800, "created_at": "x"}, NOON, {"created_at": "x"}),
        ({"created_at": None}, None, {}),
        ({}, None, {}),
    ],
)
def test_when_it_happened(fields: dict[str, Any], created: datetime, extra: Any) -> None:
    """`created` counts, as epoch seconds or ISO 8601; `created_at` where that is missing."""
    body = json.dumps({"id": "evt_1", "type": "t"} | fields).encode()
    event = load_event(body)
    assert (event.created, event.extra) == (created, extra)


@pytest.mark.parametrize(
    ("names", "read"),
    [
        (rb'"\ud83d":1,"\ud83e":2', {"\ufffd": 1, "\ufffd\ufffd": 2}),
        (rb'"a\ud83d":1,"a\ufffd":2', {"a\ufffd\ufffd": 1, "a\ufffd": 2}),
        (b'"a\xed\xa0\xbd":1,"a\\ude00":[{"\\ud83d":"\\ud83d"}]',
         {"a\ufffd": 1, "a\ufffd\ufffd": [{"\ufffd": "\ufffd"}]}),
        (rb'"\ud83d\ude00":1,"\ude00\ud83d":2', {"\U0001f600": 1, "\ufffd\ufffd": 2}),
    ],
)  # fmt: skip
def test_names_that_differ_in_a_half_stay_two(names: bytes, read: dict[str, Any]) -> None:
    """Metadata whose names were cut in an emoji costs neither an event nor a value."""
    assert data_of(b"{%b}" % names) == read


@pytest.mark.parametrize("half", [rb"\ud83d", rb"\uDE00", b"\xed\xa0\xbd"])
def test_half_an_emoji_costs_no_event(half: bytes) -> None:
    """A name that JavaScript cut in the middle of an emoji is read, U+FFFD in its place."""
    assert data_of(b'{"name":["Ada %b \\\\ud83d"]}' % half) == {"name": ["Ada \ufffd \\ud83d"]}
    redirect = load_redirect(b'{"session":"s","result":"paid","client_reference_id":"%b"}' % half)
    assert redirect.client_reference_id == "\ufffd"


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (rb'{"a":"\ud83d","a":1}', "has a name twice in one object"),
        (rb'{"\ud83d":1,"\ud83d":2}', "has a name twice in one object"),
        (rb'{"a":{"\ud83d":1,"b":[{"\uDE00":1,"\ude00":2}]}}', "has a name twice in one object"),
        (b"{%b}" % b",".join(b'"\\ud8%02x":1' % n for n in range(99)), "has a name twice"),
        (b'{"a":"\\ud83d","b":' + b"[" * 5_000 + b"]" * 5_000 + b"}", "is n"),
        (rb'{"\ud83d":"\ud83d","b":9223372036854775808}', "has an integer of more than 64 bits"),
        (rb'["\ud83d",NaN]', "is not JSON: "),
        (b'"\\ud83d \xff"', "is not "),
    ],
)
def test_half_an_emoji_excuses_nothing_else(data: bytes, rule: str) -> None:
    """Beside it, an event is read as strictly as any other."""
    assert refused(data).startswith(rule)


def test_a_field_named_extra_is_extra() -> None:
    """A body can't overwrite the place where unknown fields go."""
    event = load_event(b'{"id":"e","type":"t","extra":[1],"x":2}')
    assert event.extra == {"extra": [1], "x": 2}


# --- one meaning ---------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", 'a"b', "a:b", "\\", "\\u0061", "é", ":", "{", ""])
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)


@given(data=st.dictionaries(NAMES, VALUES, max_size=4), ascii_only=st.booleans())
def test_plain_json_is_read_as_it_is(data: dict[str, Any], ascii_only: bool) -> None:
    """JSON without doubled names is read, whatever its names and texts look like."""
    body = {"id": "evt_1", "type": "t", "data": data}
    written = json.dumps(body, ensure_ascii=ascii_only, indent=1).encode()
    assert load_event(written).data == data


@given(data=st.dictionaries(NAMES, VALUES, min_size=1, max_size=4), value=VALUES)
def test_doubled_names_are_found(data: dict[str, Any], value: Any) -> None:
    """An object that has one of its names twice is refused, however deep it is."""
    name = next(iter(data))
    doubled = f"{json.dumps(data)[:-1]}, {json.dumps(name)}: {json.dumps(value)}}}"
    for written in (doubled, f'{{"x": [[{doubled}]]}}'):
        assert refused(written.encode()) == "has a name twice in one object"


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b'{"a":1,"a":1}', "has a name twice in one object"),
        (b'{"a":1,"\\u0061":1}', "has a name twice in one object"),
        (b'{"a":9223372036854775808}', "has an integer of more than 64 bits"),
        (b'{"a":[-9223372036854775808]}', "has an integer of more than 64 bits"),
        (b'{"a":' * DEEPEST + b"1" + b"}" * DEEPEST, "is nested too deeply"),
        (b'{"a":' + b"[" * DEEPEST + b"]" * DEEPEST + b"}", "is nested too deeply"),
        (b'{"a":' * 100_000, "is nested too deeply"),
    ],
)
def test_what_readers_read_differently(data: bytes, rule: str) -> None:
    """Doubled names, vast integers and deep nesting are refused."""
    assert refused(data) == rule


def test_the_bounds_of_what_is_read() -> None:
    """64-bit integers and 64 levels, the event's own included, are read."""
    limits = [2**63 - 1, -(2**63) + 1]
    assert data_of(b'{"a":[%d,%d]}' % tuple(limits)) == {"a": limits}
    assert DEEPEST == 64
    levels = DEEPEST - 2  # beside the event and the innermost value
    assert data_of(b'{"a":' * levels + b"1" + b"}" * levels)
    assert refused(b'{"a":' * (levels + 1) + b"1" + b"}" * (levels + 1)) == "is nested too deeply"


def test_every_problem_is_told() -> None:
    """What is wrong in several places is told at once, each with its path."""
    with pytest.raises(UnreadableError) as caught:
        load_event(b'{"id":" ","type":"","data":[]}')
    assert [problem.path for problem in caught.value.problems] == ["id", "type", "data"]
    with pytest.raises(UnreadableError) as caught:
        load_event(b'{"id":1,"livemode":0}')
    assert {problem.path for problem in caught.value.problems} == {"id", "type", "livemode"}


@pytest.mark.parametrize(
    ("event_id", "good"),
    [
        ("!", True),
        ("~" * 255, True),
        ("", False),
        ("~" * 256, False),
        ("a b", False),
        ("a\n", False),
        ("é", False),
        ("\x7f", False),
    ],
)
def test_ids_that_stores_can_remember(event_id: str, good: bool) -> None:
    """An id is 1 to 255 visible ASCII characters, so that every store takes it."""
    body = json.dumps({"id": event_id, "type": "t"}).encode()
    if good:
        assert load_event(body).id == event_id
    else:
        with pytest.raises(UnreadableError, match="id: must be 1 to 255 visible ASCII"):
            load_event(body)


# --- redirects -----------------------------------------------------------------------


def test_a_redirect_is_written_compactly() -> None:
    """The payload is JSON without spaces, whole seconds, names in order, unknown ones too."""
    redirect = Redirect(
        session="s", result="paid", issued_at=NOON.replace(microsecond=999_999), extra={"z": "é"}
    )
    assert (
        dump_redirect(redirect)
        == (
            '{"client_reference_id":null,"issued_at":1767268800,"payment_status":null,'
            '"result":"paid","session":"s","z":"é"}'
        ).encode()
    )
    timeless = dump_redirect(Redirect(session="s", result="paid", extra={"session": "forged"}))
    assert b'"issued_at":null' in timeless
    assert load_redirect(timeless) == Redirect(session="s", result="paid")
