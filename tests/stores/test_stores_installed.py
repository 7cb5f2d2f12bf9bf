"""Stores of other packages: found by the scheme of their URLs, with the example of the how-to."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from frame_async import FrameClient, PaymentLinkSessionRequest
from frame_async.emulator import Emulator
from frame_async.errors import ConfigurationError, StoreError
from frame_async.secret import Secret
from frame_async.stores import Claimed, InFlight, open_store

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "store_of_your_own"

Install = Callable[..., None]

BROKEN = """
from frame_async.errors import ConfigurationError
def fails(url): raise OSError(f"can't reach {url}")
def refuses(url): raise ConfigurationError("a broken store has no option x")
def gives_nothing(url): return None
class Half:
    def __init__(self, url): pass
    async def claim(self, *_): pass
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs a package, as installers do: its module and its metadata in one folder."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)

    def install(package: str, module: str, code: str, **entries: str) -> None:
        (site / f"{module}.py").write_text(code)
        info = site / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = [f"{scheme} = {module}:{name}" for scheme, name in entries.items()]
        (info / "entry_points.txt").write_text("\n".join(["[frame_async.stores]", *lines, ""]))

    yield install
    for name in ("folder_store", "broken_store"):
        sys.modules.pop(name, None)


def install_folder(install: Install, package: str = "folder_package") -> None:
    install(
        package, "folder_store", (EXAMPLE / "folder_store.py").read_text(), folder="open_folder"
    )


async def test_a_client_opens_the_store_of_another_package(
    install: Install, tmp_path: Path, emulator: Emulator, order: PaymentLinkSessionRequest
) -> None:
    """A URL whose scheme an installed package has is that package's store, for clients too."""
    install_folder(install)
    (tmp_path / "data").mkdir()
    url = f"folder://{tmp_path}/data"
    sessions = []
    for _ in range(2):
        async with FrameClient(emulator.api_key, base_url=emulator.base_url, store=url) as frame:
            create = frame.payment_link_sessions.create
            sessions.append(await create(order, idempotency_key="order-1"))
    assert sessions[0].id == sessions[1].id
    assert sessions[1].call.replayed
    assert len(emulator.ledger) == 1


async def test_one_url_is_one_store(install: Install, tmp_path: Path) -> None:
    """Given twice, the URL is one store, and each closes it for itself."""
    install_folder(install)
    one, other = (open_store(Secret(f"folder://{tmp_path}")) for _ in range(2))
    assert isinstance(await one.claim("k", "a=1", 60), Claimed)
    await one.aclose()
    with pytest.raises(StoreError, match="closed"):
        await one.claim("k", "a=1", 60)
    assert isinstance(await other.claim("k", "a=1", 60), InFlight)
    await other.aclose()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("fails", "can't be opened: OSError"),
        ("refuses", "has no option x"),
        ("gives_nothing", "it gave no Store"),
        ("Half", "renew.* missing"),
        ("isnt_there", "AttributeError"),
    ],
)
def test_a_store_that_cannot_be_opened(install: Install, name: str, words: str) -> None:
    """What is wrong with another package's store is said, by its name and without the URL."""
    install("broken_package", "broken_store", BROKEN, broken=name)
    with pytest.raises(ConfigurationError, match=words) as caught:
        open_store(Secret("broken://user:s3cret@host/x"))
    assert "s3cret" not in str(caught.value)
    assert name == "refuses" or "broken_package" in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_two_packages_with_one_scheme(install: Install) -> None:
    """Two packages that have the same scheme are both named, and none is taken."""
    install_folder(install)
    install("other_package", "broken_store", BROKEN, folder="fails")
    with pytest.raises(ConfigurationError, match="folder_package, other_package"):
        open_store(Secret("folder:///x"))


def test_our_own_schemes_stay_ours(install: Install) -> None:
    """Nobody takes memory:// from us."""
    install("broken_package", "broken_store", BROKEN, memory="fails")
    assert "MemoryStore" in repr(open_store(Secret("memory://")))


def run_example(folder: Path, *options: Any) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    return subprocess.run(
        [*command, *options], cwd=folder, capture_output=True, text=True, check=False
    )


def test_the_example_does_what_every_store_does() -> None:
    """The how-to's store passes the tests of all stores."""
    done = run_example(EXAMPLE)
    assert done.returncode == 0, done.stdout[-3000:]
    assert " skipped" not in done.stdout


@pytest.mark.parametrize(
    ("right", "wrong", "caught_by"),
    [
        ("path.unlink()", "pass", "test_a_released_key_is_free"),
        ("fcntl.flock(lock, fcntl.LOCK_EX)", "pass", "at_once"),
        ('"body": record.body.decode("latin-1")', '"body": ""', "given_back_exactly"),
        ("rolling.known = known", "pass", "test_what_is_left_to_us_is_learned"),
        ("rolling.resize(limit)", "pass", "test_a_wider_limit_gives_the_difference"),
        ("rules.owned(load_key(path), token)", "load_key(path)", "test_a_lost_claim"),
    ],
)
def test_the_suite_finds_what_is_wrong(
    tmp_path: Path, right: str, wrong: str, caught_by: str
) -> None:
    """A store with one mistake in it fails the test that is about that."""
    for path in EXAMPLE.glob("*.*"):
        text = path.read_text()
        assert path.name != "folder_store.py" or right in text
        (tmp_path / path.name).write_text(text.replace(right, wrong))
    done = run_example(tmp_path, "-k", caught_by)
    assert done.returncode == 1, done.stdout
    assert caught_by in done.stdout
