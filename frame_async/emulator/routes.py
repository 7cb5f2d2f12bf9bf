"""Which part of the emulator answers what."""

from collections.abc import Callable
from typing import Any

from .admin import AdminApi, is_admin_path
from .api.catalog import Catalog
from .api.creation import PATH, Creation
from .app import App
from .checkout import PREFIX, Checkout
from .checkout.payments import Payments
from .state.emulator_state import EmulatorState


def make_app(
    emulator: Any, state: EmulatorState, payments: Payments, page_url: Callable[[str], str]
) -> App:
    """Put the parts together as the options of an `Emulator` say."""
    checkout = Checkout(
        sessions=state.sessions, payments=payments, redirect_secret=emulator.redirect_secret
    )
    creation = Creation(state=state, retry_after=emulator.retry_after, page_url=page_url)
    return App(
        routes={PATH: {"POST": creation}},
        families={
            **Catalog(state=state, retry_after=emulator.retry_after).families,
            PREFIX: {"GET": checkout.show, "HEAD": checkout.show, "POST": checkout.submit},
        },
        admin=AdminApi(state, emulator),
        is_admin_path=is_admin_path,
        own_hosts=emulator.own_hosts,
        allow_remote=emulator.allow_remote,
        state=state,
        on_request=emulator.on_request,
    )
