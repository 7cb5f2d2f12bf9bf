"""Connections to Redis: to one server, or to a cluster."""

import asyncio
from collections import deque
from random import random
from typing import Any, Final

from frame_async.stores._links import Failure, Link
from frame_async.stores._redis_scripts import (
    Argument,
    Ask,
    Connection,
    Pool,
    Script,
    find_refusal,
    is_hopeless,
    is_refusal,
    is_unknown,
    run,
    words,
)
from frame_async.stores._redis_urls import RedisGroup, make_cluster

_LONGEST_BATCH: Final = 256
_LONGEST_BACKOFF: Final = 1.0
_FIRST_BACKOFF: Final = 0.02


class RedisLink(Link):
    """One connection, for one event loop.

    What is asked while it is busy travels together, so one connection serves many callers
    in one round trip each; and callers who give up never cut it short.
    """

    def __init__(self, pool: Pool, timeout: float) -> None:
        super().__init__()
        self._pool = pool
        self._timeout = timeout
        self._asked: deque[Ask] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._failures = 0
        self._trouble = ""

    async def _close(self) -> None:
        self._notify_all(Failure("it was closed"))
        if self._worker is not None:
            await asyncio.wait({self._worker}, timeout=self._timeout + _LONGEST_BACKOFF)
            self._worker.cancel()
        await self._pool.aclose()

    async def ask(self, script: Script, *arguments: Argument) -> object:
        """Run a script: its answer, or a `Failure`; never later than the timeout."""
        loop = asyncio.get_running_loop()
        ask = Ask(script, arguments, loop.create_future())
        self._asked.append(ask)
        if self._worker is None or self._worker.done():
            self._worker = loop.create_task(self._work())
        try:
            async with asyncio.timeout(self._timeout):
                return await ask.answer
        except TimeoutError:
            return Failure(self._trouble or f"no answer within {self._timeout:g} s")

    async def _work(self) -> None:
        while self._is_asked():
            connection = await self._connect()
            if connection is not None:
                await self._exchange(connection)

    def _is_asked(self) -> bool:
        while self._asked and self._asked[0].answer.done():
            self._asked.popleft()  # its caller gave up before it was sent
        return bool(self._asked)

    def _notify_all(self, answer: object) -> None:
        while self._asked:
            self._asked.popleft().notify(answer)

    async def _connect(self) -> Connection | None:
        """A connection; None when there is none yet, after a pause."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._pool.get_connection()
        except Exception as error:  # noqa: BLE001  # whatever it is, the callers must hear of it
            trouble, hopeless = words(error), is_hopeless(error)
        if hopeless:
            self._notify_all(Failure(trouble))
        await self._back_off(trouble)
        return None

    async def _back_off(self, trouble: str) -> None:
        self._trouble = trouble
        longest = min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2 ** min(self._failures, 10))
        self._failures += 1
        await asyncio.sleep(longest * (0.5 + random() / 2))  # noqa: S311  # not a secret

    async def _exchange(self, connection: Connection) -> None:
        count = min(len(self._asked), _LONGEST_BATCH)
        batch = [self._asked.popleft() for _ in range(count)]
        trouble = ""
        try:
            async with asyncio.timeout(self._timeout):
                answers = await run(connection, batch)
        except Exception as error:  # noqa: BLE001  # whatever it is, the callers must hear of it
            trouble = words(error) or f"no answer within {self._timeout:g} s"
            answers = [Failure(trouble, is_refusal(error)) for _ in batch]
        trouble = trouble or find_refusal(answers)
        if trouble:
            await connection.disconnect(nowait=True)
        await self._pool.release(connection)
        for ask, answer in reversed([*zip(batch, answers, strict=True)]):
            if isinstance(answer, Failure) and answer.did_nothing:
                self._asked.appendleft(ask)  # until it gives up
            else:
                ask.notify(answer)
        if trouble:
            await self._back_off(trouble)
        else:
            self._failures, self._trouble = 0, ""


class ClusterLink(Link):
    """A client of a cluster, for one event loop.

    Whatever fails is asked for again within the timeout, with a fresh look at which node
    has what: an operation that has happened already isn't done twice, by its token.
    """

    def __init__(self, group: RedisGroup, timeout: float) -> None:
        super().__init__()
        self._client: Any = make_cluster(group)
        self._timeout = timeout
        self._running: set[asyncio.Task[object]] = set()

    async def _close(self) -> None:
        if self._running:
            await asyncio.wait(self._running, timeout=self._timeout)
        await self._client.aclose()

    async def ask(self, script: Script, *arguments: Argument) -> object:
        """Run a script: its answer, or a `Failure`; never later than the timeout."""
        task = asyncio.get_running_loop().create_task(self._run(script, arguments))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def _run(self, script: Script, arguments: tuple[Argument, ...]) -> object:
        trouble, pause, whole = "", _FIRST_BACKOFF, False
        ask = Ask(script, arguments, asyncio.get_running_loop().create_future())
        try:
            async with asyncio.timeout(self._timeout):
                while True:
                    try:
                        return await self._client.execute_command(*ask.command(whole=whole))
                    except Exception as error:  # noqa: BLE001  # the caller must hear of it
                        if is_hopeless(error) and not is_refusal(error) and not is_unknown(error):
                            return Failure(words(error))
                        whole = is_unknown(error)
                        trouble = words(error)
                    if not whole:
                        await asyncio.sleep(pause * (0.5 + random() / 2))  # noqa: S311
                        pause = min(2 * pause, _LONGEST_BACKOFF)
        except TimeoutError:
            return Failure(trouble or f"no answer within {self._timeout:g} s")
