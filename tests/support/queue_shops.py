"""The examples of the documentation, each as a worker runs it, with a window that fits a test.

``QUEUE_SHOP`` names the example.
"""

import os
import sys
from functools import partial
from importlib import import_module
from typing import Any

from support.queue_limit import EXAMPLES, LIMIT

from frame_async import FrameClient

sys.path.insert(0, str(EXAMPLES))
shop: Any = import_module(os.environ["QUEUE_SHOP"])
shop.FrameClient = partial(FrameClient, rate_limit=LIMIT, claim_lease=2.0)
shop.HELD, shop.SPREAD = 5.0, 1.0
app = getattr(shop, "app", None)
broker = getattr(shop, "broker", None)
WorkerSettings = getattr(shop, "WorkerSettings", None)
if app is not None:
    app.conf.broker_transport_options = {"visibility_timeout": 8}
if broker is not None:
    broker.idle_timeout = 8_000
