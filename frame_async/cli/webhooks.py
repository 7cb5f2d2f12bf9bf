"""``frame-async webhook``: verify one that you have, listen for those that come, or send one."""

import asyncio
import os
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any, BinaryIO, cast

from attrs import frozen
from rich.console import Console

from frame_async.bulk.layouts import parse_pairs
from frame_async.errors import (
    ConfigurationError,
    FrameError,
    Problem,
    ValidationError,
    WebhookError,
)
from frame_async.protocol.dispositions import ExitStatus, exit_status_of
from frame_async.protocol.signatures import check_secrets
from frame_async.secret import Secret
from frame_async.serialization import load_json
from frame_async.webhooks import LARGEST_BODY, EventType, WebhookReceiver
from frame_async.webhooks.listen import Arrival, Listener, check_target, stop_requested
from frame_async.webhooks.send import TAMPERINGS, example_event, sign_event
from frame_async.webhooks.send import send as post


@frozen(kw_only=True)
class Send:
    """What is to be sent, and where to."""

    kind: str
    """Type of the event."""
    to: str | None
    reference: str | None
    sets: tuple[str, ...]
    tamper: str | None
    allow_remote: bool


def run_verify(body: BinaryIO, signature: str, secret_file: Path | None, secret_env: str) -> int:
    """Verify one body and print the event in it.

    Returns:
        The exit status: 0 when it is genuine, 1 when not, 2 when there is no usable secret.
    """
    out, notes = _consoles()
    try:
        receiver = _receiver(secret_file, secret_env)
        event = receiver.verify(body.read(LARGEST_BODY + 1), {"X-Frame-Signature": signature})
    except (FrameError, OSError) as error:
        forged = isinstance(error, WebhookError) and not error.signed
        return _say(notes, f"not genuine: {error}" if forged else str(error), exit_status_of(error))
    created = f"{event.created:%Y-%m-%d %H:%M:%S} UTC" if event.created else "no time given"
    return _say(out, f"genuine: {event.type}  {event.id}  {created}", 0)


def run_listen(
    target: str | None, port: int, secret_file: Path | None, secret_env: str, *, allow_remote: bool
) -> int:
    """Listen until Ctrl-C, and print a line for each webhook.

    Returns:
        The exit status: 0, or 2 when it can't start.
    """
    out, notes = _consoles()
    try:
        receiver = _receiver(secret_file, secret_env)
        checked = None if target is None else check_target(target, allow_remote=allow_remote)
        asyncio.run(_listen(receiver, checked, port, out))
    except (FrameError, OSError) as error:
        return _say(notes, str(error), exit_status_of(error))
    return 0


async def _listen(receiver: WebhookReceiver, target: str | None, port: int, out: Console) -> None:
    def notify(arrival: Arrival) -> None:
        _say(out, _described(arrival), 0)

    with stop_requested() as stop:
        async with Listener(receiver, target, notify, port=port) as listener:
            onward = f", forwarding to {target}" if target else ""
            _say(out, f"listening on {listener.url}{onward}; Ctrl-C ends it", 0)
            await stop.wait()


def _described(arrival: Arrival) -> str:
    at = datetime.fromtimestamp(arrival.at).astimezone()
    event = arrival.event
    what = f"{event.type}  {event.id}  ok" if event else f"bad: {arrival.refusal}"
    answer = f"{arrival.status} in {arrival.seconds * 1000:.0f} ms"
    why = f" ({arrival.trouble})" if arrival.trouble else ""
    return f"{at:%H:%M:%S}  {what}  -> {answer}{why}"


