"""How long answers are held back: a number, a distribution, or a file of measured times.

Frame asks integrators not to load-test its sandbox, and to sample real latencies and
sleep for that distribution in a mock of their own instead (Frame reference, rate limits).
"""

import re
from collections.abc import Callable, Mapping
from math import exp, isfinite, log
from os import PathLike, fspath
from pathlib import Path
from random import Random
from typing import Protocol, TypeAlias

from attrs import field, frozen

Setting: TypeAlias = float | str | PathLike[str]
"""What names a latency: seconds, a distribution such as ``uniform(1ms, 5ms)``, or a file."""

_UNITS: Mapping[str, float] = {"us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0}
_NUMBER = re.compile(r"([0-9]+(?:\.[0-9]*)?(?:e[+-]?[0-9]{1,3})?|\.[0-9]+)\s*([a-zµμ]*)", re.ASCII)
_SHAPE = re.compile(r"([a-z]+)\s*\((.*)\)", re.IGNORECASE | re.DOTALL)
_Z99 = 2.3263478740408408  # the normal distribution's 99th percentile, in standard deviations
_LONGEST = 86_400.0
_MOST_SAMPLES = 1_000_000


class Latency(Protocol):
    """Draws how long one answer is held back."""

    def __call__(self, random: Random) -> float:
        """Return seconds."""
        ...


@frozen
class Constant:
    """The same for every answer."""

    seconds: float

    def __call__(self, random: Random) -> float:
        """Return the one value there is."""
        del random
        return self.seconds

    def __str__(self) -> str:
        return f"constant({_show(self.seconds)})"


@frozen
class Uniform:
    """Anything between two bounds, each as likely."""

    least: float
    most: float

    def __call__(self, random: Random) -> float:
        """Return seconds between the bounds."""
        return random.uniform(self.least, self.most)

    def __str__(self) -> str:
        return f"uniform({_show(self.least)}, {_show(self.most)})"


@frozen
class Lognormal:
    """The usual shape of latencies: most near the median, a few far above."""

    median: float
    p99: float

    def __call__(self, random: Random) -> float:
        """Return seconds; half of all are below `median`, 99 of 100 below `p99`."""
        spread = log(self.p99 / self.median) / _Z99
        return min(_LONGEST, self.median * exp(spread * random.gauss(0.0, 1.0)))

    def __str__(self) -> str:
        return f"lognormal(median={_show(self.median)}, p99={_show(self.p99)})"


@frozen
class Sampled:
    """What was measured somewhere, each value as likely as any other."""

    samples: tuple[float, ...] = field(repr=False)
    name: str = "samples"

    def __call__(self, random: Random) -> float:
        """Return one of the samples."""
        return random.choice(self.samples)

    def __str__(self) -> str:
        return f"{self.name} ({len(self.samples)} samples)"


def parse_latency(setting: Setting) -> Latency:
    """Make the latency that a setting names.

    Text is a number with or without a unit (``us``, ``ms``, ``s``; without one, seconds),
    ``constant(20ms)``, ``uniform(1ms, 5ms)``, ``lognormal(median=180ms, p99=900ms)``, or
    else the path of a file.

    Raises:
        ValueError: It is none of these, a value is out of range, or the file holds
            something that is no sample.
        OSError: The file can't be read.
        TypeError: It is of another type.
    """
    if isinstance(setting, int | float) and not isinstance(setting, bool):
        return Constant(_in_range(setting))
    if isinstance(setting, PathLike):
        return read_samples(Path(setting))
    if not isinstance(setting, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError("latency must be a number of seconds, a text or a path")
    text = setting.strip()
    if "\0" in text:
        raise ValueError("latency must not hold a null character")
    if shape := _SHAPE.fullmatch(text):
        return _distribution(shape[1].lower(), shape[2])
    if re.match(r"[-+.]?[0-9]", text) and not Path(text).exists():
        return Constant(_duration(text, "s"))
    return read_samples(Path(fspath(text)))


def read_samples(path: Path) -> Sampled:
    """Read measured latencies, one a line: a number of milliseconds, or a number with its unit.

    Empty lines and what follows a ``#`` are passed over.

    Raises:
        OSError: The file can't be read.
        ValueError: It holds no sample, or a line is none.
    """
    samples: list[float] = []
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if text := line.partition("#")[0].strip():
                    samples.append(_sample(text, path, number))
    except (FileNotFoundError, IsADirectoryError):
        raise ValueError(
            f"latency must be seconds, constant(...), uniform(...), lognormal(...) "
            f"or a file of samples; there is no file {str(path)!r}"
        ) from None
    except UnicodeDecodeError:
        raise ValueError(f"latency: {path} is no text file") from None
    if not samples:
        raise ValueError(f"latency: {path} holds no sample")
    return Sampled(tuple(samples), path.name)


def _sample(text: str, path: Path, number: int) -> float:
    if number > _MOST_SAMPLES:
        raise ValueError(f"latency: {path} has more than {_MOST_SAMPLES} lines")
    try:
        return _duration(text, "ms")
    except ValueError as error:
        raise ValueError(f"latency: line {number} of {path}: {error}") from None


def _distribution(name: str, arguments: str) -> Latency:
    shape = _SHAPES.get(name)
    if shape is None:
        raise ValueError(f"latency has no distribution {name!r}: use {', '.join(_SHAPES)}")
    names, make = shape
    return make(*_arguments(name, names, arguments))


def _arguments(shape: str, names: tuple[str, ...], text: str) -> list[float]:
    """Read arguments, by place or by name, in the order of their names."""
    given: dict[str, float] = {}
    for place, part in enumerate(part.strip() for part in text.split(",")):
        name, equals, value = part.partition("=")
        if not equals:
            name, value = (names[place] if place < len(names) else ""), part
        name = name.strip().lower()
        if name not in names or name in given:
            raise ValueError(f"latency: {shape} takes {', '.join(names)}, each once")
        given[name] = _duration(value.strip(), "s")
    if len(given) < len(names):
        raise ValueError(f"latency: {shape} takes {', '.join(names)}, each once")
    return [given[name] for name in names]


def _duration(text: str, unit: str) -> float:
    match = _NUMBER.fullmatch(text.lower())
    if match is None and text.startswith("-"):
        raise ValueError("latency must not be negative")
    if match is None or (match[2] or unit) not in _UNITS:
        raise ValueError(f"latency: {text[:40]!r} is no time such as 180ms, 1.5s or 250us")
    return _in_range(float(match[1]) * _UNITS[match[2] or unit])


def _in_range(seconds: float) -> float:
    if not isfinite(seconds):
        raise ValueError("latency must be finite")
    if seconds < 0:
        raise ValueError("latency must not be negative")
    if seconds > _LONGEST:
        raise ValueError("latency must be at most a day")
    return float(seconds)


def _uniform(least: float, most: float) -> Latency:
    if least > most:
        raise ValueError("latency: uniform takes the lower bound first")
    return Uniform(least, most)


def _lognormal(median: float, p99: float) -> Latency:
    if not 0 < median < p99:
        raise ValueError("latency: lognormal takes a median above 0 and a p99 above that")
    return Lognormal(median, p99)


def _show(seconds: float) -> str:
    return f"{seconds:g}s" if seconds >= 1 else f"{seconds * 1000:g}ms"


_SHAPES: Mapping[str, tuple[tuple[str, ...], Callable[..., Latency]]] = {
    "constant": (("value",), Constant),
    "uniform": (("low", "high"), _uniform),
    "lognormal": (("median", "p99"), _lognormal),
}
