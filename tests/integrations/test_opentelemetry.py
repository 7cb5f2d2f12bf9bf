"""Traces and metrics of calls, read from the SDK's own exporters in memory."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import aiohttp
import pytest
from attrs import define, field
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    HistogramDataPoint,
    InMemoryMetricReader,
)
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import Span, SpanKind, StatusCode, get_current_span
from support.clock import FastClock
from support.faults import FaultServer, answer, framed, refusal, session_body
from support.shown import shows

from frame_async import (
    CallError,
    Card,
    FrameClient,
    LineItem,
    NotSentError,
    OutcomeUnknownError,
    PaymentLinkSessionRequest,
    RateLimit,
    RequestRefusedError,
    RetryPolicy,
)
from frame_async.emulator import Emulator
from frame_async.errors import WindowFullError
from frame_async.integrations.opentelemetry import OpenTelemetryObserver
from frame_async.observers import Observer
from frame_async.stores import MemoryStore

ONCE = RetryPolicy(max_retries=0)
CALL, ATTEMPT = "payment_link_sessions.create", "POST /v1/payment_link_sessions"


@define
class Bench:
    """An emulator, and an observer whose spans and metrics can be read."""

    emulator: Emulator
    spans_out: InMemorySpanExporter = field(factory=InMemorySpanExporter)
    metrics_out: InMemoryMetricReader = field(factory=InMemoryMetricReader)
    tracers: TracerProvider = field(init=False, factory=TracerProvider)
    meters: MeterProvider = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.tracers.add_span_processor(SimpleSpanProcessor(self.spans_out))
        self.meters = MeterProvider([self.metrics_out])

    def observer(self) -> OpenTelemetryObserver:
        return OpenTelemetryObserver(tracer_provider=self.tracers, meter_provider=self.meters)

    def client(self, **options: Any) -> FrameClient:
        given: dict[str, Any] = {
            "rate_limit": None,
            "store": MemoryStore(),
            "observers": [self.observer()],
        }
        base_url = options.pop("base_url", "") or self.emulator.base_url
        return FrameClient("sk_sandbox_0123456789", base_url=base_url, **(given | options))

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """Every span, as it was ended."""
        return self.spans_out.get_finished_spans()

    def calls(self) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == CALL]

    def attempts(self) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == ATTEMPT]

    def points(self, name: str) -> Sequence[Any]:
        """The data points of a metric."""
        data = self.metrics_out.get_metrics_data()
        found = [
            metric
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
        ]
        return list(found[0].data.data_points) if found else []

    def sums(self, name: str) -> dict[tuple[Any, ...], Any]:
        """A counter's values, by the values of its attributes."""
        return {tuple((p.attributes or {}).values()): p.value for p in self.points(name)}


@pytest.fixture
def bench(emulator: Emulator) -> Iterator[Bench]:
    bench = Bench(emulator)
    yield bench
    bench.tracers.shutdown()
    bench.meters.shutdown()


def told(span: ReadableSpan) -> Mapping[str, Any]:
    """A span's attributes."""
    assert span.attributes is not None
    return span.attributes


def own(span: ReadableSpan | Span) -> int:
    """The id of a span."""
    context = span.get_span_context()
    assert context is not None
    return context.span_id


def parent(span: ReadableSpan) -> int:
    """The id of the span above."""
    assert span.parent is not None
    return span.parent.span_id


def bounds(span: ReadableSpan) -> tuple[int, int]:
    assert span.start_time is not None
    assert span.end_time is not None
    return span.start_time, span.end_time


