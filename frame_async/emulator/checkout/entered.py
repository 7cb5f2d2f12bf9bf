"""What a payer has entered so far, as the page shows it again."""

from attrs import field, frozen

from frame_async.emulator.sessions import Session

from .forms import Values, quantities_of, shown


@frozen
class Entered:
    """One state of the form."""

    session: Session
    """The session that is paid."""
    values: Values = field(converter=shown, repr=False)
    """The fields, except those of a card or an account, which are never shown again."""
    errors: Values = field(factory=dict[str, str])
    """What is wrong, by field."""
    declined: str | None = None
    """Why the payment was declined, in words for the payer."""

    @property
    def quantities(self) -> tuple[int, ...]:
        """How many of each line item."""
        return quantities_of(self.session, self.values)
