"""Metrics of calls for Prometheus, as a scrape shows them."""

import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from support.clock import FastClock
from support.store_workers import environment

from frame_async import (
    FrameClient,
    PaymentLinkSessionRequest,
    RateLimit,
    RequestRefusedError,
    RetryPolicy,
)
from frame_async.emulator import Emulator
from frame_async.errors import OutcomeUnknownError
from frame_async.integrations.prometheus import PrometheusObserver
from frame_async.stores import MemoryStore
from frame_async.testing import EmulatorThread

VERSION = "network_protocol_version=1.1"
Samples = dict[tuple[str, str], float]


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def scraped(text: str) -> Samples:
    """Every sample by name and labels, but those of the server and the buckets."""
    samples: Samples = {}
    for family in text_string_to_metric_families(text):
        for name, labels, value, *_ in family.samples:
            shown = [f"{k}={v}" for k, v in sorted(labels.items()) if v and "server" not in k]
            if not name.endswith(("_bucket", "_created")):
                samples[name, ",".join(shown)] = value
    return samples


def scrape(registry: CollectorRegistry) -> Samples:
    return scraped(generate_latest(registry).decode())


async def test_every_metric(emulator: Emulator, order: PaymentLinkSessionRequest) -> None:
    """Calls, retries, possible duplicates, waits and requests are counted, each by its labels."""
    registry = CollectorRegistry()
    emulator.add_fault("refuse", status=500, times=1)
    options = {"clock": FastClock(), "rate_limit": RateLimit(2, 60), "timeout": 1000}
    observer = PrometheusObserver(registry)
    async with FrameClient(
        emulator.api_key,
        base_url=emulator.base_url,
        observers=[observer],
        **options,  # type: ignore[arg-type]
    ) as frame:
        create = frame.payment_link_sessions.create
        await create(order, idempotency_key="order-42")  # the second attempt is let through
        emulator.add_fault("refuse", status=422, times=1)
        with pytest.raises(RequestRefusedError):
            await create(order)
        emulator.add_fault("create_and_drop", times=1)
        with pytest.raises(OutcomeUnknownError):
            await create(order, retry=RetryPolicy(max_retries=0))
    samples = scrape(registry)
    waited = samples.pop(("frame_client_window_wait_seconds_sum", ""))
    assert waited > 50
    lasted = [name for name in samples if name[0] == "http_client_request_duration_seconds_sum"]
    assert all(samples.pop(name) > 0 for name in lasted)
    request = "http_client_request_duration_seconds_count"
    http = "http_request_method=POST"
    rest = f"{VERSION},url_template=/v1/payment_link_sessions"
    assert samples == {
        ("frame_client_calls_total", "frame_outcome=created"): 1,
        ("frame_client_calls_total", "error_type=422,frame_outcome=refused"): 1,
        ("frame_client_calls_total", "error_type=disconnected,frame_outcome=unknown"): 1,
        ("frame_client_retries_total", ""): 1,
        ("frame_client_possible_duplicates_total", ""): 2,
        ("frame_client_window_wait_seconds_count", ""): 4,
        (request, f"error_type=500,{http},http_response_status_code=500,{rest}"): 1,
        (request, f"{http},http_response_status_code=201,{rest}"): 1,
        (request, f"error_type=422,{http},http_response_status_code=422,{rest}"): 1,
        (request, f"error_type=disconnected,{http},{rest}"): 1,
    }
    assert "order-42" not in generate_latest(registry).decode()


async def test_buckets_are_those_of_the_convention(
    frame: FrameClient, registry: CollectorRegistry
) -> None:
    """Request durations have the buckets that the convention for HTTP advises."""
    PrometheusObserver(registry).bind(frame.base_url, "POST /v1/payment_link_sessions")._requests(
        1.0, {}
    )
    text = generate_latest(registry).decode()
    bounds = [
        sample.labels["le"]
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "http_client_request_duration_seconds_bucket"
    ]
    advised = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
    assert bounds == [*map(str, advised), "+Inf"]


async def test_clients_share_an_observer(
    emulator: Emulator, order: PaymentLinkSessionRequest, registry: CollectorRegistry
) -> None:
    """Two clients count in one registry through one observer; a second observer is refused."""
    observer = PrometheusObserver(registry)
    for _ in range(2):
        async with FrameClient(
            emulator.api_key,
            base_url=emulator.base_url,
            rate_limit=None,
            store=MemoryStore(),
            observers=[observer],
        ) as frame:
            await frame.payment_link_sessions.create(order)
    assert scrape(registry)["frame_client_calls_total", "frame_outcome=created"] == 2
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        PrometheusObserver(registry)


WORKER = """
import asyncio, sys
from frame_async import FrameClient, LineItem, PaymentLinkSessionRequest
from frame_async.integrations.prometheus import PrometheusObserver

async def main():
    observer = PrometheusObserver()
    async with FrameClient(
        "sk_sandbox_worker", base_url=sys.argv[1], rate_limit=None, observers=[observer]
    ) as frame:
        await frame.payment_link_sessions.create(
            PaymentLinkSessionRequest(line_items=[LineItem(product="prod_1")])
        )

asyncio.run(main())
"""

COLLECTOR = """
from prometheus_client import CollectorRegistry, generate_latest, multiprocess
registry = CollectorRegistry()
multiprocess.MultiProcessCollector(registry)
print(generate_latest(registry).decode())
"""


def test_several_processes_add_up(tmp_path: Path, frame_emulator: EmulatorThread) -> None:
    """With prometheus_client's mode for several processes, a scrape shows their sum."""
    variables = {**environment(), "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}

    def run(code: str, *arguments: str) -> str:
        command = [sys.executable, "-c", code, *arguments]
        return subprocess.run(
            command, env=variables, capture_output=True, text=True, check=True, timeout=60
        ).stdout

    for _ in range(2):
        run(WORKER, frame_emulator.base_url)
    samples = scraped(run(COLLECTOR))
    assert samples["frame_client_calls_total", "frame_outcome=created"] == 2
    assert samples["frame_client_window_wait_seconds_count", ""] == 2
