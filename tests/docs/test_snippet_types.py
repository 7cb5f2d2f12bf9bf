"""What the documentation shows passes mypy, strictly: each page, as one function."""

import re
import subprocess
import sys
import textwrap
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted({ROOT / "README.md", *(ROOT / "docs").rglob("*.md")})
BLOCK = re.compile(r"^ *```python\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


@pytest.mark.skipif(find_spec("mypy") is None, reason="mypy isn't installed here")
def test_snippets_have_the_right_types(tmp_path: Path) -> None:
    """Nobody who copies a snippet gets an error of mypy that isn't theirs."""
    files = list[str]()
    for page in PAGES:
        blocks = [textwrap.dedent(block) for block in BLOCK.findall(page.read_text())]
        if not blocks:
            continue
        name = re.sub(r"\W", "_", str(page.relative_to(ROOT)))
        file = tmp_path / f"{name}.py"
        code = textwrap.indent("\n\n".join(blocks), "    ")
        file.write_text(f"async def page() -> None:\n{code}\n")  # for pages await at the top
        files.append(str(file))
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", "pyproject.toml"]
    ran = subprocess.run(
        [*command, *files], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )
    assert ran.returncode == 0, ran.stdout
