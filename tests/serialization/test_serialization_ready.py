"""Once a client is made, reading and writing find everything loaded and built."""

import subprocess
import sys

CODE = """
import builtins, re, sys
from datetime import datetime as real

BEFORE

from frame_async import FrameClient
FrameClient("sk_sandbox_x")

from frame_async.calls import Call
from frame_async.errors import RequestRefusedError, UnreadableError, ValidationError
from frame_async.models import BankAccount, Card, LineItem, PaymentLinkSessionRequest
from frame_async.protocol.redaction import clean
from frame_async.protocol.retry_after import seconds_to_wait
from frame_async.serialization import (
    dump, dump_fields, load_error, load_request, load_session, salvage_id
)

AFTER

card = Card(card_number="42", exp_month=1, exp_year=30, cvc="1", billing={"a": 1})
account = BankAccount(account_type="savings", account_number="1", routing_number="1")
for data in (card, account, {"type": "card"}):
    request = PaymentLinkSessionRequest(
        line_items=[LineItem(product="p", quantity_minimum=1)],
        customer_email="a@b.example",
        success_url="https://shop.example/",
        payment_method_data=data,
    )
    dump(request), dump_fields(request)
for wrong in ({"accont": 1}, {"line_items": [{"produkt": 1}], "success_url": "x y"}):
    try:
        PaymentLinkSessionRequest.from_dict(wrong)
    except ValidationError as error:
        str(error)
times = b'"created":1700000000,"expires":"2026-06-10T18:24:41Z","updated":null'
session = load_session(b'{"id":"s","livemode":false,"new":1,' + times + b"}", Call())
assert session.created and session.expires and session.extra == {"new": 1}
for body in (b"", b"[]", b'{"id":1,"created":"soon"}'):
    try:
        load_session(body, Call())
    except UnreadableError as error:
        str(error)
assert salvage_id(b'{"id":"s","x') == "s"
said = b'{"error":{"message":"sk_live_1234 Bearer x","errors":{"a":["b"]}}}'
for body in (b"<title>no</title>", said):
    answer = load_error(422, body, None, clean)
    str(RequestRefusedError(str(answer), Call(), answer))
assert seconds_to_wait(["Sun, 06 Nov 1994 08:49:37 GMT"], "Sun, 06 Nov 1994 08:49:30 GMT", 0) == 7
"""

WATCH = """
late = []
sys.addaudithook(lambda event, args: event in ("import", "compile") and late.append(args[:1]))
re._compiler.compile = lambda pattern, *_: late.append(pattern)
"""

FREEZE = """
import datetime

class Meta(type):
    def __instancecheck__(cls, value):
        return isinstance(value, real)
    def __subclasscheck__(cls, other):
        return issubclass(other, real)

import frame_async.models
datetime.datetime = Meta("datetime", (real,), {})
"""


def run(code: str) -> str:
    """What a fresh interpreter prints for a piece of code."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_nothing_is_loaded_or_compiled_by_a_call() -> None:
    """Bodies, answers and errors of every kind import no module, and compile no code or pattern."""
    code = CODE.replace("BEFORE", "").replace("AFTER", WATCH)
    assert run(f"{code}\nprint(late)") == "[]"


def test_time_that_stands_still_changes_nothing() -> None:
    """A client that is made while a test has frozen the time reads the times of every answer."""
    code = CODE.replace("BEFORE", FREEZE).replace("AFTER", "datetime.datetime = real")
    assert run(f"{code}\nprint(session.created.year)") == "2023"