async def test_a_call_is_a_span_with_its_attempt_below(
    bench: Bench, order: PaymentLinkSessionRequest
) -> None:
    """A call is an internal span in the caller's trace; its attempt is a client span below."""
    async with bench.client() as frame:
        with bench.tracers.get_tracer("shop").start_as_current_span("checkout") as checkout:
            session = await frame.payment_link_sessions.create(order, idempotency_key="order-42")
    attempt, call, _ = bench.spans
    assert (call.name, attempt.name) == (CALL, ATTEMPT)
    assert (call.kind, attempt.kind) == (SpanKind.INTERNAL, SpanKind.CLIENT)
    assert call.parent == checkout.get_span_context()
    assert attempt.parent == call.context
    assert {call.status.status_code, attempt.status.status_code} == {StatusCode.UNSET}
    assert dict(told(call)) == {
        "frame.idempotency_key": "order-42",
        "frame.outcome": "created",
        "frame.retries": 0,
        "frame.possible_duplicates": 0,
        "frame.window.wait": session.call.attempts[0].window,
    }
    assert dict(told(attempt)) == {
        "http.request.method": "POST",
        "server.address": "127.0.0.1",
        "server.port": int(bench.emulator.base_url.rpartition(":")[2]),
        "network.protocol.version": "1.1",
        "http.response.status_code": 201,
        "url.full": f"{bench.emulator.base_url}/v1/payment_link_sessions",
        "url.template": "/v1/payment_link_sessions",
        "frame.outcome": "created",
        "frame.window.wait": session.call.attempts[0].window,
        "frame.connection.reused": False,
        "frame.request_id": session.call.request_id,
    }


async def test_spans_have_the_times_of_what_they_show(
    bench: Bench, order: PaymentLinkSessionRequest
) -> None:
    """An attempt's span lasts as long as it did, and lies within that of its call."""
    bench.emulator.add_fault("refuse", times=1)
    clock = FastClock()
    async with bench.client(clock=clock) as frame:
        session = await frame.payment_link_sessions.create(order)
    (call,), attempts = bench.calls(), bench.attempts()
    for span, attempt in zip(attempts, session.call.attempts, strict=True):
        start, end = bounds(span)
        assert start / 1e9 == pytest.approx(attempt.started.timestamp(), abs=1e-5)
        assert (end - start) / 1e9 == pytest.approx(attempt.duration, abs=1e-5)
    first, second = attempts
    assert bounds(second)[0] - bounds(first)[1] >= 1e9  # it slept on its clock
    assert bounds(call)[0] <= bounds(first)[0]
    assert bounds(call)[1] >= bounds(second)[1]
    took = (bounds(call)[1] - bounds(call)[0]) / 1e9
    assert took == pytest.approx(session.call.elapsed, abs=0.5)


async def test_a_retried_call_is_no_error(bench: Bench, order: PaymentLinkSessionRequest) -> None:
    """After a 500 the retry's span says so; only the first attempt's is an error."""
    bench.emulator.add_fault("refuse", status=500, times=1)
    async with bench.client(clock=FastClock()) as frame:
        await frame.payment_link_sessions.create(order)
    (call,), (first, second) = bench.calls(), bench.attempts()
    assert first.status.status_code is StatusCode.ERROR
    assert first.status.description is None
    assert told(first)["error.type"] == "500"
    assert "http.request.resend_count" not in told(first)
    assert told(second)["http.request.resend_count"] == 1
    assert told(second)["frame.retry.delay"] >= 1
    assert told(second)["frame.retry.reason"] == "after attempt 1: backoff"
    assert second.status.status_code is StatusCode.UNSET
    assert call.status.status_code is StatusCode.UNSET
    assert "error.type" not in told(call)
    assert (told(call)["frame.retries"], told(call)["frame.possible_duplicates"]) == (1, 1)
    assert bench.sums("frame.client.calls") == {("created",): 1}
    assert bench.sums("frame.client.retries") == {(): 1}
    assert bench.sums("frame.client.possible_duplicates") == {(): 1}


async def test_a_refused_call_is_an_error(bench: Bench, order: PaymentLinkSessionRequest) -> None:
    """A 422 marks both spans as errors, with the status as their type."""
    bench.emulator.add_fault("refuse", status=422)
    async with bench.client() as frame:
        with pytest.raises(RequestRefusedError):
            await frame.payment_link_sessions.create(order)
    for span in bench.spans:
        assert span.status.status_code is StatusCode.ERROR
        assert told(span)["error.type"] == "422"
        assert told(span)["frame.outcome"] == "refused"
    assert bench.sums("frame.client.calls") == {("refused", "422"): 1}


