"""The public surface is a list, and this is where it is read."""

import importlib
import inspect
import subprocess
import sys
import traceback
from collections.abc import Iterator
from enum import Enum
from typing import Any, get_type_hints

import attrs
import pytest

import frame_async

ROOT = {
    "Attempt",
    "BankAccount",
    "Call",
    "CallError",
    "Card",
    "FrameClient",
    "FrameClients",
    "FrameError",
    "IdempotencyConflictError",
    "IdempotencyKey",
    "Lane",
    "LineItem",
    "NotSentError",
    "NothingCreatedError",
    "Outcome",
    "OutcomeUnknownError",
    "PaymentLinkSession",
    "PaymentLinkSessionRequest",
    "PaymentStatus",
    "RateLimit",
    "RequestRefusedError",
    "RetryPolicy",
    "SessionStatus",
    "UsageError",
    "ValidationError",
    "__version__",
}


def test_the_root_exports_this_list() -> None:
    """The root exports exactly these names, no more than 30, each of which exists."""
    assert set(frame_async.__all__) == ROOT
    assert len(ROOT) <= 30
    assert all(hasattr(frame_async, name) for name in ROOT)


@pytest.mark.parametrize("name", sorted(ROOT - {"__version__"}))
def test_public_classes_have_docstrings(name: str) -> None:
    """Every public class says what it is, and so does every public method of it."""
    cls = getattr(frame_async, name)
    assert cls.__doc__
    for attribute, value in vars(cls).items():
        if not attribute.startswith("_") and (callable(value) or isinstance(value, property)):
            assert value.__doc__, f"{name}.{attribute}"


@pytest.mark.parametrize(
    "module",
    ["models", "errors", "bulk", "emulator", "stores", "webhooks", "fleet", "testing"],
)
def test_public_modules_import(module: str) -> None:
    """The public modules can be imported by name, and everything they list exists."""
    loaded = importlib.import_module(f"frame_async.{module}")
    assert all(hasattr(loaded, name) for name in getattr(loaded, "__all__", []))


PUBLIC_MODULES = [
        "", ".models", ".errors", ".observers", ".stores", ".stores.sqlite", ".stores.redis",
        ".stores.postgres", ".stores.rules", ".webhooks", ".bulk", ".testing",
        ".testing.store_conformance", ".emulator", ".fleet",
        ".integrations.starlette", ".integrations.fastapi", ".integrations.litestar",
        ".integrations.django", ".integrations.aiohttp_web", ".integrations.quart",
        ".integrations.opentelemetry", ".integrations.prometheus",
]  # fmt: skip


def public_callables(name: str) -> Iterator[tuple[str, Any]]:
    """Every public class and function of a module, and the public methods and properties."""
    module = importlib.import_module(name)
    own = [n for n, value in vars(module).items() if getattr(value, "__module__", "") == name]
    for each in getattr(module, "__all__", [n for n in own if not n.startswith("_")]):
        value = getattr(module, each)
        if inspect.isclass(value) or inspect.isfunction(value):
            yield each, value
        for attribute, part in vars(value).items() if inspect.isclass(value) else ():
            function = part.fget if isinstance(part, property) else part
            function = getattr(function, "__func__", function)  # of a class or static method
            public = attribute == "__init__" or not attribute.startswith("_")
            if public and inspect.isfunction(function):
                yield f"{each}.{attribute}", function


@pytest.mark.parametrize("module", PUBLIC_MODULES)
def test_types_are_there_at_run_time(module: str) -> None:
    """Whoever reads annotations, as frameworks and documentation do, can read all public ones."""
    unresolved = set()
    for name, of in public_callables(f"frame_async{module}"):
        try:
            get_type_hints(of)
        except NameError:
            unresolved.add(name)
    assert unresolved == set()


def is_set_at_once(cls: type) -> bool:
    """Whether all attributes are there before any value can be refused, as attrs does it."""
    by_attrs = attrs.has(cls) and "attrs generated" in cls.__init__.__code__.co_filename
    return by_attrs and all(each.converter is None for each in attrs.fields(cls))


@pytest.mark.parametrize("module", PUBLIC_MODULES)
def test_what_was_refused_can_be_shown(module: str) -> None:
    """Each public class has a repr when its construction was refused: tracebacks show it."""
    found = [
        value for _, value in public_callables(f"frame_async{module}") if isinstance(value, type)
    ]
    for cls in found:
        if not issubclass(cls, Enum) and not inspect.isabstract(cls) and not is_set_at_once(cls):
            assert isinstance(repr(cls.__new__(cls)), str)


