"""The client of an application: its options, passed on without ever showing them."""

import ssl
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, TypedDict

import aiohttp

from frame_async.client import FrameClient
from frame_async.errors import ConfigurationError
from frame_async.integrations._stopping import hear_stop
from frame_async.observers import Observer
from frame_async.protocol.clock import Clock
from frame_async.protocol.retry import RetryPolicy
from frame_async.protocol.window import RateLimit
from frame_async.secret import Secret
from frame_async.stores import Store


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


def make_client(options: Secret[ClientOptions]) -> FrameClient:
    """A client with these options, whose calls wait no longer once the process is to stop.

    Options are boxed, since a traceback shows local variables.
    """
    frame = FrameClient(**options.reveal())
    hear_stop(frame)
    return frame


def check_client(found: Any, fix: str) -> FrameClient:
    """The client of the application, where there is one.

    Raises:
        ConfigurationError: there is none; `fix` says what makes one.
    """
    if isinstance(found, FrameClient):
        return found
    raise ConfigurationError(f"this application has no FrameClient: {fix}")
