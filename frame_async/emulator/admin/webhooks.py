"""The part of the admin API that is about webhooks."""

from typing import Any

from aiohttp import web

from frame_async.emulator.api.checks import is_list
from frame_async.emulator.state.emulator_state import EmulatorState
from frame_async.emulator.webhooks.sending import Webhooks

from .requests import not_found, page_size, read_object, wrong
from .views import delivery_view, endpoint_view, newest


async def list_endpoints(state: EmulatorState, request: web.BaseRequest, *_: str) -> dict[str, Any]:
    """List where events go."""
    del request
    return {"endpoints": [endpoint_view(each) for each in _webhooks(state).endpoints()]}


async def register(state: EmulatorState, request: web.BaseRequest, *_: str) -> dict[str, Any]:
    """Add an endpoint; the answer is the only one that shows its secret."""
    body = await read_object(request, ("url", "secret", "events"))
    url, secret, events = body.get("url"), body.get("secret"), body.get("events", ["*"])
    if not isinstance(url, str) or not url:
        raise wrong("url", "must be given, as text")
    if secret is not None and (not isinstance(secret, str) or not secret):
        raise wrong("secret", "must be text")
    if not is_list(events) or not events or not all(isinstance(each, str) for each in events):
        raise wrong("events", "must be a list of event types")
    try:
        endpoint = _webhooks(state).register(url, secret=secret, events=tuple(events))
    except ValueError as error:
        raise wrong("url", str(error)) from None
    return {**endpoint_view(endpoint), "secret": endpoint.secret}


async def remove(state: EmulatorState, request: web.BaseRequest, *names: str) -> dict[str, Any]:
    """Remove an endpoint."""
    del request
    if not _webhooks(state).remove(names[0]):
        raise not_found("endpoint")
    return {"id": names[0], "removed": True}


async def list_deliveries(
    state: EmulatorState, request: web.BaseRequest, *_: str
) -> dict[str, Any]:
    """List deliveries, the newest first."""
    return {"deliveries": newest(_webhooks(state).deliveries(), page_size(request.query))}


async def resend(state: EmulatorState, request: web.BaseRequest, *names: str) -> dict[str, Any]:
    """Deliver an event once more."""
    del request
    delivery = _webhooks(state).resend(names[0])
    if delivery is None:
        raise not_found("delivery")
    return delivery_view(delivery)


def _webhooks(state: EmulatorState) -> Webhooks:
    if state.webhooks is None:
        raise not_found("thing: this emulator sends no webhooks")
    return state.webhooks