def run_send(send: Send, secret_file: Path | None, secret_env: str) -> int:
    """Make a webhook, sign it and deliver it; without an address, print it.

    Returns:
        The exit status: 0 when it was answered as it should be, 1 when not, 2 when it can't
        be made, 4 when nobody answers.
    """
    out, notes = _consoles()
    try:
        secrets = check_secrets(Secret(_given(secret_file, secret_env)), secret_env)
        if send.to is not None:
            check_target(send.to, allow_remote=send.allow_remote)
        webhook = sign_event(_event(send), secrets)
    except (FrameError, OSError) as error:
        return _say(notes, str(error), exit_status_of(error))
    except UnicodeError:  # bytes that are no text in the shell's encoding
        return _say(notes, "the event and its fields must be text", ExitStatus.USAGE)
    if meant := _misspelt(send.kind):
        _say(notes, f"sent as it is; did you mean {meant}?", 0)
    if send.tamper is not None:
        webhook = TAMPERINGS[send.tamper](webhook, secrets)
    if send.to is None:
        for name, value in webhook.headers.items():
            _say(notes, f"{name}: {value}", 0)
        return _say(out, webhook.body.decode(), 0)
    try:
        answer = asyncio.run(post(send.to, webhook))
    except OSError as error:
        return _say(notes, str(error), ExitStatus.STOPPED)
    tampered = f" (tampered: {send.tamper})" if send.tamper else ""
    said = f"{send.kind}{tampered} -> {answer.status} in {answer.seconds * 1000:.0f} ms"
    wrong = _misjudged(answer.status, send)
    return _say(out, f"{said}{wrong}", ExitStatus.SOME_REFUSED if wrong else ExitStatus.DONE)


def published_types() -> list[str]:
    """The types of events that Frame publishes."""
    return [value for name, value in vars(EventType).items() if name.isupper()]


def _misspelt(kind: str) -> str:
    """The published type that was probably meant; empty for one, and for what is like none."""
    known = published_types()
    close = get_close_matches(kind, known, n=1)
    return "" if kind in known or not close else close[0]


def _misjudged(status: int, send: Send) -> str:
    """What is wrong with an answer; empty when it is as it should be."""
    if send.tamper is None:
        return "" if 200 <= status < 300 else ": refused; Frame would deliver it again"
    if 200 <= status < 300:
        return ": taken, although it must not be"
    return "" if 400 <= status < 500 else ": neither taken nor refused (400)"


def _event(send: Send) -> dict[str, Any]:
    """The event with the fields that were given."""
    event = example_event(send.kind, send.reference)
    for path, text in parse_pairs("--set", send.sets).items():
        *above, last = path.split(".")
        place: dict[str, Any] = event
        for name in above:
            below: Any = place.setdefault(name, {})
            if not isinstance(below, dict):
                raise ValidationError("invalid event", [_no_object(path, name)])
            place = cast("dict[str, Any]", below)
        place[last] = _value(text)
    return event


def _no_object(path: str, name: str) -> Problem:
    return Problem(path, f"can't be set: {name} is no object", "give another path")


def _value(text: str) -> Any:
    """What a text stands for: JSON where it is, else itself."""
    try:
        return load_json(text.encode(), "value")
    except (FrameError, UnicodeError):
        return text


def _receiver(secret_file: Path | None, secret_env: str) -> WebhookReceiver:
    """A receiver with the secrets of a file, one a line, or of the environment."""
    return WebhookReceiver(_given(secret_file, secret_env))


def _given(secret_file: Path | None, secret_env: str) -> str | list[str]:
    if secret_file is not None:
        return _lines(secret_file)
    if secret_env not in os.environ:
        raise ConfigurationError(
            f"no webhook secret: set {secret_env}, or name a file with --secret-file"
        )
    return os.environ[secret_env]


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8").splitlines()
    except UnicodeError:
        pass  # and raise outside, for it holds what was read
    raise ConfigurationError(f"{file.name} is no text file")


def _consoles() -> tuple[Console, Console]:
    return Console(highlight=False), Console(stderr=True, highlight=False)


def _say(console: Console, line: str, status: int) -> int:
    printable = "".join(c if c.isprintable() else "?" for c in line)
    console.print(printable, markup=False, soft_wrap=True)
    return status
