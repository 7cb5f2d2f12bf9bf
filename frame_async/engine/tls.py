"""TLS as this library wants it."""

import ssl
from functools import cache


@cache
def default_tls_context() -> ssl.SSLContext:
    """TLS 1.2 or newer, verified against the system's authorities, keys never logged.

    One for all clients of a process: loading the authorities holds the event loop up. Built by
    hand because ``ssl.create_default_context`` obeys ``SSLKEYLOGFILE``.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    return context


def without_key_log(context: ssl.SSLContext) -> ssl.SSLContext:
    """The caller's own context; it no longer logs session keys, whatever set it to."""
    context.keylog_filename = None  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
    return context
