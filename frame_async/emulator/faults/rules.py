"""Faults by rule: what may go wrong between a client and Frame, made to go wrong.

A rule says *when* (every n-th request, by probability, by reference, for a time, so many
times) and *what*. The first rule in the list that says "now" happens, and no other. The
rules are asked about requests to create a session whose key, rate window and body are in
order; only ``drop_before_reading`` is asked before anything is looked at.
"""

from collections.abc import Mapping
from enum import Enum
from math import isfinite
from random import Random
from typing import Any

from attrs import define, field, frozen, setters

from frame_async.emulator.api.checks import is_integer

_LONGEST = 86_400.0
_LONGEST_HEADER = 1000
_LONGEST_TEXT = 65_536


class Stage(Enum):
    """Where in the life of a request a fault sets in."""

    HEAD = "before the body is read"
    INSTEAD = "instead of creating a session"
    AFTER = "after the session was created"


@frozen
class Action:
    """What one kind of fault does."""

    stage: Stage
    """When it sets in."""
    takes: frozenset[str]
    """The options that it has a use for."""
    needs: frozenset[str] = frozenset()
    """Those of them that must be given."""
    silent: bool = False
    """Whether no answer at all goes out."""


def _takes(*names: str) -> frozenset[str]:
    return frozenset(names)


_LOST = _takes("seconds", "reset")

ACTIONS: Mapping[str, Action] = {
    "refuse": Action(Stage.INSTEAD, _takes("seconds", "status", "body", "content_type")),
    "throttle": Action(Stage.INSTEAD, _takes("seconds", "retry_after", "wait")),
    "delay": Action(Stage.AFTER, _takes("seconds"), _takes("seconds")),
    "drop_before_reading": Action(Stage.HEAD, _LOST, silent=True),
    "read_and_drop": Action(Stage.INSTEAD, _LOST, silent=True),
    "create_and_drop": Action(Stage.AFTER, _LOST, silent=True),
    "create_and_truncate": Action(Stage.AFTER, _LOST | _takes("at"), _takes("at")),
    "create_and_fail": Action(Stage.AFTER, _takes("seconds", "status", "body", "content_type")),
    "close_idle": Action(Stage.AFTER, _LOST),
    "hang": Action(Stage.INSTEAD, _LOST, silent=True),
    "create_and_hang": Action(Stage.AFTER, _LOST, silent=True),
}
"""Every kind of fault by name.

``refuse`` answers with any status and body, ``throttle`` with 429 and any ``Retry-After``;
both create nothing. ``delay`` holds the answer back, as latency does. The dropping and
hanging ones never answer, ``create_and_truncate`` sends the first bytes of its answer,
``create_and_fail`` a proxy's HTML after the session was made. ``close_idle`` answers as
always and then closes the connection without having announced it.
"""


def _known(_: "Fault", __: object, value: str) -> None:
    if value not in list(ACTIONS):  # a list: what is no text may not be hashable
        raise ValueError(f"do must be one of: {', '.join(ACTIONS)}")


def _count(_: "Fault", attribute: Any, value: object) -> None:
    if value is not None and (not is_integer(value) or value < 1):
        raise ValueError(f"{attribute.name} must be a whole number from 1 up")


def _whole_from_0(_: "Fault", attribute: Any, value: object) -> None:
    if value is not None and (not is_integer(value) or value < 0):
        raise ValueError(f"{attribute.name} must be a whole number from 0 up")


def _time(_: "Fault", attribute: Any, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, int | float) or isinstance(value, bool) or not isfinite(value):
        raise ValueError(f"{attribute.name} must be a number of seconds")
    if not 0 <= value <= _LONGEST:
        raise ValueError(f"{attribute.name} must be from 0 to {_LONGEST:g} seconds")


def _chance(_: "Fault", attribute: Any, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
        raise ValueError(f"{attribute.name} must be a number from 0 to 1")


def _status(_: "Fault", attribute: Any, value: object) -> None:
    if value is not None and (not is_integer(value) or not 200 <= value <= 999):
        raise ValueError(f"{attribute.name} must be a whole number from 200 to 999")


def _flag(_: "Fault", attribute: Any, value: object) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"{attribute.name} must be true or false")


def _text(_: "Fault", attribute: Any, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, str):
        raise TypeError(f"{attribute.name} must be text")
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise ValueError(f"{attribute.name} must be valid Unicode")
    if len(value) > _LONGEST_TEXT:
        raise ValueError(f"{attribute.name} must have at most {_LONGEST_TEXT} characters")


def _header(_: "Fault", attribute: Any, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, str):
        raise TypeError(f"{attribute.name} must be text")
    if not all(" " <= char <= "~" for char in value) or len(value) > _LONGEST_HEADER:
        raise ValueError(
            f"{attribute.name} must be visible ASCII, at most {_LONGEST_HEADER} characters"
        )


