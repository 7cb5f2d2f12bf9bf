"""Any sequence of operations: the stores against a simple model of keys and windows.

The model is written from the docstrings of `Store`, and shares no code with the stores: it
remembers what happened, and works out what must hold now.
"""

import asyncio
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field
from hypothesis import HealthCheck, Phase, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from support.stores import BACKENDS

from frame_async.errors import IdempotencyConflictError
from frame_async.protocol.fingerprints import make_fingerprint
from frame_async.protocol.window import BULK_BURST, Lane, RateLimit
from frame_async.stores import Claim, Claimed, Done, InDoubt, InFlight, Store, Window
from frame_async.testing.store_conformance import StoreBench
from frame_async.testing.store_conformance.bench import HAND_UNIT

UNIT = 0.3
"""Seconds of one unit where time is real."""
MARGIN = UNIT / 3
"""Real seconds by which model and store may differ on when something was."""
PERIOD = 4
LIMIT = 5

KEYS = st.sampled_from(["k", "k\x00", "'; --"])
UNITS = st.integers(1, 6)
TOKENS = st.integers(0, 9)
BODIES = st.sampled_from([b"{}", b"{}", b"\x00", b""])
ONE, OTHER = (make_fingerprint({"a": value}) for value in (b"1", b"2"))


@define
class Key:
    """What happened to a key last."""

    fingerprint: str
    state: str
    token: str
    until: float
    doubts: int
    body: bytes = b""


@define
class Request:
    """What happened to a request."""

    entered: float
    hold: float
    probe: bool
    answered: float | None = None
    refused: bool = False

    def until(self, period: float) -> float:
        """When its place is free."""
        return (self.entered + self.hold if self.answered is None else self.answered) + period


@define
class Model:
    """Keys and one window."""

    unit: float
    keys: dict[str, Key] = field(factory=dict[str, Key])
    requests: dict[str, Request] = field(factory=dict[str, Request])
    known: int = LIMIT
    paused: float = 0.0
    probing: float = 0.0
    paced_to: float = 0.0
    payers_until: float = 0.0

    def deadlines(self) -> list[float]:
        """Every moment at which something changes by itself."""
        period = PERIOD * self.unit
        ends = [request.until(period) for request in self.requests.values()]
        return [key.until for key in self.keys.values()] + [
            *ends,
            self.paused,
            self.probing,
            self.probing + period,
            self.paced_to - BULK_BURST * period,
            self.payers_until,
        ]

    def claim(self, name: str, fingerprint: str, now: float) -> str:
        """The name of the answer."""
        key = self.keys.get(name)
        if key is None or (key.state != "claimed" and now >= key.until):
            return "Claimed"
        if key.fingerprint != fingerprint:
            return "Conflict"
        if key.state == "done":
            return "Done"
        if key.state == "claimed" and now < key.until:
            return "InFlight"
        return "InDoubt" if key.doubts else "Claimed"

    def enters(self, lane: Lane, now: float, pace: bool = False) -> tuple[bool, bool]:
        """Whether a request may go, and whether it goes to find out."""
        period = PERIOD * self.unit
        inside = [r for r in self.requests.values() if now < r.until(period)]
        self.requests = {t: r for t, r in self.requests.items() if r in inside}
        bulk = lane is Lane.BULK
        if now < self.paused or len(inside) >= (LIMIT - 1 if bulk else LIMIT):
            return False, False
        early = self.paced_to - now > BULK_BURST * period
        if bulk and early and (pace or now < self.payers_until):
            return False, False
        ours = max(1, self.known - 1) if bulk else self.known
        if len(inside) < ours:
            return True, False
        waiting = [r for r in inside if r.answered is None]
        late = now >= self.probing + period
        may = now >= self.probing and not any(r.probe for r in waiting) and (late or not waiting)
        return may, True

    def take(self, token: str, lane: Lane, request: Request) -> None:
        """A request goes."""
        now, period = request.entered, PERIOD * self.unit
        self.requests[token] = request
        self.paced_to = min(max(self.paced_to, now) + period / self.known, now + period)
        if lane is Lane.INTERACTIVE:
            self.payers_until = now + period

    def forces(self, lane: Lane, now: float) -> bool:
        """Whether a request may go that has no time to wait."""
        self.enters(lane, now)
        most = LIMIT - 1 if lane is Lane.BULK else LIMIT
        return now >= self.paused and len(self.requests) < most

    def got(self) -> int:
        """How many requests were answered, and not refused."""
        return sum(r.answered is not None and not r.refused for r in self.requests.values())


