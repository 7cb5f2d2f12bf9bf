"""The JSON codec: strict where it reads, canonical where it writes."""

from typing import Any, Final, cast

import msgspec

from frame_async.errors import Problem, UnreadableError


def _plain(value: object) -> object:
    """Turn a value of a subclass of a JSON type into the plain one that it stands for."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    raise TypeError(f"not a JSON value: {type(value).__name__}")


_decoder: Final = msgspec.json.Decoder()

encode: Final = msgspec.json.Encoder(order="sorted", enc_hook=_plain).encode
"""Encodes in the canonical form: names sorted, no spaces, UTF-8."""
dump_json: Final = msgspec.json.Encoder(enc_hook=_plain).encode
"""Encodes in the order given, compact, in UTF-8."""
decode_object: Final = msgspec.json.Decoder(dict[str, Any]).decode
"""Decodes one JSON object strictly; raises `NOT_AN_OBJECT`."""
NOT_AN_OBJECT: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def decode(data: bytes, what: str, decoder: msgspec.json.Decoder[Any] = _decoder) -> Any:
    """Decode strictly: RFC 8259 JSON in UTF-8 without a byte-order mark, of sane depth.

    Raises:
        UnreadableError: it is none; the message names `what`, and never quotes the data.
    """
    try:
        return decoder.decode(data)
    except UnicodeDecodeError:
        rule = "is not UTF-8"
    except RecursionError:
        rule = "is nested too deeply"
    except msgspec.MsgspecError as error:
        rule = f"is not JSON: {error}" if data else "is empty"
        if "UTF-8" in rule:  # msgspec 0.23 and later don't raise UnicodeDecodeError
            rule = "is not UTF-8"
    raise UnreadableError(what, [Problem("", rule, "expected one JSON object")])


def as_object(decoded: object, what: str) -> dict[str, Any]:
    """What was decoded, if it is a JSON object.

    Raises:
        UnreadableError: it is none.
    """
    if isinstance(decoded, dict):
        return cast("dict[str, Any]", decoded)
    found = type(decoded).__name__
    raise UnreadableError(what, [Problem("", f"is a JSON {found}", "expected an object")])