def test_refused_constructions_can_be_shown() -> None:
    """What real constructors leave when they refuse an argument has a repr, without secrets."""
    from frame_async.bulk.layouts import Layout
    from frame_async.emulator import Emulator
    from frame_async.stores.redis import RedisStore
    from frame_async.webhooks import RedirectSigner, WebhookReceiver

    wrong: list[Any] = [
        lambda: RedirectSigner("x"),
        lambda: RedirectSigner(["hush-hush", 3]),  # type: ignore[list-item]
        lambda: WebhookReceiver("x"),
        lambda: RedisStore("redis://:hush-hush@host/x"),
        lambda: Emulator(webhooks=3),  # type: ignore[arg-type]
        lambda: Layout(renames={3: "x"}),  # type: ignore[dict-item]
        lambda: frame_async.FrameClient("hush hush"),
        lambda: frame_async.RateLimit(0),
    ]
    for construct in wrong:
        with pytest.raises(Exception) as caught:  # noqa: PT011  # each its own
            construct()
        shown = "".join(
            repr(value)
            for frame, _ in traceback.walk_tb(caught.tb)
            for name, value in frame.f_locals.items()
            if name == "self"
        )
        assert "hush" not in shown


def run(code: str) -> str:
    """What a fresh interpreter prints for a piece of code."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


def test_the_lazy_names_are_the_listed_ones() -> None:
    """Every name that is loaded when asked for is public, and the other way round."""
    assert set(frame_async._HOMES) == ROOT - {"__version__"}
    assert set(frame_async.__all__) <= set(dir(frame_async))


def test_an_unknown_name_is_an_attribute_error() -> None:
    """A name that isn't there is refused as by any module."""
    with pytest.raises(AttributeError, match="has no attribute 'FrameClint'"):
        _ = frame_async.FrameClint  # type: ignore[attr-defined]


def test_the_engine_loads_with_the_client() -> None:
    """The package and its models load without aiohttp, tenacity and cattrs, a client with all."""
    code = """
import sys
import frame_async
from frame_async import LineItem, PaymentLinkSessionRequest
PaymentLinkSessionRequest(line_items=[LineItem(product="prod_1")])
print([name for name in ("aiohttp", "tenacity", "cattrs") if name in sys.modules])
from frame_async import FrameClient
print([name for name in ("aiohttp", "tenacity", "cattrs") if name in sys.modules])
"""
    assert run(code).splitlines() == ["[]", "['aiohttp', 'tenacity', 'cattrs']"]


def test_nothing_is_loaded_once_a_client_is_made() -> None:
    """A call that fails, waits, is refused and succeeds imports nothing more of ours or theirs."""
    code = """
import asyncio, sys
from aiohttp import web
from frame_async import FrameClient, FrameError, LineItem, PaymentLinkSessionRequest, RetryPolicy

answers = [(503, "<title>"), (201, '{"id": "pls_1"}'), (422, '{"error": "no"}'), (201, "{")]

async def answer(request):
    status, text = answers.pop(0)
    return web.Response(status=status, text=text)

async def main():
    app = web.Application()
    app.router.add_post("/v1/payment_link_sessions", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with FrameClient("sk_sandbox_x", base_url=url, retry=RetryPolicy(backoff=0)) as frame:
        request = PaymentLinkSessionRequest(line_items=[LineItem(product="p")])
        before = set(sys.modules)
        for key in (None, "k2", None):
            try:
                await frame.payment_link_sessions.create(request, idempotency_key=key)
            except FrameError:
                pass
        loaded = {name.split(".")[0] for name in set(sys.modules) - before}
        print(sorted(loaded & {"aiohttp", "attr", "cattrs", "frame_async", "msgspec", "tenacity"}))
    await runner.cleanup()

asyncio.run(main())
"""
    assert run(code) == "[]"


def test_a_first_client_loads_only_what_every_call_needs() -> None:
    """What Frame sends by itself is loaded by whoever reads it, not by a client."""
    code = """
import sys
from frame_async import FrameClient
FrameClient("sk_sandbox_x")
later = ("models.events", "models.redirects", "serialization.events")
print([name for name in later if f"frame_async.{name}" in sys.modules])
from frame_async.models import Event, Redirect
print([name for name in later if f"frame_async.{name}" in sys.modules])
"""
    assert run(code).splitlines() == ["[]", "['models.events', 'models.redirects']"]


def test_help_loads_nothing_of_the_library() -> None:
    """Help needs click and nothing else."""
    code = """
import contextlib, io, sys
from frame_async.cli.commands import cli
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    cli(["bulk", "--help"])
print(sorted({name.split(".")[0] for name in sys.modules} & {"aiohttp", "attr", "rich", "msgspec"}))
"""
    assert run(code) == "[]"


def test_no_third_party_type_is_public() -> None:
    """No aiohttp, tenacity, cattrs or msgspec class is reachable by a public name."""
    for name in ROOT - {"__version__"}:
        module = (
            type(getattr(frame_async, name)).__module__,
            getattr(getattr(frame_async, name), "__module__", ""),
        )
        assert not any(
            m.split(".")[0] in ("aiohttp", "tenacity", "cattrs", "msgspec") for m in module
        )
