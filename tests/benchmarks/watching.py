"""What observers cost a call, in instructions, and that it costs nothing to have none.

Run it with ``PYTHONPATH=tests:. python tests/benchmarks/watching.py`` where valgrind is
installed. Each variant makes calls without a rate window, one at a time, against the
cheapest possible server in another process; the figures come out the same in every run.
"""

import asyncio
import gc
import sys
from collections.abc import Callable, Sequence
from typing import Final

from benchmarks.rivals.ways import given_request
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler
from prometheus_client import CollectorRegistry
from support.cheapest import serve_sessions
from support.measuring import instructions_per_call, repeat, run_each, serving

from frame_async import FrameClient
from frame_async.integrations.opentelemetry import OpenTelemetryObserver
from frame_async.integrations.prometheus import PrometheusObserver
from frame_async.observers import Observer
from frame_async.stores import MemoryStore


class Nowhere(SpanExporter):
    """Takes spans and drops them: what exporting costs is the exporter's."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS


def traced(sampler: Sampler) -> OpenTelemetryObserver:
    """Spans and metrics through the SDK."""
    tracers = TracerProvider(sampler=sampler)
    tracers.add_span_processor(SimpleSpanProcessor(Nowhere()))
    meters = MeterProvider([InMemoryMetricReader()])
    return OpenTelemetryObserver(tracer_provider=tracers, meter_provider=meters)


VARIANTS: Final[dict[str, Callable[[], list[Observer]]]] = {
    "no observer": list,
    "one that does nothing": lambda: [Observer()],
    "Prometheus": lambda: [PrometheusObserver(CollectorRegistry())],
    "OpenTelemetry, no SDK": lambda: [OpenTelemetryObserver()],
    "OpenTelemetry, not sampled": lambda: [traced(ALWAYS_OFF)],
    "OpenTelemetry": lambda: [traced(ALWAYS_ON)],
}


async def run(port: int, name: str, times: int) -> None:
    """So many calls, watched by that variant."""
    request = given_request()
    gc.freeze()  # or the collector would go through all that the SDK imports, again and again
    async with FrameClient(
        "sk_sandbox_x",
        base_url=f"http://localhost:{port}",
        rate_limit=None,
        store=MemoryStore(),
        observers=VARIANTS[name](),
    ) as frame:
        await repeat(lambda: frame.payment_link_sessions.create(request), times)


def count(port: int, name: str) -> float:
    """Instructions of one call, watched by that variant."""
    run = [sys.executable, __file__, str(port), name]
    return instructions_per_call(lambda calls: [*run, calls], (200, 700))


def main() -> None:
    """Print the instructions per call of each variant, and what they are more than without."""
    base = 0.0
    with serving(serve_sessions) as port:
        for name in VARIANTS:
            each = count(port, name)
            base = base or each
            more = each - base
            print(f"{name:27} {each:9,.0f} instructions, {more:8,.0f} more ({more / base:.1%})")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        number, variant, times = sys.argv[1:]
        run_each(times, lambda calls: asyncio.run(run(int(number), variant, calls)))
    else:
        main()
