"""The pause: a 429 speaks for everyone on the key, not only for the call that met it."""

from collections.abc import Callable


class Pause:
    """Until when nobody on the key sends; shared by all calls, times are monotonic seconds."""

    def __init__(self, until: float = float("-inf")) -> None:
        self.until = until

    def extend(self, until: float) -> None:
        """Somebody was told to wait until then; a pause is never shortened."""
        self.until = max(self.until, until)

    def left(self, now: float, spread: float, random: Callable[[], float]) -> float:
        """Seconds to wait from `now`: 0 without a pause.

        Up to `spread` random seconds are added, so that those who were held back don't
        all start at once.
        """
        return 0.0 if now >= self.until else self.until - now + spread * random()
