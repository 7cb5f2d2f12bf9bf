"""The rate window: how many places, for whom, and until when."""

import asyncio
import random

import pytest

from frame_async.protocol.window import Lane, RateLimit
from frame_async.stores import InFlight, Window
from frame_async.testing.store_conformance.bench import HOSTILE_KEYS, StoreBench


class TestWindow:
    """The rolling window, shared by everyone who uses the store."""

    async def test_no_more_than_the_limit(self, bench: StoreBench) -> None:
        """As many slots as the limit are given, and not one more."""
        window = bench.window(5)
        assert [await bench.enter(window, f"{n}") for n in range(6)] == [True] * 5 + [False]
        wait = await bench.other.enter(window, "x", Lane.INTERACTIVE, bench.unit)
        assert 0 < wait <= window.limit.per

    async def test_at_once_no_more_than_the_limit(self, bench: StoreBench) -> None:
        """Of fifty who ask at once for twenty slots, exactly twenty get one."""
        window = bench.window(20)
        stores = [bench.store, bench.other] * 25
        waits = await asyncio.gather(
            *(
                store.enter(window, f"{n}", Lane.INTERACTIVE, 100 * bench.unit)
                for n, store in enumerate(stores)
            )
        )
        assert waits.count(0) == 20
        assert all(wait > 0 for wait in waits if wait)

    async def test_entering_again_takes_no_second_slot(self, bench: StoreBench) -> None:
        """A token that holds a slot is given it again, when the window is full or paused too."""
        window = bench.window(2)
        for lane in Lane:
            assert await bench.enter(window, "a", lane)
        assert await bench.enter(window, "b")
        assert await bench.enter(window, "a")
        assert await bench.other.force(window, "a", Lane.BULK, bench.unit) is True
        assert not await bench.enter(window, "c")
        await bench.store.refuse(window, "b", 100 * bench.unit)
        assert await bench.enter(window, "a")
        assert await bench.other.force(window, "a", Lane.BULK, bench.unit) is True

    async def test_entering_again_holds_no_longer(self, bench: StoreBench) -> None:
        """A slot is given up when it was first said, however often its token asks again."""
        window = bench.window(1, units=3)
        assert await bench.enter(window, "a", hold=1)
        assert await bench.enter(window, "a", hold=100)
        await bench.wait(5)
        assert await bench.enter(window, "b")

    async def test_being_turned_away_takes_no_slot(self, bench: StoreBench) -> None:
        """Who was told to wait has no slot, and leaving changes nothing."""
        window = bench.window(1)
        assert await bench.enter(window, "in")
        assert not await bench.enter(window, "out")
        await bench.store.leave(window, "out", sent=False)
        assert not await bench.enter(window, "other")

    async def test_an_answered_slot_frees_a_period_later(self, bench: StoreBench) -> None:
        """A slot is free one period after its answer came, not after it left."""
        window = bench.window(1, units=4)
        assert await bench.enter(window, "a")
        await bench.wait(2)
        await bench.store.leave(window, "a", sent=True)
        await bench.wait(3)
        assert not await bench.enter(window, "b")
        await bench.wait(2)
        assert await bench.enter(window, "b")

    async def test_the_wait_that_is_told_is_enough(self, bench: StoreBench) -> None:
        """Whoever asks again after the time that was told gets the slot that was full."""
        window = bench.window(2, units=4)
        for token in ("a", "b"):
            assert await bench.enter(window, token)
            await bench.store.leave(window, token, sent=True)
            await bench.wait(1)
        wait = await bench.other.enter(window, "c", Lane.INTERACTIVE, bench.unit)
        assert 0 < wait <= 2 * bench.unit + 0.001
        await bench.wait(wait / bench.unit + (0.001 if bench.clock else 0.2))
        assert await bench.enter(window, "c")

    async def test_a_slot_that_was_not_used_is_free_at_once(self, bench: StoreBench) -> None:
        """When certainly nothing was sent, the slot is free again at once."""
        window = bench.window(1)
        assert await bench.enter(window, "a")
        await bench.other.leave(window, "a", sent=False)
        assert await bench.enter(window, "b")

    @pytest.mark.parametrize("sent", [True, False])
    async def test_leaving_twice_changes_nothing(self, bench: StoreBench, sent: bool) -> None:
        """A slot that was answered is not freed sooner or later by leaving again."""
        window = bench.window(1, units=4)
        assert await bench.enter(window, "a")
        await bench.store.leave(window, "a", sent=True)
        await bench.wait(2)
        await bench.store.leave(window, "a", sent=sent)
        assert not await bench.enter(window, "b")
        await bench.wait(3)
        assert await bench.enter(window, "b")

    @pytest.mark.parametrize("sent", [True, False])
    async def test_an_unknown_token_changes_nothing(self, bench: StoreBench, sent: bool) -> None:
        """Leaving with a token that has no slot neither takes nor frees one."""
        window = bench.window(2)
        assert await bench.enter(window, "a")
        await bench.store.leave(window, "unknown", sent=sent)
        assert await bench.enter(window, "b")
        assert not await bench.enter(window, "c")

    async def test_a_held_slot_is_given_up(self, bench: StoreBench) -> None:
        """A slot that nobody leaves is free `hold` and one period after it was taken."""
        window = bench.window(1, units=3)
        assert await bench.enter(window, "a", hold=3)
        await bench.wait(5)
        assert not await bench.enter(window, "b")
        await bench.wait(2)
        assert await bench.enter(window, "b")

    async def test_windows_are_apart(self, bench: StoreBench) -> None:
        """A window that is full doesn't fill another one."""
        first, second = bench.window(1, name="one"), bench.window(1, name="two")
        assert await bench.enter(first, "a")
        assert await bench.enter(second, "a")
        assert not await bench.enter(first, "b")

    async def test_keys_and_windows_are_apart(self, bench: StoreBench) -> None:
        """A key and a window of the same name have nothing to do with each other."""
        await bench.claimed("same")
        assert await bench.enter(bench.window(1, name="same"), "a")
        assert isinstance(await bench.store.claim("same", "a=1", bench.unit), InFlight)

    async def test_any_text_is_a_name_and_a_token(self, bench: StoreBench) -> None:
        """Windows and tokens may be any text, and none is taken for one like it."""
        windows = {name: bench.window(1, name=name) for name in HOSTILE_KEYS}
        for name, window in windows.items():
            assert await bench.enter(window, name), ascii(name)
        for name, window in windows.items():
            assert not await bench.enter(window, "other"), ascii(name)
            await bench.other.leave(window, name, sent=False)
            assert await bench.enter(window, "other"), ascii(name)

    async def test_bulk_leaves_a_reserve(self, bench: StoreBench) -> None:
        """The bulk lane fills nine tenths of the window; the rest is for those who wait."""
        window = bench.window(20)
        bulk = [await bench.enter(window, f"b{n}", Lane.BULK) for n in range(19)]
        assert bulk == [True] * 18 + [False]
        interactive = [await bench.enter(window, f"i{n}") for n in range(3)]
        assert interactive == [True, True, False]

    async def test_a_window_of_one_has_no_reserve(self, bench: StoreBench) -> None:
        """Where the window has one slot, the bulk lane may use it."""
        assert await bench.enter(bench.window(1), "a", Lane.BULK)

    async def test_the_reserve_is_at_least_one_slot(self, bench: StoreBench) -> None:
        """Where a tenth is less than a slot, the bulk lane leaves one all the same."""
        window = bench.window(2)
        assert await bench.enter(window, "a", Lane.BULK)
        assert not await bench.enter(window, "b", Lane.BULK)
        assert await bench.enter(window, "c")


