"""What an attempt proved: every fault that was measured, then every combination."""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frame_async.calls import Outcome
from frame_async.protocol.outcomes import Ending, Evidence, Phase, judge, sum_up

CREATED, REFUSED = Outcome.CREATED, Outcome.REFUSED
NOT_SENT, UNKNOWN = Outcome.NOT_SENT, Outcome.UNKNOWN

Observed = tuple[Phase, Ending, int | None, Outcome]

# Every fault of the measurements of aiohttp 3.14.5 (its probe sends a POST through each)
# that reaches this library: what is observed of it, what it proves, and its names there.
MEASURED: Final[dict[Observed, tuple[str, ...]]] = {
    (Phase.GATE, Ending.TIMED_OUT, None, NOT_SENT): (
        "pool full, connect timeout",
        "pool full, total timeout",
        "pool full, sock_connect only timeout",
    ),
    (Phase.GATE, Ending.SESSION_CLOSED, None, NOT_SENT): (
        "session closed",
        "session closed while queued for the pool",
    ),
    (Phase.CONNECT, Ending.FAILED, None, NOT_SENT): (
        "url without host",
        "relative url",
        "ftp url",
        "bad port",
        "CRLF in method",
        "unserialisable json",
        "proxy 407 to CONNECT",
        "proxy 502 to CONNECT",
    ),
    (Phase.CONNECT, Ending.NO_CONNECTION, None, NOT_SENT): (
        "DNS failure",
        "connection refused",
        "TLS 1.1-only server",
        "TLS closed in handshake",
        "TLS reset in handshake",
        "TLS to a plain-text server",
        "proxy refused",
        "proxy CONNECT ok then TLS reset",
    ),
    (Phase.CONNECT, Ending.TIMED_OUT, None, NOT_SENT): (
        "SYN dropped, sock_connect timeout",
        "SYN dropped, connect timeout",
        "SYN dropped, total timeout",
        "TLS handshake stalled, sock_connect timeout",
        "TLS handshake stalled, total timeout",
        "proxy stalls CONNECT (sock_connect .3 sock_read .4 total 3)",
    ),
    (Phase.CONNECT, Ending.BAD_CERTIFICATE, None, NOT_SENT): (
        "TLS selfsigned certificate",
        "TLS expired certificate",
        "TLS wronghost certificate",
        "TLS fingerprint mismatch",
    ),
    (Phase.CONNECT, Ending.DISCONNECTED, None, NOT_SENT): (
        "proxy closes during CONNECT",
        "proxy resets during CONNECT",
    ),
    (Phase.CONNECT, Ending.GARBLED, None, NOT_SENT): ("proxy garbage to CONNECT",),
    (Phase.CONNECT, Ending.CANCELLED, None, NOT_SENT): ("cancelled while connecting",),
    (Phase.SEND, Ending.NEVER_WRITTEN, None, NOT_SENT): (
        "CRLF in header value",
        "LF in header value",
        "CR in header value",
        "NUL in header value",
        "CRLF in header name",
        "idle connection closed, FIN not yet seen",
    ),
    (Phase.SEND, Ending.DISCONNECTED, None, UNKNOWN): (
        "connection dies between reuse and write",
        "closed right after accept",
        "reset right after accept",
        "closed 50 ms after accept",
        "reset 50 ms after accept (request in kernel)",
        "close after 1 request bytes",
        "rst after 1 request bytes",
        "close after 20 request bytes",
        "rst after 20 request bytes",
        "close after 100 request bytes",
        "rst after 100 request bytes",
        "8 MiB body, close after 100 kB",
        "8 MiB body, rst after 100 kB",
        "expect100: closed instead",
        "idle connection closes as the next POST arrives",
        "idle connection resets as the next POST arrives",
        "read then close",
        "read then RST",
        "100 then close",
        "only CRLFs",
        "TLS: read then close",
        "TLS: read then RST",
        "cut after 0 to 76 of 346 bytes (length, close; head ends 77)",
        "cut after 0 to 76 of 346 bytes (length, rst; head ends 77)",
        "cut after 0 to 83 of 365 bytes (chunked, close; head ends 84)",
        "cut after 0 to 83 of 365 bytes (chunked, rst; head ends 84)",
        "cut after 0 to 74 of 344 bytes (close, close; head ends 75)",
        "cut after 0 to 74 of 344 bytes (close, rst; head ends 75)",
    ),
    (Phase.SEND, Ending.TIMED_OUT, None, UNKNOWN): (
        "8 MiB body, server never reads, total .5",
        "8 MiB body, server never reads, sock_read .3 total 1.5",
        "expect100: never answered, total .4",
        "expect100: never answered, sock_read .3 total 1.5",
        "no answer, sock_read .3",
        "no answer, total .3",
        "drip 1 B/50 ms, sock_read .3, total .6",
        "1xx for ever, total .5",
        "1xx for ever, sock_read .3, total 1.5",
    ),
    (Phase.SEND, Ending.GARBLED, None, UNKNOWN): (
        "Content-Length 7 too short",
        "bad chunk: size",
        "bad chunk: huge",
        "bad chunk: nocrlf",
        "garbage instead of a status line",
        "HTTP/2 preface answer",
        "status 99",
        "status 2010",
        "HTTP/3.7",
        "HTTP/0.9-style body",
        "negative Content-Length",
        "non-numeric Content-Length",
        "two equal Content-Lengths",
        "two different Content-Lengths",
        "Content-Length and chunked",
        "space before colon",
        "NUL in response header value",
        "header line without colon",
        "204 with a body",
        "1 MiB header",
        "9 kB header (limit is 8190)",
        "5000 headers",
        "129 headers",
        "100 kB reason phrase",
    ),
    (Phase.SEND, Ending.SESSION_CLOSED, None, UNKNOWN): ("session closed while awaiting response",),
    (Phase.SEND, Ending.CANCELLED, None, UNKNOWN): (
        "cancelled while awaiting the response",
        "cancelled while the server works",
    ),
    (Phase.SEND, Ending.FAILED, None, UNKNOWN): ("body producer raises",),
    (Phase.ANSWER, Ending.TIMED_OUT, 201, CREATED): (
        "head then stall, sock_read .3",
        "head then stall, total .3",
        "half body then stall, sock_read .3",
        "half body then stall, total .3",
    ),
    (Phase.ANSWER, Ending.DISCONNECTED, 201, CREATED): (
        "Content-Length 7 too long",
        "bad chunk: short",
        "bad chunk: noend",
        "cut after 77 to 345 of 346 bytes (length, close; head ends 77)",
        "cut after 77 to 345 of 346 bytes (length, rst; head ends 77)",
        "cut after 84 to 364 of 365 bytes (chunked, close; head ends 84)",
        "cut after 84 to 364 of 365 bytes (chunked, rst; head ends 84)",
    ),
    (Phase.ANSWER, Ending.UNUSABLE, 201, CREATED): (
        "20 MiB body",
        "gzip bomb 64 MiB",
        "gzip that is not gzip",
    ),
    (Phase.ANSWER, Ending.CANCELLED, 201, CREATED): ("cancelled while reading the body",),
    (Phase.DONE, Ending.COMPLETE, 201, CREATED): (
        "space in header name",
        "colon in header name",
        "non-latin header value",
        "lone surrogate header value",
        "CRLF in path",
        "CRLF in query",
        "expect100: server answers 100",
        "idle connection closed, client has seen the FIN",
        "idle connection reset, client has seen it",
        "unsolicited 408 on the idle connection",
        "unsolicited 408 then close on the idle connection",
        "unsolicited 408 pushed while idle, then FIN",
        "two answers to one request",
        "forged extra 201 pushed with the answer",
        "garbage pushed while idle, connection stays",
        "drip 10 B/20 ms, sock_read .3, total 5",
        "status line without reason",
        "bare LF line ends",
        "obs-fold header",
        "leading CRLF then answer",
        "102, 103, then 201",
        "HTTP/1.0, close-delimited",
        "HTTP/1.0 keep-alive",
        "HTTP/1.1 close-delimited",
        "cut after 75 to 344 of 344 bytes (close, close; head ends 75)",
        "cut after 75 to 344 of 344 bytes (close, rst; head ends 75)",
        "chunked with trailers",
        "gzip",
        "empty 201",
        "invalid UTF-8 JSON",
        "cut JSON, correct length",
        "TLS good",
        "plain http through a proxy",
    ),
    (Phase.DONE, Ending.COMPLETE, 204, CREATED): ("204",),
    (Phase.DONE, Ending.COMPLETE, 307, REFUSED): ("307 with allow_redirects=False",),
    (Phase.DONE, Ending.COMPLETE, 401, REFUSED): ("expect100: final 401 instead",),
    (Phase.DONE, Ending.COMPLETE, 413, REFUSED): (
        "8 MiB body, early 413, not drained",
        "8 MiB body, early 413, drained",
        "8 MiB body, early 413 then RST",
        "small body, early 413 from the head",
    ),
    (Phase.DONE, Ending.COMPLETE, 408, UNKNOWN): (
        "unsolicited 408 pushed while idle, connection stays",
    ),
    (Phase.ANSWER, Ending.COMPLETE, 101, UNKNOWN): ("101 Switching Protocols",),
    (Phase.DONE, Ending.COMPLETE, 502, UNKNOWN): ("HTML 502",),
    (Phase.DONE, Ending.COMPLETE, 999, UNKNOWN): ("status 999",),
}


