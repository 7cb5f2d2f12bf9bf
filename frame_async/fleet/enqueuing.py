"""Requests from code on their way to a queue: each once, as rows of a file are."""

from collections.abc import AsyncIterable, AsyncIterator, Iterable
from contextlib import closing
from typing import Any, Final, TypeGuard

from attrs import evolve

from frame_async.bulk.checking import Checked
from frame_async.bulk.rows import Row
from frame_async.engine.pool import BulkItem, Source
from frame_async.errors import Problem, ValidationError
from frame_async.fleet.rows import SECRET, queued
from frame_async.fleet.runs import Enqueued, FleetRow, FleetRun, FleetRuns
from frame_async.models.requests import PaymentLinkSessionRequest

Requests = (
    Iterable[PaymentLinkSessionRequest | BulkItem[Any]]
    | AsyncIterable[PaymentLinkSessionRequest | BulkItem[Any]]
)

BY_KEY: Final = "idempotency_key"
"""Stands for the key column of a run whose requests have keys of their own."""
_BATCH: Final = 500


async def enqueue(runs: FleetRuns, task: str, mine: FleetRun, requests: Requests) -> Enqueued:
    """Enqueue every request that the run doesn't have; see `Fleet.enqueue`."""
    source = Source(requests)
    first = await _items(source, 1)
    if first and first[0].idempotency_key is not None:
        mine = evolve(mine, key_column=BY_KEY)
    known = await runs.find(mine.name)
    run = await runs.begin(evolve(mine, total=known.total if known else 0))
    sum_of = Enqueued(0, 0, [])
    with closing(Checked()) as checked:
        async for batch in _batches(source, first):
            given = [_row(item, run, checked) for item in batch]
            sum_of = _added(sum_of, await runs.enqueue(run, task, given))
    await runs.complete(run, run.total + sum_of.added)
    return sum_of


async def _batches(
    source: Source, first: list[BulkItem[Any]]
) -> AsyncIterator[list[BulkItem[Any]]]:
    batch = first + await _items(source, _BATCH - len(first))
    while batch:
        yield batch
        batch = await _items(source, _BATCH)


async def _items(source: Source, most: int) -> list[BulkItem[Any]]:
    items = list[BulkItem[Any]]()
    while len(items) < most and (taken := await source.take()) is not None:
        index, given = taken
        item = given if _is_item(given) else BulkItem(given)
        if not _is_request(item.request):
            fix = "pass PaymentLinkSessionRequest, or BulkItem with one"
            raise _refused(index, Problem("request", "is something else", fix))
        if item.request.payment_method_data is not None:
            raise _refused(index, SECRET)
        items.append(item)
    return items


def _is_item(given: object) -> TypeGuard[BulkItem[Any]]:
    return isinstance(given, BulkItem)


def _is_request(given: object) -> bool:
    return isinstance(given, PaymentLinkSessionRequest)


def _row(item: BulkItem[Any], run: FleetRun, checked: Checked) -> FleetRow:
    checked.total += 1
    number = checked.total
    if (item.idempotency_key is not None) is not (run.key_column == BY_KEY):
        fix = "give each of a run one, or none"
        raise _refused(number - 1, Problem("idempotency_key", "is not as the others'", fix))
    row = Row(
        number,
        item.request.client_reference_id or "",
        item.request,
        (),
        run.total + number,
        item.idempotency_key or "",
    )
    checked.note(row, run.key_column)
    return queued(row, checked, run.key_column)


def _added(before: Enqueued, more: Enqueued) -> Enqueued:
    return Enqueued(
        before.added + more.added, before.again + more.again, [*before.changed, *more.changed]
    )


def _refused(index: int, problem: Problem) -> ValidationError:
    named = evolve(problem, path=f"requests[{index}].{problem.path}")
    return ValidationError("it can't be enqueued", [named])
