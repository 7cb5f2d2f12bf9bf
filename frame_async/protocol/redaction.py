"""Making foreign text safe to show: one line, short, without secrets."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

LONGEST_TEXT: Final = 300
"""Characters of a server's text that are shown."""

HIDDEN: Final = "[hidden]"

_LONGEST_MARK: Final = 64
"""Characters by which a key or an Authorization header is recognised, and then some."""

_SPLIT: Final = "\0"  # stands for characters that nobody sees, while looking for secrets
_KEY_LIKE: Final = re.compile(
    r"(?:(?<![A-Za-z0-9])[spr]\0?k|w\0?h\0?s\0?e\0?c)\0?_(?:\0?[A-Za-z0-9_-]){4,}"
)
_SCHEME: Final = r"(?:b\0?e\0?a\0?r\0?e\0?r|b\0?a\0?s\0?i\0?c)"
_CREDENTIALS: Final = re.compile(
    rf"(?i)(?<![A-Za-z0-9])({_SCHEME})[ \0]+(?:{_SCHEME}[ \0]+)*"
    r"(?!\[?h?i?d?d?e?n?\]?\.\.\.\Z)\S+"  # what a cut leaves is hidden already
)
# Controls, surrogates, and what Unicode calls Default_Ignorable_Code_Point: zero-width
# and direction characters, fillers, tags.
_INVISIBLE: Final = re.compile(
    r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5"
    r"\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufe00-\ufe0f"
    r"\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    r"\U000e0000-\U000e0fff]+"
)
_SPACE: Final = re.compile(r"\0?\s[\s\0]*")
_REQUEST_ID: Final = re.compile(r"(?!.*(?:[spr]k|whsec)_)[!-~]{1,128}")


def clean(text: str, secrets: Iterable[str] = (), longest: int = LONGEST_TEXT) -> str:
    """The text on one line, without control or direction characters, secrets or surplus.

    `secrets` are values that this process knows to be secret; besides, everything that
    looks like an API key, webhook secret or Authorization header is hidden. Neither
    spaces nor invisible characters inside a secret save it from being hidden. `longest`
    is 3 or more. However long the text is, little more than what can be shown is read.
    """
    secrets = list(secrets)
    # A secret that begins in what is shown ends before `near`, spaces left out.
    near = longest + max(map(len, secrets), default=0) + _LONGEST_MARK
    whole, text = text, text.lstrip()[: 4 * near]
    line = _SPACE.sub(" ", _INVISIBLE.sub(_SPLIT, text)).strip(f" {_SPLIT}")
    line = _hide(line, secrets)
    line = _KEY_LIKE.sub(HIDDEN, line)
    line = _CREDENTIALS.sub(rf"\1 {HIDDEN}", line)
    line = line.replace(_SPLIT, " ")
    if len(text) == 4 * near < len(whole) and len(line) < near:
        return f"{HIDDEN}..."  # what was cut may have split a secret
    return line if len(line) <= longest else line[: longest - 3] + "..."


def _hide(line: str, secrets: Iterable[str]) -> str:
    """The line without the known secrets, overlapping ones included."""
    dense = _dense(line)
    found = [wanted for wanted in {_dense(s) for s in secrets} if wanted and wanted in dense]
    if not found:
        return line
    places = [at for at, character in enumerate(line) if character not in (" ", _SPLIT)]
    parts: list[str] = []
    shown = 0
    for start, end in _merged(_spans(dense, [*found, HIDDEN])):
        parts += line[shown : places[start]], HIDDEN
        shown = places[end - 1] + 1
    return "".join([*parts, line[shown:]])


def _dense(text: str) -> str:
    return _INVISIBLE.sub("", "".join(text.split()))


def _spans(text: str, wanted: Iterable[str]) -> Iterator[tuple[int, int]]:
    for each in wanted:
        start = text.find(each)
        while start >= 0:
            yield start, start + len(each)
            start = text.find(each, start + 1)


def _merged(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The same places without overlaps, from left to right."""
    start = end = 0
    for first, last in sorted(spans):
        if first >= end:
            if end:
                yield start, end
            start = first
        end = max(end, last)
    yield start, end


def clean_request_id(value: str | None, secret: str = "") -> str | None:
    """A server's request id, if it is one: up to 128 visible ASCII characters, no secret."""
    if value is None or not _REQUEST_ID.fullmatch(value) or (secret and secret in value):
        return None
    return value
