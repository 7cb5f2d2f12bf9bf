"""How fast a run goes, and how long it takes, by the results of late."""

from collections.abc import Sequence

from frame_async.bulk.forecast import Forecast
from frame_async.protocol.window import Lane, RateLimit


def pace_of(
    limit: RateLimit | None, moments: Sequence[tuple[float, float]], remaining: int
) -> tuple[float, float | None, float | None]:
    """Results a minute, seconds left, and the share of the window in use."""
    if not moments:
        return 0.0, 0.0 if not remaining else None, None if limit is None else 0.0
    now, began = moments[0][1], moments[-1][0]
    places = limit.open_to(Lane.BULK) if limit else 1
    forecast = Forecast(began, limit, places)
    for ended_at, _ in reversed(moments):
        forecast.finished(ended_at)
    # What came in a burst says nothing of a minute: a period is the least that is measured.
    rate = 60.0 * len(moments) / max(now - began, limit.per if limit else 1.0)
    used = None if limit is None else forecast.in_window(now) / places
    return rate, forecast.left(remaining, now), used
