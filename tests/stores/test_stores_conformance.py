"""What every store does: each sentence of `Store` with its examples, on every backend.

How to add a backend: see ``conftest.py`` beside this file.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest
from support.appointing import AppointingWindow
from support.stores import Bench

from frame_async.errors import IdempotencyConflictError
from frame_async.protocol.fingerprints import make_fingerprint
from frame_async.protocol.window import Lane, RateLimit, RollingWindow
from frame_async.stores import Claim, Claimed, Done, InDoubt, InFlight, Store, Window

EVERY_BYTE = bytes(range(256))

HOSTILE_KEYS = [
    "a",
    "A",
    "a ",
    " a",
    "a\n",
    "a\x00",
    "a\x00b",
    "\x00",
    "'; DROP TABLE keys; --",
    '"quoted"',
    "`tick`",
    "back\\slash",
    "a%b",
    "a_b",
    "a*",
    "a?b",
    "{a}",
    "a:b",
    "a=b,c=d",
    "%s %(key)s $1 ?1 :key {0}",
    "']) redis.call('FLUSHALL') --[[",
    "é",
    "e\u0301",
    "日本語",
    "😀",
    "\u202eright to left",
    "0",
    "1e3",
    "null",
    "x" * 255,
    "y" * 254 + "z",
]


class TestClaim:
    """One key: who has it."""

    async def test_a_free_key_is_claimed(self, bench: Bench) -> None:
        """Claiming a key that nobody used gives it to the caller, with a token."""
        answer = await bench.store.claim("k", "a=1", 100 * bench.unit)
        assert isinstance(answer, Claimed)
        assert answer.token

    async def test_every_claim_has_its_own_token(self, bench: Bench) -> None:
        """No two claims get the same token, not even of the same key."""
        tokens = set()
        for _ in range(10):
            token = await bench.claimed("k")
            tokens.add(token)
            await bench.store.release("k", token)
        tokens.add(await bench.claimed("other"))
        assert len(tokens) == 11

    async def test_a_claimed_key_is_in_flight(self, bench: Bench) -> None:
        """Another claim is told that the key is in flight, and for how long at least."""
        await bench.claimed("k", units=10)
        await bench.wait(1)
        answer = await bench.other.claim("k", "a=1", 100 * bench.unit)
        assert isinstance(answer, InFlight)
        assert 7 * bench.unit < answer.lease <= 9 * bench.unit

    async def test_asking_does_not_lengthen_the_lease(self, bench: Bench) -> None:
        """A claim that finds the key in flight changes nothing of it."""
        await bench.claimed("k", units=2)
        assert isinstance(await bench.other.claim("k", "a=1", 100 * bench.unit), InFlight)
        await bench.wait(3)
        assert isinstance(await bench.other.claim("k", "a=1", 100 * bench.unit), InDoubt)

    async def test_a_lapsed_lease_is_doubt(self, bench: Bench) -> None:
        """When the lease ran out, the next claim gets the key, in doubt by one attempt."""
        old = await bench.claimed("k", units=1)
        await bench.wait(2)
        answer = await bench.other.claim("k", "a=1", 100 * bench.unit)
        assert isinstance(answer, InDoubt)
        assert answer.doubts == 1
        assert answer.token != old

    async def test_every_lapsed_owner_adds_a_doubt(self, bench: Bench) -> None:
        """Each process that dies with the key leaves one more attempt in doubt."""
        await bench.claimed("k", units=1)
        for doubts in (1, 2, 3):
            await bench.wait(2)
            answer = await bench.other.claim("k", "a=1", 1 * bench.unit)
            assert isinstance(answer, InDoubt)
            assert answer.doubts == doubts

    async def test_the_one_who_takes_over_has_a_lease(self, bench: Bench) -> None:
        """A key taken over in doubt is in flight for everyone else."""
        await bench.lost("k")
        assert isinstance(await bench.store.claim("k", "a=1", bench.unit), InFlight)

    async def test_any_text_is_a_key(self, bench: Bench) -> None:
        """Every text up to 255 characters is a key, and none is taken for one like it."""
        tokens = {key: await bench.claimed(key) for key in HOSTILE_KEYS}
        for key, token in tokens.items():
            assert await bench.store.complete(key, token, key.encode(), 100 * bench.unit)
        for key in HOSTILE_KEYS:
            assert await bench.other.claim(key, "a=1", bench.unit) == Done(key.encode())

    async def test_one_of_fifty_gets_the_key(self, bench: Bench) -> None:
        """Of fifty claims at once, exactly one gets the key; the others find it in flight."""
        stores = [bench.store, bench.other] * 25
        answers = await asyncio.gather(
            *(store.claim("k", "a=1", 100 * bench.unit) for store in stores)
        )
        kinds = sorted(type(answer).__name__ for answer in answers)
        assert kinds == ["Claimed"] + ["InFlight"] * 49

    async def test_one_of_fifty_takes_over(self, bench: Bench) -> None:
        """Of fifty claims of a lapsed key, exactly one gets it in doubt."""
        await bench.claimed("k", units=1)
        await bench.wait(2)
        stores = [bench.store, bench.other] * 25
        answers = await asyncio.gather(
            *(store.claim("k", "a=1", 100 * bench.unit) for store in stores)
        )
        kinds = sorted(type(answer).__name__ for answer in answers)
        assert kinds == ["InDoubt"] + ["InFlight"] * 49


async def claimed_only(bench: Bench, key: str) -> None:
    await bench.claimed(key)


async def lapsed(bench: Bench, key: str) -> None:
    await bench.claimed(key, units=1)
    await bench.wait(2)


async def done(bench: Bench, key: str) -> None:
    await bench.store.complete(key, await bench.claimed(key), b"{}", 100 * bench.unit)


async def doubted(bench: Bench, key: str) -> None:
    await bench.store.doubt(key, await bench.claimed(key), 2, 100 * bench.unit)


class TestConflict:
    """One key stands for one request."""

    @pytest.mark.parametrize("past", [claimed_only, lapsed, done, doubted])
    async def test_another_request_is_a_conflict(
        self, bench: Bench, past: Callable[[Bench, str], Awaitable[None]]
    ) -> None:
        """Whatever became of the key, another fingerprint is a conflict."""
        await past(bench, "k")
        with pytest.raises(IdempotencyConflictError):
            await bench.other.claim("k", "a=2", bench.unit)

    async def test_the_fields_that_differ_are_named(self, bench: Bench) -> None:
        """The error names the key and every field that is changed, added or gone."""
        one = make_fingerprint({"amount": b"1", "currency": b"2", "gone": b"3"})
        other = make_fingerprint({"added": b"4", "amount": b"9", "currency": b"2"})
        await bench.claimed("k", one)
        with pytest.raises(IdempotencyConflictError) as caught:
            await bench.other.claim("k", other, bench.unit)
        assert caught.value.key == "k"
        assert caught.value.fields == ("added", "amount", "gone")

    async def test_a_conflict_changes_nothing(self, bench: Bench) -> None:
        """The call that has the key goes on as if nobody had asked."""
        token = await bench.claimed("k")
        with pytest.raises(IdempotencyConflictError):
            await bench.other.claim("k", "a=2", bench.unit)
        assert await bench.store.complete("k", token, b"{}", 100 * bench.unit)
        assert await bench.other.claim("k", "a=1", bench.unit) == Done(b"{}")

    async def test_a_conflict_is_its_own_callers_only(self, bench: Bench) -> None:
        """Among many operations at once, one that conflicts fails, and no other."""
        await bench.claimed("k")
        answers = await asyncio.gather(
            *(bench.store.claim(f"{n}", "a=1", 100 * bench.unit) for n in range(20)),
            bench.store.claim("k", "a=2", bench.unit),
            *(bench.store.claim(f"{n}", "a=1", 100 * bench.unit) for n in range(20, 40)),
            return_exceptions=True,
        )
        assert isinstance(answers.pop(20), IdempotencyConflictError)
        assert all(isinstance(answer, Claimed) for answer in answers)
        assert isinstance(await bench.other.claim("7", "a=1", bench.unit), InFlight)


class TestRenew:
    """Going on with a claim."""

    async def test_a_renewed_lease_holds(self, bench: Bench) -> None:
        """A renewed claim is in flight beyond its first lease."""
        token = await bench.claimed("k", units=2)
        await bench.wait(1)
        assert await bench.store.renew("k", token, 10 * bench.unit, 1)
        await bench.wait(3)
        answer = await bench.other.claim("k", "a=1", bench.unit)
        assert isinstance(answer, InFlight)
        assert answer.lease <= 7 * bench.unit

    async def test_a_renewed_lease_can_be_shorter(self, bench: Bench) -> None:
        """The lease that was said last counts, also when it ends sooner."""
        token = await bench.claimed("k", units=100)
        assert await bench.store.renew("k", token, 1 * bench.unit, 1)
        await bench.wait(2)
        assert isinstance(await bench.other.claim("k", "a=1", bench.unit), InDoubt)

    async def test_renewing_says_how_many_are_in_doubt(self, bench: Bench) -> None:
        """The next owner learns as many doubts as the last renewal said."""
        token = await bench.claimed("k")
        assert await bench.store.renew("k", token, 1 * bench.unit, 3)
        await bench.wait(2)
        answer = await bench.other.claim("k", "a=1", bench.unit)
        assert isinstance(answer, InDoubt)
        assert answer.doubts == 3

    async def test_no_doubts_left_means_free(self, bench: Bench) -> None:
        """When the last renewal said that nothing is in doubt, the next claim is clean."""
        token = await bench.claimed("k")
        assert await bench.store.renew("k", token, 1 * bench.unit, 0)
        await bench.wait(2)
        assert isinstance(await bench.other.claim("k", "a=1", bench.unit), Claimed)

    async def test_a_lapsed_claim_nobody_took_can_be_renewed(self, bench: Bench) -> None:
        """A lease that ran out is lost only when another call takes the key."""
        token = await bench.claimed("k", units=1)
        await bench.wait(2)
        assert await bench.store.renew("k", token, 100 * bench.unit, 1)
        assert isinstance(await bench.other.claim("k", "a=1", bench.unit), InFlight)


class TestComplete:
    """A session was created."""

    @pytest.mark.parametrize(
        "body", [b"", b"{}", EVERY_BYTE, b"\x00", '{"é": 1}'.encode(), b"'; --"], ids=range(6)
    )
    async def test_the_answer_is_given_back_exactly(self, bench: Bench, body: bytes) -> None:
        """A claim of a key that is done gets the very bytes of the answer."""
        token = await bench.claimed("k")
        assert await bench.store.complete("k", token, body, 100 * bench.unit) is True
        assert await bench.other.claim("k", "a=1", bench.unit) == Done(body)
        assert await bench.store.claim("k", "a=1", bench.unit) == Done(body)

    async def test_a_body_of_a_mebibyte(self, bench: Bench) -> None:
        """An answer of 1 MiB is given back whole."""
        body = EVERY_BYTE * 4096
        token = await bench.claimed("k")
        assert await bench.store.complete("k", token, body, 100 * bench.unit)
        assert await bench.other.claim("k", "a=1", bench.unit) == Done(body)

    async def test_a_lapsed_claim_nobody_took_can_be_completed(self, bench: Bench) -> None:
        """A session that was created is remembered, though the lease ran out meanwhile."""
        token = await bench.claimed("k", units=1)
        await bench.wait(2)
        assert await bench.store.complete("k", token, b"{}", 100 * bench.unit)
        assert await bench.other.claim("k", "a=1", bench.unit) == Done(b"{}")

    async def test_it_is_kept_as_long_as_was_said(self, bench: Bench) -> None:
        """A session is remembered for `keep` seconds, and the key is free after that."""
        token = await bench.claimed("k", units=1)
        assert await bench.store.complete("k", token, b"{}", 6 * bench.unit)
        await bench.wait(3)
        assert await bench.other.claim("k", "a=1", bench.unit) == Done(b"{}")
        await bench.wait(4)
        assert isinstance(await bench.other.claim("k", "b=2", bench.unit), Claimed)

    async def test_what_is_done_stays_done(self, bench: Bench) -> None:
        """The token of a completed claim changes nothing any more."""
        token = await bench.claimed("k")
        assert await bench.store.complete("k", token, b"{}", 100 * bench.unit)
        assert not await bench.store.complete("k", token, b"[]", 100 * bench.unit)
        assert not await bench.store.renew("k", token, 100 * bench.unit, 1)
        assert not await bench.store.doubt("k", token, 1, 100 * bench.unit)
        assert not await bench.store.release("k", token)
        assert await bench.other.claim("k", "a=1", bench.unit) == Done(b"{}")

    async def test_completing_again_changes_nothing(self, bench: Bench) -> None:
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

    async def test_doubting_again_changes_nothing(self, bench: Bench) -> None:
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

    async def test_the_next_claim_learns_the_doubts(self, bench: Bench) -> None:
        """A claim of a doubted key gets it at once, with the number of doubts."""
        token = await bench.claimed("k")
        assert await bench.store.doubt("k", token, 4, 100 * bench.unit) is True
        answer = await bench.other.claim("k", "a=1", 100 * bench.unit)
        assert isinstance(answer, InDoubt)
        assert answer.doubts == 4
        assert answer.token != token

    async def test_doubts_are_kept_as_long_as_was_said(self, bench: Bench) -> None:
        """A doubt is remembered for `keep` seconds, and the key is free after that."""
        for key, waits in (("early", 3), ("late", 7)):
            token = await bench.claimed(key)
            assert await bench.store.doubt(key, token, 1, 6 * bench.unit)
            await bench.wait(waits)
            expected = InDoubt if key == "early" else Claimed
            assert type(await bench.other.claim(key, "a=1", bench.unit)) is expected

    async def test_a_doubted_key_can_be_completed(self, bench: Bench) -> None:
        """Whoever takes a doubted key over can complete it."""
        await doubted(bench, "k")
        taken = await bench.other.claim("k", "a=1", 100 * bench.unit)
        assert isinstance(taken, InDoubt)
        assert await bench.other.complete("k", taken.token, b"{}", 100 * bench.unit)
        assert await bench.store.claim("k", "a=1", bench.unit) == Done(b"{}")


class TestRelease:
    """Certainly nothing was created."""

    async def test_a_released_key_is_free(self, bench: Bench) -> None:
        """A released key can be claimed again, for another request too."""
        token = await bench.claimed("k")
        assert await bench.store.release("k", token) is True
        assert isinstance(await bench.other.claim("k", "b=2", bench.unit), Claimed)

    async def test_releasing_twice_is_refused(self, bench: Bench) -> None:
        """The token of a released claim is worth nothing."""
        token = await bench.claimed("k")
        assert await bench.store.release("k", token)
        assert not await bench.store.release("k", token)


Late = Callable[[Store, str, str, float], Awaitable[bool]]

LATE: dict[str, Late] = {
    "renew": lambda store, key, token, unit: store.renew(key, token, 100 * unit, 9),
    "complete": lambda store, key, token, unit: store.complete(key, token, b"late", 100 * unit),
    "doubt": lambda store, key, token, unit: store.doubt(key, token, 9, 100 * unit),
    "release": lambda store, key, token, unit: store.release(key, token),
}


@pytest.mark.parametrize("late", LATE.values(), ids=LATE)
class TestTokens:
    """A token proves that the claim is still one's own."""

    async def test_a_lost_claim_changes_nothing(self, bench: Bench, late: Late) -> None:
        """Whoever wakes up late is told so, and the new owner's outcome stands."""
        old, new = await bench.lost("k")
        assert await late(bench.store, "k", old, bench.unit) is False
        assert isinstance(await bench.store.claim("k", "a=1", bench.unit), InFlight)
        assert await bench.other.complete("k", new, b"mine", 100 * bench.unit)
        assert await late(bench.store, "k", old, bench.unit) is False
        assert await bench.store.claim("k", "a=1", bench.unit) == Done(b"mine")

    async def test_a_lost_claim_leaves_doubt_alone(self, bench: Bench, late: Late) -> None:
        """Whoever wakes up late doesn't change the doubts that the new owner left."""
        old, new = await bench.lost("k")
        assert await bench.other.doubt("k", new, 2, 100 * bench.unit)
        assert await late(bench.store, "k", old, bench.unit) is False
        answer: Claim = await bench.store.claim("k", "a=1", bench.unit)
        assert isinstance(answer, InDoubt)
        assert answer.doubts == 2

    async def test_a_key_that_nobody_claimed(self, bench: Bench, late: Late) -> None:
        """A token for a key that is free changes nothing."""
        assert await late(bench.store, "k", "made up", bench.unit) is False
        assert isinstance(await bench.store.claim("k", "b=2", bench.unit), Claimed)

    async def test_the_token_of_another_key(self, bench: Bench, late: Late) -> None:
        """A token is good for its own key only."""
        token = await bench.claimed("other")
        await bench.claimed("k")
        assert await late(bench.store, "k", token, bench.unit) is False
        assert isinstance(await bench.store.claim("k", "a=1", bench.unit), InFlight)


