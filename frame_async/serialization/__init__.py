"""Classes to bytes and back; the only package that knows cattrs and the JSON library.

Everything here is pure: `dump` gives the bytes of a request and `dump_fields` those of each
field too, `load_request` reads them back, `load_session` and `load_error` read what a server
answered.
What Frame sends back by itself is in `serialization.events`, which a client has no need of.
"""

from frame_async.serialization._json import decode as load_json
from frame_async.serialization._json import dump_json
from frame_async.serialization.answers import load_error
from frame_async.serialization.echoes import without
from frame_async.serialization.payment_link_sessions import (
    dump,
    dump_fields,
    load_request,
    load_session,
    salvage_id,
)

__all__ = [
    "dump",
    "dump_fields",
    "dump_json",
    "load_error",
    "load_json",
    "load_request",
    "load_session",
    "salvage_id",
    "without",
]
