"""The tutorial does what it says: its blocks are typed word for word, on other ports."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Timer
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

import frame_async

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
SOURCE = Path(frame_async.__file__).parents[1]
BLOCK = re.compile(r"^```(sh|python|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
VARYING = (
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "ID"),
    (re.compile(r"\d+\.\d+ s\b"), "SECONDS"),
    (re.compile(r"\d+ cents"), "CENTS"),
)
CARD = {
    "email": "ada@mail.example",
    "card_number": "4242 4242 4242 4242",
    "card_expiry": "12/34",
    "card_cvc": "123",
}

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="its commands are a shell's")


def free_port() -> str:
    """A port that nobody listens on just now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


def lines(text: str) -> list[str]:
    """Lines without what differs from run to run; two streams may mix in any order."""
    for pattern, name in VARYING:
        text = pattern.sub(name, text)
    return sorted(text.splitlines())


class Reader:
    """Somebody who follows the page, block by block."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        port = free_port()
        self.shop = f"http://127.0.0.1:{port}"
        page = PAGE.read_text().replace("8642", free_port()).replace("8000", port)
        self._blocks: Iterator[tuple[str, str]] = iter(BLOCK.findall(page))
        self._folder, self._stack = folder, stack
        self._env = {**os.environ, "PYTHONPATH": str(SOURCE), "NO_COLOR": "1"}
        bin_ = folder / ".venv" / "bin"
        bin_.mkdir(parents=True)
        for name, module in (("python", ""), ("frame-async", " -m frame_async")):
            (bin_ / name).write_text(f'#!/bin/sh\nexec "{sys.executable}"{module} "$@"\n')
            (bin_ / name).chmod(0o755)

    def take(self, kind: str) -> str:
        """The next block, which must be of that kind."""
        found, text = next(self._blocks)
        assert found == kind, text
        return text

    def export(self) -> None:
        """Set the variables of the next block."""
        for line in self.take("sh").replace("\\\n", "").splitlines():
            name, _, value = line.removeprefix("export ").partition("=")
            self._env[name] = value

    def save(self) -> None:
        """Save the next block under the name in its first line."""
        text = self.take("python")
        (self._folder / text.split()[1]).write_text(text)

    def run(self, skipped: int = 0) -> None:
        """Run the next block; it says what the one after it shows, line by line."""
        text = self.take("sh")
        done = subprocess.run(  # our own page
            text,
            shell=True,
            cwd=self._folder,
            env=self._env,
            text=True,
            check=False,
            timeout=60,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        said = done.stdout[done.stdout.rindex("}") + 1 :] if skipped else done.stdout
        assert lines(said) == lines(self.take("text"))

    def start(self) -> "subprocess.Popen[str]":
        """Start the next block, whose last command goes on."""
        *first, last = self.take("sh").replace("\\\n", "").splitlines()
        process = self._stack.enter_context(
            subprocess.Popen(  # our own page
                "\n".join([*(f"{line} >&2" for line in first), f"exec env {last}"]),
                shell=True,
                cwd=self._folder,
                env=self._env,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        )
        self._stack.callback(process.terminate)
        return process

    def fix(self, name: str, wrong: str, right: str) -> None:
        """Correct a file, as the page says in words."""
        path = self._folder / name
        text = path.read_text()
        assert wrong in text
        path.write_text(text.replace(wrong, right))

    def write(self, name: str) -> None:
        """Save the next block under a name that the page says in words."""
        (self._folder / name).write_text(self.take("text"))


def spoken(process: "subprocess.Popen[str]", until: str = "", most: int = 1_000) -> list[str]:
    """What a process says, up to the line that ends so or that many; it has 30 seconds."""
    assert process.stdout is not None
    said: list[str] = []
    patience = Timer(30, process.terminate)
    patience.start()
    try:
        for line in process.stdout:
            said.append(line)
            if len(said) == most or (until and line.rstrip().endswith(until)):
                return said
    finally:
        patience.cancel()
    raise AssertionError(f"it ended without {until!r}: {said}")


def test_word_for_word(tmp_path: Path) -> None:
    """Whoever types the tutorial sees what it shows, and ends with a paid session."""
    with ExitStack() as stack:
        reader = Reader(tmp_path, stack)
        assert "pip install" in reader.take("sh")
        emulator = reader.start()
        greeting = reader.take("text").splitlines(keepends=True)
        assert spoken(emulator, most=4) == greeting
        reader.export()
        reader.save()
        reader.run()
        reader.run(skipped=1)
        reader.save()
        shop = reader.start()
        pay(reader, shop)
        emulator.terminate()
        emulator.wait(30)
        spoken(reader.start(), most=5)
        pay_again(reader, shop)
        reader.save()
        reader.run()
        reader.write("orders.csv")
        reader.run()
        reader.fix("orders.csv", ",60,", ",3600,")
        reader.run()
        with pytest.raises(StopIteration):
            reader.take("sh")


def pay_again(reader: Reader, shop: "subprocess.Popen[str]") -> None:
    """Buy and pay another order, of which the events tell."""
    with urlopen(f"{reader.shop}/buy/order-43") as page:  # our own shop
        address = page.url
    with urlopen(address, urlencode(CARD).encode()) as page:
        assert "order-43" in page.read().decode()
    assert lines("".join(spoken(shop, most=3))) == lines(reader.take("text"))


def pay(reader: Reader, shop: "subprocess.Popen[str]") -> None:
    """What a payer does in a browser: buy, pay, come back; then buy the same again."""
    spoken(shop, "(Press CTRL+C to quit)")
    with urlopen(f"{reader.shop}/buy/order-42") as page:  # our own shop
        address = page.url
    with urlopen(address, urlencode(CARD).encode()) as page:
        assert page.read().decode() == reader.take("text")
        back = page.url
    assert lines("".join(spoken(shop, most=3))) == lines(reader.take("text"))
    at = back.index("frame_payload=") + len("frame_payload=")
    with pytest.raises(OSError, match="400"):
        urlopen(f"{back[:at]}x{back[at + 1 :]}")
    with urlopen(f"{reader.shop}/buy/order-42") as page:
        assert page.url == address
    assert spoken(shop, "replayed: True")