class TestWindow:
    """The rolling window, shared by everyone who uses the store."""

    async def test_no_more_than_the_limit(self, bench: Bench) -> None:
        """As many slots as the limit are given, and not one more."""
        window = bench.window(5)
        assert [await bench.enter(window, f"{n}") for n in range(6)] == [True] * 5 + [False]
        wait = await bench.other.enter(window, "x", Lane.INTERACTIVE, bench.unit)
        assert 0 < wait <= window.limit.per

    async def test_at_once_no_more_than_the_limit(self, bench: Bench) -> None:
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

    async def test_entering_again_takes_no_second_slot(self, bench: Bench) -> None:
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

    async def test_entering_again_holds_no_longer(self, bench: Bench) -> None:
        """A slot is given up when it was first said, however often its token asks again."""
        window = bench.window(1, units=3)
        assert await bench.enter(window, "a", hold=1)
        assert await bench.enter(window, "a", hold=100)
        await bench.wait(5)
        assert await bench.enter(window, "b")

    async def test_being_turned_away_takes_no_slot(self, bench: Bench) -> None:
        """Who was told to wait has no slot, and leaving changes nothing."""
        window = bench.window(1)
        assert await bench.enter(window, "in")
        assert not await bench.enter(window, "out")
        await bench.store.leave(window, "out", sent=False)
        assert not await bench.enter(window, "other")

    async def test_an_answered_slot_frees_a_period_later(self, bench: Bench) -> None:
        """A slot is free one period after its answer came, not after it left."""
        window = bench.window(1, units=4)
        assert await bench.enter(window, "a")
        await bench.wait(2)
        await bench.store.leave(window, "a", sent=True)
        await bench.wait(3)
        assert not await bench.enter(window, "b")
        await bench.wait(2)
        assert await bench.enter(window, "b")

    async def test_the_wait_that_is_told_is_enough(self, bench: Bench) -> None:
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

    async def test_a_slot_that_was_not_used_is_free_at_once(self, bench: Bench) -> None:
        """When certainly nothing was sent, the slot is free again at once."""
        window = bench.window(1)
        assert await bench.enter(window, "a")
        await bench.other.leave(window, "a", sent=False)
        assert await bench.enter(window, "b")

    @pytest.mark.parametrize("sent", [True, False])
    async def test_leaving_twice_changes_nothing(self, bench: Bench, sent: bool) -> None:
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
    async def test_an_unknown_token_changes_nothing(self, bench: Bench, sent: bool) -> None:
        """Leaving with a token that has no slot neither takes nor frees one."""
        window = bench.window(2)
        assert await bench.enter(window, "a")
        await bench.store.leave(window, "unknown", sent=sent)
        assert await bench.enter(window, "b")
        assert not await bench.enter(window, "c")

    async def test_a_held_slot_is_given_up(self, bench: Bench) -> None:
        """A slot that nobody leaves is free `hold` and one period after it was taken."""
        window = bench.window(1, units=3)
        assert await bench.enter(window, "a", hold=3)
        await bench.wait(5)
        assert not await bench.enter(window, "b")
        await bench.wait(2)
        assert await bench.enter(window, "b")

    async def test_windows_are_apart(self, bench: Bench) -> None:
        """A window that is full doesn't fill another one."""
        first, second = bench.window(1, name="one"), bench.window(1, name="two")
        assert await bench.enter(first, "a")
        assert await bench.enter(second, "a")
        assert not await bench.enter(first, "b")

    async def test_keys_and_windows_are_apart(self, bench: Bench) -> None:
        """A key and a window of the same name have nothing to do with each other."""
        await bench.claimed("same")
        assert await bench.enter(bench.window(1, name="same"), "a")
        assert isinstance(await bench.store.claim("same", "a=1", bench.unit), InFlight)

    async def test_any_text_is_a_name_and_a_token(self, bench: Bench) -> None:
        """Windows and tokens may be any text, and none is taken for one like it."""
        windows = {name: bench.window(1, name=name) for name in HOSTILE_KEYS}
        for name, window in windows.items():
            assert await bench.enter(window, name), ascii(name)
        for name, window in windows.items():
            assert not await bench.enter(window, "other"), ascii(name)
            await bench.other.leave(window, name, sent=False)
            assert await bench.enter(window, "other"), ascii(name)

    async def test_bulk_leaves_a_reserve(self, bench: Bench) -> None:
        """The bulk lane fills nine tenths of the window; the rest is for those who wait."""
        window = bench.window(20)
        bulk = [await bench.enter(window, f"b{n}", Lane.BULK) for n in range(19)]
        assert bulk == [True] * 18 + [False]
        interactive = [await bench.enter(window, f"i{n}") for n in range(3)]
        assert interactive == [True, True, False]

    async def test_a_window_of_one_has_no_reserve(self, bench: Bench) -> None:
        """Where the window has one slot, the bulk lane may use it."""
        assert await bench.enter(bench.window(1), "a", Lane.BULK)

    async def test_the_reserve_is_at_least_one_slot(self, bench: Bench) -> None:
        """Where a tenth is less than a slot, the bulk lane leaves one all the same."""
        window = bench.window(2)
        assert await bench.enter(window, "a", Lane.BULK)
        assert not await bench.enter(window, "b", Lane.BULK)
        assert await bench.enter(window, "c")


