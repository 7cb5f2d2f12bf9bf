"""``frame-async doctor``: everything that a call needs, checked one by one."""

import asyncio
import logging
import os
import platform
import shutil
import ssl
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import Any, Final, Literal
from urllib.parse import SplitResult, urlsplit

from attrs import asdict, define, field, frozen

from frame_async._version import __version__
from frame_async.cli.probe import Probe, ProbeReport
from frame_async.cli.reaching import (
    Certificate,
    Reached,
    UnreachableError,
    connect,
    handshake,
    request,
    resolve,
)
from frame_async.errors import ConfigurationError, FrameError
from frame_async.protocol.addresses import (
    PROXY_VARIABLE,
    find_base_url,
    find_http_hosts,
    find_proxy,
    named_by_environment,
)
from frame_async.protocol.credentials import (
    BASE_URL_VARIABLE,
    HTTP_VARIABLE,
    KEY_VARIABLE,
    Mode,
    check_api_key,
    require_sandbox,
)
from frame_async.protocol.dispositions import ExitStatus
from frame_async.protocol.window import LIVE, SANDBOX
from frame_async.secret import Secret
from frame_async.serialization import dump_json
from frame_async.stores import open_store
from frame_async.stores.interface import Claimed
from frame_async.stores.looking import StoreSettings, look_at

State = Literal["ok", "warn", "fail"]

_CLOSE: Final = 5.0
"""Seconds that two clocks may be apart: the Date of an answer has whole ones."""
_FAR: Final = 60.0


@frozen
class Check:
    """One line: what was looked at, how it is, and the fix if it isn't well."""

    name: str
    state: State
    says: str
    fix: str = ""


@frozen(kw_only=True)
class Examination:
    """The options as they were given."""

    store: str | None = field(repr=False)
    proxy: str | None = field(default=None, repr=False)
    timeout: float
    product: str | None
    """A product to probe with; None not to probe."""
    as_json: bool


@define
class _Found:
    """What the checks so far have found."""

    key: Secret[str | None] = field(factory=lambda: Secret(os.environ.get(KEY_VARIABLE)))
    mode: Mode | None = None
    base_url: str = ""
    proxy: Secret[str] | None = None


def run_doctor(examination: Examination) -> int:
    """Check everything and print a line for each; the exit status."""
    # Its pool logs each connection that fails; the store's line says it once.
    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)
    return asyncio.run(_run(examination))


async def _run(examination: Examination) -> int:
    found, checks = _Found(), list[Check]()
    async for check in _checks(examination, found):
        checks.append(check)
        if not examination.as_json:
            _print(check)
    failed = any(check.state == "fail" for check in checks)
    report: ProbeReport | None = None
    if examination.product is not None:
        clock = next((check.says for check in checks if check.name == "clock"), "unknown")
        report, refusal = await _probe(examination, found, clock, failed=failed)
        checks += refusal
        failed = failed or bool(refusal)
        if not examination.as_json:
            for check in refusal:
                _print(check)
            for line in [] if report is None else ["", *report.lines]:
                _write(line)
    status = ExitStatus.SOME_REFUSED if failed else ExitStatus.DONE
    if examination.as_json:
        said: dict[str, Any] = {"checks": [asdict(check) for check in checks]}
        if report is not None:
            said["probe"] = report.findings
        sys.stdout.write(dump_json({**said, "exit_status": status}).decode() + "\n")
    return status


def _print(check: Check) -> None:
    _write(f"{check.state:<5}{check.name:<10}{check.says}", f"{'':<15}")
    if check.fix:
        _write(f"{'':<15}fix: {check.fix}", f"{'':<20}")


def _write(line: str, later: str | None = None) -> None:
    """Write a line; with `later` in several, no wider than the terminal, that begin with it."""
    line = "".join(c if c.isprintable() else "?" for c in line)
    if later is not None:
        # A long word, such as a path, stays whole: it may be copied.
        wrapper = textwrap.TextWrapper(
            max(60, shutil.get_terminal_size().columns),
            subsequent_indent=later,
            break_long_words=False,
            break_on_hyphens=False,
        )
        line = wrapper.fill(line)
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def _checks(examination: Examination, found: _Found) -> AsyncIterator[Check]:
    yield _versions()
    yield _key(found)
    yield _address(found)
    if found.base_url:
        proxy = _proxy(examination, found)
        if proxy is not None:
            yield proxy
        if proxy is None or proxy.state != "fail":
            async for check in _network(examination.timeout, found):
                yield check
    yield await _store(examination)


def _versions() -> Check:
    said = (
        f"frame-async {__version__}, aiohttp {version('aiohttp')}, "
        f"Python {platform.python_version()}, {ssl.OPENSSL_VERSION.partition('  ')[0]}"
    )
    return Check("versions", "ok", said)


