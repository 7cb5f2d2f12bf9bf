"""The public surface is a list, and this is where it is read."""

import importlib

import pytest

import frame_async

ROOT = {
    "NOT_GIVEN",
    "Attempt",
    "BankAccount",
    "Call",
    "CallError",
    "Card",
    "FrameClient",
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


@pytest.mark.parametrize("name", sorted(ROOT - {"__version__", "NOT_GIVEN"}))
def test_public_classes_have_docstrings(name: str) -> None:
    """Every public class says what it is, and so does every public method of it."""
    cls = getattr(frame_async, name)
    assert cls.__doc__
    for attribute, value in vars(cls).items():
        if not attribute.startswith("_") and (callable(value) or isinstance(value, property)):
            assert value.__doc__, f"{name}.{attribute}"


@pytest.mark.parametrize("module", ["models", "errors", "bulk", "emulator", "stores"])
def test_public_modules_import(module: str) -> None:
    """The public modules can be imported by name, and everything they list exists."""
    loaded = importlib.import_module(f"frame_async.{module}")
    assert all(hasattr(loaded, name) for name in getattr(loaded, "__all__", []))


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
