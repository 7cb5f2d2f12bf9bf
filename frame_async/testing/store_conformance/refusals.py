"""What a 429 does to a window, and calls that have no time to wait."""

from frame_async.protocol.window import Lane
from frame_async.stores import Window
from frame_async.testing.store_conformance.bench import StoreBench


class TestRefuse:
    """A 429 speaks for everyone."""

    async def test_everyone_pauses(self, bench: StoreBench) -> None:
        """After a 429 nobody gets a slot until the pause is over."""
        window = bench.window(10)
        assert await bench.enter(window, "a")
        await bench.store.refuse(window, "a", 3 * bench.unit)
        for lane in Lane:
            wait = await bench.other.enter(window, "b", lane, bench.unit)
            assert 1.5 * bench.unit < wait <= 3 * bench.unit
        await bench.wait(4)
        await bench.store.leave(window, "a", sent=True)

    async def test_other_windows_go_on(self, bench: StoreBench) -> None:
        """A pause is for its own window only."""
        await bench.store.refuse(bench.window(5, name="one"), "a", 100 * bench.unit)
        assert await bench.enter(bench.window(5, name="two"), "a")

    async def test_a_pause_is_never_shortened(self, bench: StoreBench) -> None:
        """A second 429 with a shorter pause doesn't end the first one sooner."""
        window = bench.window(5)
        await bench.store.refuse(window, "a", 5 * bench.unit)
        await bench.store.refuse(window, "b", 1 * bench.unit)
        await bench.wait(2)
        assert not await bench.enter(window, "c")

    async def test_a_refusal_without_a_slot_takes_nothing(self, bench: StoreBench) -> None:
        """A 429 for a token without a slot pauses, and the whole limit is there after it."""
        window = bench.window(3)
        await bench.store.refuse(window, "unknown", 1 * bench.unit)
        await bench.wait(2)
        given = [await bench.enter(window, f"{n}") for n in range(4)]
        assert given == [True, True, True, False]

    async def test_a_refused_request_counts(self, bench: StoreBench) -> None:
        """The slot of a refused request stays taken for one period."""
        window = bench.window(1, units=4)
        assert await bench.enter(window, "a")
        await bench.store.refuse(window, "a", 0.5 * bench.unit)
        await bench.wait(2)
        assert not await bench.enter(window, "b")
        await bench.wait(3)
        assert await bench.enter(window, "b")

    async def test_what_is_left_to_us_is_learned(self, bench: StoreBench) -> None:
        """After a 429 within the limit, no more is tried than was got, plus one probe."""
        window = await learned(bench)
        assert await bench.enter(window, "probe")
        assert not await bench.enter(window, "beyond")

    async def test_a_lone_429_teaches_nothing(self, bench: StoreBench) -> None:
        """A 429 from a window that had room is a pause, and then there is as much room again."""
        window = bench.window(10, units=10)
        assert await bench.enter(window, "a")
        await bench.store.refuse(window, "a", 1 * bench.unit)
        assert not await bench.enter(window, "0")
        await bench.wait(2)
        assert [await bench.enter(window, f"{n}") for n in range(10)] == [True] * 9 + [False]

    async def test_a_probe_that_succeeds_finds_more(self, bench: StoreBench) -> None:
        """When the probe beyond what is known is answered, that slot is ours too."""
        window = await learned(bench)
        assert await bench.enter(window, "probe")
        await bench.store.leave(window, "probe", sent=True)
        assert await bench.enter(window, "next probe")
        assert not await bench.enter(window, "beyond")

    async def test_a_probe_that_was_not_sent_finds_nothing(self, bench: StoreBench) -> None:
        """A probe that can't have been sent makes room for another one, and no more."""
        window = await learned(bench)
        assert await bench.enter(window, "probe")
        await bench.other.leave(window, "probe", sent=False)
        assert await bench.enter(window, "next probe")
        assert not await bench.enter(window, "beyond")

    async def test_a_probe_that_is_refused_ends_probing(self, bench: StoreBench) -> None:
        """After a probe met a 429, nobody probes for one period."""
        window = await learned(bench)
        assert await bench.enter(window, "probe")
        await bench.store.refuse(window, "probe", 0.1 * bench.unit)
        await bench.wait(0.5)
        assert not await bench.enter(window, "beyond")

    async def test_a_probe_goes_alone(self, bench: StoreBench) -> None:
        """While a request is under way nobody probes, until one more period is over."""
        window = await learned(bench, held=1)
        assert not await bench.enter(window, "probe")
        await bench.store.leave(window, "again 0", sent=True)
        assert await bench.enter(window, "probe")

    async def test_bulk_leaves_a_reserve_of_what_is_known(self, bench: StoreBench) -> None:
        """Where others use part of the limit, the bulk lane leaves a tenth of our part."""
        window = await learned(bench, enters=3, held=1, lane=Lane.BULK)
        assert await bench.enter(window, "bulk", Lane.BULK)
        assert not await bench.enter(window, "bulk too", Lane.BULK)
        assert await bench.enter(window, "interactive")

    async def test_what_was_learned_outlives_a_change(self, bench: StoreBench) -> None:
        """A wider limit doesn't give more than others leave to us."""
        await learned(bench, held=1)
        assert not await bench.enter(bench.window(20), "beyond")


