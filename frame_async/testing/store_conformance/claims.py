"""Claims: who has a key, for which request, and for how long."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from frame_async.errors import IdempotencyConflictError
from frame_async.protocol.fingerprints import make_fingerprint
from frame_async.stores import Claimed, Done, InDoubt, InFlight
from frame_async.testing.store_conformance.bench import HOSTILE_KEYS, StoreBench


class TestClaim:
    """One key: who has it."""

    async def test_a_free_key_is_claimed(self, bench: StoreBench) -> None:
        """Claiming a key that nobody used gives it to the caller, with a token."""
        answer = await bench.store.claim("k", "a=1", 100 * bench.unit)
        assert isinstance(answer, Claimed)
        assert answer.token

    async def test_every_claim_has_its_own_token(self, bench: StoreBench) -> None:
        """No two claims get the same token, not even of the same key."""
        tokens = set[str]()
        for _ in range(10):
            token = await bench.claimed("k")
            tokens.add(token)
            await bench.store.release("k", token)
        tokens.add(await bench.claimed("other"))
        assert len(tokens) == 11

    async def test_a_claimed_key_is_in_flight(self, bench: StoreBench) -> None:
        """Another claim is told that the key is in flight, and for how long at least."""
        await bench.claimed("k", units=10)
        await bench.wait(1)
        answer = await bench.other.claim("k", "a=1", 100 * bench.unit)
        assert isinstance(answer, InFlight)
        assert 7 * bench.unit < answer.lease <= 9 * bench.unit

    async def test_asking_does_not_lengthen_the_lease(self, bench: StoreBench) -> None:
        """A claim that finds the key in flight changes nothing of it."""
        await bench.claimed("k", units=2)
        assert isinstance(await bench.other.claim("k", "a=1", 100 * bench.unit), InFlight)
        await bench.wait(3)
        assert isinstance(await bench.other.claim("k", "a=1", 100 * bench.unit), InDoubt)

    async def test_a_lapsed_lease_is_doubt(self, bench: StoreBench) -> None:
        """When the lease ran out, the next claim gets the key, in doubt by one attempt."""
        old = await bench.claimed("k", units=1)
        await bench.wait(2)
        answer = await bench.other.claim("k", "a=1", 100 * bench.unit)
        assert isinstance(answer, InDoubt)
        assert answer.doubts == 1
        assert answer.token != old

    async def test_every_lapsed_owner_adds_a_doubt(self, bench: StoreBench) -> None:
        """Each process that dies with the key leaves one more attempt in doubt."""
        await bench.claimed("k", units=1)
        for doubts in (1, 2, 3):
            await bench.wait(2)
            answer = await bench.other.claim("k", "a=1", 1 * bench.unit)
            assert isinstance(answer, InDoubt)
            assert answer.doubts == doubts

    async def test_the_one_who_takes_over_has_a_lease(self, bench: StoreBench) -> None:
        """A key taken over in doubt is in flight for everyone else."""
        await bench.lost("k")
        assert isinstance(await bench.store.claim("k", "a=1", bench.unit), InFlight)

    async def test_any_text_is_a_key(self, bench: StoreBench) -> None:
        """Every text up to 255 characters is a key, and none is taken for one like it."""
        tokens = {key: await bench.claimed(key) for key in HOSTILE_KEYS}
        for key, token in tokens.items():
            assert await bench.store.complete(key, token, key.encode(), 100 * bench.unit)
        for key in HOSTILE_KEYS:
            assert await bench.other.claim(key, "a=1", bench.unit) == Done(key.encode())

    async def test_one_of_fifty_gets_the_key(self, bench: StoreBench) -> None:
        """Of fifty claims at once, exactly one gets the key; the others find it in flight."""
        stores = [bench.store, bench.other] * 25
        answers = await asyncio.gather(
            *(store.claim("k", "a=1", 100 * bench.unit) for store in stores)
        )
        kinds = sorted(type(answer).__name__ for answer in answers)
        assert kinds == ["Claimed"] + ["InFlight"] * 49

    async def test_one_of_fifty_takes_over(self, bench: StoreBench) -> None:
        """Of fifty claims of a lapsed key, exactly one gets it in doubt."""
        await bench.claimed("k", units=1)
        await bench.wait(2)
        stores = [bench.store, bench.other] * 25
        answers = await asyncio.gather(
            *(store.claim("k", "a=1", 100 * bench.unit) for store in stores)
        )
        kinds = sorted(type(answer).__name__ for answer in answers)
        assert kinds == ["InDoubt"] + ["InFlight"] * 49


async def claimed_only(bench: StoreBench, key: str) -> None:
    """A key in flight."""
    await bench.claimed(key)


async def lapsed(bench: StoreBench, key: str) -> None:
    """A key whose lease ran out."""
    await bench.claimed(key, units=1)
    await bench.wait(2)


async def done(bench: StoreBench, key: str) -> None:
    """A key whose session was created."""
    await bench.store.complete(key, await bench.claimed(key), b"{}", 100 * bench.unit)


async def doubted(bench: StoreBench, key: str) -> None:
    """A key with two attempts in doubt."""
    await bench.store.doubt(key, await bench.claimed(key), 2, 100 * bench.unit)


class TestConflict:
    """One key stands for one request."""

    @pytest.mark.parametrize("past", [claimed_only, lapsed, done, doubted])
    async def test_another_request_is_a_conflict(
        self, bench: StoreBench, past: Callable[[StoreBench, str], Awaitable[None]]
    ) -> None:
        """Whatever became of the key, another fingerprint is a conflict."""
        await past(bench, "k")
        with pytest.raises(IdempotencyConflictError):
            await bench.other.claim("k", "a=2", bench.unit)

    async def test_the_fields_that_differ_are_named(self, bench: StoreBench) -> None:
        """The error names the key and every field that is changed, added or gone."""
        one = make_fingerprint({"amount": b"1", "currency": b"2", "gone": b"3"})
        other = make_fingerprint({"added": b"4", "amount": b"9", "currency": b"2"})
        await bench.claimed("k", one)
        with pytest.raises(IdempotencyConflictError) as caught:
            await bench.other.claim("k", other, bench.unit)
        assert caught.value.key == "k"
        assert caught.value.fields == ("added", "amount", "gone")

    async def test_a_conflict_changes_nothing(self, bench: StoreBench) -> None:
        """The call that has the key goes on as if nobody had asked."""
        token = await bench.claimed("k")
        with pytest.raises(IdempotencyConflictError):
            await bench.other.claim("k", "a=2", bench.unit)
        assert await bench.store.complete("k", token, b"{}", 100 * bench.unit)
        assert await bench.other.claim("k", "a=1", bench.unit) == Done(b"{}")

    async def test_a_conflict_is_its_own_callers_only(self, bench: StoreBench) -> None:
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

    async def test_a_renewed_lease_holds(self, bench: StoreBench) -> None:
        """A renewed claim is in flight beyond its first lease."""
        token = await bench.claimed("k", units=2)
        await bench.wait(1)
        assert await bench.store.renew("k", token, 10 * bench.unit, 1)
        await bench.wait(3)
        answer = await bench.other.claim("k", "a=1", bench.unit)
        assert isinstance(answer, InFlight)
        assert answer.lease <= 7 * bench.unit

    async def test_a_renewed_lease_can_be_shorter(self, bench: StoreBench) -> None:
        """The lease that was said last counts, also when it ends sooner."""
        token = await bench.claimed("k", units=100)
        assert await bench.store.renew("k", token, 1 * bench.unit, 1)
        await bench.wait(2)
        assert isinstance(await bench.other.claim("k", "a=1", bench.unit), InDoubt)

    async def test_renewing_says_how_many_are_in_doubt(self, bench: StoreBench) -> None:
        """The next owner learns as many doubts as the last renewal said."""
        token = await bench.claimed("k")
        assert await bench.store.renew("k", token, 1 * bench.unit, 3)
        await bench.wait(2)
        answer = await bench.other.claim("k", "a=1", bench.unit)
        assert isinstance(answer, InDoubt)
        assert answer.doubts == 3

    async def test_no_doubts_left_means_free(self, bench: StoreBench) -> None:
        """When the last renewal said that nothing is in doubt, the next claim is clean."""
        token = await bench.claimed("k")
        assert await bench.store.renew("k", token, 1 * bench.unit, 0)
        await bench.wait(2)
        assert isinstance(await bench.other.claim("k", "a=1", bench.unit), Claimed)

    async def test_a_lapsed_claim_nobody_took_can_be_renewed(self, bench: StoreBench) -> None:
        """A lease that ran out is lost only when another call takes the key."""
        token = await bench.claimed("k", units=1)
        await bench.wait(2)
        assert await bench.store.renew("k", token, 100 * bench.unit, 1)
        assert isinstance(await bench.other.claim("k", "a=1", bench.unit), InFlight)
