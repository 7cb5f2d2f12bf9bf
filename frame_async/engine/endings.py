"""What an exception of aiohttp says of how an exchange ended."""

import os
import ssl
from socket import gaierror
from typing import Final

import aiohttp

from frame_async.engine.bodies import UnusableBodyError
from frame_async.protocol.outcomes import Ending

# First match counts. A detail of None stands for what the system, its resolver or TLS says.
_ENDINGS: Final[tuple[tuple[type[Exception], Ending, str | None], ...]] = (
    (TimeoutError, Ending.TIMED_OUT, ""),
    (aiohttp.ClientConnectorCertificateError, Ending.BAD_CERTIFICATE, ""),
    (aiohttp.ServerFingerprintMismatch, Ending.BAD_CERTIFICATE, ""),
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
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return _refused_by_proxy(error.status)
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return Ending.NO_CONNECTION, f"the proxy can't be reached: {_spelled(error)}".rstrip(": ")
    for cls, ending, detail in _ENDINGS:
        if isinstance(error, cls):
            return ending, _spelled(error) if detail is None else detail
    return Ending.FAILED, type(error).__name__


def _refused_by_proxy(status: int) -> tuple[Ending, str]:
    """What a proxy's answer to CONNECT means (RFC 9110 9.3.6)."""
    if status == 407:
        return Ending.PROXY_REFUSED, "HTTP 407, its user and password; check those of the proxy"
    if 400 <= status <= 499:
        return Ending.PROXY_REFUSED, f"HTTP {status}"
    return Ending.NO_CONNECTION, f"the proxy answered HTTP {status}"


_NOT_TLS: Final = "the server sent what is not TLS"
_TOO_OLD: Final = (
    "client and server have no version of TLS in common; this client takes 1.2 or newer"
)
_NO_CERTIFICATE: Final = "the server wants a client certificate; give one with tls=..."
_TLS: Final = {
    "WRONG_VERSION_NUMBER": _NOT_TLS,
    "HTTP_REQUEST": _NOT_TLS,
    "PACKET_LENGTH_TOO_LONG": _NOT_TLS,
    "UNEXPECTED_MESSAGE": _NOT_TLS,
    "UNSUPPORTED_PROTOCOL": _TOO_OLD,
    "TLSV1_ALERT_PROTOCOL_VERSION": _TOO_OLD,
    "NO_PROTOCOLS_AVAILABLE": _TOO_OLD,
    "RECORD_LAYER_FAILURE": f"{_NOT_TLS}, or what can't be decrypted",  # OpenSSL 3.5
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": _NO_CERTIFICATE,
}
"""By OpenSSL's reason."""


def _spelled(error: BaseException) -> str:
    """The cause in words, such as "connection refused"; empty when there are none."""
    cause = getattr(error, "os_error", None) or error.__cause__ or error
    if isinstance(cause, gaierror):
        said = (cause.strerror or "").lower()
        return f"the host name can't be resolved: {said}".removesuffix(": ")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the host name can't be resolved"
    if isinstance(cause, ssl.SSLError):  # whose number is one of OpenSSL, and no errno
        reason = cause.reason or ""
        words = _TLS.get(reason, reason.lower().replace("_", " "))
        return f"TLS failed: {words}".removesuffix(": ")
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(cause, ConnectionResetError):
        # A connection that is refused has another error, so this one was open.
        return "the server closed it in the TLS handshake; this client takes TLS 1.2 or newer"
    number = getattr(error, "errno", None)
    return os.strerror(number).lower() if isinstance(number, int) and number > 0 else ""
