"""Sessions out of the bytes of an answer: nothing renamed, nothing coerced, nothing lost."""

import json
import math
import time
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from attrs import fields
from hypothesis import given
from hypothesis import strategies as st
from support.growth import growth

from frame_async.calls import Call, Outcome
from frame_async.errors import Problem, UnreadableError
from frame_async.models import PaymentLinkSession
from frame_async.serialization import dump_json, load_json, load_session, salvage_id

CALL = Call(idempotency_key="key", outcome=Outcome.CREATED)
EXAMPLE = b"""{
  "id": "60574c6d-2f16-4b03-a852-079fffd087db",
  "customer_email": null,
  "payment_status": "unpaid",
  "phone_number_collection": false,
  "shipping_address_collection": false,
  "status": "open",
  "client_reference_id": null,
  "object": "payment_link.session",
  "expires": 1781202281,
  "created": 1781115881,
  "updated": 1781115881,
  "livemode": false,
  "customer": null,
  "account": "f8b22e7f-c84a-4560-930e-2d505ad9aef5",
  "payment_method": null
}"""
STRINGS = [
    "object", "status", "payment_status", "client_reference_id", "customer", "customer_email",
    "account", "payment_method", "url",
]  # fmt: skip
FLAGS = ["phone_number_collection", "shipping_address_collection", "livemode"]
TIMES = ["expires", "created", "updated"]
KNOWN = ["id", *STRINGS, *FLAGS, *TIMES]


def load(**values: Any) -> PaymentLinkSession:
    """A session from an answer with these values."""
    return load_session(json.dumps({"id": "ses_1"} | values).encode(), CALL)


def problems(data: bytes) -> list[Problem]:
    """Everything that is wrong with an answer."""
    with pytest.raises(UnreadableError) as caught:
        load_session(data, CALL)
    assert str(caught.value).startswith("unreadable payment link session: ")
    return list(caught.value.problems)


def unread(**values: Any) -> PaymentLinkSession:
    """A session of which none of these can be read, and which has them as they came."""
    session = load(**values)
    assert session.unread == tuple(sorted(values))
    assert session.extra == values
    assert [getattr(session, name) for name in values] == [None] * len(values)
    return session


# --- what is read --------------------------------------------------------------------


def test_the_example_of_the_reference() -> None:
    """Frame's own example is read to the last field, times in UTC."""
    assert load_session(EXAMPLE, CALL) == PaymentLinkSession(
        id="60574c6d-2f16-4b03-a852-079fffd087db",
        payment_status="unpaid",
        phone_number_collection=False,
        shipping_address_collection=False,
        status="open",
        object="payment_link.session",
        expires=datetime(2026, 6, 11, 18, 24, 41, tzinfo=UTC),
        created=datetime(2026, 6, 10, 18, 24, 41, tzinfo=UTC),
        updated=datetime(2026, 6, 10, 18, 24, 41, tzinfo=UTC),
        livemode=False,
        account="f8b22e7f-c84a-4560-930e-2d505ad9aef5",
    )


def test_no_field_of_the_example_is_unknown() -> None:
    """Nothing of the example ends up in `extra`."""
    assert load_session(EXAMPLE, CALL).extra == {}


def test_the_session_carries_the_call() -> None:
    """The very record that was passed is on the session."""
    assert load().call is CALL


def test_the_table_above_has_every_field() -> None:
    """The fields that these tests try are all there are."""
    assert {*KNOWN, "extra", "unread", "call"} == {a.name for a in fields(PaymentLinkSession)}


@pytest.mark.parametrize("name", sorted(set(KNOWN) - {"id"}))
def test_missing_and_null_are_none(name: str) -> None:
    """An optional field that is missing or null is None."""
    assert getattr(load(), name) is None
    assert getattr(load(**{name: None}), name) is None


@pytest.mark.parametrize("name", STRINGS)
@pytest.mark.parametrize("value", ["", "x", "é\u2028\x00", "x" * 100_000], ids=range(4))
def test_strings_come_as_they_are(name: str, value: str) -> None:
    """Any string is taken: unknown statuses and kinds of object too."""
    assert getattr(load(**{name: value}), name) == value