@pytest.mark.parametrize(
    ("phase", "ending", "status", "outcome"),
    [pytest.param(*observed, id=name) for observed, names in MEASURED.items() for name in names],
)
def test_each_measured_fault_proves_its_outcome(
    phase: Phase, ending: Ending, status: int | None, outcome: Outcome
) -> None:
    """What was observed under each measured fault proves exactly the outcome beside it."""
    assert judge(Evidence(phase, ending, status)) is outcome


# IANA's registry of HTTP status codes, written out a second time on purpose.
REFUSING_4XX: Final = (
    *(400, 401, 402, 403, 404, 405, 406, 407, 409, 410, 411, 412, 413, 414, 415, 416, 417),
    *(421, 422, 423, 424, 425, 426, 428, 429, 431, 451),
)
EXPECTED: Final = (
    dict.fromkeys(range(-1, 1200), UNKNOWN)
    | dict.fromkeys(range(200, 300), CREATED)
    | dict.fromkeys(range(300, 400), REFUSED)
    | dict.fromkeys(REFUSING_4XX, REFUSED)
)


@pytest.mark.parametrize(
    "outcome", [CREATED, REFUSED, UNKNOWN], ids=["created", "refused", "unknown"]
)
def test_every_status_has_its_outcome(outcome: Outcome) -> None:
    """2xx create, 3xx and assigned 4xx except 408 refuse, every other number proves nothing."""
    judged = {s for s in EXPECTED if judge(Evidence(Phase.DONE, status=s)) is outcome}
    assert judged == {s for s, expected in EXPECTED.items() if expected is outcome}


