"""From a URL to a store."""

from importlib import import_module
from typing import Final

from frame_async.errors import ConfigurationError
from frame_async.hidden import Hidden
from frame_async.stores.interface import Store
from frame_async.stores.memory import MemoryStore

_ONE_FOR_ALL: Final = MemoryStore()


def default_store() -> Store:
    """The memory of this process, shared by all its clients."""
    return _ONE_FOR_ALL


def open_store(url: Hidden[str]) -> Store:
    """The store that a URL names: ``memory://`` or ``sqlite:///path``.

    Raises:
        ConfigurationError: no such kind of store; the URL, which may hold a password, is
            never shown.
    """
    scheme, _, rest = url.reveal().partition("://")
    if scheme == "memory":
        return MemoryStore()
    if scheme == "sqlite" and rest.startswith("/") and len(rest) > 1:
        store: Store = import_module("frame_async.stores.sqlite").SQLiteStore(rest[1:])
        return store
    del rest
    raise ConfigurationError("store must be a URL such as memory:// or sqlite:///path, or a Store")
