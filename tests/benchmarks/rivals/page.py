"""The figures of the last full run on the documentation's page about speed."""

from pathlib import Path
from typing import Final

from benchmarks.rivals.contestants import ROOT
from benchmarks.rivals.figures import Record, many_at_a_time, markdown, one_at_a_time

PAGE: Final = ROOT / "docs" / "explanation" / "speed.md"
BEGIN: Final = "<!-- figures of the last full run: begin -->\n"
END: Final = "<!-- figures of the last full run: end -->\n"


def section(record: Record) -> str:
    """What stands between the marks."""
    machine = record["conditions"]
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    where = (
        f"{machine['day']}: Python {machine['python']}, {machine['system']} on "
        f"{machine['architecture']}, {machine['cores']} cores ({machine['cpu']}).\n{versions}.\n"
    )
    return "\n".join(
        [
            where,
            "One call after the other:\n",
            markdown(*one_at_a_time(record)),
            "Many calls at the same time:\n",
            markdown(*many_at_a_time(record)),
        ]
    )


def with_section(page: str, text: str) -> str:
    """The page with other figures."""
    before, _, rest = page.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"{PAGE.name} has lost its marks: put back {BEGIN.strip()} and the other")
    return f"{before}{BEGIN}{text}{END}{after}"


def refresh(record: Record, page: Path = PAGE) -> None:
    """Write the figures of a run into the page."""
    page.write_text(with_section(page.read_text(), section(record)))
