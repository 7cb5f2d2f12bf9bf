"""The project's chores; ``nox -l`` lists them. The same sessions run in CI."""

import nox

nox.needs_version = ">=2024.10"
nox.options.sessions = ["tests", "lint", "types", "docs"]
nox.options.default_venv_backend = "venv"
# CI=true would make nox fail on an interpreter that this machine doesn't have.
nox.options.error_on_missing_interpreters = False

PYTHONS = nox.project.python_versions(nox.project.load_toml("pyproject.toml"))


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the whole suite against the built wheel, and report branch coverage."""
    session.install(".[test]")
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


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format."""
    session.install("ruff")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Check types with mypy and pyright, both strict."""
    session.install("-e", ".[lint]")
    session.run("mypy")
    session.run("pyright")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation; a warning is an error."""
    session.install(".[docs]")
    session.run("sphinx-build", "-nW", "--keep-going", "-b", "html", "docs", "docs/_build/html")


@nox.session
def soak(session: nox.Session) -> None:
    """Run the long forms: 20,000 calls under random faults, 200 kills of each writer, a fleet."""
    session.install(".[test]")
    session.run(
        "pytest",
        "-q",
        "tests/transport/test_truth.py",
        "tests/stores",
        "tests/bulk/test_bulk_killed.py",
        "tests/cli/test_cli_bulk_processes.py",
        "tests/fleet/test_fleet_killed.py",
        "tests/docs/test_queue_examples.py",
        env={"FRAME_SOAK_CALLS": "20000", "FRAME_SOAK_KILLS": "200"},
    )


# Other benchmarks by name, and what is installed for them.
BENCHMARKS = {
    "bulk": "bench",
    "calls": "bench",
    "emulator": "bench",
    "evidence": "bench",
    "footprint": "test",
    "imports": "bench",
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
    session.install("." if "--check" in words else f".[{extra}]")
    session.run("python", f"tests/benchmarks/{name}.py", *words, env={"PYTHONPATH": "tests"})
