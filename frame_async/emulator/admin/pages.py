"""The pages for people: the dashboard and the document, each one file with nothing outside.

Style and script stand in the page, and the policy names them by their digests: nothing
else runs, whatever a request made it show.
"""

from base64 import b64encode
from collections.abc import Callable, Mapping
from functools import cache
from hashlib import sha256
from importlib.resources import files

from frame_async.emulator.answers import Answer
from frame_async.emulator.openapi import answer_document

from .document_page import document_html

_FOLDER = files("frame_async.emulator.admin").joinpath("assets")


@cache
def dashboard() -> Answer:
    """Answer with the dashboard."""
    return _page(_asset("dashboard.html"), "dashboard.css", "dashboard.js")


@cache
def documentation() -> Answer:
    """Answer with the API's document as a page."""
    return _page(_asset("docs.html").replace("{{ document }}", document_html()), "docs.css", "")


PAGES: Mapping[str, Callable[[], Answer]] = {
    "/": dashboard,
    "/docs": documentation,
    "/openapi.json": answer_document,
}
"""What answers each page's path."""


def _page(html: str, style: str, script: str) -> Answer:
    """Put style and script into a page, and allow these and nothing else."""
    common, own = _asset("common.css"), _asset(style)
    styles, scripts = common + own, _asset(script) if script else ""
    html = html.replace("{{ style }}", styles).replace("{{ script }}", scripts)
    allowed = _digest(scripts) if scripts else "'none'"
    policy = (
        f"default-src 'none'; style-src {_digest(styles)}; "
        f"script-src {allowed}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )
    headers = {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": policy}
    return Answer(200, html.encode(), headers)


def _asset(name: str) -> str:
    return _FOLDER.joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
