"""The pages for people: the dashboard and the document, each one file with nothing outside.

Style and script stand in the page, and the policy names them by their digests: nothing
else runs, whatever a request made it show. The document is made into HTML here, so that
its page needs no script.
"""

import json
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from hashlib import sha256
from html import escape
from importlib.resources import files
from typing import Any

from frame_async.emulator.api.answers import ApiAnswer, Problems, error_answer, json_answer
from frame_async.emulator.api.envelopes import enveloped
from frame_async.emulator.api.openapi import answer_document, document
from frame_async.emulator.state.emulator_state import EmulatorState

_FOLDER = files("frame_async.emulator.admin").joinpath("assets")


@cache
def _dashboard() -> ApiAnswer:
    return _page(_asset("dashboard.html"), "dashboard.css", "dashboard.js")


@cache
def _documentation(assumed: frozenset[str], envelope: str) -> ApiAnswer:
    content = "".join(_parts(document(assumed, envelope), envelope))
    html = _asset("docs.html").replace("{{ document }}", content)
    return _page(html, "docs.css", "")


PAGES: Mapping[str, Callable[[EmulatorState], ApiAnswer]] = {
    "/": lambda _: _dashboard(),
    "/favicon.ico": lambda _: ApiAnswer(204, b"", {}),  # every page has an icon of its own
    "/health": lambda _: json_answer(200, {"status": "ok"}),
    "/docs": lambda state: _documentation(state.assumed, state.envelope),
    "/openapi.json": lambda state: answer_document(state.assumed, state.envelope),
}
"""What answers each path: the dashboard, whether it runs, the API's document as page and JSON."""


def _page(html: str, style: str, script: str) -> ApiAnswer:
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
    return ApiAnswer(200, html.encode(), headers)


def _asset(name: str) -> str:
    return _FOLDER.joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _parts(whole: Mapping[str, Any], envelope: str) -> Iterator[str]:
    """Give the document's content as HTML."""
    yield f"<p>{_prose(whole['info']['description'])}</p>"
    for path, methods in whole["paths"].items():
        for method, operation in methods.items():
            yield from _operation(path, method, operation, whole["components"]["schemas"])
    yield from _error(envelope)
    yield from _webhooks(whole["webhooks"])


def _operation(
    path: str, method: str, operation: Mapping[str, Any], schemas: Mapping[str, Any]
) -> Iterator[str]:
    body = operation["requestBody"]["content"]["application/json"]
    yield f'<h2 id="call">{escape(operation["summary"])}</h2>'
    yield f'<p class="call"><span class="method">{method.upper()}</span> '
    yield f"<code>{escape(path)}</code></p><p>{_prose(operation['description'])}</p>"
    yield '<h3 id="request">Request</h3>'
    yield "<p>Headers: <code>Authorization: Bearer sk_sandbox_…</code> and "
    yield "<code>Content-Type: application/json</code>.</p>"
    for parameter in operation["parameters"]:
        yield f"<p><code>{escape(parameter['name'])}</code> (optional header): "
        yield f"{_prose(parameter['description'])}</p>"
    yield _fields(schemas["PaymentLinkSessionRequest"], "Fields of the body")
    yield "<h4>Line items</h4>"
    items = schemas["PaymentLinkSessionRequest"]["properties"]["line_items"]
    yield _fields(items["items"], "Fields of one line item")
    methods = schemas["PaymentLinkSessionRequest"]["properties"]["payment_method_data"]["oneOf"]
    for each in methods[:-2]:  # the last are data of any other type, and none
        kind = escape(each["properties"]["type"]["const"])
        yield f"<h4>Payment method data: <code>{kind}</code></h4>"
        yield _fields(each, f"Fields of payment method data of type {kind}")
    yield f"<h4>Example</h4>{_code(body['example'])}"
    yield '<h3 id="answers">Answers</h3>'
    yield from _answers(operation["responses"])
    yield '<h3 id="session">The session</h3>'
    yield _fields({**schemas["PaymentLinkSession"], "required": []}, "Fields of a session")


