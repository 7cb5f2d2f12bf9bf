"""The rolling window: never too many at the server, hardly fewer than could be."""

import os
import random

import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from support.rates import CountingServer, Delay, Simulation

from frame_async.errors import ConfigurationError
from frame_async.protocol.window import (
    ATTEMPTS_LOOKED_AT,
    LIVE,
    SANDBOX,
    AttemptTimes,
    Lane,
    RateLimit,
    RollingWindow,
    SlotState,
)

INTERACTIVE, BULK = Lane.INTERACTIVE, Lane.BULK
SOON = 0.1
"""Seconds after which to ask again while another request finds out."""

SEEDS = range(10 if "FRAME_SOAK_CALLS" in os.environ else 1)
"""Of simulations; more in the soak."""


class TestRateLimit:
    """A limit that makes no sense is refused."""

    @pytest.mark.parametrize("requests", [0, -1, 1_000_001, 1.5, "5", True, None])
    def test_requests(self, requests: int) -> None:
        """The number of requests is an integer from 1 to a million."""
        with pytest.raises(ConfigurationError, match="requests"):
            RateLimit(requests)

    @pytest.mark.parametrize(
        "per", [0, -1.0, float("nan"), float("inf"), 1e9 + 1, 1e10, "60", True, None]
    )
    def test_per(self, per: float) -> None:
        """The period is a number of seconds above 0."""
        with pytest.raises(ConfigurationError, match="per"):
            RateLimit(5, per)

    @pytest.mark.parametrize(("requests", "per"), [(1, 1e-9), (1_000_000, 1e9), (5, 1)])
    def test_the_bounds_themselves_are_fine(self, requests: int, per: float) -> None:
        """One and a million requests are a limit, and so is any period up to 1e9 seconds."""
        limit = RateLimit(requests, per)
        assert (limit.requests, limit.per) == (requests, per)

    def test_the_default_period_is_a_minute(self) -> None:
        """Without a period, the limit is for a minute."""
        assert RateLimit(5) == RateLimit(5, 60.0)

    def test_the_published_ones(self) -> None:
        """Frame publishes 160 requests a minute live, and 50 in its sandbox."""
        assert (LIVE.requests, LIVE.per) == (160, 60)
        assert (SANDBOX.requests, SANDBOX.per) == (50, 60)

    @pytest.mark.parametrize(
        ("requests", "bulk"), [(1, 1), (2, 1), (9, 8), (10, 9), (50, 45), (160, 144)]
    )
    def test_what_is_open_to_bulk(self, requests: int, bulk: int) -> None:
        """Bulk leaves a tenth free, at least one slot, where there is more than one."""
        assert RateLimit(requests).open_to(BULK) == bulk
        assert RateLimit(requests).open_to(INTERACTIVE) == requests


