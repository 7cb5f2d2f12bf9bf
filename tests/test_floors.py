"""The house's floors: imports only point down, and each third party has one importer."""

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

import frame_async

PACKAGE = Path(frame_async.__file__).parent
NAME = "frame_async"

FLOORS = {
    "_version": 0,
    "secret": 0,
    "shapes": 0,
    "calls": 0.25,
    "observers": 0.5,
    "logs": 1,
    "errors": 0.5,  # carries the record of a call, so it stands on `calls`
    "models": 1,
    "serialization": 2,
    "protocol": 2,
    "stores": 2.5,  # a call waits for its place in the window on the way to the wire
    "engine": 3,
    "resources": 4,
    "settings": 4,
    "client": 5,
    "clients": 5.25,
    "bulk": 5.5,  # runs of files go through a client
    "fleet": 5.75,  # and many hosts work off one
    "webhooks": 5,
    "redirects": 6,  # another name for a part of webhooks
    "integrations": 6,
    "testing": 6,
    "cli": 7,
    "__main__": 8,
    "__init__": 8,
}

THIRD_PARTIES = {
    "attrs": {"*"},
    "cattrs": {"serialization/_converter.py"},
    "msgspec": {"serialization/_json.py"},
    "aiohttp": {
        "engine/http.py",
        "client.py",
        "settings.py",
        "engine/opened.py",
        "engine/sessions.py",
        "engine/endings.py",
        "webhooks/listen.py",
        "webhooks/send.py",
        "cli/reaching.py",
        "integrations/aiohttp_web.py",
        "testing/mocks.py",
        "testing/responses.py",
        "emulator",
    },
    "aioresponses": {"testing/mocks.py", "testing/responses.py"},
    "typing_extensions": {"engine/pool.py"},  # for type checkers alone
    "yarl": {"engine/http.py", "engine/sessions.py"},
    "tenacity": {"engine/attempts.py"},
    "redis": {"stores"},
    "psycopg": {"stores"},
    "psycopg_pool": {"stores"},
    "click": {"cli", "emulator/command.py"},
    "rich": {"cli"},
    "segno": {"cli"},
    "pytest": {
        "testing/plugin.py",
        *(f"testing/store_conformance/{name}.py" for name in ("claims", "endings", "windows")),
    },
    "starlette": {"integrations/starlette.py", "integrations/fastapi.py"},
    "fastapi": {"integrations/fastapi.py"},
    "litestar": {"integrations/litestar.py"},
    "quart": {"integrations/quart.py"},
    "django": {"integrations/django.py"},
    "procrastinate": {"fleet/queue.py", "fleet/jobs.py"},
    "opentelemetry": {"integrations/opentelemetry.py"},
    "prometheus_client": {"integrations/prometheus.py"},
}

MODULES = sorted(PACKAGE.rglob("*.py"))
PAGE = Path(__file__).parents[1] / "docs" / "explanation" / "house.md"
PICTURE = PAGE.parents[1] / "_static" / "floors.svg"