async def test_a_redirect_is_an_error_of_the_call_alone(
    bench: Bench, order: PaymentLinkSessionRequest
) -> None:
    """The convention knows no errors below 400, but the call ended without a session."""
    bench.emulator.add_fault("refuse", status=302)
    async with bench.client() as frame:
        with pytest.raises(RequestRefusedError):
            await frame.payment_link_sessions.create(order)
    (call,), (attempt,) = bench.calls(), bench.attempts()
    assert attempt.status.status_code is StatusCode.UNSET
    assert "error.type" not in told(attempt)
    assert call.status.status_code is StatusCode.ERROR
    assert told(call)["error.type"] == "refused"


async def test_an_unknown_outcome(bench: Bench, order: PaymentLinkSessionRequest) -> None:
    """A lost answer is an error in words of ours, and counted as a possible duplicate."""
    bench.emulator.add_fault("create_and_drop")
    async with bench.client(retry=ONCE) as frame:
        with pytest.raises(OutcomeUnknownError):
            await frame.payment_link_sessions.create(order)
    (call,), (attempt,) = bench.calls(), bench.attempts()
    assert told(attempt)["error.type"] == told(call)["error.type"] == "disconnected"
    assert (attempt.status.description or "").startswith("the connection broke")
    assert "http.response.status_code" not in told(attempt)
    assert told(attempt)["network.protocol.version"] == "1.1"
    assert told(call)["frame.outcome"] == "unknown"
    assert bench.sums("frame.client.calls") == {("unknown", "disconnected"): 1}
    assert bench.sums("frame.client.possible_duplicates") == {(): 1}


async def test_a_session_whose_answer_broke(bench: Bench, order: PaymentLinkSessionRequest) -> None:
    """An answer of 201 that breaks off is an error, as the caller gets no session."""
    bench.emulator.add_fault("create_and_truncate", at=300)
    async with bench.client() as frame:
        with pytest.raises(OutcomeUnknownError):
            await frame.payment_link_sessions.create(order)
    for span in bench.spans:
        assert span.status.status_code is StatusCode.ERROR
        assert told(span)["error.type"] == "disconnected"
        assert told(span)["frame.outcome"] == "created"


async def test_a_server_that_is_not_there(bench: Bench, order: PaymentLinkSessionRequest) -> None:
    """A connection that never came about is an error, and no protocol was spoken."""
    address = bench.emulator.base_url
    await bench.emulator.aclose()
    async with bench.client(retry=ONCE, base_url=address) as frame:
        with pytest.raises(NotSentError):
            await frame.payment_link_sessions.create(order)
    (attempt,) = bench.attempts()
    assert told(attempt)["error.type"] == "no_connection"
    assert "network.protocol.version" not in told(attempt)
    assert "frame.connection.reused" not in told(attempt)
    assert bench.sums("frame.client.possible_duplicates") == {}


async def test_a_cancelled_call(bench: Bench, order: PaymentLinkSessionRequest) -> None:
    """A call that is cancelled on the wire still has its spans, in its caller's trace."""
    bench.emulator.add_fault("create_and_hang")
    async with bench.client() as frame:
        with bench.tracers.get_tracer("shop").start_as_current_span("checkout") as checkout:
            calling = asyncio.create_task(frame.payment_link_sessions.create(order))
        while not bench.emulator.created():  # noqa: ASYNC110  # the emulator has no event
            await asyncio.sleep(0.01)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
    (call,), (attempt,) = bench.calls(), bench.attempts()
    assert call.parent == checkout.get_span_context()
    assert told(call)["frame.cancelled"] is True
    assert told(call)["frame.outcome"] == "unknown"
    assert told(call)["error.type"] == told(attempt)["error.type"] == "cancelled"
    assert call.status.status_code is StatusCode.ERROR
    assert bench.sums("frame.client.calls") == {("unknown", "cancelled"): 1}