class TestPace:
    """Bulk enters evenly beside payers, and a call is told when there is a slot for it."""

    async def test_many_go_evenly(self, bench: StoreBench) -> None:
        """At a pace, bulk takes a tenth at once, and the next when it was told to."""
        window = bench.window(40, units=100)
        entered, wait = 0, 0.0
        while not wait:
            token = f"{(entered := entered + 1)}"
            wait = await bench.store.enter(window, token, Lane.BULK, bench.unit, pace=True)
        assert entered - 1 in (5, 6)
        assert 0 < wait <= 2.5 * bench.unit
        await bench.wait(wait / bench.unit + 0.1)
        assert not await bench.other.enter(window, "next", Lane.BULK, bench.unit, pace=True)

    async def test_a_payer_calls_for_the_pace(self, bench: StoreBench) -> None:
        """After a payer came, bulk keeps the pace, whatever it was told."""
        window = bench.window(40, units=100)
        assert await bench.enter(window, "payer")
        bulk = [await bench.enter(window, f"{n}", Lane.BULK) for n in range(6)]
        assert bulk[0]
        assert not bulk[-1]

    async def test_a_call_is_told_when_there_is_a_slot(self, bench: StoreBench) -> None:
        """Who is behind others is told when the slot is free that comes after theirs."""
        window = bench.window(3, units=60)
        for token in ("a", "b", "c"):
            assert await bench.enter(window, token)
            await bench.store.leave(window, token, sent=True)
            await bench.wait(1)
        told = [
            await bench.other.opens_in(window, Lane.INTERACTIVE, ahead) / bench.unit
            for ahead in (0, 1, 2, 3, 7)
        ]
        assert told == pytest.approx([57, 58, 59, 117, 178], abs=1.0)
        assert not await bench.enter(window, "d")

    @pytest.mark.parametrize("seed", range(5))
    async def test_it_does_as_the_rules(self, bench: StoreBench, seed: int) -> None:
        """Whatever is done in whatever order, every store says what the rules say."""
        if bench.clock is None or bench.rules is None:
            pytest.skip("a server's own time goes on between two answers")
        chance = random.Random(seed)  # noqa: S311  # not a secret
        rules = bench.rules(RateLimit(chance.choice([1, 4, 20]), 60))
        window = Window("rules", rules.limit)
        for step in range(150):
            bench.clock.advance(chance.choice([0, 0, 0.25, 1, 5, 20]))
            now, lane, pace = bench.clock(), chance.choice(list(Lane)), chance.random() < 0.5
            token, earlier = f"{step}", f"{step - chance.randrange(9)}"
            match chance.randrange(6):
                case 0 | 1 | 2:
                    expected = rules.enter(token, lane, now, 5, pace=pace)
                    told = await bench.store.enter(window, token, lane, 5, pace=pace)
                    assert told == pytest.approx(expected, abs=1e-4), step
                case 3:
                    rules.leave(earlier, now, sent=pace)
                    await bench.other.leave(window, earlier, sent=pace)
                case 4:
                    rules.refuse(earlier, now, 2)
                    await bench.store.refuse(window, earlier, 2)
                case _:
                    ahead = chance.randrange(30)
                    expected = rules.opens_in(lane, ahead, now, pace=pace)
                    told = await bench.other.opens_in(window, lane, ahead, pace=pace)
                    assert told == pytest.approx(expected, abs=1e-3), step


