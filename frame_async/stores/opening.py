"""From a URL to a store; what a kind of store needs is imported only when it is asked for."""

from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from threading import Lock
from typing import Any, Final, cast
from weakref import WeakSet, WeakValueDictionary

from attrs import define, field

from frame_async.errors import ConfigurationError, StoreError
from frame_async.secret import Secret
from frame_async.stores.interface import Store
from frame_async.stores.memory import MemoryStore

GROUP: Final = "frame_async.stores"
"""The entry points of other packages' stores, each by the scheme of its URLs."""

_ONE_FOR_ALL: Final = MemoryStore()


def default_store() -> Store:
    """The memory of this process, shared by all its clients."""
    return _ONE_FOR_ALL


def open_store(url: Secret[str]) -> Store:
    """The store that a URL names.

    ``memory://``, ``sqlite:///path`` (an absolute path has four slashes), ``redis://`` or
    ``rediss://`` or ``unix://`` (Redis or Valkey, extra ``redis``), ``postgresql://``
    (extra ``postgres``). The same URL, given again while it is in use, is the same store,
    with one writer and one set of connections; the last to close it closes it. Each
    ``memory://`` is another. Any other scheme is an installed package's that has an entry
    point of that name in the group ``frame_async.stores``: what it names is called with the
    URL, and gives a `Store`.

    Raises:
        ConfigurationError: no such kind of store, or its extra is missing; the URL, which
            may hold a password, is never shown.
    """
    scheme = url.reveal().partition(":")[0]
    opener = _OPENERS.get(scheme) or _installed(scheme)
    if opener is None:
        raise ConfigurationError(
            "store must be a URL such as memory://, sqlite:///path, redis://host/0 or "
            "postgresql://host/db, or a Store; other kinds come with packages that have an "
            f"entry point in the group {GROUP}"
        )
    if opener is _memory:
        return opener(url)
    # A relative path is another one in another folder.
    name = (url.reveal(), str(Path.cwd()) if opener is _sqlite else "")
    with _lock:
        shared = _shared.get(name)
        if shared is None:
            shared = _shared[name] = _Shared(opener(url))
        return cast("Store", _Handle(shared))


@define(eq=False, repr=False)
class _Shared:
    """A store that was opened by a URL, and all who use it."""

    store: Store
    handles: "WeakSet[_Handle]" = field(init=False, factory=WeakSet["_Handle"])


class _Handle:
    """One user's store: it is closed for this user alone, until the last one closes it."""

    def __init__(self, shared: _Shared) -> None:
        self._shared: _Shared | None = shared
        self._name = repr(shared.store)
        shared.handles.add(self)

    def __repr__(self) -> str:
        return self._name

    def __getattr__(self, name: str) -> Any:
        if self._shared is None:
            raise StoreError(f"the store {self._name} is closed")
        return getattr(self._shared.store, name)

    async def aclose(self) -> None:
        """Let go of the store; the last one closes it."""
        with _lock:
            shared, self._shared = self._shared, None
            if shared is None:
                return
            shared.handles.discard(self)
            if shared.handles:
                return
            for name in [name for name, other in _shared.items() if other is shared]:
                del _shared[name]
        await shared.store.aclose()


_lock: Final = Lock()
_shared: Final[WeakValueDictionary[tuple[str, str], _Shared]] = WeakValueDictionary()


def _memory(url: Secret[str]) -> Store:
    if url.reveal() != "memory://":
        raise ConfigurationError("store memory:// takes nothing more: neither name nor option")
    return MemoryStore()


def _sqlite(url: Secret[str]) -> Store:
    from frame_async.stores.sqlite import SQLiteStore  # noqa: PLC0415

    given, mark, path = url.reveal().partition("sqlite:///")
    if given or not mark:
        raise ConfigurationError(
            "store sqlite: needs three slashes before a relative path, and four before an "
            "absolute one: sqlite:///path, sqlite:////path"
        )
    if not path:
        raise ConfigurationError("store names no file; use sqlite:///path")
    path, has_options, options = path.partition("?")
    if has_options:
        names = ", ".join(option.partition("=")[0] for option in options.split("&"))
        raise ConfigurationError(
            f"store sqlite: has no options, so not {names!r}; for a file of that name, "
            "use SQLiteStore(path)"
        )
    if path.startswith("~") or "#" in path:
        raise ConfigurationError(
            "store sqlite: can't have ~ in front (write the whole path) or a part after #; for "
            "a file of that name, use SQLiteStore(path)"
        )
    return SQLiteStore(path)


def _redis(url: Secret[str]) -> Store:
    from frame_async.stores.redis import RedisStore  # noqa: PLC0415

    return RedisStore(url.reveal())


def _postgres(url: Secret[str]) -> Store:
    from frame_async.stores.postgres import PostgresStore  # noqa: PLC0415

    return PostgresStore(url.reveal())


def _installed(scheme: str) -> Callable[[Secret[str]], Store] | None:
    """What opens the URLs of a scheme that isn't ours.

    Raises:
        ConfigurationError: several packages have that scheme.
    """
    found = {(each.value, _package(each)): each for each in entry_points(group=GROUP, name=scheme)}
    if len(found) > 1:
        packages = ", ".join(sorted(package for _, package in found))
        raise ConfigurationError(f"stores {scheme}:// come with several packages: {packages}")
    return next((partial(_open_installed, entry) for entry in found.values()), None)


def _open_installed(entry: EntryPoint, url: Secret[str]) -> Store:
    store, why = None, "it gave no Store"
    try:
        store = entry.load()(url.reveal())
    except ConfigurationError:
        raise
    except Exception as error:  # noqa: BLE001  # another's code; its words may hold the password
        why = type(error).__name__
    missing = [name for name in _METHODS if not hasattr(store, name)]
    if missing:
        raise ConfigurationError(
            f"the store {entry.name}:// of the package {_package(entry)} can't be opened: {why}"
            + (f" ({', '.join(missing)} missing)" if store is not None else "")
        )
    return cast("Store", store)


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else entry.value


_METHODS: Final = [name for name in vars(Store) if not name.startswith("_")]

_OPENERS: Final[Mapping[str, Callable[[Secret[str]], Store]]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "redis": _redis,
    "rediss": _redis,
    "unix": _redis,
    "redis+sentinel": _redis,
    "rediss+sentinel": _redis,
    "redis+cluster": _redis,
    "rediss+cluster": _redis,
    "postgresql": _postgres,
    "postgres": _postgres,
}
