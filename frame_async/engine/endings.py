"""What an exception of aiohttp says of how an exchange ended."""

import os
from typing import Final

import aiohttp

from frame_async.engine.bodies import UnusableBodyError
from frame_async.protocol.outcomes import Ending

# First match counts. A detail of None stands for the operating system's own words.
_ENDINGS: Final[tuple[tuple[type[Exception], Ending, str | None], ...]] = (
    (TimeoutError, Ending.TIMED_OUT, ""),
    (aiohttp.ClientConnectorCertificateError, Ending.BAD_CERTIFICATE, ""),
    (aiohttp.ServerFingerprintMismatch, Ending.BAD_CERTIFICATE, ""),
    (aiohttp.ClientConnectorDNSError, Ending.NO_CONNECTION, "the host name can't be resolved"),
    (aiohttp.ClientConnectorSSLError, Ending.NO_CONNECTION, "the TLS handshake failed"),
    (aiohttp.ClientConnectorError, Ending.NO_CONNECTION, None),
    (aiohttp.ClientPayloadError, Ending.DISCONNECTED, "in the middle of the answer"),
    (aiohttp.ServerDisconnectedError, Ending.DISCONNECTED, ""),
    (aiohttp.ClientResponseError, Ending.GARBLED, ""),
    (OSError, Ending.DISCONNECTED, None),
)


def ending_of(error: Exception) -> tuple[Ending, str]:
    """How an exchange ended, in words; what that proves is judged elsewhere."""
    if isinstance(error, UnusableBodyError):
        return Ending.UNUSABLE, str(error)
    for cls, ending, detail in _ENDINGS:
        if isinstance(error, cls):
            return ending, _spelled(error) if detail is None else detail
    return Ending.FAILED, type(error).__name__


def _spelled(error: BaseException) -> str:
    """The system's word for an error, such as "connection refused"; empty when it has none."""
    number = getattr(error, "errno", None)
    return os.strerror(number).lower() if isinstance(number, int) and number > 0 else ""