async def test_waiting_for_the_window(bench: Bench, order: PaymentLinkSessionRequest) -> None:
    """What a call waited for the rate window is told, and is before the attempt's own time."""
    limit = RateLimit(1, 60)
    async with bench.client(clock=FastClock(), rate_limit=limit, store=None) as frame:
        for _ in range(2):
            await frame.payment_link_sessions.create(order, timeout=1000)
    _, call = bench.calls()
    _, attempt = bench.attempts()
    assert told(attempt)["frame.window.wait"] >= 59
    assert told(call)["frame.window.wait"] == told(attempt)["frame.window.wait"]
    assert (bounds(attempt)[0] - bounds(call)[0]) / 1e9 >= 59
    assert (bounds(attempt)[1] - bounds(attempt)[0]) / 1e9 < 30
    (waits,) = bench.points("frame.client.window.wait")
    assert isinstance(waits, HistogramDataPoint)
    assert (waits.count, waits.sum > 59) == (2, True)


async def test_a_call_without_an_attempt(bench: Bench, order: PaymentLinkSessionRequest) -> None:
    """A call that found no place in time has a span of its own, and no request below."""
    limit = RateLimit(1, 60)
    async with bench.client(rate_limit=limit) as frame:
        await frame.payment_link_sessions.create(order)
        with pytest.raises(WindowFullError):
            await frame.payment_link_sessions.create(order, timeout=0.5)
    _, call = bench.calls()
    assert len(bench.attempts()) == 1
    assert told(call)["error.type"] == told(call)["frame.outcome"] == "not_sent"
    assert bounds(call)[0] <= bounds(call)[1]


async def test_bulk_calls_are_in_the_trace_of_their_run(
    bench: Bench, order: PaymentLinkSessionRequest
) -> None:
    """Every call of a run belongs to the span in which the run was begun."""
    async with bench.client() as frame:
        with bench.tracers.get_tracer("shop").start_as_current_span("nightly") as nightly:
            results = [r async for r in frame.payment_link_sessions.create_many([order] * 5)]
    assert all(result.session for result in results)
    calls = bench.calls()
    assert len(calls) == len(bench.attempts()) == 5
    assert {parent(call) for call in calls} == {own(nightly)}
    below = {parent(attempt) for attempt in bench.attempts()}
    assert below == {own(call) for call in calls}
    assert bench.sums("frame.client.calls") == {("created",): 5}


async def test_calls_side_by_side_keep_their_traces(
    bench: Bench, order: PaymentLinkSessionRequest
) -> None:
    """Calls of one client at the same time each go to the trace of their own caller."""
    tracer = bench.tracers.get_tracer("shop")

    async def shop(number: int, frame: FrameClient) -> None:
        with tracer.start_as_current_span(f"checkout {number}"):
            await frame.payment_link_sessions.create(order, idempotency_key=f"{number}")

    async with bench.client() as frame:
        await asyncio.gather(*(shop(number, frame) for number in range(8)))
    roots = {own(s): s.name for s in bench.spans if s.parent is None}
    assert len(roots) == 8
    for call in bench.calls():
        assert roots[parent(call)] == f"checkout {told(call)['frame.idempotency_key']}"


async def test_request_durations_follow_the_convention(
    bench: Bench, order: PaymentLinkSessionRequest
) -> None:
    """Buckets and attributes are those of the stable convention, and hold no key."""
    bench.emulator.add_fault("refuse", status=503, times=1)
    async with bench.client(clock=FastClock()) as frame:
        session = await frame.payment_link_sessions.create(order, idempotency_key="order-42")
    points = bench.points("http.client.request.duration")
    server = {
        "http.request.method": "POST",
        "server.address": "127.0.0.1",
        "server.port": int(bench.emulator.base_url.rpartition(":")[2]),
        "url.template": "/v1/payment_link_sessions",
        "network.protocol.version": "1.1",
    }
    failed, good = sorted(points, key=lambda p: -p.attributes["http.response.status_code"])
    assert failed.attributes == server | {"http.response.status_code": 503, "error.type": "503"}
    assert good.attributes == server | {"http.response.status_code": 201}
    assert good.sum == session.call.attempts[1].duration
    advised = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
    assert good.explicit_bounds == advised
    assert "order-42" not in str(bench.metrics_out.get_metrics_data())


