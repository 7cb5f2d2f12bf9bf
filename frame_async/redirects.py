"""Another name for what `frame_async.webhooks` has for redirects."""

from frame_async.webhooks import Redirect, RedirectResult, RedirectScheme, RedirectSigner

__all__ = ["Redirect", "RedirectResult", "RedirectScheme", "RedirectSigner"]