class TestPace:
    """Bulk enters evenly beside payers, and a call is told when there is a slot for it."""

    async def test_many_go_evenly(self, bench: Bench) -> None:
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

    async def test_a_payer_calls_for_the_pace(self, bench: Bench) -> None:
        """After a payer came, bulk keeps the pace, whatever it was told."""
        window = bench.window(40, units=100)
        assert await bench.enter(window, "payer")
        bulk = [await bench.enter(window, f"{n}", Lane.BULK) for n in range(6)]
        assert bulk[0]
        assert not bulk[-1]

    async def test_a_call_is_told_when_there_is_a_slot(self, bench: Bench) -> None:
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
    async def test_it_does_as_the_rules(self, bench: Bench, seed: int) -> None:
        """Whatever is done in whatever order, every store says what the rules say."""
        if bench.clock is None:
            pytest.skip("a server's own time goes on between two answers")
        chance = random.Random(f"{bench.kind} {seed}")
        hosts = bench.kind in ("redis", "postgres")
        rules = (AppointingWindow if hosts else RollingWindow)(
            RateLimit(chance.choice([1, 4, 20]), 60)
        )
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

    async def test_a_wider_limit_gives_the_difference(self, bench: Bench) -> None:
        """After the limit grows from 2 to 4, two more slots are there."""
        narrow, wide = bench.window(2), bench.window(4)
        assert await bench.enter(narrow, "a")
        assert await bench.enter(narrow, "b")
        given = [await bench.enter(wide, f"{n}") for n in range(3)]
        assert given == [True, True, False]

    async def test_a_narrower_limit_waits_for_room(self, bench: Bench) -> None:
        """After the limit shrinks from 3 to 2, two slots must free before one is given."""
        wide, narrow = bench.window(3, units=4), bench.window(2, units=4)
        for token in ("a", "b", "c"):
            assert await bench.enter(wide, token)
        await bench.store.leave(wide, "a", sent=False)
        assert not await bench.enter(narrow, "d")
        await bench.store.leave(narrow, "b", sent=False)
        assert await bench.enter(narrow, "d")

    async def test_a_slot_taken_under_another_limit_can_be_left(self, bench: Bench) -> None:
        """Who entered under one limit leaves under another."""
        assert await bench.enter(bench.window(1), "a")
        await bench.store.leave(bench.window(2), "a", sent=False)
        assert await bench.enter(bench.window(1), "b")

    async def test_a_pause_outlives_a_change(self, bench: Bench) -> None:
        """A pause holds under the new limit too."""
        await bench.store.refuse(bench.window(2), "a", 100 * bench.unit)
        assert not await bench.enter(bench.window(3), "b")


