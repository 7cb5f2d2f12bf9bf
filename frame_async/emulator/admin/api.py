"""The admin API under ``/_emulator/``, and the pages beside it: one route a line."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from itertools import dropwhile, islice
from typing import Any, Protocol, TypeAlias

from aiohttp import web
from attrs import define, fields_dict

from frame_async.emulator.api.answers import (
    ApiAnswer,
    RefusedError,
    bad_request,
    error_answer,
    json_answer,
)
from frame_async.emulator.api.http import to_response
from frame_async.emulator.faults.rules import Fault
from frame_async.emulator.state.emulator_state import EmulatorState
from frame_async.emulator.state.randomness import new_id
from frame_async.emulator.state.sessions import Session

from . import pages, webhooks
from .requests import not_found, page_size, read_object, refuse_strangers, whole, wrong
from .views import clock_view, entries, fault_view, limits_view, session_view, snapshot

PREFIX = "/_emulator/"

_ALWAYS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_FAULT_OPTIONS = frozenset(name for name, field in fields_dict(Fault).items() if field.init)


class Operated(Protocol):
    """What the admin API asks of the emulator itself."""

    @property
    def own_hosts(self) -> frozenset[str]:
        """The names that it answers to."""
        ...

    @property
    def allow_remote(self) -> bool:
        """Whether others can reach it."""
        ...

    def change_limit(self, limit: int | None, period: float | None = None) -> None:
        """Set another rate limit."""
        ...

    def add_fault(self, fault: Fault | str, **options: Any) -> Fault:
        """Make something go wrong."""
        ...


def is_admin_path(path: str) -> bool:
    """Tell whether a path is the emulator's own and none of Frame's."""
    return path.startswith(PREFIX) or path in pages.PAGES


@define(eq=False)
class AdminApi:
    """Answers those who run the emulator."""

    state: EmulatorState
    """What there is to show and to change."""
    emulator: Operated
    """What only the emulator itself can change."""

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, or refuse it."""
        try:
            answer = await self._answer(request)
        except RefusedError as refused:
            answer = refused.answer
        return to_response(answer.plus(_ALWAYS), new_id())

    async def _answer(self, request: web.BaseRequest) -> ApiAnswer:
        is_page = request.path in pages.PAGES and request.method in ("GET", "HEAD")
        remote = self.emulator.allow_remote
        refuse_strangers(request, self.emulator.own_hosts, remote=remote, is_page=is_page)
        if request.path in pages.PAGES:
            if not is_page:
                raise _not_allowed("GET, HEAD")
            return pages.PAGES[request.path](self.state)
        handle, names = _find(request.method, request.path.removeprefix(PREFIX))
        content = await handle(self, request, *names)
        return json_answer(200, content)

    async def show(self, request: web.BaseRequest) -> dict[str, Any]:
        """Show everything at once, as the dashboard wants it."""
        return snapshot(self.state, request.query.get("reference") or None)

    async def list_ledger(self, request: web.BaseRequest) -> dict[str, Any]:
        """List requests, the newest first, from before a sequence number on."""
        query, most = request.query, page_size(request.query)
        before = whole(query, "before", least=1, most=10**15)
        found = entries(self.state, query.get("reference"), before)
        page = list(islice(found, most + 1))
        more = page[most - 1].sequence if len(page) > most else None
        shown = [entry.dump() for entry in page[:most]]
        return {"entries": shown, "next_before": more, "requests": self.state.ledger.count}

    async def list_sessions(self, request: web.BaseRequest) -> dict[str, Any]:
        """List sessions, the newest first, from after an id on."""
        query, most = request.query, page_size(request.query)
        found = self._sessions(query.get("reference"), query.get("after"))
        page, now = list(islice(found, most + 1)), self.state.clock()
        more = page[most - 1].id if len(page) > most else None
        shown = [session_view(session, now) for session in page[:most]]
        return {"sessions": shown, "next_after": more, "created": self.state.sessions.count}

    async def show_session(self, request: web.BaseRequest, session_id: str) -> dict[str, Any]:
        """Show one session."""
        del request
        session = self.state.sessions.get(session_id)
        if session is None:
            raise not_found("session")
        return session_view(session, self.state.clock())

    async def list_faults(self, request: web.BaseRequest) -> dict[str, Any]:
        """List the faults."""
        del request
        now = self.state.clock()
        return {"faults": [fault_view(fault, now) for fault in self.state.faults.all()]}

    async def add_fault(self, request: web.BaseRequest) -> dict[str, Any]:
        """Make something go wrong."""
        body = await read_object(request, _FAULT_OPTIONS)
        given: dict[str, Any] = {name: value for name, value in body.items() if value is not None}
        try:
            fault = self.emulator.add_fault(Fault(do=given.pop("do", ""), **given))
        except (TypeError, ValueError) as error:
            name, _, message = str(error).partition(" ")
            raise wrong(name, message) from None
        return fault_view(fault, self.state.clock())

    async def switch_fault(self, request: web.BaseRequest, fault_id: str) -> dict[str, Any]:
        """Switch a fault on or off."""
        body = await read_object(request, ("on",))
        fault = self.state.faults.get(fault_id)
        if fault is None:
            raise not_found("fault")
        on = body.get("on")
        if not isinstance(on, bool):
            raise wrong("on", "must be true or false")
        fault.on = on
        return fault_view(fault, self.state.clock())

    async def remove_fault(self, request: web.BaseRequest, fault_id: str) -> dict[str, Any]:
        """Take a fault out."""
        del request
        if not self.state.faults.remove(fault_id):
            raise not_found("fault")
        return {"id": fault_id, "removed": True}

    async def clear_faults(self, request: web.BaseRequest) -> dict[str, Any]:
        """Take all faults out."""
        self.state.faults.clear()
        return await self.list_faults(request)

    async def show_limits(self, request: web.BaseRequest) -> dict[str, Any]:
        """Show the rate limit."""
        del request
        return limits_view(self.state)

    async def change_limits(self, request: web.BaseRequest) -> dict[str, Any]:
        """Set another rate limit; what is not given stays."""
        body = await read_object(request, ("limit", "period"))
        windows = self.state.windows
        limit, period = body.get("limit", windows.limit), body.get("period", windows.period)
        if period is None:
            raise wrong("period", "must be a number of seconds")
        try:
            self.emulator.change_limit(limit, period)
        except (TypeError, ValueError) as error:
            name, _, message = str(error).partition(" ")
            raise wrong(name, message) from None
        return limits_view(self.state)

    async def show_clock(self, request: web.BaseRequest) -> dict[str, Any]:
        """Show the emulator's time."""
        del request
        return clock_view(self.state)

    async def advance_clock(self, request: web.BaseRequest) -> dict[str, Any]:
        """Move time forward."""
        seconds = (await read_object(request, ("advance",))).get("advance")
        if not isinstance(seconds, int | float) or isinstance(seconds, bool):
            raise wrong("advance", "must be a number of seconds")
        try:
            self.state.clock.advance(seconds)
        except (ValueError, OverflowError):
            raise wrong("advance", "must be seconds forward, ten years at most in all") from None
        return clock_view(self.state)

    async def reset(self, request: web.BaseRequest) -> dict[str, Any]:
        """Forget everything."""
        await read_object(request, ())
        self.state.reset()
        return {"reset": True}

    def _sessions(self, reference: str | None, after: str | None) -> Iterator[Session]:
        found = self.state.sessions.newest(reference)
        if after is None:
            return found
        if self.state.sessions.get(after) is None:
            raise not_found("session to go on after")
        return islice(dropwhile(lambda session: session.id != after, found), 1, None)


