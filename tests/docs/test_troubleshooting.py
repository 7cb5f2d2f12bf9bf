"""The page about error messages has every message that a user can meet, by its own words."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import frame_async
from frame_async.engine import endings
from frame_async.protocol.outcomes import Ending

PACKAGE = Path(frame_async.__file__).parent
PAGE = Path(__file__).parents[2] / "docs" / "troubleshooting.md"
ELSEWHERE = {"emulator", "bulk", "fleet", "cli"}
"""Rooms whose messages name the file, row or option that they are about, and the fix."""
MESSAGES_OF = {
    *("ConfigurationError", "ClientClosedError", "EventLoopError", "CallInFlightError"),
    *("StoreError", "WebhookError", "RedirectError", "RequestAbandonedError"),
}
SHORTEST = 14
"""Letters of a piece of a message that can be searched for."""


def pieces(node: ast.expr) -> Iterator[str]:
    """The fixed parts of a message: what stands between its variables."""
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield " ".join(part.value.split())


@cache
def messages() -> dict[str, str]:
    """Each fixed part that is long enough, and the module that it is in."""
    found = dict[str, str]()
    for path in PACKAGE.rglob("*.py"):
        where = path.relative_to(PACKAGE)
        if where.parts[0] in ELSEWHERE:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args:
                name = ast.unparse(node.func).rpartition(".")[2]
                for piece in pieces(node.args[0]) if name in MESSAGES_OF else ():
                    if len(piece) >= SHORTEST:
                        found[piece] = str(where)
    return found


@cache
def page() -> str:
    """What the page says, on one line."""
    return " ".join(PAGE.read_text().replace("\\|", "|").split())


def test_every_message_is_there() -> None:
    """Each message of a client, store, webhook or redirect is found by its words."""
    assert len(messages()) > 80
    missing = [f"{where}: {piece}" for piece, where in messages().items() if piece not in page()]
    assert missing == []


@pytest.mark.parametrize("ending", [ending for ending in Ending if ending])
def test_every_way_a_call_ends(ending: Ending) -> None:
    """Each reason that a call can give for having no answer is there."""
    assert str(ending) in page()


def test_what_tls_says() -> None:
    """Each word for a failure of TLS is there."""
    said = re.findall(
        r'^_(?:NOT_TLS|TOO_OLD|NO_CERTIFICATE): Final = \(?\s*"([^"]+)"',
        Path(endings.__file__).read_text(),
        re.MULTILINE,
    )
    assert len(said) == 3
    assert [text for text in said if text not in page()] == []
