"""What entering and leaving a rate window costs in a file, by how many places are taken.

Run it with ``PYTHONPATH=tests:. python tests/benchmarks/window.py [flat|busy]``. ``flat`` is CPU
time of the process, side by side; ``busy`` has 60 callers go through a window of 6,000 a
minute, one file and one process.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from support.full_windows import busy, ratios


async def main(parts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        if "flat" in parts:
            found = await ratios(Path(name))
            print(f"160 places: {found.pop(0) * 1000:.2f} ms of CPU to enter and leave")
            for size, ratio in found.items():
                print(f"{size:6,} places: {ratio:.2f} times as much")
        if "busy" in parts:
            print(f"60 callers, 0.2 s each: {await busy(Path(name)):,.0f} requests a minute")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:] or ["flat", "busy"]))
