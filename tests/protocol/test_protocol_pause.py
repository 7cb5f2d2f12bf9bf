"""The pause that a 429 puts on all calls of a key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frame_async.protocol.pause import Pause


def half() -> float:
    """Chance, always in the middle."""
    return 0.5


def test_without_a_pause_nobody_waits() -> None:
    """A new pause holds nobody back, at any time."""
    assert Pause().left(0.0, 0.5, half) == 0.0
    assert Pause().left(-1e9, 0.5, half) == 0.0


@pytest.mark.parametrize(
    ("now", "left"),
    [(90.0, 10.25), (99.0, 1.25), (99.75, 0.5), (100.0, 0.0), (100.5, 0.0), (1e9, 0.0)],
)
def test_a_pause_holds_back_until_its_end_and_some_chance(now: float, left: float) -> None:
    """Before the end, what is left and a random share of the spread; from the end on, nothing."""
    pause = Pause()
    pause.extend(100.0)
    assert pause.left(now, 0.5, half) == left


def test_a_pause_is_never_shortened() -> None:
    """An earlier end changes nothing, a later one does."""
    pause = Pause()
    pause.extend(100.0)
    pause.extend(50.0)
    assert pause.until == 100.0
    pause.extend(150.0)
    assert pause.until == 150.0


def test_a_pause_can_begin_with_an_end() -> None:
    """A pause that another process knows of is made with its end."""
    assert Pause(until=7.0).left(5.0, 0.0, half) == 2.0


TIMES = st.floats(0, 1e6)


@given(st.lists(TIMES), TIMES, st.floats(0, 10), st.floats(0, 1, exclude_max=True))
def test_whoever_waits_starts_after_the_pause(
    ends: list[float], now: float, spread: float, chance: float
) -> None:
    """Whatever was asked, the wait is never negative and leads to the last end or later."""
    pause = Pause()
    for end in ends:
        pause.extend(end)
    left = pause.left(now, spread, lambda: chance)
    longest = max([now, *ends])
    assert left >= 0.0
    assert now + left >= longest - 1e-6
    assert now + left <= longest + spread + 1e-6
