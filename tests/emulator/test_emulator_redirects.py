"""The signed payload on an address."""

import pytest
from support.shops import read_payload

from frame_async.emulator.checkout.redirects import sign

PAYLOAD = {"session": "s", "client_reference_id": "Grüße 🎉"}


@pytest.mark.parametrize(
    ("url", "start", "end"),
    [
        ("http://a.example", "http://a.example?frame_payload=", ""),
        ("http://a.example/", "http://a.example/?frame_payload=", ""),
        ("http://a.example/?", "http://a.example/?frame_payload=", ""),
        ("http://a.example/x?a=1", "http://a.example/x?a=1&frame_payload=", ""),
        ("http://a.example/#f?x=1", "http://a.example/?frame_payload=", "#f?x=1"),
        ("http://a.example/x?a#", "http://a.example/x?a&frame_payload=", "#"),
        (
            "HTTP://A.example:80/%7ex/../?b=&a=2&a=1&c&d=%c3%A9+%20&e=?/:@!$'()*,;[]|^`{}\"<>#x#y",
            "HTTP://A.example:80/%7ex/../?b=&a=2&a=1&c&d=%c3%A9+%20&e=?/:@!$'()*,;[]|^`{}\"<>&frame_p",
            "#x#y",
        ),
        (
            "http://a.example/?frame_payload=1&a=1&frame%5Fsignature=2&frame_payload&b=2",
            "http://a.example/?a=1&b=2&frame_payload=",
            "",
        ),
        ("http://a.example/?frame_payload=1", "http://a.example/?frame_payload=", ""),
        ("http://a.example/?xframe_payload=1", "http://a.example/?xframe_payload=1&frame_p", ""),
        ("http://bücher.example/ü?ü=ü#ü", "http://b%C3%BCcher.example/%C3%BC?%C3%BC=", "#%C3%BC"),
    ],
)
def test_address_stays_as_it_was(url: str, start: str, end: str) -> None:
    """Query and fragment stay to the letter; the two parameters occur once; it fits a header."""
    signed = sign(url, PAYLOAD, "secret")
    assert signed.startswith(start)
    assert signed.endswith(end)
    assert signed.isascii()
    assert read_payload(signed, "secret") == PAYLOAD
    with pytest.raises(AssertionError):
        read_payload(sign("http://a.example", PAYLOAD, "secret"), "another")


def test_payload_is_what_was_agreed() -> None:
    """Payload and signature are these very characters, so that others can check theirs."""
    assert sign("http://a.example/", {"a": None, "é": 1}, "secret") == (
        "http://a.example/?frame_payload=eyJhIjpudWxsLCLDqSI6MX0&frame_signature=6acc308ccb46ac12bdcde96f17dc79411964f7fbda7393dd8170a0be2db68062"
    )