def _key(found: _Found) -> Check:
    fix = f"set {KEY_VARIABLE} to a secret key (sk_sandbox_...)"
    if found.key.reveal() is None:
        return Check("API key", "fail", f"{KEY_VARIABLE} is not set", fix)
    try:
        found.mode = check_api_key(found.key, KEY_VARIABLE)
    except ConfigurationError as error:
        return Check("API key", "fail", error.message, fix)
    limit = LIVE if found.mode is Mode.LIVE else SANDBOX
    said = f"from {KEY_VARIABLE}, {found.mode} mode, {limit.requests} requests a minute"
    if found.mode is Mode.UNKNOWN:
        return Check(
            "API key", "warn", said, "its prefix isn't published; rate_limit= sets its limit"
        )
    return Check("API key", "ok", said)


def _address(found: _Found) -> Check:
    source = f"from {BASE_URL_VARIABLE}" if BASE_URL_VARIABLE in os.environ else "the default"
    try:
        base_url = find_base_url(Secret(None), find_http_hosts(None))
        if found.mode is not None:
            require_sandbox(base_url, found.mode, BASE_URL_VARIABLE)
    except ConfigurationError as error:
        return Check("address", "fail", error.message, f"set {BASE_URL_VARIABLE}, or unset it")
    found.base_url = base_url
    return Check("address", "ok", f"{base_url}, {source}")


def _proxy(examination: Examination, found: _Found) -> Check | None:
    """The proxy that is used, or one that is named and isn't; None where there is none."""
    source = PROXY_VARIABLE if examination.proxy is None else "--proxy"
    try:
        found.proxy = find_proxy(Secret(examination.proxy), found.base_url)
    except ConfigurationError as error:
        fix = f"correct {source}, or do without it"
        return Check("proxy", "fail", error.message, fix)
    if found.proxy is not None:
        parts = urlsplit(found.proxy.reveal())
        where = f"{parts.scheme}://{parts.hostname}:{_port(parts)}"
        return Check("proxy", "ok", f"{where}, by {source}")
    ignored, _ = named_by_environment(found.base_url)
    if not ignored and os.environ.get(PROXY_VARIABLE):
        fix = f"nothing to do: plain HTTP stays on this machine, or goes to {HTTP_VARIABLE}"
        return Check("proxy", "warn", f"{PROXY_VARIABLE} is set, and not used for http://", fix)
    if not ignored:
        return None
    fix = f"{PROXY_VARIABLE}=environment uses it; nothing to do if none is needed"
    return Check("proxy", "warn", f"{ignored} is set, and not used", fix)


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


async def _network(timeout: float, found: _Found) -> AsyncIterator[Check]:
    parts = urlsplit(found.base_url if found.proxy is None else found.proxy.reveal())
    host, port = parts.hostname or "", _port(parts)
    whose = "" if found.proxy is None else " (the proxy)"
    try:
        addresses = await resolve(host, port, timeout)
    except UnreachableError as error:
        fix = f"check the name in {BASE_URL_VARIABLE}, and this machine's DNS"
        yield Check("DNS", "fail", f"{host}{whose}: {error}", fix)
        return
    yield Check("DNS", "ok", f"{host}{whose} is {', '.join(addresses[:4])}")
    try:
        seconds = await connect(host, port, timeout)
    except UnreachableError as error:
        fix = "start the server, or check its port, the firewall, or whether a proxy is needed"
        yield Check("TCP", "fail", f"port {port}: {error}", fix)
        return
    yield Check("TCP", "ok", f"port {port} in {seconds * 1000:.0f} ms")
    if found.base_url.startswith("http:"):
        yield Check("TLS", "ok", "none, as to an emulator")
    else:
        behind = urlsplit(found.base_url)
        shown = await handshake(behind.hostname or "", _port(behind), timeout, found.proxy)
        if shown is not None:
            yield _tls(shown)
    try:
        answer = await request("GET", found.base_url, timeout=timeout, proxy=found.proxy)
    except UnreachableError as error:
        yield Check("HTTP", "fail", str(error), _fix_of(str(error)))
        return
    yield _http(answer)
    yield _clock(answer)


_OUR_CLOCK: Final = "check this machine's clock; if it is right, the certificate is at fault"
_FIXES: Final[Mapping[str, str]] = {
    "mismatch": "check the address: the certificate is another host's",
    "has expired": _OUR_CLOCK,
    "not yet valid": _OUR_CLOCK,
    "certificate": "if a proxy of your company signs, name the file with its authority in "
    "SSL_CERT_FILE, or pass its authority with tls=..., see the docs",
    "proxy": "check user and password in the proxy's URL",
    "": "check the address: is it an API behind this port, and does it speak TLS?",
}
"""By a word of the reason, OpenSSL's or ours; the first that is in it counts."""


