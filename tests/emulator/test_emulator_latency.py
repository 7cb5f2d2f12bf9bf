"""How long answers are held back: settings, distributions, files."""

from pathlib import Path
from random import Random
from statistics import median, quantiles

import pytest

from frame_async.emulator.faults.latency import (
    Constant,
    Lognormal,
    Sampled,
    Setting,
    Uniform,
    parse_latency,
)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (0, Constant(0.0)),
        (0.25, Constant(0.25)),
        ("0.25", Constant(0.25)),
        (".5", Constant(0.5)),
        ("20ms", Constant(0.02)),
        (" 1.5 s ", Constant(1.5)),
        ("250us", Constant(0.00025)),
        ("250µs", Constant(0.00025)),
        ("constant(20ms)", Constant(0.02)),
        ("constant(value=1)", Constant(1.0)),
        ("uniform(1ms, 5ms)", Uniform(0.001, 0.005)),
        ("Uniform(high=5ms,low=1ms)", Uniform(0.001, 0.005)),
        ("uniform(1ms, 1ms)", Uniform(0.001, 0.001)),
        ("lognormal(median=180ms, p99=900ms)", Lognormal(0.18, 0.9)),
        ("lognormal (180ms, 0.9)", Lognormal(0.18, 0.9)),
    ],
)
def test_settings_are_read(setting: Setting, expected: object) -> None:
    """Numbers are seconds; text has units, names and places."""
    assert parse_latency(setting) == expected


@pytest.mark.parametrize(
    "setting",
    [
        -1,
        float("nan"),
        float("inf"),
        86_401,
        "-1",
        "-1ms",
        "1h",
        "1 2",
        "1e999",
        "nan",
        "",
        "constant()",
        "constant(1, 2)",
        "constant(1h)",
        "constant(low=1)",
        "uniform(1ms)",
        "uniform(5ms, 1ms)",
        "uniform(1ms, low=2ms)",
        "uniform(1ms, 2ms, 3ms)",
        "lognormal(median=0, p99=1)",
        "lognormal(median=2s, p99=1s)",
        "lognormal(median=180ms)",
        "gamma(1)",
        "__import__('os')",
        "/nowhere/at/all.txt",
        "a\0b",
        "/",
    ],
)
def test_bad_settings_are_refused(setting: Setting) -> None:
    """What is no latency is refused, by the option's name."""
    with pytest.raises(ValueError, match="latency"):
        parse_latency(setting)


def test_lognormal_has_its_median_and_its_p99() -> None:
    """Half of the draws are below the median, and 99 of 100 below p99."""
    random = Random(1)
    draws = [Lognormal(0.18, 0.9)(random) for _ in range(20_000)]
    assert median(draws) == pytest.approx(0.18, rel=0.03)
    assert quantiles(draws, n=100)[98] == pytest.approx(0.9, rel=0.08)
    assert max(draws) <= 86_400


def test_uniform_stays_in_its_bounds() -> None:
    """Draws reach from one bound to the other."""
    random = Random(1)
    draws = [Uniform(0.001, 0.005)(random) for _ in range(2_000)]
    assert 0.001 <= min(draws) < 0.0011
    assert 0.0049 < max(draws) <= 0.005


def test_files_hold_milliseconds(tmp_path: Path) -> None:
    """One number a line, in milliseconds unless it has a unit; comments and blanks are skipped."""
    path = tmp_path / "samples.txt"
    path.write_text("# measured\n180\n\n0.2s  # slow\n250us\n")
    sampled = parse_latency(str(path))
    assert sampled == Sampled((0.18, 0.2, 0.00025), "samples.txt")
    assert parse_latency(path) == sampled
    random = Random(1)
    assert {sampled(random) for _ in range(100)} == {0.18, 0.2, 0.00025}


def test_a_file_may_be_named_like_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is there is taken, even if its name begins with a digit."""
    monkeypatch.chdir(tmp_path)
    Path("2026-latencies.txt").write_text("7\n")
    assert parse_latency("2026-latencies.txt") == Sampled((0.007,), "2026-latencies.txt")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no sample"),
        (b"# nothing\n", "no sample"),
        (b"180\nfast\n", "line 2"),
        (b"180\n-5\n", "line 2"),
        (b"\xff\xfe", "no text file"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, content: bytes, words: str) -> None:
    """A file with something else in it is refused, with the line."""
    path = tmp_path / "samples.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=words):
        parse_latency(path)


def test_latencies_say_what_they_are() -> None:
    """The dashboard shows a latency as it could be written."""
    settings = ["constant(1.5s)", "uniform(1ms, 5ms)", "lognormal(median=180ms, p99=900ms)"]
    assert [str(parse_latency(setting)) for setting in settings] == settings
    assert str(Sampled((1.0,), "a.txt")) == "a.txt (1 samples)"
