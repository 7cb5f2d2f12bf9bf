"""The signed payload that a payer's browser brings back on ``success_url`` or ``cancel_url``.

**Frame has not published its format.** What is here is the project's own, the same that
the emulator sends; once Frame publishes one, a `RedirectScheme` may describe it. And even
a redirect whose signature is right is only a *hint* for the page that the payer sees: the
payer may never come back, come back twice, or pass the address on. Ship when a webhook
says ``transfer.succeeded``.
"""

from collections.abc import Sequence

from frame_async.engine.clock import SystemClock
from frame_async.errors import (
    Problem,
    RedirectError,
    UnreadableError,
    ValidationError,
)
from frame_async.models.redirects import Redirect, RedirectResult
from frame_async.protocol.clock import Clock
from frame_async.protocol.redirects import (
    RedirectScheme,
    append_payload,
    check_age,
    signed_payload,
)
from frame_async.protocol.signatures import check_secrets
from frame_async.secret import Secret
from frame_async.serialization.events import dump_redirect, load_redirect

__all__ = ["Redirect", "RedirectResult", "RedirectScheme", "RedirectSigner"]


class RedirectSigner:
    """Appends signed payloads to URLs, and verifies them.

    Args:
        secrets: one secret, or several while one replaces another: the first signs, each
            of them verifies.
        scheme: the form of the payload; by default the project's own, as Frame has not
            published its own.
        clock: where the time comes from against which a redirect's age is measured.

    Raises:
        ConfigurationError: an argument that can't be used; the message never shows a secret.
    """

    _scheme = RedirectScheme()

    def __init__(
        self,
        secrets: str | Sequence[str],
        *,
        scheme: RedirectScheme | None = None,
        clock: Clock | None = None,
    ) -> None:
        # A traceback shows local variables, so what is secret is boxed first.
        secret, secrets = Secret(secrets), ""
        self._secrets = check_secrets(secret, "secrets")
        self._scheme = self._scheme if scheme is None else scheme
        self._clock = SystemClock() if clock is None else clock

    @property
    def scheme(self) -> RedirectScheme:
        """The form of the payload."""
        return self._scheme

    def append(self, url: str, redirect: Redirect) -> str:
        """The URL with a signed payload behind its query; the rest stays byte for byte.

        For tests and stand-ins: it is Frame who does this for a payer. Parameters of the
        same two names that the URL has already are dropped.

        Raises:
            ConfigurationError: not an absolute HTTP(S) URL.
            ValidationError: ``url`` is not a string.
        """
        return append_payload(_text(url), dump_redirect(redirect), self._scheme, self._secrets)

    def verify(self, url: str) -> Redirect:
        """What the payload of a URL says, once its signature is found to be right.

        ``url`` is the address as the payer's browser asked for it; its path and query do,
        unless the scheme covers the whole URL.

        Raises:
            RedirectError: nothing that can be trusted; show the payer a neutral page.
            ValidationError: ``url`` is not a string.
        """
        payload = signed_payload(_text(url), self._scheme, self._secrets)
        try:
            redirect = load_redirect(payload)
        except UnreadableError as error:
            why = error.message
        else:
            check_age(redirect.issued_at, self._clock.time(), self._scheme)
            return redirect
        raise RedirectError(f"the payload is signed, but unreadable: {why}", signed=True)

    def __repr__(self) -> str:
        return f"<RedirectSigner {self._scheme!r}>"


def _text(url: object) -> str:
    if isinstance(url, str):
        return str.__str__(url)
    found = type(url).__name__
    problem = Problem("url", f"must be a string, not {found}", "pass str(request.url)")
    raise ValidationError("unusable redirect", [problem])
