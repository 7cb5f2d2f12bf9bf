"""How a claim ends: done, in doubt, released; and who may end it."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from frame_async.protocol.window import Lane
from frame_async.stores import Claim, Claimed, Done, InDoubt, InFlight, Store, Window
from frame_async.testing.store_conformance.bench import EVERY_BYTE, StoreBench
from frame_async.testing.store_conformance.claims import done, doubted


class TestComplete:
    """A session was created."""

    @pytest.mark.parametrize(
        "body", [b"", b"{}", EVERY_BYTE, b"\x00", '{"é": 1}'.encode(), b"'; --"], ids=range(6)
    )
    async def test_the_answer_is_given_back_exactly(self, bench: StoreBench, body: bytes) -> None:
        """A claim of a key that is done gets the very bytes of the answer."""
        token = await bench.claimed("k")
        assert await bench.store.complete("k", token, body, 100 * bench.unit) is True
        assert await bench.other.claim("k", "a=1", bench.unit) == Done(body)
        assert await bench.store.claim("k", "a=1", bench.unit) == Done(body)

    async def test_a_body_of_a_mebibyte(self, bench: StoreBench) -> None:
        """An answer of 1 MiB is given back whole."""
        body = EVERY_BYTE * 4096
        token = await bench.claimed("k")
        assert await bench.store.complete("k", token, body, 100 * bench.unit)
        assert await bench.other.claim("k", "a=1", bench.unit) == Done(body)

    async def test_a_lapsed_claim_nobody_took_can_be_completed(self, bench: StoreBench) -> None:
        """A session that was created is remembered, though the lease ran out meanwhile."""
        token = await bench.claimed("k", units=1)
        await bench.wait(2)
        assert await bench.store.complete("k", token, b"{}", 100 * bench.unit)
        assert await bench.other.claim("k", "a=1", bench.unit) == Done(b"{}")

    async def test_it_is_kept_as_long_as_was_said(self, bench: StoreBench) -> None:
        """A session is remembered for `keep` seconds, and the key is free after that."""
        token = await bench.claimed("k", units=1)
        assert await bench.store.complete("k", token, b"{}", 6 * bench.unit)
        await bench.wait(3)
        assert await bench.other.claim("k", "a=1", bench.unit) == Done(b"{}")
        await bench.wait(4)
        assert isinstance(await bench.other.claim("k", "b=2", bench.unit), Claimed)

    async def test_what_is_done_stays_done(self, bench: StoreBench) -> None:
        """The token of a completed claim changes nothing any more."""
        token = await bench.claimed("k")
        assert await bench.store.complete("k", token, b"{}", 100 * bench.unit)
        assert not await bench.store.complete("k", token, b"[]", 100 * bench.unit)
        assert not await bench.store.renew("k", token, 100 * bench.unit, 1)
        assert not await bench.store.doubt("k", token, 1, 100 * bench.unit)
        assert not await bench.store.release("k", token)
        assert await bench.other.claim("k", "a=1", bench.unit) == Done(b"{}")

    async def test_completing_again_changes_nothing(self, bench: StoreBench) -> None:
        """The same answer with the same token again is fine, and is kept no longer for it."""
        token = await bench.claimed("k")
        assert await bench.store.complete("k", token, b"{}", 4 * bench.unit)
        assert await bench.other.complete("k", token, b"{}", 100 * bench.unit) is True
        assert await bench.other.claim("k", "a=1", bench.unit) == Done(b"{}")
        await bench.wait(5)
        assert await bench.store.complete("k", token, b"{}", 100 * bench.unit) is False
        assert isinstance(await bench.other.claim("k", "b=2", bench.unit), Claimed)


class TestDoubt:
    """A session may exist."""

    async def test_doubting_again_changes_nothing(self, bench: StoreBench) -> None:
        """The same doubt with the same token again is fine; any other is refused."""
        token = await bench.claimed("k")
        assert await bench.store.doubt("k", token, 2, 100 * bench.unit)
        assert await bench.other.doubt("k", token, 2, bench.unit) is True
        assert not await bench.store.doubt("k", token, 3, 100 * bench.unit)
        assert not await bench.store.complete("k", token, b"{}", 100 * bench.unit)
        assert not await bench.store.renew("k", token, 100 * bench.unit, 1)
        assert not await bench.store.release("k", token)
        await bench.wait(2)
        answer = await bench.other.claim("k", "a=1", 100 * bench.unit)
        assert isinstance(answer, InDoubt)
        assert answer.doubts == 2
        assert not await bench.store.doubt("k", token, 2, 100 * bench.unit)

    async def test_the_next_claim_learns_the_doubts(self, bench: StoreBench) -> None:
        """A claim of a doubted key gets it at once, with the number of doubts."""
        token = await bench.claimed("k")
        assert await bench.store.doubt("k", token, 4, 100 * bench.unit) is True
        answer = await bench.other.claim("k", "a=1", 100 * bench.unit)
        assert isinstance(answer, InDoubt)
        assert answer.doubts == 4
        assert answer.token != token

    async def test_doubts_are_kept_as_long_as_was_said(self, bench: StoreBench) -> None:
        """A doubt is remembered for `keep` seconds, and the key is free after that."""
        for key, waits in (("early", 3), ("late", 7)):
            token = await bench.claimed(key)
            assert await bench.store.doubt(key, token, 1, 6 * bench.unit)
            await bench.wait(waits)
            expected = InDoubt if key == "early" else Claimed
            assert type(await bench.other.claim(key, "a=1", bench.unit)) is expected

    async def test_a_doubted_key_can_be_completed(self, bench: StoreBench) -> None:
        """Whoever takes a doubted key over can complete it."""
        await doubted(bench, "k")
        taken = await bench.other.claim("k", "a=1", 100 * bench.unit)
        assert isinstance(taken, InDoubt)
        assert await bench.other.complete("k", taken.token, b"{}", 100 * bench.unit)
        assert await bench.store.claim("k", "a=1", bench.unit) == Done(b"{}")


class TestRelease:
    """Certainly nothing was created."""

    async def test_a_released_key_is_free(self, bench: StoreBench) -> None:
        """A released key can be claimed again, for another request too."""
        token = await bench.claimed("k")
        assert await bench.store.release("k", token) is True
        assert isinstance(await bench.other.claim("k", "b=2", bench.unit), Claimed)

    async def test_releasing_twice_is_refused(self, bench: StoreBench) -> None:
        """The token of a released claim is worth nothing."""
        token = await bench.claimed("k")
        assert await bench.store.release("k", token)
        assert not await bench.store.release("k", token)


Late = Callable[[Store, str, str, float], Awaitable[bool]]

LATE: dict[str, Late] = {
    "renew": lambda store, key, token, unit: store.renew(key, token, 100 * unit, 9),
    "complete": lambda store, key, token, unit: store.complete(key, token, b"late", 100 * unit),
    "doubt": lambda store, key, token, unit: store.doubt(key, token, 9, 100 * unit),
    "release": lambda store, key, token, _: store.release(key, token),
}


@pytest.mark.parametrize("late", LATE.values(), ids=LATE)
class TestTokens:
    """A token proves that the claim is still one's own."""

    async def test_a_lost_claim_changes_nothing(self, bench: StoreBench, late: Late) -> None:
        """Whoever wakes up late is told so, and the new owner's outcome stands."""
        old, new = await bench.lost("k")
        assert await late(bench.store, "k", old, bench.unit) is False
        assert isinstance(await bench.store.claim("k", "a=1", bench.unit), InFlight)
        assert await bench.other.complete("k", new, b"mine", 100 * bench.unit)
        assert await late(bench.store, "k", old, bench.unit) is False
        assert await bench.store.claim("k", "a=1", bench.unit) == Done(b"mine")

    async def test_a_lost_claim_leaves_doubt_alone(self, bench: StoreBench, late: Late) -> None:
        """Whoever wakes up late doesn't change the doubts that the new owner left."""
        old, new = await bench.lost("k")
        assert await bench.other.doubt("k", new, 2, 100 * bench.unit)
        assert await late(bench.store, "k", old, bench.unit) is False
        answer: Claim = await bench.store.claim("k", "a=1", bench.unit)
        assert isinstance(answer, InDoubt)
        assert answer.doubts == 2

    async def test_a_key_that_nobody_claimed(self, bench: StoreBench, late: Late) -> None:
        """A token for a key that is free changes nothing."""
        assert await late(bench.store, "k", "made up", bench.unit) is False
        assert isinstance(await bench.store.claim("k", "b=2", bench.unit), Claimed)

    async def test_the_token_of_another_key(self, bench: StoreBench, late: Late) -> None:
        """A token is good for its own key only."""
        token = await bench.claimed("other")
        await bench.claimed("k")
        assert await late(bench.store, "k", token, bench.unit) is False
        assert isinstance(await bench.store.claim("k", "a=1", bench.unit), InFlight)


class TestHandles:
    """Opening and closing."""

    async def test_closing_twice_does_nothing(self, bench: StoreBench) -> None:
        """A store can be closed again, also by many at once."""
        await bench.claimed("k")
        await asyncio.gather(*(bench.store.aclose() for _ in range(5)))
        await bench.store.aclose()

    async def test_what_was_told_outlives_the_handle(self, bench: StoreBench) -> None:
        """What one handle remembered is there for the next one, where the store is shared."""
        if not bench.store.shared:
            pytest.skip("nothing outlives a store that isn't shared")
        window: Window = bench.window(1)
        await done(bench, "done")
        await doubted(bench, "doubt")
        await bench.claimed("claimed")
        assert await bench.enter(window, "a")
        await bench.aclose()
        again = bench.open()
        assert await again.claim("done", "a=1", bench.unit) == Done(b"{}")
        answer = await again.claim("doubt", "a=1", bench.unit)
        assert isinstance(answer, InDoubt)
        assert answer.doubts == 2
        assert isinstance(await again.claim("claimed", "a=1", bench.unit), InFlight)
        assert await again.enter(window, "b", Lane.INTERACTIVE, bench.unit) > 0
        await again.aclose()
