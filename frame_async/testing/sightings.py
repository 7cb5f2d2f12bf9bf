"""What an emulator saw, in words for the message of a failed assertion."""

from collections.abc import Iterable, Sequence
from typing import Final

from frame_async.emulator import LedgerEntry

_SHOWN: Final = 20


def of_sessions(
    expected: str, reference: str | None, created: Sequence[str], ledger: Sequence[LedgerEntry]
) -> str:
    """Other sessions were created than expected."""
    of = "" if reference is None else f" with the reference {reference!r}"
    found = f"{len(created)} were: {', '.join(created[:_SHOWN])}" if created else "none was"
    return f"expected {expected}{of} to be created, but {found}\n{_seen(ledger)}"


def of_throttling(ledger: Sequence[LedgerEntry]) -> str:
    """Requests came too fast; empty when none did."""
    refused = [entry for entry in ledger if entry.status == 429]
    if not refused:
        return ""
    said = f"expected no 429, but {len(refused)} of {len(ledger)} requests were refused with it"
    return f"{said}\n{_listed(refused)}"


def of_unknown_fields(ledger: Sequence[LedgerEntry]) -> str:
    """Requests had fields that Frame would ignore; empty when none had."""
    odd = [entry for entry in ledger if entry.unknown_fields]
    names = sorted({name for entry in odd for name in entry.unknown_fields})
    if not odd:
        return ""
    said = f"expected known fields only, but Frame would ignore {', '.join(map(repr, names))}"
    return f"{said}\n{_listed(odd)}"


def _seen(ledger: Sequence[LedgerEntry]) -> str:
    if not ledger:
        return "the emulator saw no request: does your code use its base_url and api_key?"
    return f"the emulator saw:\n{_listed(ledger)}"


def _listed(entries: Sequence[LedgerEntry]) -> str:
    lines = [f"  #{entry.sequence} {_described(entry)}" for entry in entries[-_SHOWN:]]
    left_out = len(entries) - len(lines)
    return "\n".join([f"  ({left_out} earlier ones)"] * (left_out > 0) + lines)


def _described(entry: LedgerEntry) -> str:
    return ", ".join(
        _facts(
            f"{entry.method} {entry.path}: {entry.status or 'no answer'}",
            entry.client_reference_id is not None and f"reference {entry.client_reference_id!r}",
            entry.session_id is not None and f"session {entry.session_id}",
            entry.idempotency_key is not None and f"idempotency key {entry.idempotency_key!r}",
        )
    )


def _facts(*facts: str | bool) -> Iterable[str]:
    return (fact for fact in facts if isinstance(fact, str))
