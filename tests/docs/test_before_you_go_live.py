"""The page about what is assumed is complete, as far as code can tell."""

from pathlib import Path

from frame_async.emulator.webhooks.published import ASSUMPTIONS

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "before-you-go-live.md"


def test_every_assumption_is_on_the_page() -> None:
    """Each assumption that the emulator can make is on the page, by the option that makes it."""
    page = PAGE.read_text()
    assert [name for name in ASSUMPTIONS if f"`--assume {name}`" not in page] == []


def test_every_row_is_whole() -> None:
    """Each row of a table says who assumes what, what breaks, and how to check it."""
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    assert len(rows) > 30
    for row in rows:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert len(cells) == 4, row
        assert all(cells), row
