"""The client's own arguments: what is refused before any I/O, and what never shows."""

import pickle
import traceback

import pytest

from frame_async import FrameClient, FrameError
from frame_async.errors import ConfigurationError
from frame_async.protocol.credentials import Mode

SECRET = "sk_sandbox_VeRySeCrEt"


@pytest.mark.parametrize(
    ("key", "says"),
    [
        (None, "FRAME_SECRET_KEY"),
        ("", "FRAME_SECRET_KEY"),
        ("pk_sandbox_VeRySeCrEt", "publishable"),
        ("whsec_VeRySeCrEt", "webhook secret"),
        (SECRET + "\n", "whitespace"),
        (" " + SECRET, "whitespace"),
        ("sk_sandbox_\x00VeRySeCrEt", "control"),
        ("sk_sandbox_VeRySeCrEté", "non-ASCII"),
        (b"sk_sandbox_VeRySeCrEt", "must be a string, not bytes"),
    ],
)
def test_bad_keys_are_refused_by_name(key: str, says: str) -> None:
    """A key that can't be a secret key is refused, and no traceback variable shows it."""
    with pytest.raises(ConfigurationError, match="key") as caught:
        FrameClient(key)
    assert says in str(caught.value)
    formatted = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    ours = [f for f in formatted.stack if "frame_async" in f.filename and f.filename != __file__]
    assert ours
    assert all("VeRySeCrEt" not in str(frame.locals) for frame in ours)
    assert "VeRySeCrEt" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://api.framepayments.com", "http:// is for loopback"),
        ("https://user:pass@api.framepayments.com", "user information"),
        ("https://api.framepayments.com/?x=1", "query"),
        ("https://api.framepayments.com/v1#top", "fragment"),
        ("ftp://api.framepayments.com", "must begin with https://"),
        ("api.framepayments.com", "must begin with https://"),
        ("https://", "host"),
        ("", "must begin with https://"),
        (7, "must be a string"),
    ],
)
def test_bad_addresses_are_refused_by_name(url: str, says: str) -> None:
    """A base URL that isn't plain HTTPS is refused, naming the argument and the fix."""
    with pytest.raises(ConfigurationError, match="base_url") as caught:
        FrameClient(SECRET, base_url=url)
    assert says in str(caught.value)
    assert "pass@" not in str(caught.value)
    formatted = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    ours = [f for f in formatted.stack if "frame_async" in f.filename and f.filename != __file__]
    assert all("pass@" not in str(frame.locals) for frame in ours)


def test_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes from the environment is refused by the name of its variable."""
    monkeypatch.setenv("FRAME_SECRET_KEY", "pk_sandbox_x")
    with pytest.raises(ConfigurationError, match="FRAME_SECRET_KEY is a publishable key"):
        FrameClient()
    monkeypatch.setenv("FRAME_SECRET_KEY", SECRET)
    monkeypatch.setenv("FRAME_API_BASE_URL", "http://example.com")
    with pytest.raises(ConfigurationError, match="FRAME_API_BASE_URL must use https"):
        FrameClient()
    monkeypatch.setenv("FRAME_API_BASE_URL", "")
    with pytest.raises(ConfigurationError, match="FRAME_API_BASE_URL is set but empty"):
        FrameClient()


def test_defaults() -> None:
    """Without anything but a key, a client talks to Frame's production host."""
    client = FrameClient(SECRET)
    assert client.base_url == "https://api.framepayments.com/v1"
    assert client.mode is Mode.SANDBOX
    assert FrameClient("sk_production_x").mode is Mode.LIVE
    assert FrameClient("rk_restricted").mode is Mode.UNKNOWN


@pytest.mark.parametrize("option", ["timeout", "attempt_timeout", "connect_timeout"])
@pytest.mark.parametrize("value", [0, -1.0, True, "1", None, float("nan"), float("inf")])
def test_bad_times(option: str, value: object) -> None:
    """A time that isn't a number of seconds above 0 is refused by name."""
    with pytest.raises(ConfigurationError, match=f"^{option} must be a number of seconds"):
        FrameClient(SECRET, **{option: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [0, -1, True, 2.0, "3"])
def test_bad_limits(value: int) -> None:
    """A limit of exchanges that isn't an integer above 0 is refused by name."""
    with pytest.raises(ConfigurationError, match="max_in_flight must be an integer"):
        FrameClient(SECRET, max_in_flight=value)


@pytest.mark.parametrize("value", [-0.1, 1.01, True, "0.9", None, float("nan")])
def test_bad_quantiles(value: float) -> None:
    """A share of attempts that isn't a number from 0 to 1 is refused by name."""
    with pytest.raises(ConfigurationError, match="attempt_quantile must be a number from 0 to 1"):
        FrameClient(SECRET, attempt_quantile=value)


def test_a_client_shows_no_secret() -> None:
    """The repr of a client shows address, mode and state, and it can't be pickled."""
    client = FrameClient(SECRET)
    assert repr(client) == "<FrameClient https://api.framepayments.com/v1 mode=sandbox open>"
    with pytest.raises(TypeError, match="can't be pickled"):
        pickle.dumps(client)


def test_configuration_errors_are_frame_errors() -> None:
    """One except clause catches everything that this library raises."""
    with pytest.raises(FrameError):
        FrameClient("pk_x")