@define(kw_only=True, eq=False, on_setattr=setters.frozen)
class Fault:
    """One rule: when something goes wrong, and what.

    Raises:
        ValueError: An option is out of its range, or the fault has no use for it.
        TypeError: An option has the wrong type.
    """

    do: str = field(validator=_known)
    """What happens, such as ``create_and_drop``."""
    id: str = field(default="", init=False, on_setattr=setters.NO_OP)
    """Its name in the list, ``fault_1`` for instance; empty before it was added."""

    every: int | None = field(default=None, validator=_count)
    """Only each n-th of the requests that the other conditions let through."""
    probability: float | None = field(default=None, validator=_chance)
    """Only with this probability, from 0 to 1."""
    reference: str | None = field(default=None, validator=_text)
    """Only requests with this ``client_reference_id``."""
    times: int | None = field(default=None, validator=_count)
    """At most this many times."""
    lasting: float | None = field(default=None, validator=_time)
    """For so many seconds from when it was added, by the emulator's clock."""

    seconds: float | None = field(default=None, validator=_time)
    """Seconds before it happens; how long a hanging answer hangs before its connection is
    closed (``None``: until the client leaves); for ``close_idle``, how long after the answer."""
    status: int | None = field(default=None, validator=_status)
    """The status to answer with; 503 for ``refuse`` and 502 otherwise when not given."""
    body: str | None = field(default=None, validator=_text, repr=False)
    """The body to answer with; the error envelope or a proxy's HTML when not given."""
    content_type: str | None = field(default=None, validator=_header)
    """Its ``Content-Type``; the one of the body when not given."""
    retry_after: str | None = field(default=None, validator=_header)
    """For ``throttle``: the name of a form, such as ``rfc850``, or the header's value
    itself. ``seconds`` when not given."""
    wait: float | None = field(default=None, validator=_time)
    """For ``throttle``: how many seconds the header says; 1 when not given."""
    at: int | None = field(default=None, validator=_whole_from_0)
    """For ``create_and_truncate``: how many bytes of the answer go out, its head included."""
    reset: bool = field(default=False, validator=_flag)
    """Whether a connection that breaks is reset (RST) instead of closed (FIN)."""

    on: bool = field(default=True, init=False, on_setattr=setters.NO_OP)
    """Whether the rule is in force."""
    until: float | None = field(default=None, init=False, on_setattr=setters.NO_OP)
    """When it ends, in seconds since the epoch, if it was given a time."""
    seen: int = field(default=0, init=False, on_setattr=setters.NO_OP)
    """How many requests it could have happened to."""
    fired: int = field(default=0, init=False, on_setattr=setters.NO_OP)
    """How many requests it happened to."""

    def __attrs_post_init__(self) -> None:
        action = ACTIONS[self.do]
        for name in sorted(_OPTIONS - action.takes):
            if getattr(self, name) not in (None, False):
                raise ValueError(f"{name} means nothing to the fault {self.do}")
        for name in sorted(action.needs):
            if getattr(self, name) is None:
                raise ValueError(f"{name} must be given for the fault {self.do}")
        if self.reference is not None and action.stage is Stage.HEAD:
            raise ValueError(f"reference is not known yet to the fault {self.do}")

    @property
    def action(self) -> Action:
        """What its kind of fault does."""
        return ACTIONS[self.do]

    def spent(self, now: float) -> bool:
        """Tell whether it can't happen any more at a time."""
        over = self.until is not None and now >= self.until
        return over or (self.times is not None and self.fired >= self.times)

    def strikes(self, reference: str | None, now: float, random: Random) -> bool:
        """Decide whether it happens to a request, and count that."""
        if not self.on or self.spent(now):
            return False
        if self.reference is not None and self.reference != reference:
            return False
        self.seen += 1
        if self.every is not None and self.seen % self.every:
            return False
        if self.probability is not None and random.random() >= self.probability:
            return False
        self.fired += 1
        return True

    def conditions(self) -> dict[str, object]:
        """Return what was given for it, by option, for those who show it."""
        return {
            name: value
            for name in (*_WHEN, *sorted(_OPTIONS))
            if (value := getattr(self, name)) not in (None, False)
        }


_WHEN = ("every", "probability", "reference", "times", "lasting")
_OPTIONS = frozenset(
    {"seconds", "status", "body", "content_type", "retry_after", "wait", "at", "reset"}
)


@define(eq=False)
class Faults:
    """The rules in force, in the order in which they were added."""

    random: Random
    """Decides for rules with a probability."""
    _rules: dict[str, Fault] = field(init=False, factory=dict[str, Fault])
    _made: int = field(init=False, default=0)

    def add(self, fault: Fault, now: float) -> Fault:
        """Put a rule at the end of the list and give it its name.

        Raises:
            ValueError: It is in a list already, or there are a thousand.
        """
        if fault.id:
            raise ValueError(f"{fault.id} was added before")
        if len(self._rules) >= 1000:
            raise ValueError("there are a thousand faults already: remove some")
        self._made += 1
        fault.id = f"fault_{self._made}"
        fault.until = None if fault.lasting is None else now + fault.lasting
        self._rules[fault.id] = fault
        return fault

    def remove(self, fault_id: str) -> bool:
        """Take a rule out; tell whether there was one of that name."""
        return self._rules.pop(fault_id, None) is not None

    def get(self, fault_id: str) -> Fault | None:
        """Return the rule of that name, if there is one."""
        return self._rules.get(fault_id)

    def clear(self) -> None:
        """Take all rules out."""
        self._rules.clear()

    def all(self) -> tuple[Fault, ...]:
        """Return the rules in order, those that can't happen any more too."""
        return tuple(self._rules.values())

    def at_head(self, now: float) -> Fault | None:
        """Return the rule that happens before a body is read, if one does."""
        return self._first(None, now, heads=True) if self._rules else None

    def at_body(self, reference: str | None, now: float) -> Fault | None:
        """Return the rule that happens to a request that was read, if one does."""
        return self._first(reference, now, heads=False) if self._rules else None

    def _first(self, reference: str | None, now: float, *, heads: bool) -> Fault | None:
        rules = (r for r in self._rules.values() if (r.action.stage is Stage.HEAD) is heads)
        return next((r for r in rules if r.strikes(reference, now, self.random)), None)
