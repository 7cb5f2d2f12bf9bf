"""Products and customers: list, create and read, as far as a shop's examples need them.

What they look like is read in Frame's Node SDK: a list is ``{"meta": {"page", "url",
"has_more", "prev", "next"}, "data": [...]}``, asked for by ``page`` and ``per_page``.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from attrs import define, field

from frame_async.emulator.state.emulator_state import EmulatorState
from frame_async.emulator.state.randomness import new_id
from frame_async.emulator.state.weights import weight

from .answers import ApiAnswer, Problems, RefusedError, bad_request, error_answer, json_answer
from .bodies import decode_object, read_body, redact
from .context import RequestContext
from .creation import enter_window
from .keys import read_key

KINDS: Mapping[str, tuple[str, ...]] = {
    "products": ("name", "description", "default_price", "purchase_type"),
    "customers": ("name", "email"),
}
"""What there is, and what each must be given."""
_MOST_A_PAGE = 100
_MOST_BYTES = 16 * 1024**2
"""That all of them may take together."""


@define(kw_only=True, eq=False)
class Catalog:
    """Products and customers that were created here; nothing keeps them over a restart."""

    state: EmulatorState
    retry_after: bool
    """Whether a 429 carries ``Retry-After``."""
    _things: dict[str, dict[str, dict[str, Any]]] = field(init=False)
    _weight: int = field(init=False, default=0)

    def __attrs_post_init__(self) -> None:
        self._things = {kind: {} for kind in KINDS}

    @property
    def families(self) -> dict[str, dict[str, Callable[[RequestContext], Awaitable[ApiAnswer]]]]:
        """What answers which paths and methods."""
        return {f"/v1/{kind}": {"GET": self.read, "POST": self.create} for kind in KINDS}

    async def read(self, context: RequestContext) -> ApiAnswer:
        """One of them, or a page of all, newest first.

        Raises:
            RefusedError: With the answer to give.
        """
        kind, wanted = self._admit(context)
        if wanted is None:
            return self._page(context, kind)
        if wanted not in self._things[kind]:
            raise RefusedError(error_answer(404, "not_found", f"There is no such {kind[:-1]}."))
        return json_answer(200, self._things[kind][wanted])

    async def create(self, context: RequestContext) -> ApiAnswer:
        """Create one.

        Raises:
            RefusedError: With the answer to give.
        """
        kind, wanted = self._admit(context)
        if wanted is not None:
            raise bad_request(405, "The emulator can't change what it has.")
        body = decode_object(await read_body(context.request))
        context.body = redact(body)
        wanting = [name for name in KINDS[kind] if body.get(name) in (None, "")]
        missing: Problems = {name: ["must be filled"] for name in wanting}
        if missing:
            raise RefusedError(error_answer(422, "validation_error", "It is not valid.", missing))
        self._weight += weight(body)
        if self._weight > _MOST_BYTES:
            raise bad_request(507, "The emulator keeps no more of them; start it anew.")
        now, made_id = int(context.received), new_id()
        made = {**body, "id": made_id, "object": kind[:-1], "livemode": False}
        made |= {"created": now, "updated": now}
        self._things[kind][made_id] = made
        return json_answer(201, made)

    def _admit(self, context: RequestContext) -> tuple[str, str | None]:
        """What the path names, after key and window were judged."""
        context.key = read_key(context.request.headers.getall("Authorization", ()))
        _, _, kind, *rest = context.request.path.split("/")
        if kind not in KINDS or len(rest) > 1:
            raise bad_request(404, "The emulator has nothing here.")
        name = self.state.key_names.of(context.key.require())
        endpoint = f"{context.request.method} /v1/{kind}{'/{id}' if rest else ''}"
        enter_window(self.state, name, endpoint, context, retry_after=self.retry_after)
        return kind, rest[0] if rest else None

    def _page(self, context: RequestContext, kind: str) -> ApiAnswer:
        query = context.request.query
        try:
            page, size = int(query.get("page", "1")), int(query.get("per_page", "20"))
        except ValueError:
            page = size = 0
        if page < 1 or not 1 <= size <= _MOST_A_PAGE:
            message = f"page must be 1 or more, per_page from 1 to {_MOST_A_PAGE}."
            raise RefusedError(error_answer(422, "validation_error", message))
        newest = list(reversed(self._things[kind].values()))
        here, more = newest[(page - 1) * size : page * size], len(newest) > page * size
        path = f"/v1/{kind}"

        def at(number: int) -> str:
            return f"{path}?{urlencode({'page': number, 'per_page': size})}"

        meta = {
            "page": page,
            "url": path,
            "has_more": more,
            "prev": at(page - 1) if page > 1 else None,
            "next": at(page + 1) if more else None,
        }
        return json_answer(200, {"meta": meta, "data": here})
