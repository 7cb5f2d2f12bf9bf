"""What pays: Frame's published test values, and how each of them turns out.

Numbers and outcomes are those of Frame's reference (test values). No other number
is taken, so that nobody's real card ever ends up here. The codes of failed bank
payments, and of a challenge that was not passed, are the emulator's own names.
"""

from collections.abc import Mapping

from attrs import frozen


@frozen
class Behaviour:
    """How a payment with one instrument turns out."""

    failure_code: str | None = None
    """Why it fails; ``None`` when it succeeds."""
    challenge: bool = False
    """Whether the payer has to pass 3-D Secure first."""


SUCCEEDS = Behaviour()
"""Pays without a question."""

CARDS: Mapping[str, Behaviour] = {
    "4242424242424242": SUCCEEDS,
    "4000056655665556": SUCCEEDS,
    "5555555555554444": SUCCEEDS,
    "2223003122003222": SUCCEEDS,
    "5200828282828210": SUCCEEDS,
    "5105105105105100": SUCCEEDS,
    "378282246310005": SUCCEEDS,
    "371449635398431": SUCCEEDS,
    "6011111111111117": SUCCEEDS,
    "6011000990139424": SUCCEEDS,
    "6011981111111113": SUCCEEDS,
    "4000000000003220": Behaviour(challenge=True),
    "4111110116638870": SUCCEEDS,
    "4111111738973695": Behaviour("card_not_enrolled"),
    "4000008400001629": Behaviour("generic_decline", challenge=True),
    "4726848138487043": Behaviour("generic_decline"),
    "4726846912498186": Behaviour("insufficient_funds"),
    "4726840306461785": Behaviour("expired_card"),
    "4726840756845529": Behaviour("incorrect_cvc"),
    "4726843991344803": Behaviour("incorrect_number"),
    "4726849921107855": Behaviour("processing_error"),
    "4726848912206759": Behaviour("card_velocity_exceeded"),
    "4726843338079575": Behaviour("stolen_card"),
}
"""By card number. Any security code and any future date will do."""

ROUTING_NUMBER = "110000000"
"""The routing number of every test account."""

BANK_ACCOUNTS: Mapping[str, Behaviour] = {
    "000123456789": SUCCEEDS,
    "000222222227": Behaviour("insufficient_funds"),
    "000111111113": Behaviour("account_closed"),
    "000111111116": Behaviour("account_not_found"),
    "000333333335": Behaviour("debit_not_authorized"),
}
"""By account number. All of them are accepted at first, and some fail later."""

CHALLENGE_FAILED = "authentication_failed"
"""The code of a payment whose 3-D Secure challenge was not passed."""

_DECLINED = "Your card was declined. Try another card, or ask your bank."

# Frame's reference: a payer must not learn of these, so they get the generic words.
_NOT_FOR_THE_PAYER = frozenset(
    (
        "fraudulent",
        "lost_card",
        "stolen_card",
        "merchant_blacklist",
        "pickup_card",
        "restricted_card",
    )
)

_WORDS: Mapping[str, str] = {
    "insufficient_funds": "Your card has too little money for this. Try another card.",
    "expired_card": "Your card has expired. Try another card.",
    "incorrect_cvc": "The security code doesn't match your card. Check it and try again.",
    "incorrect_number": "The card number is not right. Check it and try again.",
    "processing_error": "Your card could not be processed just now. Try again in a moment.",
    "card_velocity_exceeded": "Your card was used too often lately. Try another card.",
    "card_not_enrolled": "Your card doesn't take part in 3-D Secure. Try another card.",
    CHALLENGE_FAILED: "Your bank could not confirm that it was you. Try again, or another card.",
}


def words_for(failure_code: str) -> str:
    """Say to a payer that the card was declined, and why if they may know."""
    if failure_code in _NOT_FOR_THE_PAYER:
        return _DECLINED
    return _WORDS.get(failure_code, _DECLINED)
