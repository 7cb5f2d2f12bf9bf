"""Whatever faults come in whatever order, no lie is told: properties and a soak."""

import asyncio
import os
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.clients import assert_true, attempt
from support.clock import FastClock
from support.faults import (
    FaultServer,
    Play,
    Wire,
    answer,
    cut_answer,
    cut_request,
    framed,
    hang,
    lose_request,
    refusal,
    serve,
    session_body,
)

from frame_async import (
    FrameClient,
    LineItem,
    Outcome,
    PaymentLinkSession,
    PaymentLinkSessionRequest,
    RetryPolicy,
)
from frame_async.stores import MemoryStore

ORDER = PaymentLinkSessionRequest(line_items=[LineItem(product="prod_1")])
WHOLE = len(framed(session_body("pls_1_key"))) + 20


async def create_and_fail(wire: Wire) -> None:
    """Create the session, and answer 500 all the same."""
    if await wire.read_request():
        wire.create()
        await wire.send(refusal("500 Internal Server Error"))
        wire.close()


async def one_then_close(wire: Wire) -> None:
    """Serve one request and close the idle connection."""
    if await wire.read_request():
        await wire.send(framed(wire.create()))
        wire.close()


FAULTS: st.SearchStrategy[Play] = st.one_of(
    st.just(serve),
    st.just(create_and_fail),
    st.just(one_then_close),
    st.just(hang),
    st.builds(cut_request, st.integers(0, 400), reset=st.booleans()),
    st.builds(lose_request, reset=st.booleans()),
    st.builds(cut_answer, st.integers(0, WHOLE), st.sampled_from(["length", "chunked", "close"])),
    st.sampled_from(["400 No", "401 No", "404 No", "409 No", "422 No", "302 No"]).map(
        lambda status: answer(refusal(status))
    ),
    st.sampled_from(["408 No", "500 No", "502 No", "503 No"]).map(
        lambda status: answer(refusal(status))
    ),
    st.sampled_from(["0", "2", "Fri, 31 Dec 1999 23:59:59 GMT", "-1", "soon"]).map(
        lambda wait: answer(refusal("429 No", f"Retry-After: {wait}"))
    ),
    st.just(answer(b"\x16\x03\x01")),
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    plays=st.lists(FAULTS, min_size=1, max_size=8), on_unknown=st.sampled_from(["retry", "raise"])
)
def test_no_sequence_of_faults_makes_it_lie(plays: list[Play], on_unknown: str) -> None:
    """For any sequence of faults, the ledger agrees with what is told, the table with delays."""

    async def check() -> None:
        clock = FastClock()
        async with FaultServer.playing(*plays) as server:
            policy = RetryPolicy(on_unknown=on_unknown)  # type: ignore[arg-type]
            async with FrameClient(
                "sk_sandbox_x",
                base_url=server.url,
                clock=clock,
                rate_limit=None,
                attempt_timeout=0.08,
                retry=policy,
            ) as client:
                ended = await attempt(client, ORDER)
            assert_true(ended, server)
            assert_delays(ended.call.attempts, clock, policy)

    asyncio.run(check())


def assert_delays(attempts: tuple[object, ...], clock: FastClock, policy: RetryPolicy) -> None:
    """The sleeps were those of the table: full jitter for not-sent, Frame's for the rest."""
    from frame_async import Attempt

    taken = {Outcome.NOT_SENT: 0, "other": 0}
    assert len(attempts) <= policy.max_retries + 1
    assert len(clock.slept) == len(attempts) - 1
    for one, slept in zip(attempts, clock.slept, strict=False):
        assert isinstance(one, Attempt)
        kind = Outcome.NOT_SENT if one.outcome is Outcome.NOT_SENT else "other"
        step = 2 ** taken[kind]
        taken[kind] += 1
        if kind is Outcome.NOT_SENT:
            assert 0 <= slept <= 0.2 * step
        else:
            asked = 2.0 if one.status == 429 else 0.0
            assert 1.0 * step <= slept <= max(asked, 1.0 * step + 0.5) + 0.5
    if policy.on_unknown == "raise":
        outcomes = [one.outcome for one in attempts if isinstance(one, Attempt)]
        assert Outcome.UNKNOWN not in outcomes[:-1]


def serve_some(requests: int, last: bytes | None = None) -> Play:
    """Serve that many requests, give the next one `last` as its answer, and close."""

    async def play(wire: Wire) -> None:
        for _ in range(requests):
            if not await wire.read_request():
                return
            await wire.send(framed(wire.create()))
        if last is not None and await wire.read_request():
            await wire.send(last)
        wire.close()

    return play


def random_play(chance: random.Random) -> Play:
    """What one connection lives through: a few good requests, and a bad end."""
    after = chance.randrange(WHOLE)
    framing = chance.choice(["length", "chunked", "close"])
    reset = chance.random() < 0.5
    said = refusal(chance.choice(["422 No", "400 No", "500 No", "503 No", "408 No"]))
    return chance.choice(
        [
            serve_some(chance.randrange(1, 5)),
            serve_some(chance.randrange(0, 3), said),
            serve_some(chance.randrange(0, 3), framed(b'{"id": ', "length")),
            create_and_fail,
            cut_request(after, reset=reset),
            lose_request(reset=reset),
            cut_answer(after, framing, reset=reset),
            hang if chance.random() < 0.2 else serve_some(2),
        ]
    )


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_soak(loop: str, caplog: pytest.LogCaptureFixture) -> None:
    """Hundreds of calls under random faults, many at a time: not one lie.

    FRAME_SOAK_CALLS makes it longer; the seed is fixed, so a failure comes back.
    """
    caplog.set_level("CRITICAL", "frame_async")
    calls = int(os.environ.get("FRAME_SOAK_CALLS", "500"))
    chance = random.Random(20261123)

    async def soak() -> list[Outcome]:
        plays = [random_play(chance) for _ in range(10 * calls)]
        outcomes: list[Outcome] = []
        numbers = iter(range(calls))
        async with FaultServer.playing(*plays) as server:
            async with FrameClient(
                "sk_sandbox_x",
                base_url=server.url,
                attempt_timeout=1.0,
                rate_limit=None,
                store=MemoryStore(),
                retry=RetryPolicy(backoff=0.001, jitter=0.001, not_sent_backoff=0.001),
            ) as client:

                async def work() -> None:
                    for number in numbers:
                        key = f"k{number}"
                        ended = await attempt(client, ORDER, key)
                        assert_true(ended, server, key)
                        outcomes.append(ended.call.outcome)
                        if isinstance(ended, PaymentLinkSession):
                            assert ended.id.endswith(f"_{key}")

                await asyncio.gather(*(work() for _ in range(32)))
            assert set(server.created) == {s.created for s in server.ledger if s.created}
        return outcomes

    if loop == "uvloop":
        uvloop = pytest.importorskip("uvloop")
        outcomes = uvloop.run(soak())
    else:
        outcomes = asyncio.run(soak())
    assert len(outcomes) == calls
    for outcome in (Outcome.CREATED, Outcome.UNKNOWN, Outcome.REFUSED):
        assert outcome in outcomes  # how many of each depends on how busy the machine is
