"""A retry policy as a table that people can read; the documentation's is made by this."""

from collections.abc import Iterator
from typing import Final

from frame_async.calls import Outcome
from frame_async.protocol.outcomes import Ending, Evidence, Phase, judge
from frame_async.protocol.retry import Reaction, RetryPolicy

_CASES: Final = (
    ("no connection: refused, unresolved, timed out", Evidence(Phase.CONNECT)),
    ("no free connection slot in time", Evidence(Phase.GATE, Ending.TIMED_OUT)),
    ("connection gone before a byte was written", Evidence(Phase.SEND, Ending.NEVER_WRITTEN)),
    ("certificate not trusted", Evidence(Phase.CONNECT, Ending.BAD_CERTIFICATE)),
    ("connection broke, or no answer in time", Evidence(Phase.SEND, Ending.DISCONNECTED)),
    ("answer that is not HTTP", Evidence(Phase.SEND, Ending.GARBLED)),
    ("code of yours failed after sending", Evidence(Phase.SEND, Ending.FAILED)),
    ("429", Evidence(Phase.DONE, status=429)),
    ("408, 5xx, unassigned status", Evidence(Phase.DONE, status=500)),
    ("other 4xx, any 3xx", Evidence(Phase.DONE, status=422)),
    ("2xx, whatever its body", Evidence(Phase.DONE, status=201)),
)


def retry_table(policy: RetryPolicy) -> str:
    """The policy as a Markdown table: what happened, what it proves, what follows."""
    rows = [
        ("what happened", "outcome", "tried again", "waits before the retries (seconds)"),
        ("---", "---", "---", "---"),
        *(_row(policy, what, evidence) for what, evidence in _CASES),
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def _row(policy: RetryPolicy, what: str, evidence: Evidence) -> tuple[str, str, str, str]:
    outcome = judge(evidence)
    reaction = policy.react(outcome, evidence)
    if reaction is Reaction.FINAL:
        return what, f"`{outcome.name}`", "never", ""
    admitted = ", and admitted" if outcome is Outcome.UNKNOWN else ""
    return what, f"`{outcome.name}`", f"yes{admitted}", ", ".join(_waits(policy, reaction))


def _waits(policy: RetryPolicy, reaction: Reaction) -> Iterator[str]:
    """The bounds of each wait that starts within ``max_elapsed``."""
    earliest = 0.0
    for nth in range(policy.max_retries):
        shortest = policy.delay(reaction, nth, lambda: 0.0)
        longest = policy.delay(reaction, nth, lambda: 1.0)
        earliest += shortest
        if earliest > policy.max_elapsed:
            return
        yield f"{shortest:g}-{longest:g}"