class TestLimits:
    """A window whose limit changes keeps what is inside it."""

    async def test_a_wider_limit_gives_the_difference(self, bench: StoreBench) -> None:
        """After the limit grows from 2 to 4, two more slots are there."""
        narrow, wide = bench.window(2), bench.window(4)
        assert await bench.enter(narrow, "a")
        assert await bench.enter(narrow, "b")
        given = [await bench.enter(wide, f"{n}") for n in range(3)]
        assert given == [True, True, False]

    async def test_a_narrower_limit_waits_for_room(self, bench: StoreBench) -> None:
        """After the limit shrinks from 3 to 2, two slots must free before one is given."""
        wide, narrow = bench.window(3, units=4), bench.window(2, units=4)
        for token in ("a", "b", "c"):
            assert await bench.enter(wide, token)
        await bench.store.leave(wide, "a", sent=False)
        assert not await bench.enter(narrow, "d")
        await bench.store.leave(narrow, "b", sent=False)
        assert await bench.enter(narrow, "d")

    async def test_a_slot_taken_under_another_limit_can_be_left(self, bench: StoreBench) -> None:
        """Who entered under one limit leaves under another."""
        assert await bench.enter(bench.window(1), "a")
        await bench.store.leave(bench.window(2), "a", sent=False)
        assert await bench.enter(bench.window(1), "b")

    async def test_a_pause_outlives_a_change(self, bench: StoreBench) -> None:
        """A pause holds under the new limit too."""
        await bench.store.refuse(bench.window(2), "a", 100 * bench.unit)
        assert not await bench.enter(bench.window(3), "b")
