"""What comes in from Frame: webhooks, and the payloads of redirects.

Know that Frame sent a webhook, read it, and act on each event once.

**A webhook's signature covers its body and nothing else.** No time is signed beside it, so
whoever once saw a delivery can send it again, for ever, and it verifies. The only
protection against that is to remember the ids of events: act inside
`WebhookReceiver.once`, on a store that survives restarts.
"""

from frame_async.models.events import Event, EventType
from frame_async.models.redirects import Redirect, RedirectResult
from frame_async.protocol.redirects import RedirectScheme
from frame_async.webhooks.once import Turn
from frame_async.webhooks.receiver import LARGEST_BODY, WebhookReceiver
from frame_async.webhooks.redirects import RedirectSigner

__all__ = [
    "LARGEST_BODY",
    "Event",
    "EventType",
    "Redirect",
    "RedirectResult",
    "RedirectScheme",
    "RedirectSigner",
    "Turn",
    "WebhookReceiver",
]
