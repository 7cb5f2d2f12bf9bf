"""The client of an application: its options, passed on without ever showing them."""

from typing import Any

from frame_async.client import FrameClient
from frame_async.errors import ConfigurationError
from frame_async.integrations._stopping import hear_stop
from frame_async.secret import Secret
from frame_async.settings import ClientOptions

__all__ = ["ClientOptions", "check_client", "make_client"]


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