View: TypeAlias = Callable[..., Awaitable[Mapping[str, Any]]]


def _webhooks(view: View) -> View:
    async def handle(api: AdminApi, request: web.BaseRequest, *names: str) -> Mapping[str, Any]:
        return await view(api.state, request, *names)

    return handle


_ROUTES: Mapping[str, Mapping[str, View]] = {
    "snapshot": {"GET": AdminApi.show},
    "ledger": {"GET": AdminApi.list_ledger},
    "sessions": {"GET": AdminApi.list_sessions},
    "sessions/*": {"GET": AdminApi.show_session},
    "faults": {
        "GET": AdminApi.list_faults,
        "POST": AdminApi.add_fault,
        "DELETE": AdminApi.clear_faults,
    },
    "faults/*": {"PATCH": AdminApi.switch_fault, "DELETE": AdminApi.remove_fault},
    "limits": {"GET": AdminApi.show_limits, "PATCH": AdminApi.change_limits},
    "clock": {"GET": AdminApi.show_clock, "POST": AdminApi.advance_clock},
    "reset": {"POST": AdminApi.reset},
    "webhooks/endpoints": {
        "GET": _webhooks(webhooks.list_endpoints),
        "POST": _webhooks(webhooks.register),
    },
    "webhooks/endpoints/*": {"DELETE": _webhooks(webhooks.remove)},
    "webhooks/deliveries": {"GET": _webhooks(webhooks.list_deliveries)},
    "webhooks/deliveries/*/resend": {"POST": _webhooks(webhooks.resend)},
}


def _find(method: str, path: str) -> tuple[View, tuple[str, ...]]:
    """Find what answers a call, and the names in its path."""
    parts = path.split("/")
    for pattern, methods in _ROUTES.items():
        names = _match(pattern.split("/"), parts)
        if names is None:
            continue
        if method not in methods:
            raise _not_allowed(", ".join(methods))
        return methods[method], names
    raise bad_request(404, "The admin API has nothing here; see docs/reference/emulator.")


def _match(pattern: list[str], parts: list[str]) -> tuple[str, ...] | None:
    """Return the parts of a path that stand for stars in a pattern, if it fits."""
    if len(pattern) != len(parts):
        return None
    pairs = list(zip(pattern, parts, strict=True))
    if any(wanted not in ("*", part) for wanted, part in pairs):
        return None
    return tuple(part for wanted, part in pairs if wanted == "*")


def _not_allowed(methods: str) -> RefusedError:
    answer = error_answer(405, "invalid_request_error", f"This takes {methods}.")
    return RefusedError(answer.plus({"Allow": methods}))
