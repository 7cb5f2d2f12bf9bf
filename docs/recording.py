"""Films a real bulk run that is killed and goes on: ``python docs/recording.py``.

Needs tmux. What the terminal shows is written to ``_static/bulk.svg`` as it was, frame by
frame; nothing is touched up.
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from html import escape
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "_static" / "bulk.svg"
WIDTH, HEIGHT = 100, 21
RUN = "frame-async bulk orders.csv -o sessions.jsonl --limit 0 --concurrency 4"
COUNT = "curl -s $FRAME_API_BASE_URL/_emulator/snapshot | grep -o '\"created\":[0-9]*'"
SCENE = (
    ("wc -l < orders.csv", 0.6),
    (RUN, 3.2),
    ("kill", 1.0),
    (RUN, 9.0),
    ("wc -l < sessions.jsonl", 1.0),
    (f"{COUNT} | head -1", 1.0),
)
CONSOLE = Console(width=WIDTH, color_system="truecolor")


def tmux(*words: str) -> str:
    return subprocess.run(
        ["tmux", "-L", "frame_recording", *words], check=True, capture_output=True, text=True
    ).stdout


def film(folder: Path, emulator: str) -> list[tuple[float, str]]:
    """Play the scene; what the terminal showed, and from when."""
    shell = (
        f"cd {folder}; PATH={folder}:$PATH; PS1='$ '; "
        f"export FRAME_API_BASE_URL={emulator} FRAME_SECRET_KEY=sk_sandbox_film; exec sh"
    )
    tmux("-f", "/dev/null", "new-session", "-d", "-x", str(WIDTH), "-y", str(HEIGHT), shell)
    frames: list[tuple[float, str]] = []
    try:
        tmux("set", "-g", "status", "off")
        tmux("send-keys", "PS1='$ '; clear", "Enter")
        time.sleep(0.8)
        began = time.monotonic()
        for line, seconds in SCENE:
            if line == "kill":
                subprocess.run(["sh", "-c", f"kill -9 $(cat {folder}/pid)"], check=True)
            else:
                tmux("send-keys", line, "Enter")
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                shown = tmux("capture-pane", "-p", "-e")
                if not frames or shown != frames[-1][1]:
                    frames.append((time.monotonic() - began, shown))
                time.sleep(0.25)
    finally:
        tmux("kill-server")
    return frames


def drawn(shown: str) -> str:
    """The lines of one frame as SVG."""
    lines: list[str] = []
    for number, line in enumerate(Text.from_ansi(shown.rstrip()).split("\n")):
        spans = "".join(_span(text, style) for text, style, _ in line.render(CONSOLE))
        if spans.strip():
            lines.append(f'<text x="14" y="{38 + number * 18}">{spans}</text>')
    return "".join(lines)


def _span(text: str, style: object) -> str:
    if text == "\n":
        return ""
    colour = getattr(style, "color", None)
    if colour is None or colour.is_default:
        return escape(text)
    return f'<tspan fill="{colour.get_truecolor(DIMMED_MONOKAI).hex}">{escape(text)}</tspan>'


def picture(frames: list[tuple[float, str]]) -> str:
    """All frames in one file, each shown in its time; the last one where nothing may move.

    It opens on the last one, too: the first is an empty terminal.
    """
    total, opening = frames[-1][0] + 6.0, frames[-1][0] + 1.0
    rules, groups = [], []
    for number, (start, shown) in enumerate(frames):
        end = frames[number + 1][0] if number + 1 < len(frames) else total
        first, last = 100 * start / total, 100 * end / total
        rules.append(
            f"@keyframes f{number}{{0%{{opacity:{int(number == 0)}}}{first:.2f}%{{opacity:1}}"
            f"{last:.2f}%{{opacity:{int(number == len(frames) - 1)}}}}}"
            f"#f{number}{{animation:f{number} {total:.1f}s -{opening:.1f}s step-end infinite}}"
        )
        groups.append(f'<g id="f{number}">{drawn(shown)}</g>')
    width, height = 28 + int(WIDTH * 7.85), 30 + HEIGHT * 18
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">'
        "<title>A bulk run is killed with kill -9; the same command goes on, ends with one line "
        "for each row, and names the rows that may exist twice.</title>"
        "<style>text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;"
        "fill:#d5d9de;white-space:pre}g{opacity:0}" + "".join(rules) + "@media "
        f"(prefers-reduced-motion:reduce){{g{{animation:none!important}}#f{len(frames) - 1}"
        "{opacity:1}}</style>"
        f'<rect width="{width}" height="{height}" rx="8" fill="#1b1f24"/>'
        + "\n".join(groups)
        + "</svg>\n"
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = [f"order-{n},payer{n}@mail.example,prod_mug" for n in range(1, 201)]
        head = "client_reference_id,customer_email,line_items.0.product"
        (folder / "orders.csv").write_text("\n".join([head, *rows]) + "\n")
        python = f"PYTHONPATH={shlex.quote(str(ROOT))} exec {sys.executable} -m frame_async"
        (folder / "frame-async").write_text(f'#!/bin/sh\necho $$ > pid\n{python} "$@"\n')
        (folder / "frame-async").chmod(0o755)
        command = [sys.executable, "-m", "frame_async", "emulator", "--port", "0", "--log", "off"]
        command += ["--limit", "none", "--latency", "lognormal(median=90ms, p99=400ms)"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as run:
            assert run.stdout
            found = re.search(r"http://127\.0\.0\.1:\d+", run.stdout.readline())
            assert found
            try:
                PICTURE.write_text(picture(film(folder, found.group())))
            finally:
                run.terminate()


if __name__ == "__main__":
    main()
