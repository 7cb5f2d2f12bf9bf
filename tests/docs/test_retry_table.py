"""The retry table of the documentation is the one that the policy makes."""

from pathlib import Path

from frame_async import RetryPolicy
from frame_async.protocol.retry_table import retry_table

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "retries.md"
BEGIN, END = "<!-- retry table: begin -->\n", "<!-- retry table: end -->\n"


def test_the_table_is_up_to_date() -> None:
    """The page has the table of the default policy; if not, the message is what to paste."""
    page = PAGE.read_text()
    shown = page[page.index(BEGIN) + len(BEGIN) : page.index(END)]
    expected = retry_table(RetryPolicy())
    assert shown == expected, f"put this between the markers of {PAGE.name}:\n{expected}"


def test_another_policy_makes_another_table() -> None:
    """The table follows the policy: fewer retries, and no retry of unknown outcomes."""
    table = retry_table(RetryPolicy(max_retries=1, on_unknown="raise"))
    assert "| `UNKNOWN` | never |  |" in table
    assert "| `NOT_SENT` | yes | 0-0.2 |" in table
    assert "| `REFUSED` | yes | 1-1.5 |" in table