@pytest.mark.parametrize("ending", Ending, ids=lambda ending: ending.name)
@pytest.mark.parametrize("phase", Phase, ids=lambda phase: phase.name)
def test_a_status_that_was_seen_outweighs_everything_else(phase: Phase, ending: Ending) -> None:
    """Once a status was seen, neither the phase nor the way it ended changes the outcome."""
    for status, expected in EXPECTED.items():
        assert judge(Evidence(phase, ending, status)) is expected


def without_status(phase: Phase, ending: Ending) -> Outcome:
    """The table's last three rows, read aloud."""
    if phase in (Phase.GATE, Phase.CONNECT):
        return NOT_SENT
    return NOT_SENT if (phase, ending) == (Phase.SEND, Ending.NEVER_WRITTEN) else UNKNOWN


@pytest.mark.parametrize("ending", Ending, ids=lambda ending: ending.name)
@pytest.mark.parametrize("phase", Phase, ids=lambda phase: phase.name)
def test_without_a_status_the_phase_decides(phase: Phase, ending: Ending) -> None:
    """Without a status, only what no connection had, or provably never wrote, was not sent."""
    assert judge(Evidence(phase, ending)) is without_status(phase, ending)


@pytest.mark.parametrize("phase", [Phase.ANSWER, Phase.DONE])
def test_contradictory_evidence_is_doubt(phase: Phase) -> None:
    """An answer to a request that was never written contradicts itself, so it proves nothing."""
    assert judge(Evidence(phase, Ending.NEVER_WRITTEN)) is UNKNOWN


