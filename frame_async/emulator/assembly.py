"""The parts of an emulator, made as its options say."""

from collections.abc import Callable, Sequence
from typing import Any

from .checkout.payments import Payments
from .faults.latency import parse_latency
from .faults.rules import Faults
from .state.clocks import MovableClock
from .state.emulator_state import EmulatorState
from .state.idempotency import Idempotency
from .state.ledger import Ledger
from .state.randomness import Randomness
from .state.sessions import Session, Sessions
from .state.windows import Usage, Windows
from .webhooks.sending import Webhooks
from .webhooks.targets import Targets


def make_state(options: Any, on_create: Callable[[Session], None]) -> EmulatorState:
    """What it knows; `on_create` is told of each new session."""
    randomness = Randomness(options.seed)
    return EmulatorState(
        clock=MovableClock(options.clock),
        randomness=randomness,
        sessions=Sessions(
            options.session_limit,
            randomness.session_ids,
            on_create=on_create,
            shelf=options.products,
        ),
        ledger=Ledger(options.ledger_limit),
        windows=Windows(options.limit, options.period, options.count_refused),
        usage=Usage(options.period),
        latency=parse_latency(options.latency),
        idempotency=Idempotency(options.session_limit) if options.idempotency else None,
        faults=Faults(randomness.faults),
        assumed=options.assume,
        envelope=options.envelope,
    )


def make_webhooks(
    options: Any, state: EmulatorState, endpoints: Sequence[tuple[str, str | None]]
) -> Webhooks:
    """What sends events, with the endpoints that are known from the beginning."""
    webhooks = Webhooks(
        clock=state.clock,
        targets=Targets(options.allow_webhooks_to),
        backoff=options.webhook_backoff,
    )
    for url, secret in endpoints:
        webhooks.register(url, secret=secret)
    state.webhooks = webhooks
    return webhooks


def make_payments(options: Any, state: EmulatorState, webhooks: Webhooks) -> Payments:
    """What takes payments, and announces how they end."""
    return Payments(
        sessions=state.sessions,
        clock=state.clock,
        bank_delay=options.bank_delay,
        announce=webhooks.emit,
        assumed=options.assume,
    )