@pytest.mark.parametrize("name", FLAGS)
@pytest.mark.parametrize("value", [True, False])
def test_flags_come_as_they_are(name: str, value: bool) -> None:
    """A boolean stays what it is."""
    assert getattr(load(**{name: value}), name) is value


def test_unknown_fields_are_kept() -> None:
    """Fields that the class doesn't know are in `extra`, as they came, whatever they hold."""
    extra = {"new": {"a": [1, None]}, "extra": 1, "call": {"attempts": []}, "self": "x", "": 2**70}
    session = load(**extra)
    assert session.extra == extra
    assert session.call is CALL


# --- times ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [int, float, str])
def test_each_time_is_its_own(kind: type) -> None:
    """A session that was changed after it was created has three different times."""
    seconds = {"expires": 1_781_202_281, "created": 1_781_115_881, "updated": 1_781_115_882}
    wanted = {name: datetime.fromtimestamp(at, UTC) for name, at in seconds.items()}
    written = {
        name: at.isoformat() if kind is str else kind(seconds[name]) for name, at in wanted.items()
    }
    session = load(**written)
    assert {name: getattr(session, name) for name in TIMES} == wanted


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the time zone is the machine's here")
@pytest.mark.parametrize("name", TIMES)
def test_a_time_without_an_offset_is_utc_everywhere(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no offset is written it is UTC, whatever the machine's own time zone is."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        session = load(**{name: "2026-06-10T18:24:41"})
    finally:
        monkeypatch.undo()
        time.tzset()
    assert getattr(session, name) == datetime(2026, 6, 10, 18, 24, 41, tzinfo=UTC)


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize(
    ("value", "moment"),
    [
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (-1, datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (1781115881, datetime(2026, 6, 10, 18, 24, 41, tzinfo=UTC)),
        (1781115881.5, datetime(2026, 6, 10, 18, 24, 41, 500_000, tzinfo=UTC)),
        (253402300799, datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("2026-06-10T18:24:41Z", datetime(2026, 6, 10, 18, 24, 41, tzinfo=UTC)),
        ("2026-06-10 18:24:41", datetime(2026, 6, 10, 18, 24, 41, tzinfo=UTC)),
        ("2026-06-10T18:24", datetime(2026, 6, 10, 18, 24, tzinfo=UTC)),
        ("2026-06-10T20:24:41+02:00", datetime(2026, 6, 10, 18, 24, 41, tzinfo=UTC)),
        ("2026-06-10T12:54:41-0530", datetime(2026, 6, 10, 18, 24, 41, tzinfo=UTC)),
        ("2026-06-10T18:24:41.1Z", datetime(2026, 6, 10, 18, 24, 41, 100_000, tzinfo=UTC)),
        ("2026-06-10T18:24:41.123456789Z", datetime(2026, 6, 10, 18, 24, 41, 123_456, tzinfo=UTC)),
        ("2024-02-29T00:00:00Z", datetime(2024, 2, 29, tzinfo=UTC)),
    ],
)
def test_times(name: str, value: Any, moment: datetime) -> None:
    """Epoch seconds and ISO 8601 become aware datetimes in UTC; no offset means UTC."""
    read = getattr(load(**{name: value}), name)
    assert read == moment
    assert read.tzinfo is UTC


@pytest.mark.parametrize(
    "value",
    [
        True,
        [],
        {},
        {"id": "x"},
        "",
        "soon",
        "1781115881",
        "2026-06-10",
        "2026-W24-3T18:24",
        "2026-06-10T18:24:41Z\n",
        " 2026-06-10T18:24:41Z",
        "२०२६-06-10T18:24:41Z",
        "2026-06-10T18:24:41.1234567890Z",
        "2026-02-30T00:00:00Z",
        "2026-06-10T24:01:00Z",
        "2026-06-10T00:00:60Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "2026-06-10T00:00:00+99:99",
        253402300800,
        -62135596801,
        1781115881000,
        10**300,
        1e300,
    ],
    ids=lambda value: repr(value)[:40],
)
def test_no_times(value: Any) -> None:
    """What is no moment in the years 1 to 9999 is never guessed at, and costs only itself."""
    assert unread(created=value).id == "ses_1"


moments = st.datetimes(
    min_value=datetime(2, 1, 1),  # noqa: DTZ001  # hypothesis wants naive bounds
    max_value=datetime(9998, 12, 31),  # noqa: DTZ001  # the same
    timezones=st.integers(-1439, 1439).map(lambda m: timezone(timedelta(minutes=m))),
)


@given(moment=moments)
def test_iso_8601_round_trip(moment: datetime) -> None:
    """Every moment survives being written by Python and read by us, in any time zone."""
    read = load(created=moment.isoformat()).created
    assert read == moment
    assert read.tzinfo is UTC


@given(seconds=st.integers(-62135596800, 253402300799))
def test_epoch_round_trip(seconds: int) -> None:
    """Every whole second of the years 1 to 9999 survives being written and read."""
    read = load(created=seconds).created
    assert read is not None
    assert (read - datetime(1970, 1, 1, tzinfo=UTC)) == timedelta(seconds=seconds)


# --- what can't be read --------------------------------------------------------------


@pytest.mark.parametrize("name", STRINGS)
@pytest.mark.parametrize("value", [1, 1.5, 3600.0, True, [], {}, ["x"], [{"id": "x"}], 10**400])
def test_a_string_is_not_coerced(name: str, value: Any) -> None:
    """A value of another type is None, and it is in `extra` as it came."""
    unread(**{name: value})


@pytest.mark.parametrize("name", FLAGS)
@pytest.mark.parametrize("value", [1, 0, 1.0, "false", "", [], {}, {"id": True}])
def test_a_flag_is_not_coerced(name: str, value: Any) -> None:
    """What is no boolean is None; neither 1 nor "false" is one."""
    unread(**{name: value})


@pytest.mark.parametrize("name", ["customer", "account", "payment_method"])
def test_an_expanded_object_gives_its_id(name: str) -> None:
    """Where Frame answers with an object in place of its id, nothing of both is lost."""
    expanded = {"id": "x_1", "nested": [{"id": "x_2"}]}
    session = load(**{name: expanded, "new": 1})
    assert getattr(session, name) == "x_1"
    assert session.extra == {name: expanded, "new": 1}
    assert session.unread == ()


@pytest.mark.parametrize("name", ["customer", "account", "payment_method"])
@pytest.mark.parametrize("found", [None, "", " ", 3, True, [], {"id": "x"}])
def test_an_expanded_object_without_an_id(name: str, found: Any) -> None:
    """An object whose id is none gives none."""
    unread(**{name: {"id": found}})


def test_what_is_no_reference_is_not_expanded() -> None:
    """The id of an object is no status, address, reference of yours or e-mail."""
    others = set(STRINGS) - {"customer", "account", "payment_method"}
    unread(**{name: {"id": "x_1"} for name in others})


def test_all_that_cannot_be_read_is_named() -> None:
    """Every wrong value is named, whichever its kind, and the others are read."""
    wrong = {"created": True, "livemode": "x", "customer_email": 1, "expires": "soon"}
    session = load(**wrong, status="open", new=[1])
    assert session.unread == ("created", "customer_email", "expires", "livemode")
    assert session.status == "open"
    assert session.extra == wrong | {"new": [1]}


def test_a_field_named_unread_is_extra() -> None:
    """An answer can't say what was not read of it."""
    session = load(unread=["x"], livemode=1)
    assert session.unread == ("livemode",)
    assert session.extra == {"unread": ["x"], "livemode": 1}


# --- the id --------------------------------------------------------------------------

NEEDED = "the answer must have it"


@pytest.mark.parametrize("value", ["", " ", "\t\n", "\u200b", "\u00a0\u2003", "\x00"])
def test_a_blank_id_is_none(value: str) -> None:
    """An id with nothing to see in it is no id."""
    rule = "must not be blank" if value else "must not be empty"
    found = problems(json.dumps({"id": value, "livemode": 1}).encode())
    assert found == [Problem("id", rule, NEEDED)]


def test_the_id_is_needed() -> None:
    """An answer without an id is unreadable, and nothing else of it is said to be wrong."""
    assert problems(b"{}") == [Problem("id", "is missing", NEEDED)]
    assert problems(b'{"livemode": 1, "expires": "x"}') == [Problem("id", "is missing", NEEDED)]
    for value in (None, True, 1.5, [], ["x"], {}, {"id": " "}):
        (problem,) = problems(json.dumps({"id": value, "livemode": 1}).encode())
        assert problem.rule == f"must be str, not {type(value).__name__}"


@pytest.mark.parametrize("value", [7, 0, 2**80, {"id": "7"}, {"id": 7}])
def test_an_id_in_another_form(value: Any) -> None:
    """A number or an expanded object says which session exists, so it isn't thrown away."""
    session = load(id=value, url="https://pay.example/1")
    assert session.id == (str(value) if isinstance(value, int) else "7")
    assert session.extra == {"id": value}
    assert session.unread == ()


# --- the text ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"null", "is a JSON NoneType"), (b"true", "is a JSON bool"), (b"3", "is a JSON int"),
        (b'"x"', "is a JSON str"), (b"[]", "is a JSON list"), (b'[{"id": "x"}]', "is a JSON list"),
    ],
)  # fmt: skip
def test_only_an_object_is_a_session(data: bytes, rule: str) -> None:
    """JSON of another kind is refused by the name of the kind."""
    assert problems(data) == [Problem("", rule, "expected an object")]


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"", "is empty"),
        (b"{", "is not JSON: "),
        (b"<html></html>", "is not JSON: "),
        (b"{'id': 'x'}", "is not JSON: "),
        (b'{"id": "x"', "is not JSON: "),
        (b'{"id": "x", "url": "https://', "is not JSON: "),
        (b'{"id": "x", "a": [}', "is not JSON: "),
        (b'{"id" "x"}', "is not JSON: "),
        (b'{"id": "x", 1: 2}', "is not JSON: "),
        (b'{"id": "x"' + b',"a":b' * 2_000 + b"}", "is not JSON: "),
        (b"\xff\xfe\xff", "is not "),
        (b"[" * 200_000, "is nested too deeply"),
        (b'{"a":' * 200_000, "is nested too deeply"),
    ],
    ids=range(13),
)
def test_an_answer_that_is_no_whole_object(data: bytes, rule: str) -> None:
    """What is cut, or no JSON object from the start, is refused unquoted."""
    (problem,) = problems(data)
    assert (problem.path, problem.fix) == ("", "expected one JSON object")
    assert problem.rule.startswith(rule)
    assert problem.rule.isprintable()


