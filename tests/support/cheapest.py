"""The cheapest server there can be, for benchmarks: it answers without looking."""

import asyncio
from multiprocessing.connection import Connection

ANSWER = b'{"id":"60574c6d-2f16-4b03-a852-079fffd087db","status":"open","x":"' + b"y" * 320 + b'"}'
REPLY = (
    b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
    % (
        len(ANSWER),
        ANSWER,
    )
)


class Cheapest(asyncio.Protocol):
    """Answers whatever comes, without looking at it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if data.endswith((b"y", b"}")):
            self.transport.write(REPLY)  # type: ignore[attr-defined]


def serve(ready: Connection) -> None:
    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Cheapest, "127.0.0.1", 0)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())
