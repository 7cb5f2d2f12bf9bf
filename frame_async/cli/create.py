"""``frame-async create``: one session, its address, and what is known of the call."""

import asyncio
import logging
import os
import sys
import webbrowser
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, Literal, TextIO, TypeVar
from urllib.parse import urlsplit

import segno
from attrs import evolve, field, frozen

from frame_async.bulk.columns import build_request
from frame_async.bulk.layouts import SEE_COLUMNS, Layout, parse_pairs
from frame_async.bulk.unpacking import NOT_UTF_8
from frame_async.calls import Call
from frame_async.cli.bulk_command import OptionsError
from frame_async.cli.bulk_screen import Screen
from frame_async.cli.guard import check_mode, guarded
from frame_async.client import FrameClient
from frame_async.emulator import Emulator
from frame_async.errors import CallError, NotSentError, Problem, ValidationError, WrongModeError
from frame_async.models.requests import PaymentLinkSessionRequest
from frame_async.models.sessions import PaymentLinkSession
from frame_async.protocol.credentials import KEY_VARIABLE, Mode, is_loopback
from frame_async.protocol.dispositions import Again, ExitStatus, disposition_of, exit_status_of
from frame_async.serialization import dump_json
from frame_async.webhooks.listen import stop_requested

T = TypeVar("T")

_WHAT: Final = "invalid session"
_ONE_EACH: Final = "give one quantity for all products, or one for each"
_ADVICE: Final = {
    NOT_UTF_8[1]: "use a UTF-8 locale, such as LC_ALL=C.UTF-8",
    SEE_COLUMNS: "see PaymentLinkSessionRequest in the docs",
}
"""What the advice to whoever writes a file is for whoever writes a command."""


@frozen(kw_only=True)
class Create:
    """The options as they were given."""

    products: Sequence[str]
    quantities: Sequence[tuple[str, str]]
    """The fewest and the most of each product, or of all."""
    fields: Mapping[str, str | None] = field(repr=False)
    """Other fields of the request that were given, each as text."""
    sets: Sequence[str] = field(repr=False)
    key: str | None
    mode: Literal["sandbox", "live"] | None
    on_emulator: bool
    store: str | None = field(repr=False)
    proxy: str | None = field(repr=False)
    timeout: float
    as_json: bool
    as_code: bool
    opens: bool
    verbose: bool


def run_create(command: Create) -> int:
    """Create the session and print it; the exit status."""
    logging.getLogger("frame_async").setLevel(
        logging.WARNING if command.verbose else logging.CRITICAL
    )
    screen = Screen(sys.stderr)
    return guarded(
        "frame-async create",
        lambda: asyncio.run(_create(command, screen)),
        screen,
        sys.stdout if command.as_json else None,
        "interrupted: if the request was on its way, a session may exist",
    )


async def _create(command: Create, screen: Screen) -> int:
    request = request_of(command)
    if not command.on_emulator and KEY_VARIABLE not in os.environ:
        raise OptionsError(f"no API key: set {KEY_VARIABLE}, or try it with --emulator")
    async with _client(command) as frame:
        check_mode(command.mode, frame.mode)
        if command.key and not command.store:
            screen.say("the key is forgotten when this command ends; --store keeps it")
        try:
            session = await frame.payment_link_sessions.create(request, idempotency_key=command.key)
        except CallError as error:
            status = _failed(error, command, screen)
            if isinstance(error, NotSentError) and is_loopback(
                urlsplit(frame.base_url).hostname or ""
            ):
                screen.say(
                    f"{frame.base_url} is this machine; to start an emulator: frame-async emulator"
                )
            return status
        status = _check_session(session, command, frame.mode, screen)
        try:
            _print(session, status, command)
            sys.stdout.flush()
        except OSError as error:  # whoever was to read it is gone, and the session is there
            screen.say(f"frame-async create: created {session.id}, but it can't be shown: {error}")
            _give_up_output()
            return ExitStatus.STOPPED
        await _show_page(session, command, screen)
    return status


def request_of(command: Create) -> PaymentLinkSessionRequest:
    """The request that the options describe.

    Raises:
        ValidationError: a field is wrong, unknown or given twice, or there are more or fewer
            quantities than products.
    """
    cells = {name: value for name, value in command.fields.items() if value is not None}
    quantities = command.quantities
    if len(quantities) not in (0, 1, len(command.products)):
        rule = f"is given {len(quantities)} times, --product {len(command.products)} times"
        raise ValidationError(_WHAT, [Problem("--quantity", rule, _ONE_EACH)])
    for index, product in enumerate(command.products):
        cells[f"line_items.{index}.product"] = product
        if quantities:
            least, most = quantities[index if len(quantities) > 1 else 0]
            cells[f"line_items.{index}.quantity_minimum"] = least
            cells[f"line_items.{index}.quantity_maximum"] = most
    more = _renamed(lambda: Layout(constants=parse_pairs("--set", command.sets)).constants)
    twice = [Problem(name, "is given twice", "leave out --set") for name in more if name in cells]
    if not any(name.startswith("line_items") for name in [*cells, *more]):
        twice.append(Problem("--product", "is missing", "give the product's id"))
    if twice:
        raise ValidationError(_WHAT, twice)
    request = {**cells, **more}
    return _renamed(lambda: build_request(request))