async def test_clients_of_two_addresses_share_an_observer(
    bench: Bench, order: PaymentLinkSessionRequest
) -> None:
    """Each client's requests are told with its own server, also when they share one observer."""
    observer = bench.observer()
    async with Emulator(port=0, limit=None) as other:
        async with (
            bench.client(observers=[observer]) as one,
            bench.client(observers=[observer], base_url=other.base_url) as two,
        ):
            for frame in (one, two):
                await frame.payment_link_sessions.create(order)
        urls = [told(span)["url.full"] for span in bench.attempts()]
        expected = [bench.emulator.base_url, other.base_url]
        assert urls == [f"{base}/v1/payment_link_sessions" for base in expected]
    assert bench.sums("frame.client.calls") == {("created",): 2}


@pytest.mark.parametrize(
    ("base_url", "server", "port", "path"),
    [
        ("https://api.framepayments.com/v1", "api.framepayments.com", 443, "/v1"),
        ("http://[::1]:8080/v1", "::1", 8080, "/v1"),
        ("http://localhost/frame/v1", "localhost", 80, "/frame/v1"),
    ],
)
def test_the_server_is_told_from_the_address(
    base_url: str, server: str, port: int, path: str
) -> None:
    """Host, port (also where the scheme implies it) and path come from the client's address."""
    endpoint = OpenTelemetryObserver().bind(base_url, "POST /v1/payment_link_sessions").endpoint
    assert endpoint.url == f"{base_url}/payment_link_sessions"
    assert endpoint.attributes["url.template"] == f"{path}/payment_link_sessions"
    assert endpoint.attributes["server.address"] == server
    assert endpoint.attributes["server.port"] == port


async def test_another_endpoint_is_told_apart(bench: Bench) -> None:
    """A call of `frame.request` has spans and durations of its own, and counts as no session."""
    async with bench.client() as frame:
        await frame.request("GET", "/v1/products")
        with pytest.raises(CallError):
            await frame.request("GET", "/v1/products/prod_9")
    assert [span.name for span in bench.spans] == [
        *("GET /v1/products", "request", "GET /v1/products/{id}", "request"),
    ]
    first, _, second, _ = map(told, bench.spans)
    assert first["url.full"] == f"{bench.emulator.base_url}/v1/products"
    assert (second["url.template"], "url.full" in second) == ("/v1/products/{id}", False)
    templates = [p.attributes["url.template"] for p in bench.points("http.client.request.duration")]
    assert templates == ["/v1/products", "/v1/products/{id}"]
    assert not bench.points("frame.client.calls")


class BrokenExporter(SpanExporter):
    """Can't export."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        raise RuntimeError("no collector")


class BrokenTracers(TracerProvider):
    """Can't even make a tracer's span."""

    def get_tracer(self, *_: Any, **__: Any) -> Any:
        return BrokenTracers()

    def start_span(self, *_: Any, **__: Any) -> None:
        raise RuntimeError("no span")


@pytest.mark.parametrize("broken", ["exporter", "tracer"])
async def test_trouble_with_telemetry_never_disturbs_a_call(
    bench: Bench, order: PaymentLinkSessionRequest, broken: str
) -> None:
    """An exporter or a tracer that raises changes neither the call nor the metrics."""
    tracers = TracerProvider() if broken == "exporter" else BrokenTracers()
    tracers.add_span_processor(SimpleSpanProcessor(BrokenExporter()))
    observer = OpenTelemetryObserver(tracer_provider=tracers, meter_provider=bench.meters)
    async with bench.client(observers=[observer, bench.observer()]) as frame:
        session = await frame.payment_link_sessions.create(order)
    assert session.id in bench.emulator.created()
    assert bench.sums("frame.client.calls") == {("created",): 2}
    assert len(bench.calls()) == 1


async def test_without_an_sdk_nothing_happens(
    bench: Bench, order: PaymentLinkSessionRequest
) -> None:
    """With OpenTelemetry's API alone an observer costs a little and does nothing."""
    async with bench.client(observers=[OpenTelemetryObserver()]) as frame:
        assert (await frame.payment_link_sessions.create(order)).id in bench.emulator.created()


