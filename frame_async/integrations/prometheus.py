"""Metrics of calls for Prometheus; needs ``frame-async[prometheus]``.

The same metrics as those of `frame_async.integrations.opentelemetry`, under the names that
OpenTelemetry's exporter for Prometheus gives them, so that dashboards fit both. This one
needs no SDK and knows prometheus_client's mode for several processes.
"""

from frame_async.integrations._measures import Attributes, Instrument, Measuring, Record

try:
    from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram
except ImportError:
    raise ImportError(
        "frame_async.integrations.prometheus needs prometheus_client: "
        "pip install 'frame-async[prometheus]'"
    ) from None


class PrometheusObserver(Measuring):
    """Give it to a client: ``FrameClient(observers=[PrometheusObserver()])``.

    Make one per process and registry, and share it between clients: a registry takes each
    metric once.

    Args:
        registry: where the metrics are registered; prometheus_client's own by default.

    Raises:
        ValueError: the registry has these metrics already.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        super().__init__(lambda instrument: _made(registry, instrument))


def _made(registry: CollectorRegistry, instrument: Instrument) -> Record:
    """The metric for an instrument; an attribute that isn't there is an empty label."""
    attributes = instrument.attributes
    name = instrument.name.replace(".", "_") + ("_seconds" if instrument.unit == "s" else "")
    labels = [attribute.replace(".", "_") for attribute in attributes]

    def values(given: Attributes) -> list[str]:
        return [str(given.get(attribute, "")) for attribute in attributes]

    if instrument.buckets:
        histogram = Histogram(
            name, instrument.description, labels, registry=registry, buckets=instrument.buckets
        )
        if not labels:
            return lambda amount, _: histogram.observe(amount)
        return lambda amount, given: histogram.labels(*values(given)).observe(amount)
    counter = Counter(name, instrument.description, labels, registry=registry)
    if not labels:
        return lambda amount, _: counter.inc(amount)
    return lambda amount, given: counter.labels(*values(given)).inc(amount)