TEXT = '{"id": "x", "client_reference_id": "é 😀", "url": "https://pay.example/1"}'
DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"],
)
def test_every_encoding_of_json(encoding: str) -> None:
    """A byte-order mark or another of Unicode's encodings costs nothing."""
    session = load_session(TEXT.encode(encoding), CALL)
    assert session == load_session(TEXT.encode(), CALL)
    assert session.client_reference_id == "é 😀"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (r"Ada \ud83d", "Ada \ufffd"),
        (r"\ude00 Ada", "\ufffd Ada"),
        (r"\uD83D\uD83D\uDE00", "\ufffd😀"),
        (r"\ud83d\u0041", "\ufffdA"),
        (r"\ud83d\\ude00", "\ufffd\\ude00"),
        (r"\\ud83d \ud83d\ude00", "\\ud83d 😀"),
        (r"\\\ud83d\"", '\\\ufffd"'),
        (b"Ada \xed\xa0\xbd!".decode("utf-8", "surrogatepass"), "Ada \ufffd!"),
    ],
)
def test_half_an_emoji(written: str, read: str) -> None:
    """Half of a surrogate pair is U+FFFD, whole pairs and what only looks like one stay."""
    for text in (f'{{"id": "x", "status": "{written}"}}', f'{{"id":"x","a":[{{"{written}":1}}]}}'):
        session = load_session(text.encode("utf-8", "surrogatepass"), CALL)
        assert read == session.status or [{read: 1}] == session.extra["a"]
    assert load_session(f'{{"id": "{written}"}}'.encode("utf-16", "surrogatepass"), CALL).id == read