async def test_what_is_not_sampled_is_not_built(
    bench: Bench, order: PaymentLinkSessionRequest
) -> None:
    """A call that the sampler leaves out has no spans, but is measured."""
    tracers = TracerProvider(sampler=ALWAYS_OFF)
    tracers.add_span_processor(SimpleSpanProcessor(bench.spans_out))
    observer = OpenTelemetryObserver(tracer_provider=tracers, meter_provider=bench.meters)
    async with bench.client(observers=[observer]) as frame:
        await frame.payment_link_sessions.create(order)
    assert bench.spans == ()
    assert bench.sums("frame.client.calls") == {("created",): 1}


async def test_no_secret_is_told(bench: Bench) -> None:
    """Neither the API key nor a card number nor an address of a payer is in spans or metrics."""
    card = Card(card_number="4242424242424242", exp_month="12", exp_year="2034", cvc="9876")
    order = PaymentLinkSessionRequest(
        account="acc_1",
        customer_email="payer@shop.example",
        payment_method_data=card,
        line_items=[LineItem(product="prod_1")],
    )
    bench.emulator.add_fault("refuse", status=422, body="4242424242424242 sk_sandbox payer@")
    async with bench.client() as frame:
        with pytest.raises(CallError):
            await frame.payment_link_sessions.create(order)
    assert bench.spans
    written = str(bench.metrics_out.get_metrics_data())
    written += "".join(span.to_json() for span in bench.spans)
    for secret in ("sk_sandbox_0123456789", "4242424242424242", "payer@"):
        assert secret not in written
    assert not shows(written, "9876")


# --- across the wire -----------------------------------------------------------------


def traceparents(server: FaultServer) -> list[str]:
    """What each request said of its trace."""
    heads = [seen.received.partition(b"\r\n\r\n")[0].decode() for seen in server.ledger]
    lines = [line for head in heads for line in head.splitlines() if ":" in line]
    return [
        v.strip() for n, _, v in (x.partition(":") for x in lines) if n.lower() == "traceparent"
    ]


@pytest.mark.parametrize("propagate", [True, False])
async def test_each_attempt_carries_the_trace(
    order: PaymentLinkSessionRequest, propagate: bool
) -> None:
    """Every attempt, retries too, says which span of the trace it is, unless told not to."""
    tracers, spans = TracerProvider(), InMemorySpanExporter()
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    observer = OpenTelemetryObserver(tracer_provider=tracers, propagate=propagate)
    play = answer(refusal("503 No"), framed(session_body("pls_1")))
    async with (
        FaultServer.playing(play) as server,
        FrameClient(
            "sk_sandbox_1",
            base_url=server.url,
            observers=[observer],
            rate_limit=None,
            store=MemoryStore(),
            clock=FastClock(),
        ) as frame,
    ):
        with tracers.get_tracer("shop").start_as_current_span("checkout") as span:
            await frame.payment_link_sessions.create(order)
    attempts = [each.context for each in spans.get_finished_spans() if each.name == ATTEMPT]
    expected = [f"00-{a.trace_id:032x}-{a.span_id:016x}-{a.trace_flags:02x}" for a in attempts if a]
    assert {a.trace_id for a in attempts if a} == {span.get_span_context().trace_id}
    assert len(expected) == 2
    assert traceparents(server) == (expected if propagate else [])


