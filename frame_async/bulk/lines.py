"""From a result to a line of the output, and to what the state file remembers of it."""

from collections.abc import Mapping
from typing import Any, Final

from frame_async.bulk.rows import Row
from frame_async.bulk.state import Recorded, RowResult
from frame_async.engine.pool import BulkResult
from frame_async.errors import (
    FrameError,
    IdempotencyConflictError,
    RequestRefusedError,
    SessionUnreadableError,
    ValidationError,
)
from frame_async.models.sessions import PaymentLinkSession
from frame_async.protocol.dispositions import disposition_of, may_go_on
from frame_async.protocol.retry import RetryPolicy

_CHANGED: Final = (
    "the row was changed after a request had been sent for it; for what it said before, "
    "a session may exist"
)


def ending_of(result: BulkResult[Any], policy: RetryPolicy) -> RowResult | None:
    """What became of a row, once and for all; None when it may be tried again."""
    if may_go_on(result.error, result.call, policy):
        return None
    return RowResult[disposition_of(result.error).counts_as.upper()]


def line_of(result: BulkResult[Any], row: Row, ending: RowResult) -> dict[str, Any]:
    """The line of a row for which a call was made; members as in `output.COLUMNS`."""
    call = result.call
    return {
        **_head(row, ending),
        **(_session(result.session) if result.session else _error(result.error)),
        "possible_duplicates": possible_duplicates_of(result),
        "attempts": len(call.attempts),
        "idempotency_key": result.item.idempotency_key,
    }


def line_of_wrong(row: Row) -> dict[str, Any]:
    """The line of a row that was wrong before anything was sent."""
    problems = [{"path": p.path, "rule": p.rule, "fix": p.fix} for p in row.problems]
    error = {"message": "; ".join(map(str, row.problems)), "problems": problems}
    return {
        **_head(row, RowResult.INVALID),
        "error": error,
        "possible_duplicates": 0,
        "attempts": 0,
    }


def possible_duplicates_of(result: BulkResult[Any]) -> int:
    """Sessions that may exist beside the one handed over, or beside none."""
    changed = isinstance(result.error, IdempotencyConflictError)
    return 1 if changed else result.call.possible_duplicates


def recorded(
    row: Row, known_as: int, fingerprint: int, ending: RowResult, possible_duplicates: int
) -> Recorded:
    """What is remembered of a row; its line and reference where there is something to tell."""
    reference = row.reference if possible_duplicates or ending is RowResult.UNKNOWN else ""
    return Recorded(
        known_as, fingerprint, int(ending), possible_duplicates, row.line, reference, row.number
    )


def _head(row: Row, ending: RowResult) -> dict[str, Any]:
    return {
        "row": row.number,
        "line": row.line,
        "reference": row.reference or None,
        "result": ending.name.lower(),
    }


def _session(session: PaymentLinkSession) -> dict[str, Any]:
    return {
        "session_id": session.id,
        "status": session.status,
        "payment_status": session.payment_status,
        "expires": session.expires.isoformat() if session.expires else None,
        "url": session.url,
    }


def _error(error: FrameError | None) -> dict[str, Any]:
    described: dict[str, Any] = {"message": str(error)}
    match error:
        case IdempotencyConflictError():
            described = {"message": f"{_CHANGED} (different: {', '.join(error.fields)})"}
        case ValidationError():
            described["problems"] = [
                {"path": p.path, "rule": p.rule, "fix": p.fix} for p in error.problems
            ]
        case SessionUnreadableError():
            return {"session_id": error.session_id, "error": described}
        case RequestRefusedError():
            described |= {"status": error.status, "fields": _fields(error.field_errors)}
        case _:
            pass
    return {"error": described}


def _fields(errors: Mapping[str, tuple[str, ...]]) -> dict[str, list[str]]:
    return {path: list(messages) for path, messages in errors.items()}