class TestForce:
    """What was learned of others is a guess, and refuses no call that has no time to wait."""

    async def test_it_goes_beyond_what_was_learned(self, bench: StoreBench) -> None:
        """Beyond what is known to be ours a slot can be taken; beyond the limit none."""
        window = await learned(bench, held=1)
        assert not await bench.enter(window, "no time")
        forced = [await bench.force(window, f"{n}") for n in range(6)]
        assert forced == [True] * 5 + [False]

    async def test_bulk_leaves_its_reserve(self, bench: StoreBench) -> None:
        """The bulk lane leaves the reserve of the limit, in a hurry too."""
        window = await learned(bench, held=1)
        forced = [await bench.force(window, f"{n}", Lane.BULK) for n in range(5)]
        assert forced == [True] * 4 + [False]
        assert await bench.force(window, "payer")

    async def test_a_full_window_is_not_forced(self, bench: StoreBench) -> None:
        """Where nothing was learned, the limit is the limit."""
        window = bench.window(2)
        assert await bench.enter(window, "a")
        assert await bench.force(window, "b")
        assert not await bench.force(window, "c")
        await bench.store.leave(window, "b", sent=False)
        assert await bench.force(window, "c")

    async def test_a_pause_is_not_forced(self, bench: StoreBench) -> None:
        """A 429 speaks for those in a hurry too."""
        window = bench.window(5)
        await bench.store.refuse(window, "unknown", 1 * bench.unit)
        assert not await bench.force(window, "a")
        await bench.wait(2)
        assert await bench.force(window, "a")

    async def test_what_is_forced_finds_out(self, bench: StoreBench) -> None:
        """While a forced request is under way nobody probes; its answer teaches as a probe's."""
        window = await learned(bench)
        assert await bench.force(window, "one")
        assert await bench.force(window, "two")
        assert not await bench.enter(window, "probe")
        await bench.store.leave(window, "one", sent=True)
        assert not await bench.enter(window, "probe"), "two is still finding out"
        await bench.store.leave(window, "two", sent=True)
        assert await bench.enter(window, "probe")
        assert not await bench.enter(window, "beyond")

    async def test_a_forced_slot_that_was_not_used_is_free(self, bench: StoreBench) -> None:
        """When certainly nothing was sent, a forced slot is free, and others may probe."""
        window = await learned(bench)
        assert await bench.force(window, "one")
        await bench.other.leave(window, "one", sent=False)
        assert await bench.enter(window, "probe")

    async def test_a_forced_slot_is_given_up(self, bench: StoreBench) -> None:
        """A forced slot that nobody leaves is free `hold` and one period after it was taken."""
        window = bench.window(1, units=3)
        assert await bench.force(window, "a", hold=1)
        await bench.wait(3)
        assert not await bench.enter(window, "b")
        await bench.wait(2)
        assert await bench.enter(window, "b")


async def learned(
    bench: StoreBench, enters: int = 5, held: int = 0, lane: Lane = Lane.INTERACTIVE
) -> Window:
    """A window of 10 in which 5 are ours, one period later; some are taken again."""
    window = bench.window(10, units=4)
    for n in range(7):
        assert await bench.enter(window, f"{n}")
    for n in range(5):
        await bench.store.leave(window, f"{n}", sent=True)
    for n in (5, 6):
        await bench.store.refuse(window, f"{n}", 0.5 * bench.unit)
    await bench.wait(5)
    for n in range(enters):
        assert await bench.enter(window, f"again {n}", lane)
    for n in range(held, enters):
        await bench.store.leave(window, f"again {n}", sent=True)
    return window
