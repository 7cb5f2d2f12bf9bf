"""From a URL to a store: what nobody would read is refused by name."""

import asyncio
import gc
import threading
from pathlib import Path

import pytest

from frame_async.errors import ConfigurationError, StoreError
from frame_async.secret import Secret
from frame_async.stores import Claimed, InFlight, open_store


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("sqlite:///shop.db?timeout=30", "'timeout'"),
        ("sqlite:///shop.db?mode=ro&cache=shared", "'mode, cache'"),
        ("sqlite:////tmp/shop.db?", "no options"),
        ("sqlite:///shop.db#part", "after #"),
        ("sqlite:///~/shop.db", "~ in front"),
        ("sqlite://shop.db", "three slashes"),
        ("sqlite://host/shop.db", "three slashes"),
        ("sqlite:shop.db", "three slashes"),
        ("sqlite:/tmp/shop.db", "three slashes"),
        ("sqlite://", "three slashes"),
        ("sqlite:///", "no file"),
        ("sqlite:///:memory:", "MemoryStore"),
        ("memory://x", "memory://"),
        ("memory://?size=3", "memory://"),
        ("memory:", "memory://"),
        ("shop.db", "must be a URL"),
        ("", "must be a URL"),
    ],
)
def test_what_nobody_reads_is_refused(
    url: str, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An option or a part that would be passed over is named, and no file is made."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=named):
        open_store(Secret(url))
    assert not list(tmp_path.iterdir())


async def test_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three slashes begin a relative path, four an absolute one: the same file here."""
    monkeypatch.chdir(tmp_path)
    for url in ("sqlite:///shop.db", f"sqlite:///{tmp_path}/shop.db"):
        store = open_store(Secret(url))
        await store.release("nobody's", "nobody's")
        await store.aclose()
    assert [path.name for path in tmp_path.glob("*.db")] == ["shop.db"]


async def test_one_file_is_one_store(tmp_path: Path) -> None:
    """Many users of one URL share one writer; the last to close it closes it."""
    url = Secret(f"sqlite:///{tmp_path}/shop.db")
    before = threading.active_count()
    stores = [open_store(url) for _ in range(200)]
    claims = await asyncio.gather(*(s.claim(f"{n}", "a=1", 60) for n, s in enumerate(stores)))
    assert {type(claim) for claim in claims} == {Claimed}
    assert threading.active_count() == before + 1
    for store in stores[1:]:
        await store.aclose()
        await store.aclose()
    with pytest.raises(StoreError, match="is closed"):
        await stores[1].claim("0", "a=1", 60)
    assert isinstance(await stores[0].claim("1", "a=1", 60), InFlight)
    await stores[0].aclose()
    assert threading.active_count() == before
    again = open_store(url)
    assert isinstance(await again.claim("1", "a=1", 60), InFlight)
    await again.aclose()


async def test_a_store_that_nobody_has_is_gone(tmp_path: Path) -> None:
    """A user who never closes it doesn't keep it for ever: its thread ends."""
    before = threading.active_count()
    store = open_store(Secret(f"sqlite:///{tmp_path}/shop.db"))
    await store.claim("k", "a=1", 60)
    del store
    gc.collect()
    for _ in range(500):
        if threading.active_count() == before:
            break
        await asyncio.sleep(0.01)
    assert threading.active_count() == before


def test_each_memory_is_another() -> None:
    """memory:// given twice is two memories."""
    assert open_store(Secret("memory://")) is not open_store(Secret("memory://"))
