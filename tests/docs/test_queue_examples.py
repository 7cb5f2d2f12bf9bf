"""The examples for Celery, taskiq and arq, on a real broker, with the window full."""

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from support.queue_limit import EXAMPLES, LIMIT
from support.servers import redis_url, valkey_server

import frame_async
from frame_async.emulator import Emulator

ROOT = Path(frame_async.__file__).parents[1]
LONG = "FRAME_SOAK_KILLS" in os.environ
COUNT = 200 if LONG else 30
ORDERS = [f"order-{n}" for n in range(COUNT)]
DATABASE = 7

COMMANDS: Mapping[str, list[str]] = {
    "celery_shop": [
        *("-m", "celery", "-A", "support.queue_shops", "worker", "--concurrency", "2"),
        *("--loglevel", "WARNING", "--without-mingle", "--without-gossip"),
    ],
    "taskiq_shop": [
        *("-m", "taskiq", "worker", "support.queue_shops:broker", "--workers", "1"),
        *("--max-async-tasks", "8", "--log-level", "WARNING"),
    ],
    "arq_shop": ["-m", "arq", "support.queue_shops.WorkerSettings"],
}


@pytest.fixture(params=COMMANDS)
def shop(request: pytest.FixtureRequest) -> str:
    """An example whose queue is installed; each has an environment of its own."""
    name = str(request.param)
    queue = name.removesuffix("_shop")
    if find_spec(queue) is None:
        pytest.skip(f"{queue} is not installed here: nox -s queues")
    return name


@pytest.fixture
def url() -> Iterator[str]:
    """An empty database of the broker."""
    redis = pytest.importorskip("redis")
    url = redis_url(valkey_server(), DATABASE)
    with redis.Redis.from_url(url) as client:
        client.flushdb()
        yield url
        client.flushdb()


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """With the window that the examples go by here, and answers that take a moment."""
    async with Emulator(limit=LIMIT.requests, period=LIMIT.per, latency=0.05) as emulator:
        yield emulator


def environment(shop: str, url: str, emulator: Emulator) -> dict[str, str]:
    """What the examples find in their environment."""
    tests = Path(__file__).parents[1]
    path = os.pathsep.join([str(ROOT), str(tests), str(EXAMPLES)])
    return os.environ | {
        "QUEUE_SHOP": shop,
        "REDIS_URL": url,
        "FRAME_SECRET_KEY": emulator.api_key,
        "FRAME_API_BASE_URL": emulator.base_url,
        "PYTHONPATH": path,
    }


SENDING: Mapping[str, str] = {
    "celery_shop": "from celery_shop import payment_link\n"
    "for order in ORDERS: payment_link.delay(order)",
    "taskiq_shop": "import asyncio\nfrom taskiq_shop import broker, payment_link\n"
    "async def main():\n"
    "    await broker.startup()\n"
    "    for order in ORDERS: await payment_link.kiq(order)\n"
    "    await broker.shutdown()\n"
    "asyncio.run(main())",
    "arq_shop": "import asyncio\nfrom arq import create_pool\n"
    "from arq_shop import SETTINGS\n"
    "async def main():\n"
    "    pool = await create_pool(SETTINGS)\n"
    "    for order in ORDERS: await pool.enqueue_job('payment_link', order)\n"
    "    await pool.close()\n"
    "asyncio.run(main())",
}


async def send(shop: str, env: Mapping[str, str]) -> None:
    """Put every order into the queue, as a web application would."""
    code = f"ORDERS = {ORDERS!r}\n{SENDING[shop]}"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()


@asynccontextmanager
async def worker(shop: str, env: Mapping[str, str], folder: Path) -> AsyncIterator[Any]:
    """A worker and its children; none is left."""
    log = folder / "log"
    with log.open("ab") as file:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *COMMANDS[shop]),
            env=env,
            cwd=folder,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def until(condition: Callable[[], bool], log: Path, seconds: float = 60.0) -> None:
    """Wait until something is so; show the log if it never is."""
    ends = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < ends, log.read_text()[-3000:]
        await asyncio.sleep(0.05)


async def test_an_example_makes_one_session_for_each_order(
    shop: str, url: str, emulator: Emulator, tmp_path: Path
) -> None:
    """With far more orders than places: each gets its one session, and nothing is refused."""
    env = environment(shop, url, emulator)
    await send(shop, env)
    async with worker(shop, env, tmp_path):
        await until(partial(has_created, emulator, COUNT), tmp_path / "log")
        await send(shop, env)  # whoever asks again gets what there is
        await asyncio.sleep(1.0)
    created = Counter(entry.client_reference_id for entry in emulator.ledger)
    assert created == Counter(ORDERS)
    assert 429 not in {entry.status for entry in emulator.ledger}


@pytest.mark.skipif(not LONG, reason="FRAME_SOAK_KILLS is not set")
async def test_an_example_loses_none_when_killed(
    shop: str, url: str, emulator: Emulator, tmp_path: Path
) -> None:
    """Kill -9 in the middle: every order has a session, and only those in flight have two."""
    env = environment(shop, url, emulator)
    await send(shop, env)
    for share in (0.25, 0.5, 0.75):
        async with worker(shop, env, tmp_path):
            await until(partial(has_created, emulator, int(share * COUNT)), tmp_path / "log")
    async with worker(shop, env, tmp_path):
        await until(partial(has_all, emulator), tmp_path / "log", 300.0)
        await asyncio.sleep(2.0)
    doubled = len(references(emulator)) - COUNT
    print(f"{shop}: {COUNT} orders, 3 kills, {doubled} second sessions")  # noqa: T201
    assert doubled <= 3 * 10
    assert 429 not in {entry.status for entry in emulator.ledger}


def in_hand(shop: str, client: Any) -> tuple[int, int]:
    """Orders that the broker says a worker has, and all that it has at all."""
    match shop:
        case "celery_shop":  # fetched; and still in the queue's list
            assert client.hlen("unacked") == client.zcard("unacked_index")
            return client.hlen("unacked"), client.hlen("unacked") + client.llen("celery")
        case "arq_shop":
            marks = client.keys("arq:in-progress:*")
            assert all(60_000 < client.pttl(mark) <= 70_000 for mark in marks)
            return len(marks), client.zcard("arq:queue")
        case _:
            (group,) = client.xinfo_groups("taskiq")
            return group["pending"], client.xlen("taskiq")


async def test_what_a_killed_worker_leaves_behind(
    shop: str, url: str, emulator: Emulator, tmp_path: Path
) -> None:
    """As the how-to says: every order is still in the broker, those in hand as somebody's."""
    redis = pytest.importorskip("redis")
    env = environment(shop, url, emulator)
    await send(shop, env)
    emulator.add_fault("delay", seconds=60)
    async with worker(shop, env, tmp_path):
        await until(partial(has_created, emulator, 2), tmp_path / "log")
    with redis.Redis.from_url(url) as client:
        held, kept = in_hand(shop, client)
    assert 2 <= held <= 10
    assert kept == COUNT


def has_all(emulator: Emulator) -> bool:
    return len(set(references(emulator))) == COUNT


def has_created(emulator: Emulator, count: int) -> bool:
    return len(emulator.created()) >= count


def references(emulator: Emulator) -> list[str | None]:
    return [entry.client_reference_id for entry in emulator.ledger if entry.session_id]
