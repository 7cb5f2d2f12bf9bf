"""Every Python block of the documentation runs, as it stands, against an emulator."""

import ast
import asyncio
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
from sybil import Example, Sybil
from sybil.parsers.myst import CodeBlockParser

ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / "docs" / "tutorial.md"  # followed word for word by test_tutorial.py
PAGES = sorted({ROOT / "README.md", *(ROOT / "docs").rglob("*.md")} - {TUTORIAL})


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of an emulator in a process of its own."""
    command = [sys.executable, "-m", "frame_async.emulator", "--port", "0", "--limit", "none"]
    command += ["--log", "off"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
        assert found
        yield found.group()
        process.terminate()


class Page:
    """One page's examples, run in order, in one namespace and on one event loop."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner
        self._names: dict[str, Any] = {"__name__": "__main__"}

    def evaluate(self, example: Example) -> None:
        code: CodeType = compile(
            "\n" * example.line + example.parsed,
            example.path,
            "exec",
            flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
            dont_inherit=True,
        )
        result = eval(code, self._names)
        if inspect.iscoroutine(result):
            self._runner.run(result)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_code_blocks_run(page: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each Python block of the page runs without an error, after those before it."""
    # A key of its own, so that pages don't share what this process remembers.
    monkeypatch.setenv("FRAME_SECRET_KEY", f"sk_sandbox_{abs(hash(page))}")
    monkeypatch.setenv("FRAME_API_BASE_URL", server)
    with asyncio.Runner() as runner:
        parser = CodeBlockParser("python", Page(runner).evaluate)
        for example in Sybil([parser]).parse(page).examples():
            example.evaluate()
