"""How the emulator's parts read as JSON."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, cast

from frame_async.emulator.faults.rules import ACTIONS, Fault
from frame_async.emulator.state.emulator_state import EmulatorState
from frame_async.emulator.state.ledger import LedgerEntry
from frame_async.emulator.state.sessions import Session
from frame_async.emulator.webhooks.deliveries import Delivery, Endpoint
from frame_async.emulator.webhooks.published import ASSUMPTIONS
from frame_async.emulator.webhooks.sending import Webhooks

_SHOWN = 50
_LOOKED_AT = 5_000  # each second, by a dashboard that is open


def session_view(session: Session, now: float) -> dict[str, Any]:
    """Show a session as Frame would, with its line items."""
    items = [dict(item) for item in session.line_items]
    shown = {**session.as_json(now), "url": f"/pay/{session.id}", "line_items": items}
    return shown | ({"not_payable": session.not_payable} if session.not_payable else {})


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


def limits_view(state: EmulatorState) -> dict[str, Any]:
    """Show the rate limit."""
    windows = state.windows
    return {
        "limit": windows.limit,
        "period": windows.period,
        "count_refused": windows.count_refused,
    }


def clock_view(state: EmulatorState) -> dict[str, Any]:
    """Show the emulator's time."""
    return {"now": state.clock(), "offset": state.clock.offset}


def snapshot(state: EmulatorState, reference: str | None = None) -> dict[str, Any]:
    """Show everything that the dashboard shows, as it is now.

    With a reference, only the requests and sessions of that one.
    """
    now = state.clock()
    sessions = islice(state.sessions.newest(reference), _SHOWN)
    return {
        "clock": clock_view(state),
        "limits": limits_view(state),
        "settings": _settings(state),
        "counts": _counts(state),
        "usage": _usage(state, now),
        "warnings": dict(state.ledger.unknown_fields.most_common(20)),
        "requests": _requests(state, reference, visits=False),
        "visits": _requests(state, reference, visits=True),
        "sessions": _brief([session_view(each, now) for each in sessions]),
        "faults": [fault_view(each, now) for each in state.faults.all()],
        "fault_kinds": _KINDS,
        "webhooks": None if state.webhooks is None else _webhooks(state.webhooks),
    }


def entries(
    state: EmulatorState, reference: str | None = None, before: int | None = None
) -> Iterator[LedgerEntry]:
    """Return the ledger's entries, newest first, of one reference or from before one only."""
    return (
        entry
        for entry in state.ledger.newest(before)
        if reference is None or entry.client_reference_id == reference
    )


def newest(deliveries: Iterable[Delivery], most: int) -> list[dict[str, Any]]:
    """Show the newest deliveries first."""
    return [delivery_view(each) for each in islice(reversed(tuple(deliveries)), most)]


def _brief(value: Any, most: int = 500) -> Any:
    """Cut long texts and lists, for what is asked for again and again."""
    if isinstance(value, dict):
        shown = islice(cast("dict[str, Any]", value).items(), _SHOWN)
        return {name: _brief(each, most) for name, each in shown}
    if isinstance(value, list | tuple):
        return [_brief(each, most) for each in islice(cast("list[Any]", value), _SHOWN)]
    long = isinstance(value, str) and len(value) > most
    return f"{value[:most]}…" if long else value


def _requests(state: EmulatorState, reference: str | None, *, visits: bool) -> Any:
    """Show the newest calls of the API, or visits of checkout pages."""
    recent = islice(entries(state, reference), _LOOKED_AT)
    found = (entry for entry in recent if entry.is_visit is visits)
    return _brief([_request(entry) for entry in islice(found, _SHOWN)])


def _request(entry: LedgerEntry) -> dict[str, Any]:
    """Show an entry of the ledger in brief: without its body."""
    shown = entry.dump()
    del shown["body"]
    return shown


def _settings(state: EmulatorState) -> dict[str, Any]:
    return {
        "assumed": [name for name in ASSUMPTIONS if name in state.assumed],
        "envelope": state.envelope,
        "latency": str(state.latency),
        "idempotency": state.idempotency is not None,
        "seed": state.randomness.seed,
        "ledger_limit": state.ledger.limit,
        "session_limit": state.sessions.limit,
    }


def _counts(state: EmulatorState) -> dict[str, Any]:
    return {
        "requests": state.ledger.count,
        "visits": state.ledger.visits,
        "created": state.sessions.count,
        "statuses": _by_name(state.ledger.statuses),
        "faults_fired": sum(fault.fired for fault in state.faults.all()),
    }


def _by_name(statuses: Counter[int | None]) -> dict[str, int]:
    return {"none" if status is None else str(status): n for status, n in statuses.items()}


def _usage(state: EmulatorState, now: float) -> dict[str, Any]:
    steps, span = 120, state.usage.width * 600
    series = state.usage.series(now, steps)
    return {
        "until": now,
        "step": span / steps,
        "series": [
            {"label": each.label, "accepted": each.accepted, "refused": each.refused}
            for each in series[:4]
        ],
        "more": max(0, len(series) - 4),
    }


def _webhooks(webhooks: Webhooks) -> dict[str, Any]:
    return {
        "endpoints": [endpoint_view(each) for each in webhooks.endpoints()],
        "deliveries": _brief(newest(webhooks.deliveries(), _SHOWN), 10_000),
    }


_KINDS: Mapping[str, Any] = {
    name: {
        "stage": action.stage.value,
        "takes": sorted(action.takes),
        "needs": sorted(action.needs),
    }
    for name, action in ACTIONS.items()
}