class TestSlots:
    """One slot after the other."""

    def test_the_wait_is_until_one_frees(self) -> None:
        """The wait that is told ends when the slot that frees first is free."""
        window = RollingWindow(RateLimit(2, 60))
        for second, token in enumerate("ab"):
            assert not window.enter(token, INTERACTIVE, second, 100)
            window.leave(token, second, sent=True)
        assert window.enter("c", INTERACTIVE, 10, 100) == pytest.approx(50)
        assert window.enter("c", INTERACTIVE, 60, 100) == 0
        assert window.enter("d", INTERACTIVE, 60, 100) == pytest.approx(1)

    def test_the_wait_for_a_held_slot(self) -> None:
        """A slot that is held can't be free before one period from now."""
        window = RollingWindow(RateLimit(1, 60))
        assert not window.enter("a", INTERACTIVE, 0, 1000)
        assert window.enter("b", INTERACTIVE, 7, 1000) == pytest.approx(60)

    def test_the_wait_of_the_bulk_lane(self) -> None:
        """Bulk waits until so many slots are free that its reserve is too."""
        window = RollingWindow(RateLimit(3, 60))
        for second, token in enumerate("abc"):
            assert not window.enter(token, INTERACTIVE, second, 100)
            window.leave(token, second, sent=True)
        assert window.enter("d", BULK, 3, 100) == pytest.approx(58)

    def test_a_slot_is_free_at_the_very_moment(self) -> None:
        """The server's window is half open, and so is ours: at one period it is free."""
        window = RollingWindow(RateLimit(1, 60))
        assert not window.enter("a", INTERACTIVE, 0, 100)
        window.leave("a", 0.5, sent=True)
        assert window.enter("b", INTERACTIVE, 60.4, 100) > 0
        assert window.enter("b", INTERACTIVE, 60.5, 100) == 0

    def test_an_answer_after_the_slot_was_given_up(self) -> None:
        """A slot that was given up stays given up, and teaches nothing."""
        window = RollingWindow(RateLimit(2, 10))
        assert not window.enter("a", INTERACTIVE, 0, 5)
        window.leave("a", 15, sent=True)
        assert not window.slots
        assert not window.enter("b", INTERACTIVE, 20, 5)
        window.refuse("b", 35, 0)
        assert not window.slots
        assert window.known == 2

    def test_leaving_unsent_teaches_nothing(self) -> None:
        """A slot that wasn't used frees at once, and what is known stays."""
        window = RollingWindow(RateLimit(2, 10))
        assert not window.enter("a", INTERACTIVE, 0, 5)
        window.leave("a", 1, sent=False)
        assert (window.slots, window.known) == ({}, 2)

    def test_something_is_always_ours(self) -> None:
        """When the very first requests are refused, one slot is still taken to be ours."""
        window = RollingWindow(RateLimit(5, 10))
        for token in "xa":
            assert not window.enter(token, INTERACTIVE, 0, 5)
            window.refuse(token, 0, 0)
        assert window.known == 1
        window.leave("x", 0, sent=False)
        assert window.enter("b", INTERACTIVE, 1, 5) > 0
        assert window.enter("b", INTERACTIVE, 10, 5) == 0

    def test_a_shorter_period(self) -> None:
        """Slots that are taken under a shorter period are free after that, not the old one."""
        window = RollingWindow(RateLimit(1, 60))
        assert not window.enter("a", INTERACTIVE, 0, 5)
        window.leave("a", 0, sent=False)
        window.resize(RateLimit(1, 0.25))
        assert not window.enter("b", INTERACTIVE, 0.125, 0)
        assert window.enter("c", INTERACTIVE, 0.25, 5) == 0.125
        assert window.enter("c", INTERACTIVE, 0.375, 5) == 0

    def test_a_wider_limit(self) -> None:
        """What was learned holds under a wider limit; what wasn't grows with it."""
        window = RollingWindow(RateLimit(5, 10))
        window.resize(RateLimit(8, 10))
        assert window.known == 8
        window.known = 3
        window.resize(RateLimit(20, 10))
        assert window.known == 3
        window.resize(RateLimit(2, 10))
        assert window.known == 2


def filled(limit: int, tokens: str, per: float = 60, at: float = 0) -> RollingWindow:
    """A window with one answered request for each letter, all at the same time."""
    window = RollingWindow(RateLimit(limit, per))
    for token in tokens:
        assert not window.enter(token, INTERACTIVE, at, 100)
        window.leave(token, at, sent=True)
    return window