def _error(envelope: str) -> Iterator[str]:
    """Show a refusal as it is answered."""
    problems: Problems = {"line_items": {"0": {"product": ["must be filled"]}}}
    said = "The payment link session is not valid."
    answer = enveloped(error_answer(422, "validation_error", said, problems), envelope)
    yield '<h3 id="errors">Errors</h3>'
    yield f"<p>Every refusal has the same form, the <code>{escape(envelope)}</code> envelope:</p>"
    if envelope == "text":
        yield f'<pre tabindex="0"><code>{escape(answer.body.decode())}</code></pre>'
    else:
        yield _code(json.loads(answer.body))


def _webhooks(events: Mapping[str, Any]) -> Iterator[str]:
    """Show what is known of each event."""
    yield '<h2 id="webhooks">Webhooks</h2>'
    for name, methods in events.items():
        operation = methods["post"]
        yield f"<h3><code>{escape(name)}</code></h3><p>{_prose(operation['summary'])}</p>"
        event = operation["requestBody"]["content"]["application/json"]["schema"]
        data = event["properties"]["data"]
        if "$ref" in data:
            yield "<p><code>data</code> is the session.</p>"
        else:
            yield _fields({**data, "required": []}, f"Fields of the data of {name}")


def _answers(responses: Mapping[str, Any]) -> Iterator[str]:
    yield '<div class="scroll" tabindex="0" role="region" aria-label="Answers"><table>'
    yield "<thead><tr><th>Status</th><th>Meaning</th></tr></thead><tbody>"
    for code, response in responses.items():
        kind = "good" if code.startswith("2") else "bad"
        yield f'<tr><td><span class="code {kind}">{code}</span></td>'
        yield f"<td>{_prose(response['description'])}{_headers(response)}</td></tr>"
    yield "</tbody></table></div>"


def _headers(response: Mapping[str, Any]) -> str:
    shown = [name for name in response["headers"] if name != "X-Request-Id"]
    return "".join(
        f"<br><code>{escape(name)}</code>: {_prose(response['headers'][name]['description'])}"
        for name in shown
    )


def _fields(schema: Mapping[str, Any], label: str) -> str:
    described = any("description" in field for field in schema["properties"].values())
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code>"
        f"{' <b>required</b>' if name in schema.get('required', ()) else ''}</td>"
        f"<td>{escape(_kind(field))}</td>"
        f"{'<td>' + _prose(field.get('description', '')) + '</td>' if described else ''}</tr>"
        for name, field in schema["properties"].items()
    )
    head = (
        f"<thead><tr><th>Field</th><th>Type</th>{'<th>Rule</th>' if described else ''}</tr></thead>"
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(label)}">'
        f"<table>{head}<tbody>{rows}</tbody></table></div>"
    )


def _kind(schema: Mapping[str, Any]) -> str:
    """Say in a few words what values a schema takes."""
    if "const" in schema:
        return f'"{schema["const"]}"'
    if "enum" in schema:
        return " or ".join(f'"{value}"' for value in schema["enum"])
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(dict.fromkeys(_kind(option) for option in options))
    kind = schema.get("type", "any")
    words = " or ".join([kind] if isinstance(kind, str) else kind)
    if "minimum" in schema:
        bounds = f"from {schema['minimum']}"
        bounds += f" to {schema['maximum']}" if "maximum" in schema else " up"
        words += f", {bounds}"
    if "default" in schema:
        words += f"; {schema['default']} if absent"
    return "HTTP(S) URL" if schema.get("format") == "uri" else words


def _prose(text: str) -> str:
    """Escape text, with its backticks as code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if at % 2 else part for at, part in enumerate(parts))


def _code(value: object) -> str:
    return f'<pre tabindex="0"><code>{escape(json.dumps(value, indent=2))}</code></pre>'