@given(st.sampled_from(Phase), st.sampled_from(Ending), st.none() | st.integers())
def test_nothing_is_claimed_without_evidence(
    phase: Phase, ending: Ending, status: int | None
) -> None:
    """CREATED and REFUSED need a status, NOT_SENT needs its absence, for any evidence at all."""
    outcome = judge(Evidence(phase, ending, status))
    if outcome in (CREATED, REFUSED):
        assert status is not None
        assert 200 <= status <= 499
    if outcome is NOT_SENT:
        assert status is None
        assert phase <= Phase.SEND


def test_phases_are_in_the_order_of_an_exchange() -> None:
    """Each phase includes those before it: gate, connect, send, answer, done."""
    assert sorted(Phase) == [Phase.GATE, Phase.CONNECT, Phase.SEND, Phase.ANSWER, Phase.DONE]


def test_endings_tell_users_apart() -> None:
    """Every ending but completion has words of its own, since users read them."""
    words = [str(ending) for ending in Ending]
    assert len(set(words)) == len(words)
    assert [ending for ending in Ending if not str(ending)] == [Ending.COMPLETE]
    assert not any(word.startswith("XX") or word != word.strip() for word in words)


def test_evidence_of_a_phase_alone_is_complete_and_without_status() -> None:
    """Evidence is of a completed step with no status unless it says otherwise."""
    assert Evidence(Phase.GATE) == Evidence(Phase.GATE, Ending.COMPLETE, None)


@pytest.mark.parametrize(
    ("outcomes", "together"),
    [
        ([], NOT_SENT),
        ([NOT_SENT], NOT_SENT),
        ([REFUSED], REFUSED),
        ([UNKNOWN], UNKNOWN),
        ([CREATED], CREATED),
        ([NOT_SENT, CREATED], CREATED),
        ([UNKNOWN, CREATED], CREATED),
        ([UNKNOWN, REFUSED], UNKNOWN),
        ([UNKNOWN, NOT_SENT], UNKNOWN),
        ([REFUSED, UNKNOWN], UNKNOWN),
        ([NOT_SENT, REFUSED], REFUSED),
        ([REFUSED, NOT_SENT], NOT_SENT),
        ([UNKNOWN, REFUSED, NOT_SENT], UNKNOWN),
        ([REFUSED, UNKNOWN, REFUSED], UNKNOWN),
    ],
)
def test_what_attempts_prove_together(outcomes: list[Outcome], together: Outcome) -> None:
    """A session in hand is one; without one, a doubt outweighs whatever came after it."""
    assert sum_up(outcomes) is together


@pytest.mark.parametrize("doubts", [1, 2])
@pytest.mark.parametrize(
    ("outcomes", "together"),
    [
        ([], UNKNOWN),
        ([NOT_SENT], UNKNOWN),
        ([REFUSED], UNKNOWN),
        ([UNKNOWN], UNKNOWN),
        ([REFUSED, CREATED], CREATED),
    ],
)
def test_doubts_of_earlier_calls_outweigh_what_came_after(
    outcomes: list[Outcome], together: Outcome, doubts: int
) -> None:
    """Where earlier calls with the key left doubts, only a session in hand is certain."""
    assert sum_up(outcomes, doubts) is together


@given(st.lists(st.sampled_from([REFUSED, NOT_SENT, UNKNOWN]), max_size=7))
def test_nothing_created_is_said_only_without_doubt(outcomes: list[Outcome]) -> None:
    """Without a session, the sum is UNKNOWN exactly when one of the attempts is."""
    assert (sum_up(outcomes) is UNKNOWN) == (UNKNOWN in outcomes)