class TestHolding:
    """Who has a slot, and how long."""

    def test_a_lost_slot_is_free_a_period_after_it_was_given_up(self) -> None:
        """A slot that is never left is free after its hold and one period, at the very moment."""
        window = RollingWindow(RateLimit(1, 60))
        assert window.enter("a", INTERACTIVE, 0, 100) == 0
        assert window.enter("b", INTERACTIVE, 159.5, 100) == 0.5
        assert window.enter("b", INTERACTIVE, 160, 100) == 0
        assert list(window.slots) == ["b"]

    @pytest.mark.parametrize("way", ["enter", "force"])
    def test_a_token_takes_one_slot(self, way: str) -> None:
        """Who holds a slot and asks again has it, and takes no second one."""
        window = RollingWindow(RateLimit(1, 60))
        assert window.enter("a", INTERACTIVE, 0, 100) == 0
        window.refuse("other", 1, 10)  # not even a pause keeps what is held
        assert getattr(window, way)("a", INTERACTIVE, 1, 100) == (way == "force")
        assert len(window.slots) == 1

    def test_a_token_that_was_left_takes_another_slot(self) -> None:
        """Who left a slot and asks again waits like everybody else."""
        window = filled(1, "a")
        assert window.enter("a", INTERACTIVE, 30, 100) == 30
        assert window.force("a", INTERACTIVE, 30, 100) is False

    def test_a_short_hold_ends_before_a_long_one(self) -> None:
        """A lost slot is free in its time, also while another one is held for longer."""
        window = RollingWindow(RateLimit(2, 60))
        assert window.enter("long", INTERACTIVE, 0, 1000) == 0
        assert window.enter("short", INTERACTIVE, 61, 1) == 0
        assert window.enter("next", INTERACTIVE, 121.5, 1) == 0.5
        assert window.enter("next", INTERACTIVE, 122, 1) == 0

    def test_a_wait_is_never_nothing(self) -> None:
        """However soon a slot frees, the wait is a millisecond at least."""
        assert filled(1, "a").enter("b", INTERACTIVE, 59.9999, 100) == 0.001

    @pytest.mark.parametrize("token", ["a", "unknown"])
    @pytest.mark.parametrize("sent", [True, False])
    def test_leaving_twice_changes_nothing(self, token: str, sent: bool) -> None:
        """An answered slot stays taken until its time, whoever says that it is left."""
        window = filled(1, "a")
        window.leave(token, 30, sent=sent)
        assert window.enter("b", INTERACTIVE, 59, 100) == 1
        assert window.enter("b", INTERACTIVE, 60, 100) == 0

    def test_fewer_slots_than_are_taken(self) -> None:
        """Under a smaller limit the wait is until so many are free that one fits."""
        window = RollingWindow(RateLimit(3, 60))
        for at, token in enumerate("abc"):
            assert not window.enter(token, INTERACTIVE, at, 100)
            window.leave(token, at, sent=True)
        window.resize(RateLimit(1, 60))
        assert window.enter("d", INTERACTIVE, 10, 100) == 52
        assert window.enter("d", INTERACTIVE, 61, 100) == 1
        assert window.enter("d", INTERACTIVE, 62, 100) == 0


class TestPause:
    """What a 429 says of the time until the next request."""

    def test_everyone_waits_until_its_end(self) -> None:
        """During a pause nobody enters, by force neither; at its very end everyone may."""
        window = RollingWindow(RateLimit(5, 60))
        window.refuse("somebody's", 10, 5)
        assert window.enter("a", INTERACTIVE, 12, 100) == 3
        assert not window.force("a", INTERACTIVE, 14.9, 100)
        assert not window.slots
        assert window.force("a", INTERACTIVE, 15, 100)
        assert window.enter("b", INTERACTIVE, 15, 100) == 0

    def test_it_is_never_shortened(self) -> None:
        """A shorter pause within a longer one changes nothing, a longer one does."""
        window = RollingWindow(RateLimit(5, 60))
        window.refuse("x", 0, 10)
        window.refuse("x", 1, 2)
        assert window.enter("a", INTERACTIVE, 4, 100) == 6
        window.refuse("x", 5, 10)
        assert window.enter("a", INTERACTIVE, 5, 100) == 10

    def test_a_refusal_of_what_nobody_holds_teaches_nothing(self) -> None:
        """Who doesn't hold a slot, or left it, learns nothing from a 429 but to wait."""
        window = filled(5, "a")
        window.refuse("a", 1, 0)
        window.refuse("unknown", 1, 0)
        assert window.known == 5


