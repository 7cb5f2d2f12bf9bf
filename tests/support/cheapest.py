"""The cheapest server there can be, for benchmarks: it answers without looking."""

import asyncio
from multiprocessing.connection import Connection
from typing import ClassVar, cast

ANSWER = b'{"id":"60574c6d-2f16-4b03-a852-079fffd087db","status":"open","x":"' + b"y" * 320 + b'"}'

SESSION = (
    b'{"id":"60574c6d-2f16-4b03-a852-079fffd087db",'
    b'"payment_status":"unpaid","phone_number_collection":false,'
    b'"shipping_address_collection":false,"status":"open","client_reference_id":"order-42001",'
    b'"object":"payment_link.session","expires":1781202281,"created":1781115881,'
    b'"updated":1781115881,"livemode":false,"customer":null,'
    b'"account":"f8b22e7f-c84a-4560-930e-2d505ad9aef5","payment_method":null}'
)


QUIET_SECONDS = 0.5


def framed(body: bytes) -> bytes:
    return (
        b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
        % (len(body), body)
    )


class Cheapest(asyncio.Protocol):
    """Answers whatever comes, without looking at it."""

    reply = framed(ANSWER)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if data.endswith((b"y", b"}")):
            self.transport.write(self.reply)  # type: ignore[attr-defined]


class CheapestSessions(Cheapest):
    """Answers with the session of Frame's reference, in 390 bytes."""

    reply = framed(SESSION)


class PatientSessions(CheapestSessions):
    """Holds all answers back until no request has come for a while: so many are in flight."""

    held: ClassVar[list[asyncio.Transport]] = []
    quiet: ClassVar[asyncio.TimerHandle | None] = None

    def data_received(self, data: bytes) -> None:
        if not data.endswith((b"y", b"}")):
            return
        self.held.append(cast("asyncio.Transport", self.transport))
        if PatientSessions.quiet is not None:
            PatientSessions.quiet.cancel()
        loop = asyncio.get_running_loop()
        PatientSessions.quiet = loop.call_later(QUIET_SECONDS, self.answer_all)

    def answer_all(self) -> None:
        for transport in self.held:
            transport.write(self.reply)
        self.held.clear()


def serve_sessions(ready: Connection) -> None:
    serve(ready, CheapestSessions)


def serve(ready: Connection, protocol: type[Cheapest] = Cheapest) -> None:
    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(
            protocol, "127.0.0.1", 0, backlog=4096
        )
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())
