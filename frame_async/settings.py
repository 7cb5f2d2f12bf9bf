"""What a client is given, checked: key, store, limits."""

import os
import re
import ssl
from collections.abc import Callable, Collection, Mapping, Sequence
from hashlib import sha256
from typing import Final, Literal, TypedDict

import aiohttp

from frame_async.errors import ConfigurationError
from frame_async.observers import Observer
from frame_async.protocol.clock import Clock
from frame_async.protocol.credentials import KEY_VARIABLE, Mode, check_api_key
from frame_async.protocol.retry import RetryPolicy
from frame_async.protocol.window import ENDPOINTS, LIVE, SANDBOX, RateLimit
from frame_async.secret import Secret
from frame_async.shapes import is_mapping
from frame_async.stores import Store, default_store, open_store

_ENDPOINT: Final = re.compile("(GET|HEAD|POST|PUT|PATCH|DELETE) (/[^/?#\\s]+)+")


class ClientOptions(TypedDict, total=False):
    """The options of `FrameClient`, each as it is there."""

    api_key: str | None
    base_url: str | None
    timeout: float
    attempt_timeout: float
    connect_timeout: float
    max_in_flight: int
    retry: RetryPolicy | None
    rate_limit: RateLimit | Literal["mode"] | None
    store: Store | str | None
    on_store_error: Literal["raise", "proceed"]
    claim_lease: float
    remember: float
    tls: ssl.SSLContext | None
    http: aiohttp.ClientSession | None
    proxy: str | None
    headers: Mapping[str, str] | None
    observers: Sequence[Observer]
    clock: Clock | None
    rate_limits: Mapping[str, RateLimit | None] | None
    attempt_quantile: float
    allow_http_to: Collection[str] | None


def find_key(given: Secret[str | None]) -> tuple[Secret[str], Mode]:
    """The API key, given or from the environment, and its mode."""
    source = "api_key"
    if given.reveal() is None:
        given, source = Secret(os.environ.get(KEY_VARIABLE)), KEY_VARIABLE
    mode = check_api_key(given, source)
    return Secret(str.__str__(given.reveal() or "")), mode  # an enum's own text is another


def boxed(store: Store | str | None) -> tuple[Secret[str] | None, Store | None]:
    """A store's URL may hold a password."""
    return (Secret(store), None) if isinstance(store, str) else (None, store)


def find_store(url: Secret[str] | None, given: Store | None) -> tuple[Store, bool]:
    """The store, and whether it is the client's to close."""
    if url is not None:
        return open_store(url), True
    if given is not None and not hasattr(given, "claim"):
        raise ConfigurationError("store must be a URL such as sqlite:///path, or a Store")
    return (default_store() if given is None else given), False


def scope_of(key: Secret[str], base_url: str) -> str:
    """Stands for the key and the address in stores; neither can be read from it."""
    return sha256(f"{key.reveal()}|{base_url}".encode()).hexdigest()[:24]


def limit_of(given: object, mode: Mode) -> RateLimit | None:
    """The rate limit of payment link sessions; None sets none."""
    if given == "mode":
        return LIVE if mode is Mode.LIVE else SANDBOX
    if given is None or isinstance(given, RateLimit):
        return given
    raise ConfigurationError('rate_limit must be a RateLimit, "mode" or None')


def check_limits(
    given: object, default: RateLimit | None, mode: Mode
) -> Callable[[str], RateLimit | None]:
    """What gives the rate limit of an endpoint, by its method and path.

    Raises:
        ConfigurationError: not a mapping of endpoints to limits.
    """
    own: object = {} if given is None else given
    if not is_mapping(own) or not all(
        isinstance(name, str) and _ENDPOINT.fullmatch(name) and isinstance(each, RateLimit | None)
        for name, each in own.items()
    ):
        raise ConfigurationError(
            "rate_limits must map endpoints to a RateLimit or None, such as "
            '{"POST /v1/charge_intents": RateLimit(3000)}'
        )
    published = ENDPOINTS if mode is Mode.LIVE and default is LIVE else {}
    limits: dict[str, RateLimit | None] = {**published, **own}
    return lambda endpoint: limits.get(endpoint, default)


def check_on_store_error(given: object) -> str:
    """``raise`` or ``proceed``."""
    if given not in ("raise", "proceed"):
        raise ConfigurationError('on_store_error must be "raise" or "proceed"')
    return str(given)


def check_seconds(**values: object) -> None:
    """Numbers of seconds above 0, each by its name."""
    for name, value in values.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 < value < 1e9:  # type: ignore[operator]  # a number by now
            raise ConfigurationError(f"{name} must be a number of seconds above 0")


def check_quantile(value: object) -> float:
    """A share, from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ConfigurationError("attempt_quantile must be a number from 0 to 1")
    return float(value)


def check_remember(value: object) -> None:
    """A number of seconds, 0 or more."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        raise ConfigurationError("remember must be a number of seconds, 0 or more")


def check_counts(**values: object) -> None:
    """Whole numbers, 1 or more, each by its name."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigurationError(f"{name} must be an integer, 1 or more")