class TestForce:
    """Beyond what was learned, within the limit."""

    def test_within_the_limit_only(self) -> None:
        """What was learned is passed over, the limit and the reserve of bulk are not."""
        window = RollingWindow(RateLimit(3, 60))
        window.known = 1
        assert not window.enter("a", INTERACTIVE, 0, 100)
        window.refuse("a", 0, 0)
        assert window.enter("b", INTERACTIVE, 1, 100) == 59
        assert window.force("b", INTERACTIVE, 1, 100)
        assert not window.force("c", BULK, 1, 100)
        assert window.force("c", INTERACTIVE, 1, 100)
        assert window.force("d", INTERACTIVE, 1, 100) is False
        assert list(window.slots) == ["a", "b", "c"]

    def test_it_is_held_as_long_as_any(self) -> None:
        """A forced slot that is lost is free after its hold and one period."""
        window = RollingWindow(RateLimit(1, 60))
        assert window.force("a", INTERACTIVE, 0, 100)
        assert not window.force("b", INTERACTIVE, 159.9, 100)
        assert window.force("b", INTERACTIVE, 160, 100)

    def test_it_finds_out(self) -> None:
        """No other request finds out while a forced one is under way."""
        window = learned()
        assert window.force("forced", INTERACTIVE, 62, 100)
        assert window.enter("probe", INTERACTIVE, 122, 100) == SOON
        window.leave("forced", 122, sent=True)
        assert window.enter("probe", INTERACTIVE, 122, 100) == 0


class TestPace:
    """Bulk beside payers enters evenly."""

    def entered(self, window: RollingWindow, now: float, pace: bool) -> int:
        """How many of bulk's enter at once."""
        found = 0
        while not window.enter(f"{now} {found}", BULK, now, 100, pace=pace):
            found += 1
        return found

    def test_few_go_at_once(self) -> None:
        """Without a pace and with nobody else about, bulk fills its share at once."""
        assert self.entered(RollingWindow(RateLimit(160, 60)), 0, pace=False) == 144

    def test_many_go_evenly(self) -> None:
        """At a pace, bulk takes a tenth at once, and then one slot after the other."""
        window = RollingWindow(RateLimit(160, 60))
        assert self.entered(window, 0, pace=True) == 17
        assert window.enter("next", BULK, 0, 100, pace=True) == pytest.approx(0.375)
        assert [self.entered(window, second, pace=True) for second in range(3, 12, 3)] == [8] * 3

    def test_a_payer_calls_for_the_pace(self) -> None:
        """For a period after a payer came, bulk keeps its pace whether it is told to or not."""
        for at, entered in ((59.5, 17), (60, 144)):
            window = RollingWindow(RateLimit(160, 60))
            assert not window.enter("payer", INTERACTIVE, 0, 0)
            window.leave("payer", 0, sent=True)
            assert self.entered(window, at, pace=False) == entered

    def test_payers_are_part_of_it(self) -> None:
        """What payers take is taken off what bulk may, so that both together come evenly."""
        window = RollingWindow(RateLimit(160, 60))
        for number in range(8):
            assert not window.enter(f"payer {number}", INTERACTIVE, 0, 100)
        assert self.entered(window, 0, pace=True) == 9

    def test_payers_keep_no_pace(self) -> None:
        """A payer enters as long as there is a slot, whatever the pace."""
        window = RollingWindow(RateLimit(20, 60))
        assert [window.enter(f"{n}", INTERACTIVE, 0, 1, pace=True) for n in range(20)] == [0] * 20

    def test_a_call_without_time_leaves_the_pace(self) -> None:
        """Who can't wait is let in beside the pace, but not beyond the share of bulk."""
        window = RollingWindow(RateLimit(20, 60))
        self.entered(window, 0, pace=True)
        forced = [window.force(f"f{n}", BULK, 0, 100) for n in range(16)]
        assert forced == [True] * 15 + [False]

    def test_it_is_never_held_for_more_than_a_period(self) -> None:
        """What was entered while little was known doesn't hold bulk up for long afterwards."""
        window = RollingWindow(RateLimit(160, 60))
        window.known = 1
        for second in range(5):
            window.force(f"{second}", INTERACTIVE, second, 0)
        assert window.paced_to <= 4 + 60