def test_bytes_that_are_no_text() -> None:
    """A byte that is no UTF-8 is U+FFFD."""
    assert load_session(b'{"id": "x", "status": "a\xffb"}', CALL).status == "a\ufffdb"


@pytest.mark.parametrize(
    ("value", "extra"),
    [
        ("1e400", math.inf),
        ("-Infinity", -math.inf),
        ("1" * 5_000, "1" * 5_000),
        ("soon", "soon"),
        ("2026-06-10T18:24:41Z", "2026-06-10T18:24:41Z"),
        ("0123", "0123"),
        ("1781115881 s", "1781115881 s"),
        ("undefined", "undefined"),
        ("", ""),
        ("[1,]", "[1,]"),
        (DEEP, DEEP),
        ('{"a":' * 100_000 + '"}"' + "}" * 100_000, '{"a":' * 100_000 + '"}"' + "}" * 100_000),
        ('[soon, {}, {a: ","}]', '[soon, {}, {a: ","}]'),
    ],
    ids=range(13),
)
@pytest.mark.parametrize("name", ["expires", "status", "new"])
def test_a_value_that_nobody_can_read(name: str, value: str, extra: Any) -> None:
    """What breaks a rule of JSON costs its own field, not those around it."""
    text = f'{{"id": "x", "{name}": {value}, "url": "https://pay.example/1"}}'
    session = load_session(text.encode(), CALL)
    assert (session.id, session.url) == ("x", "https://pay.example/1")
    assert session.extra == {name: extra}
    assert session.unread == ((name,) if name in KNOWN else ())
    assert getattr(session, name, None) is None


