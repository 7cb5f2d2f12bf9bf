"""How long a server asks to wait: every spelling of Retry-After, and everything that is none."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frame_async.protocol.retry_after import LONGEST, http_date, seconds_to_wait

NOON = datetime(2026, 10, 21, 12, 0, 0, tzinfo=UTC).timestamp()
IMF = "Wed, 21 Oct 2026 12:01:30 GMT"
RFC_850 = "Wednesday, 21-Oct-26 12:01:30 GMT"
ASCTIME = "Wed Oct 21 12:01:30 2026"
SPELLINGS = [
    pytest.param(IMF, id="IMF-fixdate"),
    pytest.param(RFC_850, id="RFC 850"),
    pytest.param(ASCTIME, id="asctime"),
]


@pytest.fixture
def far_from_greenwich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose local time is not UTC."""
    monkeypatch.setenv("TZ", "XYZ+7")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("5", 5.0),
        ("120", 120.0),
        ("007", 7.0),
        ("000", 0.0),
        (" 5 ", 5.0),
        ("\t5\t", 5.0),
        ("99999999999", LONGEST),
        ("999999999", 999_999_999.0),
        ("1000000000", LONGEST),
        ("1000000001", LONGEST),
        ("123456789012", LONGEST),
        ("0" * 20 + "123", 123.0),
        ("9" * 400, LONGEST),
        ("9" * 5_000, LONGEST),
        ("9" * 5_001, LONGEST),
        ("0" * 5_001 + "3", 3.0),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_whole_seconds_are_read(value: str, seconds: float) -> None:
    """A number of ASCII digits is that many seconds, at most a thousand million."""
    assert seconds_to_wait([value], None, NOON) == seconds


def test_the_longest_wait_is_a_thousand_million_seconds() -> None:
    """What is asked beyond 1e9 seconds is cut to it."""
    assert LONGEST == 1e9


NONSENSE = [
    *(
        "",
        " ",
        "²",
        "١٢",
        "\uff11\uff12",
        "1_000",
        "+5",
        "-5",
        "-0",
        "5.0",
        "5,0",
        "1e3",
        "0x10",
        "5s",
    ),
    *("5 s", "5;", "5, 10", "5,5", "five", "soon", "NaN", "inf", "null", "true", "5\n", "\n5"),
    *(
        "5\r\n",
        "5\x00",
        "5\u00a0",
        "\u20035",
        "5\u200b",
        "\ud800",
        "--",
        "GMT",
        "X5",
        "5X",
        f"X{IMF}",
    ),
    # Dates that are almost one:
    "Wed, 21 Oct 2026 12:01:30 UTC",
    "Wed, 21 Oct 2026 12:01:30 +0000",
    "Wed, 21 Oct 2026 12:01:30",
    "Wed, 21 Oct 2026 12:01:30 GMT, 5",
    f"{IMF}, {IMF}",
    f"{IMF}\n",
    f"{ASCTIME} GMT",
    "wed, 21 oct 2026 12:01:30 gmt",
    "Mit, 21 Okt 2026 12:01:30 GMT",
    "Wed, 21 Oct 26 12:01:30 GMT",
    "Wed, 1 Oct 2026 12:01:30 GMT",
    "Wed, 21-Oct-2026 12:01:30 GMT",
    "21 Oct 2026 12:01:30 GMT",
    "2026-10-21T12:01:30Z",
    "1792584090.5",
    # Dates that don't exist:
    "Wed, 00 Oct 2026 12:01:30 GMT",
    "Wed, 31 Feb 2026 12:01:30 GMT",
    "Wed, 21 Oct 2026 24:00:00 GMT",
    "Wed, 21 Oct 2026 12:60:00 GMT",
    "Wed, 21 Oct 2026 12:01:61 GMT",
    "Wed Oct 99 12:01:30 2026",
    "Wednesday, 31-Feb-26 12:01:30 GMT",
    "Wed, ٢١ Oct 2026 12:01:30 GMT",
]


@pytest.mark.parametrize("value", NONSENSE, ids=ascii)
def test_nonsense_is_as_good_as_nothing(value: str) -> None:
    """A value that is neither ASCII digits nor an HTTP-date says nothing."""
    assert seconds_to_wait([value], None, NOON) is None


@pytest.mark.parametrize("value", SPELLINGS)
def test_dates_are_measured_from_now(value: str) -> None:
    """Without a Date header, an HTTP-date in any of its three forms is measured from now."""
    assert seconds_to_wait([value], None, NOON) == 90.0


@pytest.mark.parametrize("value", SPELLINGS)
@pytest.mark.parametrize(
    "date",
    [
        "Wed, 21 Oct 2026 12:01:00 GMT",
        "Wednesday, 21-Oct-26 12:01:00 GMT",
        "Wed Oct 21 12:01:00 2026",
    ],
)
def test_dates_are_measured_from_the_answers_own_date(value: str, date: str) -> None:
    """With a Date header, a date is measured from it, however wrong this machine's clock is."""
    assert seconds_to_wait([value], date, NOON - 86_400) == 30.0
    assert seconds_to_wait([value], date, NOON + 86_400) == 30.0


