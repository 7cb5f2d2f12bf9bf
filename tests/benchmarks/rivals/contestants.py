"""Who is compared, and where each of them is installed."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[2]
FOLDER: Final = ROOT / ".nox" / "rivals"
"""Where the environments of the others are kept; git ignores it."""


class Contestant(NamedTuple):
    """One way to post, on one event loop."""

    name: str
    way: str
    environment: str | None = None
    """The file of pins beside this one; by default, the environment that this runs in."""
    loop: str = "asyncio"

    @property
    def ours(self) -> bool:
        """Whether it is this library."""
        return self.way.startswith("create")

    @property
    def yardstick(self) -> str:
        """The contestant that it is compared with: raw aiohttp on the same event loop."""
        return YARDSTICKS[self.loop]


YARDSTICKS: Final = {"asyncio": "aiohttp, bytes", "uvloop": "aiohttp, bytes, uvloop"}

CONTESTANTS: Final = (
    Contestant("asyncio by hand, bytes", "by hand"),
    Contestant("aiohttp, bytes", "raw"),
    Contestant("aiohttp, json", "json"),
    Contestant("aiohttp-retry, json", "aiohttp-retry", "aiohttp"),
    Contestant("httpx, json", "httpx", "httpx"),
    Contestant("Stripe's SDK, on aiohttp", "stripe on aiohttp", "stripe"),
    Contestant("Stripe's SDK", "stripe", "stripe"),
    Contestant("OpenAI's SDK, on aiohttp", "openai on aiohttp", "openai"),
    Contestant("OpenAI's SDK", "openai", "openai"),
    Contestant("Square's SDK", "square", "square"),
    Contestant("frame_async", "create"),
    Contestant("frame_async, own key", "create with a key"),
    Contestant("frame_async, from values", "create from values"),
    Contestant("aiohttp, bytes, uvloop", "raw", loop="uvloop"),
    Contestant("frame_async, uvloop", "create", loop="uvloop"),
    Contestant("frame_async, own key, uvloop", "create with a key", loop="uvloop"),
)


def chosen(words: Sequence[str]) -> list[Contestant]:
    """The contestants whose names have one of the words, and their yardsticks."""
    wanted = [
        one
        for one in CONTESTANTS
        if not words or any(word.lower() in one.name.lower() for word in words)
    ]
    names = {one.name for one in wanted} | {one.yardstick for one in wanted}
    return [one for one in CONTESTANTS if one.name in names]


def python(environment: str | None) -> str:
    """The Python that has what a contestant needs; what is missing is installed first."""
    if environment is None:
        return sys.executable
    pins = HERE / f"{environment}.txt"
    version = "{}.{}".format(*sys.version_info[:2])
    digest = hashlib.sha256(pins.read_bytes()).hexdigest()[:12]
    folder = FOLDER / f"{environment}-{version}-{digest}"
    found = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (folder / "complete").exists():
        print(f"installing {pins.name}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        # CI's constraints are about our own tools, not about other libraries.
        clean = {key: value for key, value in os.environ.items() if key != "PIP_CONSTRAINT"}
        install = [str(found), "-m", "pip", "install", "-qq", "--requirement", str(pins)]
        subprocess.run([*install, "--disable-pip-version-check"], check=True, env=clean)
        (folder / "complete").touch()
    return str(found)


def command(one: Contestant, port: int, *words: str) -> list[str]:
    """The command that runs its process."""
    # As a script: with -m, the folder that this runs in would hide the installed library.
    worker = [python(one.environment), str(HERE / "worker.py")]
    return [*worker, one.way, str(port), "--loop", one.loop, *words]


def environ(one: Contestant) -> dict[str, str]:
    """The environment variables of its process."""
    paths = [str(ROOT / "tests")]
    if one.environment is None:
        paths += [path for path in (os.environ.get("PYTHONPATH"),) if path]
    # Addresses of proxies have no business here, and counts need the same hashes each time.
    clean = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
    return {**clean, "PYTHONPATH": os.pathsep.join(paths), "PYTHONHASHSEED": "0"}