def _renamed(make: Callable[[], T]) -> T:
    """What is made, or what is wrong with it, in words for options instead of rows."""
    try:
        return make()
    except ValidationError as error:
        problems = [evolve(each, fix=_ADVICE.get(each.fix, each.fix)) for each in error.problems]
    raise ValidationError(_WHAT, problems)


@asynccontextmanager
async def _client(command: Create) -> AsyncGenerator[FrameClient]:
    if not command.on_emulator:
        async with FrameClient(
            store=command.store, proxy=command.proxy, timeout=command.timeout
        ) as frame:
            yield frame
        return
    async with (
        Emulator() as emulator,
        FrameClient(
            emulator.api_key,
            base_url=emulator.base_url,
            store=command.store,
            timeout=command.timeout,
        ) as frame,
    ):
        yield frame


def _check_session(
    session: PaymentLinkSession, command: Create, mode: Mode, screen: Screen
) -> ExitStatus:
    """Whether the session is of the mode that was meant; it is there in any case."""
    live = Mode.LIVE in (mode, command.mode)
    if session.livemode in (None, live):
        return ExitStatus.DONE
    screen.say(f"frame-async create: {WrongModeError(session.id, livemode=not live)}")
    return ExitStatus.STOPPED


def _failed(error: CallError, command: Create, screen: Screen) -> ExitStatus:
    """Say why there is no session; the exit status, by what is known."""
    status = exit_status_of(error)
    meant = disposition_of(error)
    if meant.counts_as == "unknown":
        status = ExitStatus.SOME_UNKNOWN
    elif meant.counts_as == "refused" and meant.again is Again.NEVER:
        status = ExitStatus.SOME_REFUSED
    screen.say(f"frame-async create: {error}")
    if command.as_json:
        said = {"error": str(error), "call": _call(error.call), "exit_status": status}
        _write(dump_json(said).decode(), sys.stdout)
    return status


def _print(session: PaymentLinkSession, status: ExitStatus, command: Create) -> None:
    if command.as_json:
        said = {"session": session.to_dict(), "call": _call(session.call), "exit_status": status}
        _write(dump_json(said).decode(), sys.stdout)
        return
    state = ", ".join(filter(None, (session.status, session.payment_status)))
    facts = {
        "session": session.id,
        "address": session.url or "none that is safe to send a payer to",
        "state": state or "not said",
        "reference": session.client_reference_id,
        "expires": f"{session.expires:%Y-%m-%d %H:%M} UTC" if session.expires else None,
        "call": str(session.call).removeprefix(f"{session.call.idempotency_key}: "),
        "request id": session.call.request_id,
        "unreadable": ", ".join(session.unread) or None,
    }
    for name, fact in facts.items():
        if fact is not None:
            _write(f"{name:<11}{fact}", sys.stdout)


def _call(call: Call) -> dict[str, Any]:
    """What is known of a call, for machines."""
    return {
        "outcome": call.outcome,
        "idempotency_key": call.idempotency_key,
        "attempts": len(call.attempts),
        "possible_duplicates": call.possible_duplicates,
        "replayed": call.replayed,
        "request_id": call.request_id,
        "seconds": round(call.elapsed, 3),
    }


def _write(line: str, file: TextIO) -> None:
    file.write("".join(c if c.isprintable() else "?" for c in line) + "\n")


def _give_up_output() -> None:
    """Let nothing be written at exit, which would fail once more."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


async def _show_page(session: PaymentLinkSession, command: Create, screen: Screen) -> None:
    """Show the address as a code, open it, and keep an emulator of our own up meanwhile."""
    if session.url is None:
        return
    if command.as_code:
        file = sys.stderr if command.as_json else sys.stdout
        try:
            segno.make_qr(session.url).terminal(file, compact=True)
        except UnicodeEncodeError:
            screen.say("a QR code can't be shown here: the encoding of the output has no blocks")
    if command.opens and not await asyncio.to_thread(webbrowser.open, session.url):
        screen.say("no browser can be opened here")
    if not command.on_emulator:
        return
    if not command.opens:
        screen.say("the page is gone with this command's emulator; --open keeps both")
        return
    screen.say("the emulator runs until Ctrl-C")
    with stop_requested() as stop:
        await stop.wait()