class TestRefuse:
    """A 429 speaks for everyone."""

    async def test_everyone_pauses(self, bench: Bench) -> None:
        """After a 429 nobody gets a slot until the pause is over."""
        window = bench.window(10)
        assert await bench.enter(window, "a")
        await bench.store.refuse(window, "a", 3 * bench.unit)
        for lane in Lane:
            wait = await bench.other.enter(window, "b", lane, bench.unit)
            assert 1.5 * bench.unit < wait <= 3 * bench.unit
        await bench.wait(4)
        await bench.store.leave(window, "a", sent=True)

    async def test_other_windows_go_on(self, bench: Bench) -> None:
        """A pause is for its own window only."""
        await bench.store.refuse(bench.window(5, name="one"), "a", 100 * bench.unit)
        assert await bench.enter(bench.window(5, name="two"), "a")

    async def test_a_pause_is_never_shortened(self, bench: Bench) -> None:
        """A second 429 with a shorter pause doesn't end the first one sooner."""
        window = bench.window(5)
        await bench.store.refuse(window, "a", 5 * bench.unit)
        await bench.store.refuse(window, "b", 1 * bench.unit)
        await bench.wait(2)
        assert not await bench.enter(window, "c")

    async def test_a_refusal_without_a_slot_takes_nothing(self, bench: Bench) -> None:
        """A 429 for a token without a slot pauses, and the whole limit is there after it."""
        window = bench.window(3)
        await bench.store.refuse(window, "unknown", 1 * bench.unit)
        await bench.wait(2)
        given = [await bench.enter(window, f"{n}") for n in range(4)]
        assert given == [True, True, True, False]

    async def test_a_refused_request_counts(self, bench: Bench) -> None:
        """The slot of a refused request stays taken for one period."""
        window = bench.window(1, units=4)
        assert await bench.enter(window, "a")
        await bench.store.refuse(window, "a", 0.5 * bench.unit)
        await bench.wait(2)
        assert not await bench.enter(window, "b")
        await bench.wait(3)
        assert await bench.enter(window, "b")

    async def test_what_is_left_to_us_is_learned(self, bench: Bench) -> None:
        """After a 429 within the limit, no more is tried than was got, plus one probe."""
        window = await learned(bench)
        assert await bench.enter(window, "probe")
        assert not await bench.enter(window, "beyond")

    async def test_a_lone_429_teaches_nothing(self, bench: Bench) -> None:
        """A 429 from a window that had room is a pause, and then there is as much room again."""
        window = bench.window(10, units=10)
        assert await bench.enter(window, "a")
        await bench.store.refuse(window, "a", 1 * bench.unit)
        assert not await bench.enter(window, "0")
        await bench.wait(2)
        assert [await bench.enter(window, f"{n}") for n in range(10)] == [True] * 9 + [False]

    async def test_a_probe_that_succeeds_finds_more(self, bench: Bench) -> None:
        """When the probe beyond what is known is answered, that slot is ours too."""
        window = await learned(bench)
        assert await bench.enter(window, "probe")
        await bench.store.leave(window, "probe", sent=True)
        assert await bench.enter(window, "next probe")
        assert not await bench.enter(window, "beyond")

    async def test_a_probe_that_was_not_sent_finds_nothing(self, bench: Bench) -> None:
        """A probe that can't have been sent makes room for another one, and no more."""
        window = await learned(bench)
        assert await bench.enter(window, "probe")
        await bench.other.leave(window, "probe", sent=False)
        assert await bench.enter(window, "next probe")
        assert not await bench.enter(window, "beyond")

    async def test_a_probe_that_is_refused_ends_probing(self, bench: Bench) -> None:
        """After a probe met a 429, nobody probes for one period."""
        window = await learned(bench)
        assert await bench.enter(window, "probe")
        await bench.store.refuse(window, "probe", 0.1 * bench.unit)
        await bench.wait(0.5)
        assert not await bench.enter(window, "beyond")

    async def test_a_probe_goes_alone(self, bench: Bench) -> None:
        """While a request is under way nobody probes, until one more period is over."""
        window = await learned(bench, held=1)
        assert not await bench.enter(window, "probe")
        await bench.store.leave(window, "again 0", sent=True)
        assert await bench.enter(window, "probe")

    async def test_bulk_leaves_a_reserve_of_what_is_known(self, bench: Bench) -> None:
        """Where others use part of the limit, the bulk lane leaves a tenth of our part."""
        window = await learned(bench, enters=3, held=1, lane=Lane.BULK)
        assert await bench.enter(window, "bulk", Lane.BULK)
        assert not await bench.enter(window, "bulk too", Lane.BULK)
        assert await bench.enter(window, "interactive")

    async def test_what_was_learned_outlives_a_change(self, bench: Bench) -> None:
        """A wider limit doesn't give more than others leave to us."""
        await learned(bench, held=1)
        assert not await bench.enter(bench.window(20), "beyond")


