"""Operations that share a transaction, and where they are alike, a statement.

Around each statement the thread that writes hands Python over to the event loop and has to
get it back, which takes longer than the statement. So claims that wait together are
written by one statement, and so are completions; only where that changes fewer rows than
it should is each looked at by itself.
"""

import sqlite3
from collections.abc import Callable, Sequence
from secrets import token_hex
from typing import Final, TypeVar

from attrs import define

from frame_async.stores._keys import Change, State
from frame_async.stores._sqlite_faults import FaultError
from frame_async.stores._sqlite_rows import Transaction
from frame_async.stores.interface import Claim, Claimed

T = TypeVar("T")

Operation = Callable[[Transaction], object]
"""What is to be done in a transaction."""

_TOKEN: Final = 16
"""Characters of a claim's token."""

_SIZES: Final = (64, 32, *range(16, 0, -1))
"""Rows of one statement: few texts, so that all stay prepared, and few statements."""


@define(eq=False)
class Claiming:
    """A claim of a key; see `Store.claim`."""

    key: str
    fingerprint: str
    lease: float
    token: str = ""
    """What the claim is known by, once it was tried."""

    def __call__(self, rows: Transaction) -> Claim:
        """Claim it by itself."""
        return rows.claim(self.key, self.fingerprint, self.lease, self.token)


@define(eq=False)
class Completing:
    """The good end of a claim; see `Store.complete`."""

    key: str
    token: str
    body: bytes
    keep: float

    def __call__(self, rows: Transaction) -> bool:
        """Complete it by itself."""
        change = Change(state=State.DONE, seconds=self.keep, body=self.body)
        return rows.change(self.key, self.token, change)


def perform(operations: Sequence[Operation], rows: Transaction) -> list[object]:
    """What each operation gives, in their order; an exception is its operation's own.

    What is neither claim nor completion finds everything before it done. Of the two,
    completions come first: whoever claims a key while it is completed finds it done.

    Raises:
        FaultError: the file can't be used, by anyone.
        sqlite3.Error: the same.
    """
    batch = _Batch(rows, [None] * len(operations))
    for place, operation in enumerate(operations):
        if isinstance(operation, Claiming):
            batch.claims.append((place, operation))
        elif isinstance(operation, Completing):
            batch.completions.append((place, operation))
        else:
            batch.flush()
            batch.answers[place] = _answer(operation, rows)
    batch.flush()
    return batch.answers


class _Batch:
    """Claims and completions that wait for others of their kind, with their places."""

    def __init__(self, rows: Transaction, answers: list[object]) -> None:
        self._rows = rows
        self.answers = answers
        self.claims: list[tuple[int, Claiming]] = []
        self.completions: list[tuple[int, Completing]] = []

    def flush(self) -> None:
        """Do what waits."""
        while self.completions:
            self._complete(_portion(self.completions))
        while self.claims:
            self._claim(_portion(self.claims))

    def _complete(self, portion: Sequence[tuple[int, Completing]]) -> None:
        ends = [(end.key, end.token, end.body, end.keep) for _, end in portion]
        good = _can_complete(portion) and _answer(lambda rows: rows.complete_all(ends), self._rows)
        if good is True:
            for place, _ in portion:
                self.answers[place] = True
        else:
            # Those that were completed by now are so once more, which changes nothing.
            self._one_by_one(portion)

    def _claim(self, portion: Sequence[tuple[int, Claiming]]) -> None:
        drawn = token_hex(_TOKEN // 2 * len(portion))
        for turn, (_, claim) in enumerate(portion):
            claim.token = drawn[turn * _TOKEN : (turn + 1) * _TOKEN]
        claims = [(one.key, one.fingerprint, one.token, one.lease) for _, one in portion]
        if _answer(lambda rows: rows.claim_all(claims), self._rows) is True:
            for place, claim in portion:
                self.answers[place] = Claimed(claim.token)
        else:
            self._one_by_one(portion)

    def _one_by_one(self, portion: Sequence[tuple[int, Operation]]) -> None:
        for place, operation in portion:
            self.answers[place] = _answer(operation, self._rows)


def _can_complete(portion: Sequence[tuple[int, Completing]]) -> bool:
    """Whether SQLite can do it at once, and every end lasts so that it can be looked at."""
    return sqlite3.sqlite_version_info >= (3, 33) and all(end.keep > 0 for _, end in portion)


def _portion(waiting: list[tuple[int, T]]) -> list[tuple[int, T]]:
    """The first of those who wait, as many as one statement takes."""
    size = next(size for size in _SIZES if size <= len(waiting))
    portion = waiting[:size]
    del waiting[:size]
    return portion


def _answer(operation: Operation, rows: Transaction) -> object:
    """What one operation gives; its own error is its own, the file's is everyone's."""
    try:
        return operation(rows)
    except FaultError:
        raise
    except Exception as error:
        if hasattr(error, "sqlite_errorcode"):
            raise
        return error
