"""The plot of a run: what a call costs, one at a time and many at a time."""

from importlib import import_module
from pathlib import Path
from typing import Any, Final

from benchmarks.rivals.contestants import CONTESTANTS
from benchmarks.rivals.figures import CALLERS, Record

OURS: Final = "#0b6e4f"
OTHERS: Final = "#8a94a6"
YARDSTICK: Final = "#3b4252"
STYLE: Final = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid.axis": "x",
    "axes.grid": True,
    "grid.color": "#e3e6eb",
    "axes.axisbelow": True,
    "ytick.left": False,
    "svg.hashsalt": "speed",  # the same figures make the same file
    "svg.fonttype": "path",
}
TICKS: Final = (30, 100, 300, 1_000, 3_000, 10_000)
MARKS: Final = dict(zip(CALLERS, ("o", "s", "D"), strict=True))


def draw(record: Record, path: Path) -> None:
    """Write the plot of a run as SVG."""
    # Loaded by name, because it is there in the session that draws, and nowhere else.
    mpl = import_module("matplotlib")
    mpl.use("svg")
    plt = import_module("matplotlib.pyplot")

    names = [one.name for one in reversed(CONTESTANTS) if one.name in record["contestants"]]
    with mpl.rc_context(STYLE):
        figure, (left, right) = plt.subplots(
            1, 2, figsize=(10, 0.36 * len(names) + 1.4), sharey=True, layout="constrained"
        )
        _ratios(left, record, names)
        _callers(right, record, names)
        figure.savefig(path, format="svg", metadata={"Date": None}, facecolor="white")
        plt.close(figure)
    # matplotlib leaves blanks at the ends of lines, which editors and git complain of.
    lines = [line.rstrip() for line in path.read_text().splitlines()]
    path.write_text("\n".join(lines) + "\n")


def _colour(name: str) -> str:
    if name.startswith("frame_async"):
        return OURS
    return YARDSTICK if name.startswith("aiohttp, bytes") else OTHERS


def _ratios(axes: Any, record: Record, names: list[str]) -> None:
    """Bars: CPU of one call after the other, with quartiles."""
    for place, name in enumerate(names):
        low, middle, high = record["contestants"][name]["callers"]["1"]["ratio"]
        axes.barh(place, middle, height=0.62, color=_colour(name))
        axes.plot([low, high], [place, place], color="#1b1f27", linewidth=1.1)
        axes.annotate(
            f"{middle:.2f}" if middle < 10 else f"{middle:.1f}",
            (max(high, middle), place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
        )
    axes.set_yticks(range(len(names)), names)
    axes.axvline(1, color=YARDSTICK, linewidth=0.8)
    axes.set_title("one call at a time", loc="left")
    axes.set_xlabel("CPU time per call, raw aiohttp = 1 (line: quartiles)")
    axes.margins(x=0.12)


def _callers(axes: Any, record: Record, names: list[str]) -> None:
    """Dots: CPU of calls that are made at the same time."""
    for callers in CALLERS:
        values = [
            record["contestants"][name]["callers"][str(callers)]["microseconds"] for name in names
        ]
        axes.scatter(
            values,
            range(len(names)),
            marker=MARKS[callers],
            s=26,
            facecolors="none" if callers == 1 else [_colour(name) for name in names],
            edgecolors=[_colour(name) for name in names],
            alpha=1 if callers != 32 else 0.55,
            label=f"{callers} at a time",
        )
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.set_xticks(TICKS, [f"{tick:,}" for tick in TICKS])
    axes.set_title("many calls at a time", loc="left")
    axes.set_xlabel("CPU µs per call (logarithmic)")
    axes.legend(frameon=False, loc="upper right", handletextpad=0.2)