class StoreMachine(RuleBasedStateMachine):
    """Operations in any order, on two handles of one store."""

    kind = ""
    address = ""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
        make_clock = BACKENDS[self.kind].clock
        self.clock = make_clock() if make_clock else None
        self.unit = HAND_UNIT if self.clock else UNIT
        self.model = Model(self.unit)
        self.prefix = Path(self.folder).name
        address = str(Path(self.folder, "f")) if self.kind == "sqlite" else self.address
        first = BACKENDS[self.kind].open(address, self.clock)
        second = BACKENDS[self.kind].open(address, self.clock) if first.shared else first
        self.stores = (first, second)
        self.tokens: dict[str, list[str]] = {}

    def teardown(self) -> None:
        for store in self.stores:
            self.runner.run(store.aclose())
        self.runner.close()
        shutil.rmtree(self.folder)

    def now(self) -> float:
        """The time, away from every moment at which something changes."""
        if self.clock:
            return self.clock()
        while any(abs(when - time.monotonic()) < MARGIN for when in self.model.deadlines()):
            time.sleep(0.02)
        return time.monotonic()

    @property
    def window(self) -> Window:
        return Window(self.prefix, RateLimit(LIMIT, PERIOD * self.unit))

    @initialize()
    def begin(self) -> None:
        """Nothing is known yet."""

    @rule(units=st.sampled_from([1, 1, 2, 5]))
    def wait(self, units: int) -> None:
        """Time passes."""
        if self.clock:
            self.clock.advance(units * self.unit)
        else:
            time.sleep(units * self.unit)

    @rule(name=KEYS, fingerprint=st.sampled_from([ONE] * 9 + [OTHER]), units=UNITS)
    def claim(self, name: str, fingerprint: str, units: int) -> None:
        """A key is claimed."""
        now = self.now()
        expected = self.model.claim(name, fingerprint, now)
        answer: Claim | None = None
        try:
            answer = self.run(0, "claim", self.prefix + name, fingerprint, units * self.unit)
        except IdempotencyConflictError as error:
            assert error.fields == ("a",)
        assert (type(answer).__name__ if answer else "Conflict") == expected
        self.check_claim(name, answer, now)
        if isinstance(answer, Claimed | InDoubt):
            old = self.model.keys.get(name) if expected == "InDoubt" else None
            self.tokens.setdefault(name, []).append(answer.token)
            self.model.keys[name] = Key(
                fingerprint,
                "claimed",
                answer.token,
                now + units * self.unit,
                (old.doubts if old else 0) + 1,
            )

    def check_claim(self, name: str, answer: Claim | None, now: float) -> None:
        """The answer carries what is known of the key."""
        key = self.model.keys.get(name)
        if isinstance(answer, Done):
            assert key is not None
            assert answer.body == key.body
        if isinstance(answer, InDoubt):
            assert key is not None
            assert answer.doubts == key.doubts
        if isinstance(answer, InFlight):
            assert key is not None
            tolerance = 1e-6 if self.clock else MARGIN
            assert answer.lease == pytest.approx(key.until - now, abs=tolerance)
        if isinstance(answer, Claimed | InDoubt):
            assert answer.token not in self.tokens.get(name, [])

    def ended(self, name: str, token: str, *so: object) -> bool:
        """Whether a claim ended in just this way before, and that is still remembered."""
        key = self.model.keys.get(name)
        if key is None or key.state == "claimed" or key.token != token:
            return False
        end = (key.state, key.body if key.state == "done" else key.doubts)
        return end == so and self.now() < key.until

    def token_of(self, name: str, number: int) -> tuple[str, bool]:
        """One of the tokens that a key had, mostly the last; and whether it is good."""
        tokens = self.tokens.get(name, ["made up"])
        token = tokens[-1] if number > 2 else tokens[number % len(tokens)]
        key = self.model.keys.get(name)
        return token, key is not None and key.state == "claimed" and key.token == token

    @rule(name=KEYS, number=TOKENS, units=UNITS, doubts=st.integers(0, 3))
    def renew(self, name: str, number: int, units: int, doubts: int) -> None:
        """A claim goes on."""
        token, good = self.token_of(name, number)
        now = self.now()
        answer = self.run(1, "renew", self.prefix + name, token, units * self.unit, doubts)
        assert answer is good
        if good:
            key = self.model.keys[name]
            key.until, key.doubts = now + units * self.unit, doubts

    @rule(name=KEYS, number=TOKENS, units=UNITS, body=BODIES)
    def complete(self, name: str, number: int, units: int, body: bytes) -> None:
        """A session was created."""
        token, good = self.token_of(name, number)
        now = self.now()
        again = self.ended(name, token, "done", body)
        answer = self.run(0, "complete", self.prefix + name, token, body, units * self.unit)
        assert answer is (good or again)
        if good:
            key = self.model.keys[name]
            key.state, key.until, key.body = "done", now + units * self.unit, body

    @rule(name=KEYS, number=TOKENS, units=UNITS, doubts=st.integers(1, 3))
    def doubt(self, name: str, number: int, units: int, doubts: int) -> None:
        """A session may have been created."""
        token, good = self.token_of(name, number)
        now = self.now()
        again = self.ended(name, token, "doubt", doubts)
        answer = self.run(1, "doubt", self.prefix + name, token, doubts, units * self.unit)
        assert answer is (good or again)
        if good:
            key = self.model.keys[name]
            key.state, key.until, key.doubts = "doubt", now + units * self.unit, doubts

    @rule(name=KEYS, number=TOKENS)
    def release(self, name: str, number: int) -> None:
        """Nothing was created."""
        token, good = self.token_of(name, number)
        self.now()
        assert self.run(0, "release", self.prefix + name, token) is good
        if good:
            del self.model.keys[name]

    @rule(lane=st.sampled_from(Lane), units=UNITS, pace=st.booleans())
    def enter(self, lane: Lane, units: int, pace: bool) -> None:
        """A request wants to go."""
        now = self.now()
        token = f"request {len(self.tokens.setdefault('', []))}"
        self.tokens[""].append(token)
        expected, probe = self.model.enters(lane, now, pace)
        wait = self.run(1, "enter", self.window, token, lane, units * self.unit, pace=pace)
        assert (wait == 0) is expected
        assert 0 <= wait <= max(PERIOD * self.unit, self.model.paused - now) + MARGIN
        if expected:
            self.model.take(token, lane, Request(now, units * self.unit, probe))

    @rule(lane=st.sampled_from(Lane), units=UNITS)
    def force(self, lane: Lane, units: int) -> None:
        """A request that has no time to wait wants to go."""
        now = self.now()
        token = f"request {len(self.tokens.setdefault('', []))}"
        self.tokens[""].append(token)
        expected = self.model.forces(lane, now)
        assert self.run(0, "force", self.window, token, lane, units * self.unit) is expected
        if expected:
            self.model.take(token, lane, Request(now, units * self.unit, probe=True))

    @rule(number=TOKENS, lane=st.sampled_from(Lane), operation=st.sampled_from(["enter", "force"]))
    def repeat(self, number: int, lane: Lane, operation: str) -> None:
        """A request that has its place asks for it again."""
        token, request = self.request_of(number)
        if request is None:
            return
        answer = self.run(1, operation, self.window, token, lane, 9 * self.unit)
        assert answer == (0.0 if operation == "enter" else True)

    def request_of(self, number: int) -> tuple[str, Request | None]:
        """A request that entered, or none; and what it may still change."""
        tokens = list(self.model.requests) or ["nobody"]
        token = tokens[number % len(tokens)]
        request = self.model.requests.get(token)
        gone = request is None or request.answered is not None
        late = request is not None and self.now() >= request.until(PERIOD * self.unit)
        return token, None if gone or late else request

    @rule(number=TOKENS, sent=st.sampled_from([True, True, False]))
    def leave(self, number: int, sent: bool) -> None:
        """An answer is in, or nothing was sent."""
        token, request = self.request_of(number)
        now = self.now()
        self.model.enters(Lane.INTERACTIVE, now)
        self.run(0, "leave", self.window, token, sent=sent)
        if request is None:
            return
        if not sent:
            del self.model.requests[token]
            return
        request.answered = now
        self.model.known = max(self.model.known, self.model.got())

    @rule(number=TOKENS, units=st.integers(1, 3))
    def refuse(self, number: int, units: int) -> None:
        """A 429 came."""
        token, request = self.request_of(number)
        now = self.now()
        self.model.enters(Lane.INTERACTIVE, now)
        self.run(1, "refuse", self.window, token, units * self.unit)
        self.model.paused = max(self.model.paused, now + units * self.unit)
        self.model.probing = now + PERIOD * self.unit
        if request is not None:
            inside = self.model.requests.values()
            believed = self.model.known < LIMIT or any(r.refused for r in inside)
            request.answered, request.refused = now, True
            if not believed:
                return
            self.model.known = max(1, min(self.model.known, self.model.got()))

    def run(self, handle: int, operation: str, *args: Any, **named: Any) -> Any:
        """One operation on one of the handles.

        Where time is real and the answer took so long that the model can't know it, the
        example is given up: a slow machine proves nothing.
        """
        store: Store = self.stores[handle]
        began, deadlines = time.monotonic(), self.model.deadlines()
        try:
            return self.runner.run(getattr(store, operation)(*args, **named))
        finally:
            ended = time.monotonic()
            near = any(began < when < ended + MARGIN / 2 for when in deadlines)
            assume(self.clock is not None or (ended - began < MARGIN / 2 and not near))


def test_any_sequence_of_operations(kind: str, address: str) -> None:
    """Whatever is done in whatever order, every answer is the one that the model gives.

    In the soak, servers have their real time, so there are few examples.
    """
    by_hand = BACKENDS[kind].clock is not None
    served = kind in ("redis", "postgres")
    machine = type("Machine", (StoreMachine,), {"kind": kind, "address": address})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=12 if not by_hand else 25 if served else 50,
            stateful_step_count=50 if by_hand else 25,
            phases=list(Phase) if by_hand else [Phase.generate],
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


async def test_a_bench_has_two_handles(bench: StoreBench) -> None:
    """Where a store is shared, the suite looks at it through two handles."""
    assert (bench.store is not bench.other) is bench.store.shared
