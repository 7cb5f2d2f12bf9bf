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
MESSAGES_OF = {
    *("OptionsError", "RunFileError", "StateError", "UsageError", "BadParameter", "_Cell"),
    *("ConfigurationError", "ClientClosedError", "EventLoopError", "CallInFlightError"),
    *("StoreError", "WebhookError", "RedirectError", "RequestAbandonedError"),
}
RULES_IN = {"models", "bulk", "fleet"}
"""Rooms whose rules for requests, files and rows count as messages."""
TABLES = {"_DIFFERENT"}
"""How a run differs from the one that was begun."""
SHORTEST = 14
"""Letters of a piece of a message that can be searched for."""


def pieces(node: ast.expr) -> Iterator[str]:
    """The fixed parts of a message: what stands between its variables."""
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            for piece in re.split(r"\{[^}]*\}", part.value):
                yield " ".join(piece.split())


def said(node: ast.AST, room: str) -> ast.expr | None:
    """The message in a node: of an error, a rule and its fix, or a table of messages."""
    match node:
        case ast.Call(args=[first, *others]):
            name = ast.unparse(node.func).rpartition(".")[2]
            if name in MESSAGES_OF:
                return first
            return others[0] if name == "Problem" and others and room in RULES_IN else None
        case ast.Return(value=ast.Tuple(elts=[ast.Constant() | ast.JoinedStr() as rule, _])):
            return rule if room == "models" else None
        case ast.AnnAssign(target=ast.Name(id=name), value=table) if name in TABLES:
            assert isinstance(table, ast.Dict)
            return ast.List(table.values)
    return None


@cache
def messages() -> dict[str, str]:
    """Each fixed part that is long enough, and the module that it is in."""
    found = dict[str, str]()
    for path in PACKAGE.rglob("*.py"):
        where = path.relative_to(PACKAGE)
        for node in ast.walk(ast.parse(path.read_text())):
            message = said(node, where.parts[0])
            for piece in () if message is None else pieces(message):
                if len(piece) >= SHORTEST:
                    found[piece] = str(where)
    return found


@cache
def page() -> str:
    """What the page says, on one line."""
    return " ".join(PAGE.read_text().replace("\\|", "|").split())


def test_every_message_is_there() -> None:
    """Each message of a client, request, file, command, store or webhook is found by its words."""
    assert len(messages()) > 180
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
