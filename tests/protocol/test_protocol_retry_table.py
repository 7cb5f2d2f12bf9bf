"""The retry table that people read says what the policy does."""

import pytest

from frame_async.protocol.retry import RetryPolicy
from frame_async.protocol.retry_table import retry_table

DEFAULT = """\
| what happened | outcome | tried again | waits before the retries (seconds) |
| --- | --- | --- | --- |
| no connection: refused, unresolved, timed out | `NOT_SENT` | yes | 0-0.2, 0-0.4, 0-0.8, 0-1.6 |
| no free connection slot in time | `NOT_SENT` | yes | 0-0.2, 0-0.4, 0-0.8, 0-1.6 |
| connection gone before a byte was written | `NOT_SENT` | yes | 0-0.2, 0-0.4, 0-0.8, 0-1.6 |
| certificate not trusted | `NOT_SENT` | never |  |
| connection broke, or no answer in time | `UNKNOWN` | yes, and admitted | 1-1.5, 2-2.5 |
| answer that is not HTTP | `UNKNOWN` | never |  |
| code of yours failed after sending | `UNKNOWN` | never |  |
| 429 | `REFUSED` | yes | 1-1.5, 2-2.5 |
| 408, 5xx, unassigned status | `UNKNOWN` | yes, and admitted | 1-1.5, 2-2.5 |
| other 4xx, any 3xx | `REFUSED` | never |  |
| 2xx, whatever its body | `CREATED` | never |  |
"""


def test_the_whole_table() -> None:
    """Each observation has its row: outcome, whether it is tried again, bounds of the waits."""
    assert retry_table(RetryPolicy(max_retries=4, max_elapsed=3.0)) == DEFAULT


def test_without_retries_of_unknown_outcomes() -> None:
    """With on_unknown="raise" every unknown outcome is final, and only that is another."""
    expected = [
        f"{line.rsplit('| yes', 1)[0]}| never |  |" if "`UNKNOWN` | yes" in line else line
        for line in DEFAULT.splitlines()
    ]
    policy = RetryPolicy(max_retries=4, max_elapsed=3.0, on_unknown="raise")
    assert retry_table(policy).splitlines() == expected


@pytest.mark.parametrize(
    ("max_elapsed", "waits"), [(0.0, ""), (0.9, ""), (1.0, "1-1.5"), (7.0, "1-1.5, 2-2.5, 4-4.5")]
)
def test_waits_end_with_max_elapsed(max_elapsed: float, waits: str) -> None:
    """The waits are those after which an attempt may still start."""
    table = retry_table(RetryPolicy(max_elapsed=max_elapsed))
    assert f"| 429 | `REFUSED` | yes | {waits} |" in table
