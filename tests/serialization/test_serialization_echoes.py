"""What is kept of an answer that repeats what was sent holds no payment data."""

import json
from typing import Any

import pytest

from frame_async.serialization import without

CARD = "4242424242424242"
SECRETS = (CARD, "987", "2030", "Jane Doe", "12345")
SESSION: dict[str, Any] = {"id": "pls_987", "client_reference_id": "12345", "created": 1781198700}


@pytest.mark.parametrize(
    "echo",
    [
        {"payment_method_data": {"type": "card", "card_number": CARD, "cvc": "987"}},
        {"payment_method": {"card": {"number": int(CARD), "cvc": 987, "exp_year": 2030}}},
        {"sent": [["card", CARD], [{"billing": {"name": "Jane Doe", "postal_code": "12345"}}]]},
        {"card_number": CARD},
        {"message": f"card {CARD[:4]} {CARD[4:8]}-{CARD[8:12]} {CARD[12:]} was taken"},
    ],
    ids=str,
)
def test_an_echo_is_hidden_wherever_it_is(echo: dict[str, Any]) -> None:
    """No value of the payment data is kept, and all that the session says is."""
    kept = json.loads(without(SECRETS, json.dumps(SESSION | echo).encode()))
    assert {name: kept[name] for name in SESSION} == SESSION
    rest = json.dumps({name: kept[name] for name in echo})
    assert "[hidden]" in rest
    assert not any(secret in rest.replace(" ", "").replace("-", "") for secret in (CARD, "987"))
    assert not any(secret in rest for secret in SECRETS)


def test_an_answer_without_an_echo_is_kept_byte_by_byte() -> None:
    """Nothing is written anew without a reason, whatever the answer looks like."""
    for answer in (b' { "id" : "pls_987", "x": NaN, "created": 1781198700.0 }', b'{"id":"1"}'):
        assert without(SECRETS, answer) == answer
        assert without((), answer) == answer
    assert without((), b"no JSON") == b"no JSON"


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        (b'{"id":"pls_1","card":"%b"' % CARD.encode(), b'{"id":"pls_1"'),
        (b'{"card":"%b"' % CARD.encode(), b""),
        (b'{"id":"pls_1","bad":{"cvc":"987",NaN}}', b'{"id":"pls_1","bad":"[hidden]"}'),
    ],
)
def test_what_cannot_be_read_leaves_its_id(answer: bytes, kept: bytes) -> None:
    """Of an answer that is cut, or a part that is no JSON, nothing secret is kept."""
    assert without(SECRETS, answer) == kept