@pytest.mark.parametrize("date", ["", "soon", "5", "Wed, 31 Feb 2026 12:01:00 GMT", f"{IMF}x"])
def test_a_date_header_that_makes_no_sense_is_ignored(date: str) -> None:
    """A Date header that is no HTTP-date leaves the measuring to this machine's clock."""
    assert seconds_to_wait([IMF], date, NOON) == 90.0


def test_a_date_header_of_the_epoch_counts() -> None:
    """A Date header of 1 January 1970 is a date like any other, though it is 0 in seconds."""
    start = "Thu, 01 Jan 1970 00:00:00 GMT"
    assert seconds_to_wait(["Thu, 01 Jan 1970 00:00:07 GMT"], start, NOON) == 7.0


def test_seconds_do_not_depend_on_any_clock() -> None:
    """A number of seconds is the same whatever the Date header and this machine's clock say."""
    assert seconds_to_wait(["5"], IMF, NOON - 1e6) == 5.0


@pytest.mark.parametrize(
    "value", ["Wed, 21 Oct 2026 11:59:59 GMT", "Wed, 21 Oct 2015 07:28:00 GMT"]
)
def test_a_date_that_has_passed_means_at_once(value: str) -> None:
    """A date in the past asks for no wait at all."""
    assert seconds_to_wait([value], None, NOON) == 0.0


def test_a_far_date_is_cut() -> None:
    """A date thousands of years ahead counts as the longest wait."""
    assert seconds_to_wait(["Fri, 31 Dec 9999 23:59:59 GMT"], None, NOON) == LONGEST


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        ([], None),
        (["5", "7"], 7.0),
        (["7", "5"], 7.0),
        (["7", "nonsense", ""], 7.0),
        (["nonsense", "-1"], None),
        (["60", IMF], 90.0),
        ([IMF, "120"], 120.0),
        (["0", "nonsense"], 0.0),
    ],
)
def test_a_repeated_header_counts_with_its_longest_value(
    values: list[str], seconds: float | None
) -> None:
    """Of several headers the longest sensible wait counts; without any there is none."""
    assert seconds_to_wait(values, None, NOON) == seconds


def test_values_may_come_from_any_iterable() -> None:
    """The headers may be given as an iterator as well."""
    assert seconds_to_wait(iter(["5", "6"]), None, NOON) == 6.0


@pytest.mark.usefixtures("far_from_greenwich")
@pytest.mark.parametrize("value", SPELLINGS)
def test_dates_are_universal_time(value: str) -> None:
    """An HTTP-date is UTC even where the local time is not, and asctime doesn't say so."""
    assert http_date(value) == NOON + 90


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777.0),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 784_111_777.0),
        ("Sun Nov  6 08:49:37 1994", 784_111_777.0),
        ("Sun Nov 06 08:49:37 1994", 784_111_777.0),
        ("\t Sun, 06 Nov 1994 08:49:37 GMT \t", 784_111_777.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Tue, 29 Feb 2028 00:00:00 GMT", 1_835_395_200.0),
    ],
)
def test_the_examples_of_rfc_9110_are_read(value: str, moment: float) -> None:
    """The three spellings of one moment in RFC 9110, and a few others, are that moment."""
    assert http_date(value) == moment


@pytest.mark.parametrize("value", ["", "5", " ", "Sun", f"X{IMF}", "Sun, 31 Nov 1994 08:49:37 GMT"])
def test_what_is_no_date_is_none(value: str) -> None:
    """What is no HTTP-date, or a day that no calendar has, gives nothing."""
    assert http_date(value) is None


MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2068, 12, 31)).map(  # noqa: DTZ001
    lambda moment: moment.replace(microsecond=0, tzinfo=UTC)
)


@given(MOMENTS)
def test_every_moment_is_read_in_every_spelling(moment: datetime) -> None:
    """Each second from 1970 to 2068 is the same moment in all three spellings."""
    day, month = DAYS[moment.weekday()], MONTHS[moment.month - 1]
    time_of_day = f"{moment:%H:%M:%S}"
    for spelling in (
        f"{day[:3]}, {moment.day:02} {month} {moment.year} {time_of_day} GMT",
        f"{day}, {moment.day:02}-{month}-{moment.year % 100:02} {time_of_day} GMT",
        f"{day[:3]} {month} {moment.day:2} {time_of_day} {moment.year}",
    ):
        assert http_date(spelling) == moment.timestamp()


ALMOST = st.text(alphabet="0123456789 :,-+.eGMTWedOct²\u0661\n", max_size=40)
NOW = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(st.text() | ALMOST, max_size=3), st.none() | st.text() | ALMOST, NOW)
def test_any_text_is_none_or_a_wait_in_bounds(
    values: list[str], date: str | None, now: float
) -> None:
    """Whatever a server sends, the result is None or from 0 to a thousand million seconds."""
    wait = seconds_to_wait(values, date, now)
    assert wait is None or 0 <= wait <= 1e9


@given(st.integers(0, 10**30))
def test_every_number_is_read_or_cut(number: int) -> None:
    """Every whole number of seconds is itself, or the longest wait where it is larger."""
    assert seconds_to_wait([str(number)], None, NOON) == min(number, 1e9)