class TestOpens:
    """When there is a slot for one who waits behind others."""

    def window(self) -> RollingWindow:
        """Two slots that free at 60 and 70, and one that doesn't yet."""
        window = RollingWindow(RateLimit(3, 60))
        for second, token in ((0, "a"), (10, "b"), (11, "c")):
            assert not window.enter(token, INTERACTIVE, second, 100)
        window.leave("a", 0, sent=True)
        window.leave("b", 10, sent=True)
        return window

    @pytest.mark.parametrize(
        ("ahead", "wait"), [(0, 40), (1, 50), (2, 60), (3, 100), (4, 110), (6, 160)]
    )
    def test_each_takes_the_next(self, ahead: int, wait: float) -> None:
        """Who has so many before him gets the slot after theirs, and theirs a period later."""
        assert self.window().opens_in(INTERACTIVE, ahead, 20) == wait

    def test_there_is_one(self) -> None:
        """Where a slot is free for everyone before and oneself, it is now."""
        window = RollingWindow(RateLimit(3, 60))
        waits = [window.opens_in(INTERACTIVE, ahead, 0) for ahead in range(4)]
        assert waits == [0, 0, 0, 60]

    def test_bulk_needs_its_reserve(self) -> None:
        """For bulk there is a slot when its reserve is free too."""
        assert self.window().opens_in(BULK, 0, 20, pace=False) == 50

    def test_a_pause_goes_first(self) -> None:
        """Nobody is told a time before the end of a pause."""
        window = self.window()
        window.refuse("x", 20, 45)
        assert window.opens_in(INTERACTIVE, 0, 20) == 45

    def test_a_pace_is_kept(self) -> None:
        """Bulk at a pace is told when those before it have entered at that pace."""
        window = RollingWindow(RateLimit(160, 60))
        window.paced_to = 100.0
        assert window.opens_in(BULK, 8, 80, pace=True) == pytest.approx(20 - 6 + 3)

    @settings(max_examples=60)
    @given(st.integers(0, 12), st.integers(0, 2**32))
    def test_it_is_what_happens(self, ahead: int, seed: int) -> None:
        """Whoever waits behind so many, who are all answered at once, enters at that time."""
        chance, window = random.Random(seed), RollingWindow(RateLimit(4, 60))
        now = 0.0
        for number in range(4):
            now += chance.uniform(0, 10)
            assert not window.enter(f"{number}", INTERACTIVE, now, 100)
            window.leave(f"{number}", now, sent=True)
        told = now + window.opens_in(INTERACTIVE, ahead, now)
        for number in range(ahead + 1):
            while wait := window.enter(f"w{number}", INTERACTIVE, now, 100):
                now += wait
            window.leave(f"w{number}", now, sent=True)
        assert now == pytest.approx(told, abs=0.01)


class TestAttemptTimes:
    """What attempts lately took."""

    def test_nothing_is_known_at_first(self) -> None:
        """Before an attempt has ended, none needs any time."""
        assert AttemptTimes(0.99).needed == 0

    @pytest.mark.parametrize(("quantile", "slowest"), [(0.5, 51), (0.9, 91), (0.99, 100), (1, 100)])
    def test_it_is_a_quantile(self, quantile: float, slowest: float) -> None:
        """Nearly all would have ended in that time, and a quarter of it is added."""
        times = AttemptTimes(quantile)
        for seconds in random.Random(1).sample(range(1, 101), 100):
            times.note(seconds)
        assert times.needed == pytest.approx(1.25 * slowest)

    def test_only_the_latest_count(self) -> None:
        """A slow hour is forgotten after as many attempts as are looked at."""
        times = AttemptTimes(0.99)
        for seconds in [9.0] * ATTEMPTS_LOOKED_AT + [0.5] * ATTEMPTS_LOOKED_AT:
            times.note(seconds)
        assert times.needed == pytest.approx(0.625)