async def test_a_span_of_aiohttp_is_below_that_of_its_attempt(
    bench: Bench, order: PaymentLinkSessionRequest
) -> None:
    """What instruments aiohttp finds the attempt's span current, and can measure it alone."""
    tracer = bench.tracers.get_tracer("aiohttp")

    async def begin(*_: object) -> None:
        tracer.start_span("of aiohttp").end()

    traces = aiohttp.TraceConfig()
    traces.on_request_start.append(begin)
    observer = OpenTelemetryObserver(
        tracer_provider=bench.tracers, meter_provider=bench.meters, request_durations=False
    )
    jar = aiohttp.DummyCookieJar()
    async with (
        aiohttp.ClientSession(trace_configs=[traces], cookie_jar=jar) as session,
        bench.client(http=session, observers=[observer]) as frame,
    ):
        await frame.payment_link_sessions.create(order)
        tracer.start_span("afterwards").end()
    below, attempt, call, after = bench.spans
    assert [each.name for each in bench.spans] == ["of aiohttp", ATTEMPT, CALL, "afterwards"]
    assert (below.parent, attempt.parent, call.parent) == (attempt.context, call.context, None)
    assert after.parent is None
    assert not bench.points("http.client.request.duration")
    assert bench.sums("frame.client.calls") == {("created",): 1}


async def test_the_trace_around_a_call_is_what_it_was(
    bench: Bench, order: PaymentLinkSessionRequest
) -> None:
    """After a call that two observers watched, and that was repeated, the caller's span goes on."""
    bench.emulator.add_fault("refuse", status=500, times=1)
    frame = bench.client(clock=FastClock(), observers=[bench.observer(), bench.observer()])
    with bench.tracers.get_tracer("app").start_as_current_span("app") as span:
        await frame.payment_link_sessions.create(order, idempotency_key="key")
        assert get_current_span() is span
        await frame.payment_link_sessions.create(order)
        assert get_current_span() is span
    await frame.aclose()


async def test_an_observer_sends_nothing_but_its_trace(order: PaymentLinkSessionRequest) -> None:
    """Other headers of an observer are not sent, and one that fails doesn't end the call."""

    class Loud(Observer):
        def attempt_started(
            self, key: str, number: int, started: datetime, elapsed: float
        ) -> Mapping[str, str]:
            return {"traceparent": "00-1-2-01", "authorization": "Bearer other", "baggage": "a=1"}

    class Failing(Observer):
        def attempt_started(
            self, key: str, number: int, started: datetime, elapsed: float
        ) -> Mapping[str, str]:
            raise ZeroDivisionError

    async with (
        FaultServer.playing(answer(framed(session_body("pls_1")))) as server,
        FrameClient(
            "sk_sandbox_1", base_url=server.url, observers=[Loud(), Failing()], rate_limit=None
        ) as frame,
    ):
        await frame.payment_link_sessions.create(order)
    assert traceparents(server) == ["00-1-2-01"]
    (seen,) = server.ledger
    assert b"Bearer other" not in seen.received
    assert b"baggage" not in seen.received


@pytest.mark.parametrize("value", ["00-1\r\nX-Evil: 1", "caf\u00e9", 7, None, b"00-1-2-01"])
async def test_a_trace_that_cant_be_sent_disturbs_no_call(
    order: PaymentLinkSessionRequest, value: Any
) -> None:
    """What an observer gives as its trace, and no header could be, is left out."""

    class Odd(Observer):
        def attempt_started(
            self, key: str, number: int, started: datetime, elapsed: float
        ) -> Mapping[str, str]:
            return {"traceparent": value, "tracestate": "a=1"}

    async with (
        FaultServer.playing(answer(framed(session_body("pls_1")))) as server,
        FrameClient(
            "sk_sandbox_1", base_url=server.url, observers=[Odd()], rate_limit=None
        ) as frame,
    ):
        session = await frame.payment_link_sessions.create(order)
    assert len(session.call.attempts) == 1
    (seen,) = server.ledger
    assert b"tracestate: a=1" in seen.received
    assert b"traceparent" not in seen.received
