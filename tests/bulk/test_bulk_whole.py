"""The output is whole, or the exit status isn't 0."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.bulk_runs import Place, ended, orders, until

from frame_async.bulk.output import Output, itself
from frame_async.bulk.pinned import RunFileError
from frame_async.emulator import Emulator
from frame_async.errors import ConfigurationError

_NAMES = [f"order-{n}" for n in range(300)]


def _edited(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(20)
        file.write(b"#")


def _emptied(path: Path) -> None:
    os.truncate(path, 0)


def _replaced(path: Path) -> None:
    path.unlink()
    path.write_bytes(b"mine\n")


@pytest.mark.parametrize("result", ["out.jsonl", "out.csv"])
@pytest.mark.parametrize(
    ("harm", "says", "kept"),
    [
        (Path.unlink, "was deleted", False),
        (_emptied, "the output", True),
        (_edited, "was changed", True),
        (_replaced, "was replaced", True),
    ],
)
async def test_an_output_that_is_lost_meanwhile(
    tmp_path: Path, harm: Callable[[Path], None], says: str, kept: bool, result: str
) -> None:
    """What is lost during the run is written again from the state; what was found there is kept."""
    async with Emulator(limit=None, latency="15ms") as emulator:
        place = Place(tmp_path, emulator.base_url, orders(300), result=result)
        process = await place.start("--concurrency", "4", "--json")
        await until(lambda: place.output.exists() and place.output.stat().st_size > 2_000, 120)
        harm(place.output)
        ran = await ended(process)
        assert (ran.status, ran.summary["created"]) == (0, 300)
        assert says in ran.err
        results = place.check_complete(_NAMES)
        assert all([r["session_id"]] == list(emulator.created(n)) for n, r in results.items())
        assert (place.output.with_name(f"{result}.found")).exists() == kept
        again = await place.run("--json")
        assert (again.status, again.summary["created_before"]) == (0, 300)
        assert all(len(emulator.created(name)) == 1 for name in _NAMES)


async def test_an_output_that_is_lost_between_two_runs(tmp_path: Path) -> None:
    """The next run writes it again, and sends nothing; ``--rewrite`` does that without a key."""
    async with Emulator(limit=None) as emulator:
        place = Place(tmp_path, emulator.base_url, orders(5))
        assert (await place.run()).status == 0
        before = sorted(place.output.read_bytes().splitlines())
        place.output.unlink()
        assert (await place.run()).status == 0
        assert sorted(place.output.read_bytes().splitlines()) == before
        place.output.write_text("mine")
        place.orders.unlink()
        ran = await place.run("--rewrite", env={"FRAME_SECRET_KEY": ""})
        assert (ran.status, "5 lines written again" in ran.err) == (0, True)
        assert sorted(place.output.read_bytes().splitlines()) == before
        assert place.output.with_name("out.jsonl.found").read_text() == "mine"
        assert len(emulator.created("order-4")) == 1


async def test_nothing_to_rewrite_from(tmp_path: Path) -> None:
    """Without a state file, ``--rewrite`` says so and makes none."""
    place = Place(tmp_path, None, orders(1))
    ran = await place.run("--rewrite")
    assert (ran.status, "no state file" in ran.err, place.state.exists()) == (2, True, False)


async def test_two_runs_on_one_output(tmp_path: Path) -> None:
    """The second is told so and leaves with status 4; the first isn't disturbed."""
    async with Emulator(limit=None, latency="20ms") as emulator:
        place = Place(tmp_path, emulator.base_url, orders(300))
        states = [str(tmp_path / name) for name in ("a", "b")]
        first, second = [await place.start("--state", s, "--concurrency", "4") for s in states]
        runs = [await ended(first), await ended(second)]
        good, bad = sorted(runs, key=lambda ran: ran.status)
        assert good.status == 0
        assert bad.status in (2, 4)  # 2 where it came so late that there were lines
        assert "the output" in bad.err
        place.check_complete(_NAMES)
        assert all(len(emulator.created(name)) == 1 for name in _NAMES)


def test_a_locked_output(tmp_path: Path) -> None:
    """As long as one has an output open, nobody else can open it."""
    first = Output(tmp_path / "out", "jsonl", new=True)
    with pytest.raises(RunFileError, match="another run is writing"):
        Output(tmp_path / "out", "jsonl", new=True)
    first.close()
    Output(tmp_path / "out", "jsonl", new=True).close()


def test_new_outputs_are_for_their_owner(tmp_path: Path) -> None:
    """Who can read a line can open its payment page, so nobody else can, whatever the umask."""
    before = os.umask(0)
    try:
        Output(tmp_path / "out", "jsonl").close()
    finally:
        os.umask(before)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o600


def test_links_that_lead_nowhere(tmp_path: Path) -> None:
    """A dangling link isn't followed, be it the output or the state; a good one of ours is."""
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match="leads nowhere"):
        itself(link)
    (tmp_path / "elsewhere").touch()
    assert itself(link) == (tmp_path / "elsewhere").resolve()


def _zeroed(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))


def _cut(path: Path) -> None:
    os.truncate(path, 4096)


@pytest.mark.parametrize("harm", [Path.unlink, _emptied, _cut, _zeroed, _replaced])
async def test_a_state_that_is_lost_meanwhile(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    """A state file that is deleted, cut, zeroed or replaced stops its run with status 4; said."""
    async with Emulator(limit=None, latency="20ms") as emulator:
        place = Place(tmp_path, emulator.base_url, orders(400))
        process = await place.start("--concurrency", "4", "--json")
        await until(lambda: place.output.exists() and place.output.stat().st_size > 2_000, 120)
        harm(place.state)
        ran = await ended(process)
        assert ran.status == 4
        assert "was deleted, emptied, replaced or restored while" in ran.summary["stopped"]
        assert len(place.results()) < 400
        again = await place.run()
        assert again.status != 0
        assert all(len(emulator.created(f"order-{n}")) <= 1 for n in range(400))


async def test_a_log_of_the_state_that_is_deleted(tmp_path: Path) -> None:
    """The run stops before more goes into a log without a name; the next one goes on."""
    async with Emulator(limit=None, latency="20ms") as emulator:
        place = Place(tmp_path, emulator.base_url, orders(400))
        process = await place.start("--concurrency", "4", "--json")
        await until(lambda: place.output.exists() and place.output.stat().st_size > 2_000, 120)
        Path(f"{place.state}-wal").unlink()
        ran = await ended(process)
        assert ran.status == 4
        assert "was deleted, emptied, replaced or restored while" in ran.summary["stopped"]
        assert len(place.results()) < 400
        again = await place.run()
        assert again.status == 0, again.err
        place.check_complete([f"order-{n}" for n in range(400)])
        admitted = sum(result["possible_duplicates"] for result in place.results())
        assert sum(len(emulator.created(f"order-{n}")) for n in range(400)) <= 400 + admitted


async def test_a_state_behind_a_link_that_leads_nowhere(tmp_path: Path) -> None:
    """The run refuses it before it sends anything, and nothing is made where it leads."""
    async with Emulator(limit=None) as emulator:
        place = Place(tmp_path, emulator.base_url, orders(2))
        place.state.symlink_to(tmp_path / "elsewhere")
        for options in ((), ("--rewrite",)):
            ran = await place.run(*options)
            assert ran.status == 2
        assert not emulator.created()
        assert not (tmp_path / "elsewhere").exists()
        named = await place.run("--state", str(place.state))
        assert (named.status, "leads nowhere" in named.err) == (2, True)
