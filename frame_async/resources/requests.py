"""The rest of Frame's API: any path under ``/v1``, through the same engine as sessions."""

import re
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

from attrs import evolve, frozen

from frame_async.calls import Call
from frame_async.engine.engine import Engine
from frame_async.engine.operation import CallOptions, Operation
from frame_async.errors import Problem, UnreadableError, ValidationError
from frame_async.models.payment_methods import json_problems
from frame_async.protocol.idempotency import check_key
from frame_async.protocol.retry import RetryPolicy, check_retry
from frame_async.resources.payment_link_sessions import DAY, check_timeout
from frame_async.secret import Secret
from frame_async.serialization import dump_json, load_json
from frame_async.shapes import is_listing, is_mapping, name_of, plain

SAFE: Final = frozenset(("GET", "HEAD"))
"""Methods that change nothing, and may be repeated freely (RFC 9110 9.2.1)."""
METHODS: Final = frozenset((*SAFE, "POST", "PUT", "PATCH", "DELETE"))
_PATH: Final = re.compile(r"(/(?!\.{1,2}(/|\Z))[A-Za-z0-9._~%!$&'()*+,;=:@-]+)+")
_ID: Final = re.compile(r"[^/]*[0-9][^/]*")
_SECRET: Final = re.compile(
    rb'"(?:card_number|cvc|account_number|routing_number|ssn|client_secret)":'
    rb'(?:"((?:[^"\\\\]|\\\\.)*+)"|([0-9]+))'
)
_CREATE: Final = ("POST", "/v1/payment_link_sessions")


@frozen
class ApiResponse:
    """What Frame answered, decoded."""

    data: Any
    """The JSON of the answer; None where it had no body."""
    call: Call
    """The record of the call."""

    def __getitem__(self, name: Any) -> Any:
        """A part of the data: ``answer["id"]`` is ``answer.data["id"]``."""
        return self.data[name]


@frozen(repr=False)
class _Asked:
    """One request, in bytes that are equal where it is; they may hold a card."""

    body: bytes
    fields: Mapping[str, bytes]


class Requests:
    """Makes requests of any path; `engine_of` gives the engine of an endpoint's rate window."""

    def __init__(
        self, engine_of: Callable[[str], Engine], timeout: float, policy: RetryPolicy
    ) -> None:
        self._engine_of = engine_of
        self._timeout = timeout
        self._policy = policy

    async def request(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None,
        json: Secret[Any],
        idempotency_key: str | None = None,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
    ) -> ApiResponse:
        """See `FrameClient.request`."""
        _check(method, path, params)
        safe = method in SAFE
        policy = self._policy if retry is None else check_retry(retry)
        engine = self._engine_of(f"{method} {endpoint(path)}")
        key = idempotency_key
        options = CallOptions(
            key=None if key is None else check_key(key, engine.api_key),
            timeout=self._timeout if timeout is None else check_timeout(timeout),
            policy=evolve(policy, on_unknown="retry") if safe else policy,
            safe=safe,
        )
        asked = _asked(method, path, params, json)
        return await engine.run(_operation(method, path, params), asked, options)

    async def pages(
        self, path: str, params: Mapping[str, Any] | None, options: Mapping[str, Any]
    ) -> AsyncIterator[Any]:
        """See `FrameClient.pages`."""
        _check("GET", path, params)
        page, before = 1, None
        while True:
            answer = await self.request("GET", path, {**(params or {}), "page": page}, **options)
            data = answer.data.get("data") if is_mapping(answer.data) else None
            if not is_listing(data):
                raise UnreadableError(f"GET {path}", [Problem("data", "is no list", "use request")])
            if data and data == before:  # it would never end
                rule = f"is the same on page {page} as on the page before"
                raise UnreadableError(f"GET {path}", [Problem("data", rule, "use request")])
            for item in data:
                yield item
            meta = answer.data.get("meta")
            if not data or not is_mapping(meta) or meta.get("has_more") is not True:
                return
            page, before = page + 1, data


def endpoint(path: str) -> str:
    """The path with ``{id}`` for each part that has a digit, the version apart."""
    first, *rest = path.removeprefix("/").split("/")
    return "/".join(["", first, *("{id}" if _ID.fullmatch(part) else part for part in rest)])


def _check(method: object, path: object, params: object) -> None:
    problems: list[Problem] = []
    if method not in METHODS:
        problems.append(Problem("method", "is none", f"use one of {', '.join(sorted(METHODS))}"))
    if not isinstance(path, str) or not path.startswith("/v1/") or not _PATH.fullmatch(path):
        problems.append(
            Problem("path", "must begin with /v1/ and have no query", "pass a query as params")
        )
    elif (method, path.rstrip("/")) == _CREATE:
        fix = "use frame.payment_link_sessions.create"
        problems.append(Problem("path", "has a call of its own", fix))
    if params is not None and not is_mapping(params):
        problems.append(Problem("params", "must be a mapping", 'pass such as {"page": 1}'))
    elif params is not None:
        problems += json_problems(params, "params")
        problems += [
            Problem(f"params.{name_of(name)}", "is nested", "pass a value, or a list of values")
            for name, value in params.items()
            if any(map(_is_container, value if is_listing(value) else [value]))
        ]
    if problems:
        raise ValidationError("invalid request", problems)


def _asked(method: str, path: str, params: Mapping[str, Any] | None, json: Secret[Any]) -> _Asked:
    problems = json_problems(json.reveal(), "json")
    if json.reveal() is not None and method in SAFE:
        problems = [Problem("json", f"can't go with {method}", "pass params instead")]
    if problems:
        raise ValidationError("invalid request", problems)
    body = b"" if json.reveal() is None else dump_json(plain(json.reveal()))
    named = {"method": method, "path": path, "params": _query(params)}
    return _Asked(body, {**{name: text.encode() for name, text in named.items()}, "json": body})


def _is_container(value: object) -> bool:
    return is_mapping(value) or is_listing(value)


def _query(params: Mapping[str, Any] | None) -> str:
    given = {name: value for name, value in (params or {}).items() if value is not None}
    shown = {name: str(v).lower() if isinstance(v, bool) else v for name, v in given.items()}
    return urlencode(shown, doseq=True, quote_via=quote)


def _operation(
    method: str, path: str, params: Mapping[str, Any] | None
) -> Operation[_Asked, ApiResponse]:
    query = _query(params)
    return Operation(
        method=method,
        path=path.removeprefix("/v1") + (f"?{query}" if query else ""),
        if_unreadable="it succeeded",
        if_unknown="no answer came" if method in SAFE else "it may have taken effect",
        if_refused="it was refused",
        dump=lambda asked: asked.body,
        dump_fields=lambda asked: (asked.body, asked.fields),
        load=_load,
        salvage_id=lambda _: None,
        secrets=_secrets,
        lifetime=lambda _: DAY,
    )


def _secrets(asked: _Asked) -> tuple[str, ...]:
    """What an error must not show, should the answer repeat it."""
    return tuple(text.decode() for found in _SECRET.findall(asked.body) for text in found if text)


def _load(body: bytes, call: Call) -> ApiResponse:
    return ApiResponse(load_json(body, "answer") if body.strip() else None, call)
