"""Links between our own files lead somewhere, in the README too, which Sphinx doesn't read."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)


def links(page: Path) -> Iterator[str]:
    """The links of a page to our own files."""
    found = LINK.findall(FENCE.sub("", page.read_text()))
    return (link for link in found if "://" not in link)


def anchor(heading: str) -> str:
    """The name that GitHub and MyST give a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Each link names a file that is there, and a heading that is in it."""
    for link in links(page):
        path, _, name = link.partition("#")
        target = page.parent / path if path else page
        assert target.is_file(), link
        if name:
            assert name in map(anchor, HEADING.findall(target.read_text())), link


LONG = 1_200
"""Words of a page."""
WHOLE = {"tutorial.md", "changelog.md", "command-line.md"}
"""Followed from beginning to end, or looked up."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_long_pages_begin_with_a_summary(page: Path) -> None:
    """A page over 1,200 words says in its first lines what comes of it."""
    text = page.read_text()
    if len(text.split()) > LONG and page.name not in WHOLE:
        assert text.split("\n\n")[1].startswith("**In short:** ")


def test_the_pages_have_links() -> None:
    """The README leads to the tutorial, and a page to a heading of another one."""
    assert "docs/tutorial.md" in set(links(ROOT / "README.md"))
    assert any("#" in link for page in PAGES for link in links(page))
