"""Checks for the emulator's options."""

import re
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from ipaddress import ip_address
from math import inf, isfinite
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TypeAlias, cast

from attrs import Attribute, fields

from .api import checks
from .api.envelopes import ENVELOPES
from .faults.latency import parse_latency
from .webhooks.published import ASSUMPTIONS

Validator: TypeAlias = Callable[[Any, "Attribute[Any]", Any], None]
"""What attrs calls with an object, one of its attributes and the value for it."""


def whole(least: int, most: float = inf) -> Validator:
    """Make a check for a whole number between two bounds, both allowed."""

    def check(_: object, attribute: "Attribute[Any]", value: object) -> None:
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{attribute.name} must be a whole number")
        if not least <= value <= most:
            upper = "" if most == inf else f" and at most {most}"
            raise ValueError(f"{attribute.name} must be at least {least}{upper}")

    return check


def or_none(check: Validator) -> Validator:
    """Make a check that lets ``None`` through and leaves the rest to another one."""

    def allow_none(owner: object, attribute: "Attribute[Any]", value: object) -> None:
        if value is not None:
            check(owner, attribute, value)

    return allow_none


def positive(_: object, attribute: "Attribute[Any]", value: object) -> None:
    """Check for a finite number above 0."""
    if not _finite(attribute, value) > 0:
        raise ValueError(f"{attribute.name} must be more than 0")


def latency_setting(_: object, attribute: "Attribute[Any]", value: Any) -> None:
    """Check for what `parse_latency` can read."""
    if isinstance(value, bool):
        raise TypeError(f"{attribute.name} must be a number, a text or a path")
    parse_latency(value)


def whole_or_text(_: object, attribute: "Attribute[Any]", value: object) -> None:
    """Check for a whole number, a text or nothing."""
    if value is not None and (not isinstance(value, int | str) or isinstance(value, bool)):
        raise TypeError(f"{attribute.name} must be a whole number or a text")


def file_or_none(_: object, attribute: "Attribute[Any]", value: object) -> None:
    """Check for the path of a file or nothing."""
    if value is None:
        return
    if not isinstance(value, str | PathLike):
        raise TypeError(f"{attribute.name} must be a path")
    path = fspath(cast("str | PathLike[str]", value))
    if not path or "\0" in path or Path(path).is_dir():
        raise ValueError(f"{attribute.name} must be the path of a file")


def not_negative(_: object, attribute: "Attribute[Any]", value: object) -> None:
    """Check for a finite number from 0 up."""
    if not _finite(attribute, value) >= 0:
        raise ValueError(f"{attribute.name} must not be negative")


def on_or_off(_: object, attribute: "Attribute[Any]", value: object) -> None:
    """Check for a boolean."""
    if not isinstance(value, bool):
        raise TypeError(f"{attribute.name} must be True or False")


def secret(_: object, attribute: "Attribute[Any]", value: object) -> None:
    """Check for a secret that receivers take; its value is never shown."""
    if not isinstance(value, str):
        raise TypeError(f"{attribute.name} must be a string")
    if fault := checks.secret_fault(value):
        raise ValueError(f"{attribute.name} {fault}")


def delays(_: object, attribute: "Attribute[Any]", value: Sequence[object]) -> None:
    """Check for several finite numbers from 0 up."""
    for one in value:
        not_negative(None, attribute, one)


def seconds(value: Iterable[float]) -> tuple[float, ...]:
    """Take several numbers."""
    return tuple(value)


def endpoints(value: Iterable[str | tuple[str, str]]) -> tuple[tuple[str, str | None], ...]:
    """Take addresses, some with a secret; what they say is not checked here."""
    if isinstance(value, str):
        raise TypeError("webhooks must be several addresses, not one text")
    return tuple(_endpoint(one) for one in value)


def host_names(value: Iterable[str]) -> frozenset[str]:
    """Take host names, in whatever case."""
    if isinstance(value, str):
        raise TypeError("allow_webhooks_to must be a set of host names")
    return frozenset(name.lower() for name in value)


def assumptions(value: Iterable[str]) -> frozenset[str]:
    """Take names of what is assumed of events.

    Raises:
        ValueError: There is no such assumption; the message names those that come near it.
        TypeError: It is something else than names.
    """
    names: list[object] = [] if isinstance(value, str) else list(value)
    if isinstance(value, str) or not all(isinstance(name, str) for name in names):
        raise TypeError("assume must be a set of names")
    for name in sorted(set(map(str, names)) - set(ASSUMPTIONS)):
        raise ValueError(f"assume has no {name!r}: {_meant(name, ASSUMPTIONS)}")
    return frozenset(map(str, names))


def envelope(_: object, attribute: "Attribute[Any]", value: object) -> None:
    """Check for the name of an envelope."""
    if not isinstance(value, str):
        raise TypeError(f"{attribute.name} must be a name")
    if value not in ENVELOPES:
        raise ValueError(f"{attribute.name} has no {value!r}: {_meant(value, ENVELOPES)}")


def what_is_set(self: object) -> str:
    """What an emulator shows of itself, all values or those before one that was refused."""
    shown = (each.name for each in fields(cast("Any", type(self))) if each.repr)
    there = (f"{name}={getattr(self, name)!r}" for name in shown if hasattr(self, name))
    return f"Emulator({', '.join(there)})"


def _meant(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, known, n=3, cutoff=0.4)
    return f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(known)}"


def own_names(value: Iterable[str]) -> frozenset[str]:
    """Take names that the emulator is called by: no URL, no port."""
    if isinstance(value, str):
        raise TypeError("allow_hosts must be a set of host names")
    names = frozenset(name.lower().removesuffix(".") for name in value)
    if not all(_NAME.fullmatch(name) for name in names):
        raise ValueError("allow_hosts must be names of hosts, such as emulator.internal")
    return names


_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")


def loopback_or_allowed(emulator: Any, attribute: "Attribute[Any]", value: object) -> None:
    """Check for an address that only this machine reaches, or that it need not be one.

    The emulator believes every key and shows every reference: no host for a network.
    """
    if not isinstance(value, str):
        raise TypeError(f"{attribute.name} must be a string")
    if not emulator.allow_remote and not _is_loopback(value):
        raise ValueError(
            f"{attribute.name} must be a loopback address such as 127.0.0.1, "
            "unless remote access is allowed (--allow-remote, or allow_remote=True)"
        )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:  # another name, and who knows where that leads
        return False


def _finite(attribute: "Attribute[Any]", value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{attribute.name} must be a number")
    if not isfinite(value):
        raise ValueError(f"{attribute.name} must be finite")
    return value


def _endpoint(value: object) -> tuple[str, str | None]:
    match value:
        case str():
            return value, None
        case (str() as url, str() as secret):
            return url, secret
        case _:
            raise TypeError("webhooks must hold addresses, or pairs of an address and a secret")