@pytest.mark.parametrize(
    "text",
    [
        '{"id": "x", "status": "a\nb",}',
        ' {"id": "x", "status": "a\nb"} {"id": "y"}',
        '{"id": "x", "status": "a\nb"}\0',
        '{"id": "y", "id": "x", "status": "a\\nb"}',
        '{,"id": "x",, "status": "a\nb"}',
    ],
)
def test_other_slips(text: str) -> None:
    """Line breaks in texts, commas too many, doubled names and what follows cost nothing."""
    session = load_session(text.encode(), CALL)
    assert (session.id, session.status, session.extra) == ("x", "a\nb", {})


def test_not_a_number_is_kept() -> None:
    """NaN, which Python and JavaScript libraries write, is read as they read it."""
    session = load_session(b'{"id": "x", "created": NaN, "fee": [NaN]}', CALL)
    assert session.unread == ("created",)
    assert math.isnan(session.extra["created"])
    assert math.isnan(session.extra["fee"][0])


def test_a_value_that_nobody_can_read_can_be_written() -> None:
    """What is kept of it is a string for every JSON library."""
    extra = load_session(b'{"id": "x", "new": soon}', CALL).extra
    assert json.dumps(extra) == '{"new": "soon"}'
    assert dump_json(extra) == b'{"new":"soon"}'


@pytest.mark.parametrize("piece", ['"a":b,', '"a":[,', '"\\ud83d', "{", '"a":"', "\\", '"a":NaN,'])
def test_reading_is_quick(piece: str) -> None:
    """An answer made to keep the reader busy is read in linear time."""
    assert growth(lambda parts: outcome(b'{"id":"x",' + piece.encode() * 1_000 * parts)) < 100


def test_the_codec_names_what_it_read() -> None:
    """The error of the bare codec starts with what its caller was reading."""
    with pytest.raises(UnreadableError, match=r"^cell: is empty \("):
        load_json(b"", "cell")
    assert load_json(b' {"a": [1, 2.5, "x", null]}\n', "cell") == {"a": [1, 2.5, "x", None]}


@pytest.mark.parametrize("cell", [rb'"\ud83d"', b"NaN", b"\xef\xbb\xbf1", b"[1,]", b"[" * 200_000])
def test_the_bare_codec_is_strict(cell: bytes) -> None:
    """What is about to be sent is never mended."""
    with pytest.raises(UnreadableError):
        load_json(cell, "cell")


def outcome(data: bytes) -> PaymentLinkSession | UnreadableError:
    """A session, or the one error that may be raised instead."""
    try:
        return load_session(data, CALL)
    except UnreadableError as error:
        return error


def assert_sound(result: PaymentLinkSession | UnreadableError) -> None:
    """A session has an id; an error has problems and is one line."""
    if isinstance(result, PaymentLinkSession):
        assert type(result.id) is str
    else:
        assert result.problems
        assert result.message.isprintable()
        assert result.__context__ is None


@given(data=st.binary())
def test_arbitrary_bytes(data: bytes) -> None:
    """Whatever bytes come, the result is a session or an UnreadableError."""
    assert_sound(outcome(data))


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)