def room(path: Path) -> str:
    """The first part of a module's path below the package, without its ending."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def parsed(path: Path) -> ast.Module:
    """A module's source, read once for all tests."""
    return ast.parse(path.read_text())


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, type-only and lazy ones too, by absolute name."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = [NAME, *path.relative_to(PACKAGE).parent.parts]
            base = parts[: len(parts) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def own_rooms(path: Path) -> Iterator[str]:
    """The rooms of ours that a file imports from; the empty string is the root itself."""
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == NAME:
            yield parts[1] if len(parts) > 1 else ""


def identify(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def test_page_and_picture_show_the_floors() -> None:
    """The table of the page and its picture have every room on its floor."""
    rows = re.findall(r"^\| ([0-9.]+) \| (`.+`) \|", PAGE.read_text(), re.MULTILINE)
    table = {name: float(floor) for floor, names in rows for name in re.findall(r"`(\w+)`", names)}
    row = re.compile(r">([0-9.]+)</text>\n<rect.*\n<text[^>]*weight[^>]*>(.+)<")
    drawn = row.findall(PICTURE.read_text())
    picture = {name: float(floor) for floor, names in drawn for name in names.split(", ")}
    hidden = {"_version"}
    assert table == picture == {name: at for name, at in FLOORS.items() if name not in hidden}


def each_module(check: Callable[[Path], None]) -> Callable[[], None]:
    """Check every module, in one test."""

    def test() -> None:
        for path in MODULES:
            try:
                check(path)
            except AssertionError as error:
                error.add_note(f"in {identify(path)}")
                raise

    test.__doc__ = check.__doc__
    return test


@each_module
def test_imports_point_down(path: Path) -> None:
    """A module imports from its own room and from rooms on lower floors only."""
    here = room(path)
    for target in set(own_rooms(path)) - {here, ""}:
        if here == "emulator":
            pytest.fail(f"the emulator imports {target}: it must stand apart")
        if target == "emulator":
            assert here in ("cli", "testing"), f"{here} imports the emulator"
            continue
        assert target in FLOORS, f"{target} has no floor in the table"
        assert FLOORS[target] < FLOORS[here], f"{here} imports {target}, which is not below it"


@each_module
def test_nobody_inside_imports_the_root(path: Path) -> None:
    """No module imports the package root, which is there for users."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ImportFrom):
            assert node.module != NAME or node.level
        if isinstance(node, ast.Import):
            assert all(alias.name != NAME for alias in node.names)


@each_module
def test_third_parties_have_their_importers(path: Path) -> None:
    """Only the rooms in the table import a third party."""
    import sys

    for name in imports(path):
        top = name.split(".")[0]
        if top in sys.stdlib_module_names or top == NAME:
            continue
        assert top in THIRD_PARTIES, f"{top} is not in the table"
        allowed = THIRD_PARTIES[top]
        assert "*" in allowed or room(path) in allowed or identify(path) in allowed, (
            f"{identify(path)} imports {top}"
        )


@each_module
def test_private_files_stay_in_their_folder(path: Path) -> None:
    """A file with a leading underscore is imported from its own folder only."""
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != NAME or "_version" in parts:
            continue
        target = PACKAGE.joinpath(*parts[1:]).with_suffix(".py")
        private = target.name.startswith("_") and not target.name.startswith("__")
        if private and target.is_file():
            assert target.parent == path.parent, f"{identify(path)} imports {name}"


def test_every_room_has_a_floor() -> None:
    """Every module and folder of the package has its place in the table."""
    rooms = {room(path) for path in MODULES}
    assert rooms - {"emulator"} <= set(FLOORS)


@each_module
def test_modules_stay_one_room(path: Path) -> None:
    """No module is longer than 400 lines."""
    assert len(path.read_text().splitlines()) <= 400


PUBLIC_ROAD = {
    *("aiohttp.web", "cattrs.errors", "cattrs.fns", "cattrs.gen", "cattrs.preconf.msgspec"),
    *("redis.asyncio", "redis.backoff", "redis.exceptions", "redis.asyncio.retry"),
    "redis.asyncio.cluster",
    *("psycopg.conninfo", "psycopg.errors", "psycopg.pq", "psycopg.rows", "psycopg.sql"),
    "psycopg.types.json",
    *("procrastinate.exceptions", "procrastinate.jobs", "procrastinate.manager"),
}
"""Submodules that the documentation of their libraries names."""


@cache
def submodules() -> set[tuple[str, str]]:
    """The submodules of libraries that the package imports, and where."""
    from importlib.util import find_spec

    libraries = ("aiohttp", "attr", "attrs", "cattrs", "tenacity", "redis", "psycopg")
    found = set[tuple[str, str]]()
    for path in MODULES:
        for name in imports(path):
            if name.split(".")[0] not in (*libraries, "procrastinate"):
                continue
            try:
                is_module = "." in name and find_spec(name) is not None
            except ModuleNotFoundError:  # a name in a module, which comes by itself, too
                is_module = False
            if is_module:
                found.add((identify(path), name))
    return found


def test_only_documented_submodules_are_imported() -> None:
    """Of each library that the engine, stores and fleets stand on, we use what its docs show.

    The emulator is one of aiohttp's servers, and stands apart.
    """
    used = {(where, name) for where, name in submodules() if not where.startswith("emulator/")}
    assert {one for one in used if one[1] not in PUBLIC_ROAD} == set()


PRIVATE_OWNERS = {
    "connector",
    "connection",
    "content",
    "protocol",
    "response",
    "session",
    "transport",
}


@each_module
def test_no_private_name_of_a_library(path: Path) -> None:
    """Nothing with a leading underscore is taken from what a library gave, nor imported from it."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in THIRD_PARTIES:
            assert not [alias.name for alias in node.names if alias.name.startswith("_")]
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            private = node.attr.startswith("_") and not node.attr.startswith("__")
            assert not (private and node.value.id in PRIVATE_OWNERS), ast.unparse(node)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "getattr":
            name = node.args[1]
            assert not (isinstance(name, ast.Constant) and str(name.value).startswith("_")), (
                ast.unparse(node)
            )


def test_no_two_classes_have_one_name() -> None:
    """Each class of the package has a name of its own."""
    homes: dict[str, list[str]] = {}
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                homes.setdefault(node.name, []).append(identify(path))
    doubled = {name: where for name, where in homes.items() if len(where) > 1}
    assert doubled == {}


def error_tables(path: Path) -> list[str]:
    """Dicts, tuples and lists of a module's own that hold several of our error classes."""
    found: list[str] = []
    for node in parsed(path).body:
        value = getattr(node, "value", None)
        if not isinstance(node, ast.Assign | ast.AnnAssign) or ast.unparse(node).startswith(
            "__all"
        ):
            continue
        parts = list(ast.walk(value)) if value else []
        names = {n.id for n in parts if isinstance(n, ast.Name)}
        names |= {n.attr for n in parts if isinstance(n, ast.Attribute)}
        if len(names & OUR_ERRORS) > 1:
            found.append(ast.unparse(node))
    return found


OUR_ERRORS = {
    node.name
    for node in ast.walk(parsed(PACKAGE / "errors.py"))
    if isinstance(node, ast.ClassDef) and node.name.endswith("Error")
}


def test_one_table_says_what_errors_mean() -> None:
    """Whoever runs many calls, or answers for one, has no table of errors of its own."""
    rooms = ("bulk", "fleet", "integrations", "cli", "resources")
    readers = [path for path in MODULES if room(path) in rooms or path.name == "pool.py"]
    assert [table for path in readers for table in error_tables(path)] == []
    assert error_tables(PACKAGE / "protocol" / "dispositions.py")
