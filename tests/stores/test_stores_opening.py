"""From a URL to a store: what nobody would read is refused by name."""

from pathlib import Path

import pytest

from frame_async.errors import ConfigurationError
from frame_async.secret import Secret
from frame_async.stores import open_store


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