@given(value=anything | st.dictionaries(st.sampled_from([*KNOWN, "call", "extra"]), anything))
def test_arbitrary_json(value: Any) -> None:
    """Whatever JSON comes, NaN and huge numbers too, it is a session or an UnreadableError."""
    assert_sound(outcome(json.dumps(value).encode()))


@given(extra=st.dictionaries(st.text().filter(lambda name: name not in KNOWN), anything))
def test_extra_holds_all_that_is_unknown(extra: dict[str, Any]) -> None:
    """Every unknown field is kept under its own name, whatever it holds."""
    session = load_session(json.dumps({"id": "x"} | extra).encode(), CALL)
    assert json.dumps(session.extra) == json.dumps(extra)


@given(values=st.dictionaries(st.sampled_from([n for n in KNOWN if n != "id"]), anything))
def test_whatever_else_is_wrong(values: dict[str, Any]) -> None:
    """An answer with an id is a session, and every value of it is there or in `extra`."""
    session = load(**values)
    assert session.id == "ses_1"
    for name, value in values.items():
        assert name in session.extra or (getattr(session, name) is None) == (value is None)


# --- salvaging -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b'{"id": "ses_1", "status": "op',
        b'{"id":"ses_1"',
        b'{"id":"ses_1","created":"soon"}',
        b'{"status":"open",\n\t"id" : "ses_1"',
        b'{"extra":{"id":"no"},"list":[{"id":"no"},"id",1.5,null],"id":"ses_1","x":',
        b'{"text":"\\"id\\": \\"no\\" } {","id":"ses_1"} garbage \xff',
        b'{"text":"line\nend \\\n","id":"ses_1"',
    ],
)
def test_an_id_is_salvaged(data: bytes) -> None:
    """The id of the outermost object is found in a body that is cut or wrong elsewhere."""
    assert salvage_id(data) == "ses_1"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"<html>",
        b'{"id"',
        b'{"id":',
        b'{"id": "ses_',
        b'{"id": "ses_1\\',
        b'{"id": ""}',
        b'{"id": 3}',
        b'{"id": null}',
        b'{"id": {"id": "ses_1"}}',
        b'[{"id": "ses_1"}]',
        b'"id": "ses_1"',
        b'{"data": {"id": "ses_1"}}',
        b'{"note": "id", "x": "ses_1"}',
        b'{"note": "never closed, id: {\\"id\\": \\"ses_1\\"}',
        b'{"id": "a b"}',
        b'{"id": "a\\u0041"}',
        b'{"id": "a\nb"}',
        b'{"id": "\xc3\xa9"}',
        b'{"id": "' + b"x" * 256 + b'"}',
    ],
)
def test_no_id_is_salvaged(data: bytes) -> None:
    """An id that is cut, foreign, of another type or unsafe to show is none."""
    assert salvage_id(data) is None


@pytest.mark.parametrize("piece", [b'\\"', b'"', b"{", b"a", b'"id":', b"\\", b' "\\', b"[,"])
def test_salvaging_is_quick(piece: bytes) -> None:
    """A body made to keep a regular expression busy is searched in linear time."""
    assert growth(lambda parts: salvage_id(b'{"' + piece * 3_000 * parts)) < 100


@given(data=st.binary(), values=st.dictionaries(st.sampled_from(KNOWN), anything))
def test_salvaging_never_fails(data: bytes, values: dict[str, Any]) -> None:
    """From whatever bytes, cut anywhere, comes no id or a short one in visible ASCII."""
    body = json.dumps(values).encode()
    for cut in (data, body, body[: len(data)], body[: len(body) // 2] + data):
        found = salvage_id(cut)
        assert found is None or (found.isascii() and found.isprintable() and len(found) < 256)


@given(extra=st.dictionaries(st.text(), anything), tail=st.binary())
def test_salvaging_agrees_with_the_reader(extra: dict[str, Any], tail: bytes) -> None:
    """Whatever comes before and after it, the id is found where a JSON reader finds it."""
    extra.pop("id", None)
    assert salvage_id(json.dumps(extra | {"id": "ses_1"}).encode() + tail) == "ses_1"
    cut = json.dumps({"id": "ses_1"} | extra)[:-1].encode()
    assert salvage_id(cut + tail) == "ses_1"
