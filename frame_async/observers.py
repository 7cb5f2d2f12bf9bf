"""What happens in a call, told to code: one small interface, for logs, metrics and traces."""

from collections.abc import Callable, Sequence

from attrs import define

from frame_async.calls import Attempt, Call


class Observer:
    """Override what you need; every method does nothing by default.

    The methods are called in the task of the call, so they must be quick and must not
    block. What they raise is logged and otherwise ignored: watching a call never
    changes it. Nothing that they are given holds a secret.
    """

    def bind(self, base_url: str) -> "Observer":  # noqa: ARG002  # for those who need it
        """A client of that address is being made: what is returned here watches its calls.

        Itself by default; a copy that knows the address where several clients share one
        observer. Unlike the others, it may raise, which ends the making of the client.
        """
        return self

    def attempt_ended(self, key: str, number: int, attempt: Attempt) -> None:
        """Attempt ``number`` (from 1) of the call with that idempotency key is over."""

    def waiting(self, key: str, seconds: float, why: str) -> None:
        """The call will sleep that many seconds before its next attempt."""

    def call_ended(self, call: Call) -> None:
        """The call is over, cancelled ones included; nothing more will be told of it."""


@define
class Audience:
    """All observers of a client, told in turn; none can disturb a call or another."""

    observers: Sequence[Observer]
    complain: Callable[[BaseException], None]
    """Told what an observer raised."""

    def attempt_ended(self, key: str, number: int, attempt: Attempt) -> None:
        """See `Observer.attempt_ended`."""
        for observer in self.observers:
            try:
                observer.attempt_ended(key, number, attempt)
            except Exception as error:  # noqa: BLE001  # an observer only watches
                self.complain(error)

    def waiting(self, key: str, seconds: float, why: str) -> None:
        """See `Observer.waiting`."""
        for observer in self.observers:
            try:
                observer.waiting(key, seconds, why)
            except Exception as error:  # noqa: BLE001  # the same
                self.complain(error)

    def call_ended(self, call: Call) -> None:
        """See `Observer.call_ended`."""
        for observer in self.observers:
            try:
                observer.call_ended(call)
            except Exception as error:  # noqa: BLE001  # the same
                self.complain(error)
