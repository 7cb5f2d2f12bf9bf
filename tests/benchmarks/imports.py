"""What a process pays before its first session: imports, a client, a first call.

Run it with ``nox -s bench -- imports``. Each step is a fresh process, whose modules are
compiled already, less what bare Python costs; figures are multiples of ``import aiohttp``.
valgrind counts instructions, which come out the same in every run; without it, and with
``--times``, it is CPU time, in shuffled rounds.
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
from collections.abc import Mapping
from typing import Final

from support.cheapest import serve_sessions
from support.measuring import COUNTING, refs, rounds, serving
from support.work import base_url

BARE: Final = "python"
BASE: Final = "import aiohttp"

FIRST_POST: Final = """
import asyncio, aiohttp

async def main():
    async with aiohttp.ClientSession() as session:
        order = {"line_items": [{"product": "prod_1"}]}
        async with session.post("ADDRESS/v1/payment_link_sessions", json=order) as answer:
            await answer.json()

asyncio.run(main())
"""

FIRST_CALL: Final = """
import asyncio
from frame_async import FrameClient, LineItem, PaymentLinkSessionRequest

async def main():
    async with FrameClient("sk_sandbox_x", base_url="ADDRESS/v1") as frame:
        order = PaymentLinkSessionRequest(line_items=[LineItem(product="prod_1")])
        await frame.payment_link_sessions.create(order)

asyncio.run(main())
"""

STEPS: Final = {
    BARE: "pass",
    BASE: "import aiohttp",
    "aiohttp, a first post": FIRST_POST,
    "import frame_async": "import frame_async",
    "frame_async, a client": "from frame_async import FrameClient; FrameClient('sk_sandbox_x')",
    "frame_async, a first call": FIRST_CALL,
}
ROUNDS: Final = 15


def run(code: str, *before: str) -> str:
    """Run code in a fresh process, which may keep what it compiles; give what it says."""
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [*before, sys.executable, "-c", code]
    return subprocess.run(
        command, capture_output=True, text=True, check=True, env=environment
    ).stderr


def counted(codes: Mapping[str, str]) -> dict[str, float]:
    """Instructions of each step, in millions."""
    counting = [*COUNTING, "--cachegrind-out-file=/dev/null"]
    return {name: refs(iter([run(code, *counting)]))[0] / 1e6 for name, code in codes.items()}


def timed(codes: Mapping[str, str]) -> dict[str, float]:
    """CPU milliseconds of each step, the median of all rounds."""
    taken: dict[str, list[float]] = {name: [] for name in codes}
    for order in rounds(list(codes), ROUNDS):
        for name in order:
            before = _children_cpu()
            run(codes[name])
            taken[name].append((_children_cpu() - before) * 1e3)
    return {name: statistics.median(values) for name, values in taken.items()}


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def shown(costs: Mapping[str, float], unit: str) -> str:
    """A line for each step: what it costs beyond bare Python, beside importing aiohttp."""
    beyond = {name: cost - costs[BARE] for name, cost in costs.items() if name != BARE}
    return "\n".join(
        f"{name:28} {cost:9,.1f} {unit}  ratio {cost / beyond[BASE]:.3f}"
        for name, cost in beyond.items()
    )


def main() -> None:
    """Print the cost of each step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", action="store_true", help="CPU times instead of instructions")
    options = parser.parse_args()
    with serving(serve_sessions) as port:
        codes = {name: code.replace("ADDRESS", base_url(port)) for name, code in STEPS.items()}
        for code in codes.values():
            run(code)  # compiles what isn't yet
        if shutil.which("valgrind") and not options.times:
            print(shown(counted(codes), "M instructions"))
        else:
            print(shown(timed(codes), "ms of CPU"))


if __name__ == "__main__":
    main()