def learned() -> RollingWindow:
    """Of ten, two are ours: two were answered, a third refused; two more are under way at 62."""
    window = RollingWindow(RateLimit(10, 60))
    for token in "xabc":
        assert not window.enter(token, INTERACTIVE, 0, 100)
    window.refuse("x", 1, 0)
    window.leave("a", 1, sent=True)
    window.leave("b", 1, sent=True)
    window.refuse("c", 2, 0)
    assert not window.enter("e", INTERACTIVE, 61, 100)
    assert not window.enter("f", INTERACTIVE, 62, 100)
    return window


class TestLearning:
    """What others leave to us, and finding out when it is more."""

    def test_what_was_answered_is_ours(self) -> None:
        """After a second 429, as many are ours as were answered in the last period."""
        window = RollingWindow(RateLimit(10, 60))
        for token in "abcdx":
            assert not window.enter(token, INTERACTIVE, 0, 100)
        window.leave("a", 1, sent=True)
        window.leave("b", 1, sent=True)
        window.refuse("c", 2, 0)
        assert window.known == 10
        window.refuse("x", 2, 0)
        assert window.known == 2
        refused = [slot.refused for slot in window.slots.values()]
        assert refused == [False, False, True, False, True]

    def test_a_lone_429_holds_nobody_beyond_its_pause(self) -> None:
        """A 429 from a window that had room pauses everyone, and then all goes on as before."""
        window = RollingWindow(RateLimit(10, 60))
        assert not window.enter("a", INTERACTIVE, 0, 100)
        window.refuse("a", 0.2, 1)
        assert window.enter("b", INTERACTIVE, 0.2, 100) == 1
        assert not window.enter("b", INTERACTIVE, 1.2, 100)
        window.leave("b", 1.4, sent=True)
        assert window.known == 10

    def test_a_429_of_another_period_is_alone_too(self) -> None:
        """What was refused a period ago makes no second 429 of this one; within it, it does."""
        window = RollingWindow(RateLimit(10, 60))
        for at, known in ((0, 10), (60, 10), (119, 1)):
            assert not window.enter(f"{at}", INTERACTIVE, at, 100)
            window.refuse(f"{at}", at, 0)
            assert window.known == known

    def test_what_is_refused_counts_as_used(self) -> None:
        """A refused request has its slot until a period after its answer."""
        window = RollingWindow(RateLimit(10, 60))
        window.known = 3
        for token in "abc":
            assert not window.enter(token, INTERACTIVE, 0, 100)
        window.leave("a", 1, sent=True)
        window.leave("b", 1, sent=True)
        window.refuse("c", 2, 0)
        assert window.known == 2
        assert window.enter("d", INTERACTIVE, 3, 100) == 58
        assert window.enter("d", INTERACTIVE, 61, 100) == 0
        assert window.enter("e", INTERACTIVE, 61, 100) == 1

    def test_more_refusals_leave_less(self) -> None:
        """What is known only shrinks with a 429, also when more were answered meanwhile."""
        window = filled(10, "abcd")
        window.known = 3
        window.slots["x"] = SlotState(200.0)
        window.refuse("x", 1, 0)
        assert window.known == 3

    @pytest.mark.parametrize("now", [62, 100, 121.9])
    def test_nobody_finds_out_beside_others(self, now: float) -> None:
        """While requests are under way, the next asks again soon, for a period at most."""
        assert learned().enter("probe", INTERACTIVE, now, 100) == SOON

    def test_after_a_period_one_finds_out_beside_others(self) -> None:
        """Where requests are always under way, one finds out a period later all the same."""
        window = learned()
        assert window.enter("probe", INTERACTIVE, 122, 100) == 0
        assert window.slots["probe"].probe
        assert window.enter("next", INTERACTIVE, 122, 100) == SOON

    def test_alone_one_finds_out_at_once(self) -> None:
        """A period after the 429, a request that is alone goes beyond what is known."""
        window = learned()
        window.leave("e", 62, sent=True)
        window.leave("f", 62, sent=True)
        assert window.enter("probe", INTERACTIVE, 62, 100) == 0
        assert [slot.probe for slot in window.slots.values()] == [False, False, True]
        assert window.enter("next", INTERACTIVE, 63, 100) == SOON
        window.leave("probe", 64, sent=True)
        assert window.known == 3
        assert not window.slots["probe"].probe

    def test_nobody_finds_out_sooner_than_a_period_after_a_429(self) -> None:
        """Until then even one that is alone waits, or until a slot is free."""
        window = learned()
        window.refuse("somebody's", 62.5, 0)
        window.leave("e", 63, sent=True)
        window.leave("f", 63, sent=True)
        assert window.enter("probe", INTERACTIVE, 65, 100) == 57.5
        window.refuse("somebody's", 65, 0)
        assert window.enter("probe", INTERACTIVE, 65, 100) == 58

    def test_a_probe_that_is_refused_ends_probing_for_a_period(self) -> None:
        """What a refused probe finds out holds for one period."""
        window = learned()
        window.leave("e", 63, sent=True)
        window.leave("f", 63, sent=True)
        assert window.enter("probe", INTERACTIVE, 63, 100) == 0
        window.refuse("probe", 70, 0)
        assert (window.known, window.probe_at) == (2, 130)
        assert window.enter("next", INTERACTIVE, 71, 100) == 52

    def test_what_is_known_never_passes_the_limit(self) -> None:
        """However many are answered, no more than the limit is known to be ours."""
        window = filled(2, "ab")
        window.resize(RateLimit(4, 60))
        assert window.known == 4
        window.known = 1
        window.slots |= {token: SlotState(100.0, held=False) for token in "cdef"}
        window.slots["x"] = SlotState(200.0)
        window.leave("x", 1, sent=True)
        assert window.known == 4

    def test_bulk_stays_within_its_share_of_what_is_known(self) -> None:
        """Of what is known to be ours, bulk leaves a reserve too."""
        window = learned()
        window.leave("f", 62, sent=False)
        window.payers_until = 0.0
        assert window.enter("bulk", BULK, 62, 100) == SOON
        assert window.enter("payer", INTERACTIVE, 62, 100) == 0
        assert not window.slots["payer"].probe

    def test_a_wider_limit_is_used_at_once_where_nothing_was_learned(self) -> None:
        """A resize that finds all known keeps it so, at the very limit as well."""
        window = filled(2, "ab")
        window.resize(RateLimit(2, 60))
        assert window.known == 2
        window.resize(RateLimit(1, 60))
        assert window.known == 1
        window.resize(RateLimit(3, 60))
        assert window.known == 3


