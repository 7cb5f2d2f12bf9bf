"""The page about what is assumed is complete, as far as code can tell."""

from pathlib import Path

import pytest

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


DOCS = PAGE.parents[1]
PUBLISHED = ["charge_intent", "account", "account_id", "metadata", "reference", "failure_reason"]
MISSING = ["client_reference_id", "no session", "failure_code"]


@pytest.mark.parametrize(
    "page",
    [
        *("aiohttp-web", "django", "fastapi", "flask", "litestar", "quart"),
        *("webhooks", "webhooks-on-your-machine"),
    ],
)
def test_what_a_transfer_has_and_has_not(page: str) -> None:
    """Pages about webhooks and frameworks begin with what a published Transfer has, and hasn't."""
    before, _, _ = (DOCS / "how-to" / f"{page}.md").read_text().partition("\n```")
    beginning = " ".join(before.partition("\n## ")[0].split())
    has, _, has_not = beginning.partition("A published Transfer")[2].partition("It has no")
    assert [name for name in PUBLISHED if f"`{name}`" not in has] == []
    assert [name for name in MISSING if name not in has_not.partition(". ")[0]] == []


@pytest.mark.parametrize("page", [DOCS.parent / "README.md", DOCS / "tutorial.md"])
def test_a_link_is_no_session(page: Path) -> None:
    """One sentence tells session from link, who made this, and whom its tests never called."""
    said = " ".join(page.read_text().split())
    sentence = said.partition("A payment link *session*")[2].partition(". ")[0]
    assert "is not a payment *link*" in sentence
    assert "isn't made by Frame" in sentence
    assert "its tests have never called Frame" in sentence
