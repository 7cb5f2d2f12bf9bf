"""The life of a key at the very moments when it changes, on a clock that stands still."""

import pytest

from frame_async.stores import Claimed, Done, InDoubt, InFlight, MemoryStore

DAY = 86_400.0
LAPSED = 10 + 7 * DAY
"""When a claim with a lease of ten seconds is forgotten."""


class Watch:
    """Seconds, set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watch() -> Watch:
    """The time of the store."""
    return Watch()


@pytest.fixture
def store(watch: Watch) -> MemoryStore:
    """An empty store on that time."""
    return MemoryStore(now=watch)


async def claimed(store: MemoryStore) -> str:
    """Claim a key for ten seconds; the token."""
    answer = await store.claim("key", "a=1", 10)
    assert isinstance(answer, Claimed)
    return answer.token


@pytest.mark.parametrize(
    ("now", "answer"),
    [(0, InFlight), (9.9, InFlight), (10, InDoubt), (LAPSED - 0.1, InDoubt), (LAPSED, Claimed)],
)
async def test_a_claim_lapses_and_is_forgotten(
    store: MemoryStore, watch: Watch, now: float, answer: type
) -> None:
    """A lease is over at its very end, and a lapsed claim is forgotten seven days later."""
    await claimed(store)
    watch.now = now
    assert type(await store.claim("key", "a=1", 10)) is answer


async def test_a_forgotten_claim_conflicts_with_nothing(store: MemoryStore, watch: Watch) -> None:
    """Once a lapsed claim is forgotten, its key may stand for another request."""
    await claimed(store)
    watch.now = LAPSED
    assert isinstance(await store.claim("key", "a=2", 10), Claimed)


@pytest.mark.parametrize(("now", "kept"), [(4.9, True), (5, False), (5.5, False)])
@pytest.mark.parametrize("end", ["complete", "doubt"])
async def test_an_end_may_be_repeated_as_long_as_it_is_kept(
    store: MemoryStore, watch: Watch, end: str, now: float, kept: bool
) -> None:
    """A claim that ended may end again in the same way, until its record is forgotten."""
    token = await claimed(store)
    arguments = ("key", token, b"body" if end == "complete" else 2, 5)
    assert await getattr(store, end)(*arguments)
    watch.now = now
    assert await getattr(store, end)(*arguments) is kept


async def test_an_end_is_repeated_by_its_owner_only(store: MemoryStore) -> None:
    """Who never had the claim can't end it, not even in the way in which it ended."""
    token = await claimed(store)
    assert await store.complete("key", token, b"body", 5)
    assert not await store.complete("key", f"{token}x", b"body", 5)
    assert await store.claim("key", "a=1", 10) == Done(b"body")
