"""The store on the bench: every test that takes `bench` runs once for each backend.

To add a backend: one line in ``support.stores.BACKENDS``, and one fixture here that gives
the address of an empty store. For the ones that need a server, let the fixture rest on a
session-scoped one that starts it (or skips, saying why), and give every test a prefix, a
database or a schema of its own.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.servers import empty_postgres, empty_redis
from support.stores import BACKENDS, make_bench

from frame_async.testing.store_conformance import StoreBench


@pytest.fixture
def memory_address() -> str:
    """A memory store has no address."""
    return ""


@pytest.fixture
def sqlite_address(tmp_path: Path) -> str:
    """A path where no file is yet."""
    return str(tmp_path / "frame.sqlite")


@pytest.fixture
def redis_address() -> str:
    """The URL of an empty Valkey server."""
    return empty_redis()


@pytest.fixture
def postgres_address() -> str:
    """The URL of a PostgreSQL database where nothing is stored."""
    return empty_postgres()


@pytest.fixture(params=list(BACKENDS))
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of store in turn."""
    return str(request.param)


@pytest.fixture(params=[kind for kind in BACKENDS if kind != "memory"])
def shared_kind(request: pytest.FixtureRequest) -> str:
    """Each kind of store that several processes can use."""
    return str(request.param)


@pytest.fixture
def shared_address(request: pytest.FixtureRequest, shared_kind: str) -> str:
    """The address of an empty store that several processes can use."""
    return str(request.getfixturevalue(f"{shared_kind}_address"))


@pytest.fixture
def address(request: pytest.FixtureRequest, kind: str) -> str:
    """The address of an empty store."""
    return str(request.getfixturevalue(f"{kind}_address"))


@pytest.fixture
async def bench(kind: str, address: str) -> AsyncIterator[StoreBench]:
    """An empty store, two handles on it, and its time."""
    bench = make_bench(kind, address)
    yield bench
    await bench.aclose()
