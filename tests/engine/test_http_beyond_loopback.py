"""Plain HTTP beyond loopback: an emulator in another container, for sandbox keys alone."""

import socket
from typing import Any

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from frame_async import FrameClient, LineItem
from frame_async.emulator import Emulator
from frame_async.errors import ConfigurationError, NotSentError, RequestRefusedError

pytestmark = pytest.mark.frame_network  # names that lead here, and nowhere

KEY = "sk_sandbox_container"
ITEMS = [LineItem(product="prod_mug")]


class Names(AbstractResolver):
    """A network of containers, in which every name leads to this machine."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0
            )
        ]

    async def close(self) -> None:
        """Nothing is held."""


def network() -> aiohttp.ClientSession:
    """A session in that network."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=Names()))


def own_address() -> str:
    """An address of this machine that isn't loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            pytest.skip("this machine has no address but loopback")
        return str(probe.getsockname()[0])


def refusal(key: str, **options: Any) -> ConfigurationError:
    """The error that a client is refused with; it never shows the key."""
    with pytest.raises(ConfigurationError) as caught:
        FrameClient(key, **options)
    assert key not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("host", ["emulator", "host.docker.internal", "172.17.0.1", "EMULATOR"])
async def test_a_host_that_was_named(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host is reached by plain HTTP if it was named, in code or in the environment."""
    url = f"http://{host}:8642"
    assert "allow_http_to or FRAME_ALLOW_HTTP_TO" in str(refusal(KEY, base_url=url))
    refusal(KEY, base_url=url, allow_http_to=("emulator.internal",))
    async with FrameClient(KEY, base_url=url, allow_http_to=(host,)) as frame:
        assert frame.base_url == f"{url}/v1"
    monkeypatch.setenv("FRAME_ALLOW_HTTP_TO", f"other, {host},")
    monkeypatch.setenv("FRAME_API_BASE_URL", url)
    async with FrameClient(KEY) as frame:
        assert frame.base_url == f"{url}/v1"
    refusal(KEY, allow_http_to=())


@pytest.mark.parametrize("key", ["sk_production_1234", "rk_live_1234", "sk_test_1234"])
def test_keys_that_are_worth_something(key: str) -> None:
    """A key that isn't one of the sandbox is never sent in clear beyond this machine."""
    error = refusal(key, base_url="http://emulator:8642", allow_http_to=("emulator",))
    assert "sk_sandbox_" in str(error)


@pytest.mark.parametrize(
    "hosts",
    [
        *("emulator", b"emulator", 5, [5], [None], [""], ["*"], ["http://emulator"]),
        *(["emulator:8642"], ["a b"], ["a/b"], ["emulator\n"], ["user@emulator"]),
        *(["api.framepayments.com"], ["API.FramePayments.com"], ["framepayments.com"]),
    ],
)
def test_hosts_that_are_none(hosts: Any) -> None:
    """Anything but names of hosts is refused, and so are Frame's own."""
    assert "allow_http_to" in str(refusal(KEY, allow_http_to=hosts))


def test_the_variable_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad FRAME_ALLOW_HTTP_TO is named; an empty one names no host."""
    monkeypatch.setenv("FRAME_ALLOW_HTTP_TO", "http://emulator:8642")
    assert "FRAME_ALLOW_HTTP_TO must name hosts alone" in str(refusal(KEY))
    monkeypatch.setenv("FRAME_ALLOW_HTTP_TO", "")
    refusal(KEY, base_url="http://emulator:8642")


async def test_from_container_to_container() -> None:
    """A client reaches an emulator by the name of its container, and gets a page to send to."""
    async with Emulator(host="0.0.0.0", allow_remote=True) as emulator, network() as http:
        port = emulator.base_url.rpartition(":")[2]
        async with FrameClient(
            KEY, base_url=f"http://emulator:{port}", allow_http_to=("emulator",), http=http
        ) as frame:
            session = await frame.payment_link_sessions.create(line_items=ITEMS)
        assert emulator.created() == (session.id,)
        assert session.checkout_url.startswith(emulator.base_url)


async def test_a_name_with_a_dot_is_the_emulators_own_if_it_was_told() -> None:
    """The emulator answers to a further name that it was given, and to no other one."""
    names = frozenset({"Emulator.Internal."})
    async with Emulator(allow_hosts=names) as emulator, network() as http:
        port = emulator.base_url.rpartition(":")[2]
        for host, known in (("emulator.internal", True), ("evil.internal", False)):
            async with FrameClient(
                KEY, base_url=f"http://{host}:{port}", allow_http_to=(host,), http=http
            ) as frame:
                if known:
                    await frame.payment_link_sessions.create(line_items=ITEMS)
                else:
                    with pytest.raises(RequestRefusedError, match="--allow-host"):
                        await frame.payment_link_sessions.create(line_items=ITEMS)
            dashboard = f"http://{host}:{port}/_emulator/snapshot"
            async with http.get(dashboard) as answer:
                assert answer.status == (200 if known else 403)
        assert len(emulator.created()) == 1


async def test_over_a_real_interface() -> None:
    """Where the page's address is the named host's, it is one to send a payer to."""
    address = own_address()
    async with Emulator(host=address, allow_remote=True) as emulator:
        async with FrameClient(
            KEY, base_url=emulator.base_url, allow_http_to=(address,), timeout=10
        ) as frame:
            session = await frame.payment_link_sessions.create(line_items=ITEMS)
    assert session.checkout_url.startswith(f"http://{address}:")


async def test_a_name_that_leads_nowhere() -> None:
    """A host that isn't there is said to be so, and nothing was sent."""
    async with FrameClient(
        KEY, base_url="http://emulator.invalid:8642", allow_http_to=("emulator.invalid",), timeout=1
    ) as frame:
        with pytest.raises(NotSentError):
            await frame.payment_link_sessions.create(line_items=ITEMS)


@pytest.mark.parametrize("names", ["emulator", {"http://x"}, {"a:1"}, {""}, {"a b"}])
def test_names_of_the_emulator_are_checked(names: Any) -> None:
    """What can't be the name of a host is refused when the emulator is made."""
    with pytest.raises((ValueError, TypeError), match="allow_hosts"):
        Emulator(allow_hosts=names)
