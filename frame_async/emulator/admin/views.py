"""How the emulator's parts read as JSON."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from frame_async.emulator.books import Books
from frame_async.emulator.faults import ACTIONS, Fault
from frame_async.emulator.ledger import LedgerEntry
from frame_async.emulator.sessions import Session
from frame_async.emulator.webhook_desk import Delivery, Endpoint, WebhookDesk

_SHOWN = 50


def session_view(session: Session, now: float) -> dict[str, Any]:
    """Show a session as Frame would, with its line items."""
    items = [dict(item) for item in session.line_items]
    return {**session.as_json(now), "url": f"/pay/{session.id}", "line_items": items}


def fault_view(fault: Fault, now: float) -> dict[str, Any]:
    """Show a fault: what was asked for, and what came of it."""
    return {
        "id": fault.id,
        "do": fault.do,
        "on": fault.on,
        "spent": fault.spent(now),
        "until": fault.until,
        "seen": fault.seen,
        "fired": fault.fired,
        "stage": fault.action.stage.value,
        **fault.conditions(),
    }


def endpoint_view(endpoint: Endpoint) -> dict[str, Any]:
    """Show an endpoint, without its secret."""
    return {
        "id": endpoint.id,
        "url": endpoint.url,
        "events": list(endpoint.events),
        "created": endpoint.created,
    }


def delivery_view(delivery: Delivery) -> dict[str, Any]:
    """Show a delivery with all its attempts."""
    return {
        "id": delivery.id,
        "event_id": delivery.event_id,
        "event_type": delivery.event_type,
        "endpoint_id": delivery.endpoint_id,
        "url": delivery.url,
        "state": delivery.state,
        "attempts": [
            {"at": each.at, "status": each.status, "error": each.error, "seconds": each.seconds}
            for each in delivery.attempts
        ],
        "body": delivery.body.decode("utf-8", "replace"),
    }


def limits_view(books: Books) -> dict[str, Any]:
    """Show the rate limit."""
    windows = books.windows
    return {
        "limit": windows.limit,
        "period": windows.period,
        "count_refused": windows.count_refused,
    }


def clock_view(books: Books) -> dict[str, Any]:
    """Show the emulator's time."""
    return {"now": books.clock(), "offset": books.clock.offset}


def snapshot(books: Books, reference: str | None = None) -> dict[str, Any]:
    """Show everything that the dashboard shows, as it is now.

    With a reference, only the requests and sessions of that one.
    """
    now = books.clock()
    sessions = islice(books.sessions.newest(reference), _SHOWN)
    return {
        "clock": clock_view(books),
        "limits": limits_view(books),
        "settings": _settings(books),
        "counts": _counts(books),
        "usage": _usage(books, now),
        "warnings": dict(books.ledger.unknown_fields.most_common(20)),
        "requests": [_request(each) for each in islice(entries(books, reference), _SHOWN)],
        "sessions": [session_view(each, now) for each in sessions],
        "faults": [fault_view(each, now) for each in books.faults.all()],
        "fault_kinds": _KINDS,
        "webhooks": None if books.webhooks is None else _webhooks(books.webhooks),
    }


def entries(
    books: Books, reference: str | None = None, before: int | None = None
) -> Iterator[LedgerEntry]:
    """Return the ledger's entries, newest first, of one reference or from before one only."""
    return (
        entry
        for entry in books.ledger.newest(before)
        if reference is None or entry.client_reference_id == reference
    )


def newest(deliveries: Iterable[Delivery], most: int) -> list[dict[str, Any]]:
    """Show the newest deliveries first."""
    return [delivery_view(each) for each in islice(reversed(tuple(deliveries)), most)]


def _request(entry: LedgerEntry) -> dict[str, Any]:
    """Show an entry of the ledger in brief: without its body."""
    shown = entry.dump()
    del shown["body"]
    return shown


def _settings(books: Books) -> dict[str, Any]:
    return {
        "latency": str(books.latency),
        "idempotency": books.idempotency is not None,
        "seed": books.chances.seed,
        "ledger_limit": books.ledger.limit,
        "session_limit": books.sessions.limit,
    }


def _counts(books: Books) -> dict[str, Any]:
    return {
        "requests": books.ledger.count,
        "created": books.sessions.count,
        "statuses": _by_name(books.ledger.statuses),
        "faults_fired": sum(fault.fired for fault in books.faults.all()),
    }


def _by_name(statuses: Counter[int | None]) -> dict[str, int]:
    return {"none" if status is None else str(status): n for status, n in statuses.items()}


def _usage(books: Books, now: float) -> dict[str, Any]:
    steps, span = 120, books.usage.width * 600
    series = books.usage.series(now, steps)
    return {
        "until": now,
        "step": span / steps,
        "series": [
            {"label": each.label, "accepted": each.accepted, "refused": each.refused}
            for each in series[:4]
        ],
        "more": max(0, len(series) - 4),
    }


def _webhooks(desk: WebhookDesk) -> dict[str, Any]:
    return {
        "endpoints": [endpoint_view(each) for each in desk.endpoints()],
        "deliveries": newest(desk.deliveries(), _SHOWN),
    }


_KINDS: Mapping[str, Any] = {
    name: {
        "stage": action.stage.value,
        "takes": sorted(action.takes),
        "needs": sorted(action.needs),
    }
    for name, action in ACTIONS.items()
}