class TestForce:
    """What was learned of others is a guess, and refuses no call that has no time to wait."""

    async def test_it_goes_beyond_what_was_learned(self, bench: Bench) -> None:
        """Beyond what is known to be ours a slot can be taken; beyond the limit none."""
        window = await learned(bench, held=1)
        assert not await bench.enter(window, "no time")
        forced = [await bench.force(window, f"{n}") for n in range(6)]
        assert forced == [True] * 5 + [False]

    async def test_bulk_leaves_its_reserve(self, bench: Bench) -> None:
        """The bulk lane leaves the reserve of the limit, in a hurry too."""
        window = await learned(bench, held=1)
        forced = [await bench.force(window, f"{n}", Lane.BULK) for n in range(5)]
        assert forced == [True] * 4 + [False]
        assert await bench.force(window, "payer")

    async def test_a_full_window_is_not_forced(self, bench: Bench) -> None:
        """Where nothing was learned, the limit is the limit."""
        window = bench.window(2)
        assert await bench.enter(window, "a")
        assert await bench.force(window, "b")
        assert not await bench.force(window, "c")
        await bench.store.leave(window, "b", sent=False)
        assert await bench.force(window, "c")

    async def test_a_pause_is_not_forced(self, bench: Bench) -> None:
        """A 429 speaks for those in a hurry too."""
        window = bench.window(5)
        await bench.store.refuse(window, "unknown", 1 * bench.unit)
        assert not await bench.force(window, "a")
        await bench.wait(2)
        assert await bench.force(window, "a")

    async def test_what_is_forced_finds_out(self, bench: Bench) -> None:
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

    async def test_a_forced_slot_that_was_not_used_is_free(self, bench: Bench) -> None:
        """When certainly nothing was sent, a forced slot is free, and others may probe."""
        window = await learned(bench)
        assert await bench.force(window, "one")
        await bench.other.leave(window, "one", sent=False)
        assert await bench.enter(window, "probe")

    async def test_a_forced_slot_is_given_up(self, bench: Bench) -> None:
        """A forced slot that nobody leaves is free `hold` and one period after it was taken."""
        window = bench.window(1, units=3)
        assert await bench.force(window, "a", hold=1)
        await bench.wait(3)
        assert not await bench.enter(window, "b")
        await bench.wait(2)
        assert await bench.enter(window, "b")


async def learned(
    bench: Bench, enters: int = 5, held: int = 0, lane: Lane = Lane.INTERACTIVE
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


async def test_closing_twice_does_nothing(bench: Bench) -> None:
    """A store can be closed again, also by many at once."""
    await bench.claimed("k")
    await asyncio.gather(*(bench.store.aclose() for _ in range(5)))
    await bench.store.aclose()


async def test_what_was_told_outlives_the_handle(bench: Bench) -> None:
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