def _fix_of(reason: str) -> str:
    return next(fix for word, fix in _FIXES.items() if word in reason)


def _tls(shown: Certificate) -> Check:
    details = shown.details
    names = {name: value for part in details.get("issuer", ()) for name, value in part}
    signer = ", ".join(names[name] for name in ("organizationName", "commonName") if name in names)
    said = (
        f"{shown.tls}, certificate signed by {signer or 'an unnamed authority'}, "
        f"valid until {details.get('notAfter', 'an unknown time')}"
    )
    if shown.trusted:
        return Check("TLS", "ok", said)
    return Check("TLS", "fail", f"{said}; it isn't trusted here", "see the next line")


def _http(answer: Reached) -> Check:
    said = f"answers, with {answer.status} to a request without a key"
    if answer.status >= 500:
        return Check("HTTP", "warn", said, "the server is in trouble: try again later")
    if 300 <= answer.status < 400:
        fix = "check the address: an API sends nobody elsewhere, a network's login page does"
        return Check("HTTP", "warn", said, fix)
    return Check("HTTP", "ok", said)


def _clock(answer: Reached) -> Check:
    said = answer.headers.get("date")
    try:
        theirs = parsedate_to_datetime(said or "").timestamp()
    except (ValueError, OverflowError):
        return Check("clock", "warn", "the server names no time", "nothing to do")
    apart = answer.at - theirs - 0.5  # whole seconds, rounded down
    if abs(apart) <= _CLOSE:
        return Check("clock", "ok", f"within {_CLOSE:g} s of the server's")
    words = f"{abs(apart):,.0f} s {'ahead of' if apart > 0 else 'behind'} the server's"
    fix = "let NTP set this machine's clock: redirects are judged by their time"
    return Check("clock", "fail" if abs(apart) > _FAR else "warn", words, fix)


async def _store(examination: Examination) -> Check:
    if examination.store is None:
        return Check("store", "ok", "memory of each process; --store URL checks a shared one")
    began = time.monotonic()
    try:
        store = open_store(Secret(examination.store))
        try:
            key = f"doctor-{os.urandom(8).hex()}"
            async with asyncio.timeout(examination.timeout):
                claim = await store.claim(key, "doctor", 30.0)
                if isinstance(claim, Claimed):
                    await store.release(key, claim.token)
            shared, kind = store.shared, examination.store.partition(":")[0]
        finally:
            await store.aclose()
    except TimeoutError:
        return Check("store", "fail", f"no answer within {examination.timeout:g} s", _STORE)
    except (FrameError, OSError) as error:
        return Check("store", "fail", str(error), _STORE)
    seconds = time.monotonic() - began
    whose = "shared by processes" if shared else "of one process alone"
    try:
        async with asyncio.timeout(examination.timeout):
            settings = await look_at(Secret(examination.store))
    except TimeoutError:
        settings = StoreSettings("settings unknown")
    said = f"{kind}, {whose}, written in {seconds * 1000:.0f} ms; {settings.says}"
    risks = "; ".join(settings.risks)
    return Check("store", "warn" if risks else "ok", said, risks)


_STORE: Final = "check the URL, that its server runs, and that its user may write"


async def _probe(
    examination: Examination, found: _Found, clock: str, *, failed: bool
) -> tuple[ProbeReport | None, list[Check]]:
    """The report, or why there is none, or both."""
    key = found.key.reveal()
    if found.mode is not Mode.SANDBOX or key is None:
        fix = "use a key that begins with sk_sandbox_"
        return None, [Check("probe", "fail", "is for sandbox keys only; nothing was sent", fix)]
    if failed or examination.product is None:
        fix = "correct what is wrong above first"
        return None, [Check("probe", "fail", "was not made; nothing was sent", fix)]
    probe = Probe(
        base_url=found.base_url,
        key=Secret(key),
        proxy=found.proxy,
        timeout=examination.timeout,
        product=examination.product,
        clock=clock,
    )
    try:
        report = await probe.run(datetime.now(UTC))
    except UnreachableError as error:
        fix = "try again; what was created expires after 15 minutes"
        return None, [Check("probe", "fail", str(error), fix)]
    session = report.findings["session"]
    if session["created"]:
        return report, []
    said = f"the valid request was answered with {session['status']}, and no session"
    return report, [Check("probe", "fail", said, _NO_SESSION.get(session["status"], _NO_ID))]


_NO_ID: Final = "see the report; try again if the server is at fault"
_NO_SESSION: Final[Mapping[int, str]] = {
    401: f"{KEY_VARIABLE} is not accepted: copy it again from Frame's dashboard",
    403: f"{KEY_VARIABLE} may not create sessions: give it that right in Frame's dashboard",
    404: "check --product: is it one of this key's sandbox?",
    422: "check --product: is it one of this key's sandbox?",
    429: "too many requests in the last minute: wait one, and try again",
}
