"""``--proxy`` of the commands that send: through the proxy that it names, and no password shows."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.bulk_runs import beside, orders
from support.proxies import Proxy

from frame_async.cli.commands import cli

LOGIN = "payer:p4ss-w0rd"
REFUSED = "the proxy refused the connection: HTTP 403"
pytestmark = pytest.mark.frame_network

CREATE = ("create", "--product", "prod_1")


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """A proxy that refuses every CONNECT, and notes who asked."""
    with beside(Proxy(status=403, credentials=LOGIN)) as proxy:
        yield proxy


def run(*words: str, **more: str | None) -> Result:
    """Run the command in this process, with an address that only a proxy could lead to."""
    bare = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "FRAME_PROXY"))
    environment = {
        **bare,
        "FRAME_SECRET_KEY": "sk_sandbox_x",
        "FRAME_API_BASE_URL": "https://frame.invalid",
        "COLUMNS": "200",
        **more,
    }
    ran = CliRunner().invoke(cli, words, env=environment)
    assert isinstance(ran.exception, SystemExit | None), ran.exception
    assert "p4ss-w0rd" not in ran.output
    return ran


@pytest.mark.parametrize("command", ["create", "bulk", "doctor"])
@pytest.mark.parametrize("given", ["url", "file", "environment"])
def test_each_command_goes_through_it(
    proxy: Proxy, tmp_path: Path, command: str, given: str
) -> None:
    """A URL, a file with one, or what the environment's variables say."""
    (named := tmp_path / "proxy").write_text(f"{proxy.url}\n")
    named.chmod(0o600)
    rows, out = tmp_path / "orders.csv", tmp_path / "out.jsonl"
    rows.write_text(orders(1))
    words = {
        "create": CREATE,
        "bulk": ("bulk", str(rows), "-o", str(out), "--patience", "0"),
        "doctor": ("doctor",),
    }[command]
    text = {"url": proxy.url, "file": f"@{named}", "environment": "environment"}[given]
    more = {"HTTPS_PROXY": proxy.url} if given == "environment" else {}
    ran = run(*words, "--proxy", text, **more)
    assert ran.exit_code == (1 if command == "doctor" else 4)
    assert REFUSED in ran.output + (out.read_text() if command == "bulk" else "")
    assert b"CONNECT frame.invalid:443 " in proxy.heads[0]
    assert b"Proxy-Authorization: Basic " in proxy.heads[0]


def test_it_goes_before_the_environment(proxy: Proxy) -> None:
    """What is said with the command counts, whatever FRAME_PROXY says."""
    ran = run(*CREATE, "--proxy", proxy.url, FRAME_PROXY="http://127.0.0.1:9")
    assert REFUSED in ran.output


@pytest.mark.parametrize("command", [CREATE, ("doctor",)])
def test_what_is_no_proxy_is_refused(command: tuple[str, ...]) -> None:
    """A scheme that isn't spoken is refused before anything is sent, and not shown."""
    ran = run(*command, "--proxy", "socks5://payer:p4ss-w0rd@127.0.0.1:1080")
    assert ran.exit_code == (1 if command == ("doctor",) else 2)
    assert "must be the URL of an HTTP proxy" in ran.output


def test_where_nothing_is_sent_to_frame(proxy: Proxy, tmp_path: Path) -> None:
    """With an emulator inside the command, or with a queue, it means nothing, and is refused."""
    (rows := tmp_path / "orders.csv").write_text(orders(1))
    bulk = ("bulk", str(rows), "--proxy", proxy.url)
    for words in (
        (*CREATE, "--emulator", "--proxy", proxy.url),
        (*bulk, "--emulator", "-o", "-"),
        (*bulk, "--queue", "postgresql://127.0.0.1:1/x"),
    ):
        ran = run(*words)
        assert ran.exit_code == 2
        assert "--proxy " in ran.output
    assert not proxy.heads