@frozen
class Request:
    """One request of a schedule: when it asks, and how long it takes."""

    gap: float
    there: float
    back: float


REQUESTS = st.lists(
    st.builds(
        Request,
        gap=st.sampled_from([0.0, 0.0, 0.001, 0.2, 3.0]),
        there=st.floats(0, 0.25),
        back=st.one_of(st.floats(0, 0.5), st.floats(0, 30)),
    ),
    min_size=1,
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(REQUESTS, st.integers(1, 6), st.sampled_from([1.0, 5.0, 60.0]), st.sampled_from(Lane))
def test_the_server_never_sees_too_many(
    requests: list[Request], limit: int, period: float, lane: Lane
) -> None:
    """Whatever the network does, no half-open period at the server holds more than the limit."""
    there, back = [r.there for r in requests], [r.back for r in requests]
    # Sums of floats are off by less than this.
    server = CountingServer(limit, period - 1e-9)
    simulation = Simulation.of(server, RateLimit(limit, period), there.pop, back.pop)
    begin = 0.0
    for request in requests:
        begin += request.gap
        simulation.call(begin, lane)
    simulation.run(begin + len(requests) * (period + 60))
    assert len(simulation.sent) == len(requests)
    assert all(sent.admitted for sent in simulation.sent)


def uniform(chance: random.Random, least: float, most: float) -> Delay:
    return lambda: chance.uniform(least, most)


@pytest.mark.parametrize("latency", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("limit", [SANDBOX, LIVE])
def test_hardly_fewer_than_could_be(limit: RateLimit, latency: float) -> None:
    """A caller that saturates the window gets 99 % of what latency leaves of the limit."""
    chance = random.Random(7)
    server = CountingServer(limit.requests)
    there = uniform(chance, 0, min(0.25, latency / 4))
    simulation = Simulation.of(server, limit, there, lambda: latency * 0.8)
    cycle, cycles = limit.per + latency, 3
    simulation.saturating(limit.requests + 1, cycles * cycle)
    simulation.run(cycles * cycle)
    assert all(sent.admitted for sent in simulation.sent)
    rate = simulation.admitted(cycle, (cycles - 1) * cycle) / ((cycles - 2) * cycle)
    assert rate >= 0.99 * limit.requests / cycle


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("counts_refused", [False, True])
@pytest.mark.parametrize("callers", [1, 12])
def test_others_use_half(callers: int, counts_refused: bool, seed: int) -> None:
    """With others using half the limit we get the rest, at one 429 a period, and all after."""
    chance = random.Random(seed)
    server = CountingServer(160, counts_refused=counts_refused)
    there, back = uniform(chance, 0, 0.25), uniform(chance, 0.05, 0.2)
    simulation = Simulation.of(server, LIVE, there, back)
    simulation.others(lambda: 0.75, -60, 1200)
    simulation.saturating(callers, 2000)
    simulation.run(2000)
    for minute in range(1, 19):
        begin = 60.0 * minute
        assert simulation.admitted(begin, begin + 60) >= 0.9 * 80
        assert simulation.refused(begin, begin + 60) <= 1
    assert simulation.admitted(1440, 1500) >= 0.9 * 160
    assert simulation.window.known == 160
    assert simulation.refused(1260, 2000) <= 1


@pytest.mark.parametrize("seed", SEEDS)
def test_others_come_and_go_by_chance(seed: int) -> None:
    """Others who come by chance are coped with: most of the rest is ours, with few 429."""
    chance = random.Random(seed)
    there, back = uniform(chance, 0, 0.25), uniform(chance, 0.05, 0.4)
    simulation = Simulation.of(CountingServer(160), LIVE, there, back)
    simulation.others(lambda: chance.expovariate(80 / 60), -60, 1200)
    simulation.saturating(12, 1200)
    simulation.run(1200)
    assert simulation.admitted(60, 1200) >= 0.9 * 80 * 19
    assert simulation.refused(60, 1200) <= 2 * 19


@pytest.mark.parametrize("latency", [0.4, 5.0])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_payer_comes_first_when_others_use_half(seed: int, latency: float) -> None:
    """While bulk work takes all that others leave, a payer waits seconds, not a minute."""
    chance = random.Random(seed)
    there, back = uniform(chance, 0, 0.25), uniform(chance, 0.05, latency)
    simulation = Simulation.of(CountingServer(160), LIVE, there, back)
    simulation.others(lambda: 0.75, -60, 900)
    simulation.saturating(12, 900, BULK)
    for turn in range(40, 220):
        simulation.call(4 * turn + chance.random(), INTERACTIVE)
    simulation.run(900)
    waits = sorted(s.departed - s.asked for s in simulation.sent if s.lane is INTERACTIVE)
    assert len(waits) == 180
    assert waits[90] < 10
    assert simulation.admitted(60, 900) >= 0.8 * 80 * 14
    assert simulation.refused(60, 900) <= 14
