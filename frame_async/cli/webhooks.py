"""``frame-async webhook``: verify one that you have, or listen for those that come."""

import asyncio
import os
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from rich.console import Console

from frame_async.errors import ConfigurationError, FrameError, WebhookError
from frame_async.protocol.dispositions import exit_status_of
from frame_async.webhooks import LARGEST_BODY, WebhookReceiver
from frame_async.webhooks.listen import Arrival, Listener, check_target, stop_requested


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


def _receiver(secret_file: Path | None, secret_env: str) -> WebhookReceiver:
    """A receiver with the secrets of a file, one a line, or of the environment."""
    if secret_file is not None:
        return WebhookReceiver(_lines(secret_file))
    if secret_env not in os.environ:
        raise ConfigurationError(
            f"no webhook secret: set {secret_env}, or name a file with --secret-file"
        )
    return WebhookReceiver(os.environ[secret_env])


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
