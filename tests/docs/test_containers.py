"""The container files: no engine runs here, so they are parsed, and their commands are run."""

import json
import os
import re
import shlex
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml
from support.servers import free_port

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "examples" / "containers"
PAGE = ROOT / "docs" / "how-to" / "containers.md"
KNOWN = {"FROM", "COPY", "RUN", "USER", "WORKDIR", "ENV", "CMD"}


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile, and what each says."""
    lines = (FOLDER / "Dockerfile").read_text().splitlines()
    split = (line.partition(" ") for line in lines if line.strip() and not line.startswith("#"))
    return [(name, rest.strip()) for name, _, rest in split]


def compose() -> dict[str, Any]:
    """The Compose file."""
    return dict(yaml.safe_load((FOLDER / "compose.yaml").read_text()))


def test_the_dockerfile() -> None:
    """It copies what is there, installs extras that exist, and doesn't run as root."""
    found = instructions()
    assert {name for name, _ in found} <= KNOWN
    assert [name for name, _ in found].count("FROM") == 1
    copied = [word for name, rest in found if name == "COPY" for word in rest.split()[:-1]]
    assert [name for name in copied if not (ROOT / name).exists()] == []
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert {"README.md", "LICENSE", "frame_async", "docs/examples"} <= set(copied)
    (install,) = (rest for name, rest in found if name == "RUN" and rest.startswith("pip install"))
    (target,) = (word for word in shlex.split(install) if word.startswith("/src["))
    extras = target.partition("[")[2].rstrip("]").split(",")
    assert set(extras) <= project["project"]["optional-dependencies"].keys()
    assert ("USER", "shop") in found
    assert found[-1][0] == "CMD"
    assert json.loads(found[-1][1])[:2] == ["frame-async", "emulator"]


def test_the_compose_file() -> None:
    """Both services build the Dockerfile, publish on loopback alone, and know each other."""
    services = compose()["services"]
    assert services.keys() == {"emulator", "shop"}
    for service in services.values():
        build = service["build"]
        assert (FOLDER / build["context"]).resolve() == ROOT
        assert (ROOT / build["dockerfile"]).is_file()
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    shop, emulator = services["shop"], services["emulator"]
    assert shop["depends_on"]["emulator"]["condition"] == "service_healthy"
    assert "test" in emulator["healthcheck"]
    assert shop["environment"]["FRAME_ALLOW_HTTP_TO"] in shop["environment"]["FRAME_API_BASE_URL"]
    secret = "FRAME_WEBHOOK_SECRET"
    assert shop["environment"][secret] == emulator["environment"][secret]


# In a network of Compose, names of containers lead to them; here, to this machine.
NAMES = """
import socket
real = socket.getaddrinfo
def here(host, *rest, **more):
    return real("127.0.0.1" if host in ("emulator", "shop", b"emulator", b"shop") else host,
                *rest, **more)
socket.getaddrinfo = here
"""


@contextmanager
def running(
    service: Mapping[str, Any], ports: Mapping[str, str], folder: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run the command of a service, with ports that are free here."""

    def moved(text: str) -> str:
        for given, free in ports.items():
            text = re.sub(rf"\b{given}\b", free, text)
        return text

    program, *rest = (moved(word) for word in service["command"])
    if program == "frame-async":
        rest.append(f"--port={ports['8642']}")
    if program == "uvicorn":
        rest.append("--loop=asyncio")  # uvloop asks the system for names, not `socket`
    module = {"frame-async": "frame_async", "uvicorn": "uvicorn"}[program]
    given = {name: moved(value) for name, value in service["environment"].items()}
    paths = [str(folder), str(ROOT / "docs" / "examples"), str(ROOT)]
    environment = os.environ | given | {"PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-m", module, *rest]
    with subprocess.Popen(command, env=environment, cwd=folder) as process:
        try:
            yield process
        finally:
            process.terminate()
            assert process.wait(20) is not None


def answered(url: str, method: str = "GET") -> tuple[str, str]:
    """Where a server leads to, and what it says there, as soon as it is up."""
    deadline = time.monotonic() + 30
    data = None if method == "GET" else b""
    while True:
        try:
            request = urllib.request.Request(url, data=data, method=method)
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.geturl(), answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(error.read()) from None
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def test_their_commands_run(tmp_path: Path) -> None:
    """Emulator and shop, started as the file says, make a session over the containers' names."""
    (tmp_path / "sitecustomize.py").write_text(NAMES)
    services, ports = compose()["services"], {n: str(free_port()) for n in ("8642", "8000")}
    with ExitStack() as stack:
        for name in ("emulator", "shop"):
            stack.enter_context(running(services[name], ports, tmp_path))
        emulator, shop = (f"http://127.0.0.1:{ports[port]}" for port in ("8642", "8000"))
        check = services["emulator"]["healthcheck"]["test"][3].replace("8642", ports["8642"])
        answered(f"{emulator}/health")
        subprocess.run([sys.executable, "-c", check], check=True, timeout=30)
        answered(f"{shop}/")
        order, _ = answered(f"{shop}/buy/prod_3", "POST")
        assert order.startswith(f"{shop}/orders/")
        page, text = answered(f"{order}/pay", "POST")
        assert page.startswith(f"{emulator}/pay/")
        assert "<form" in text


def test_the_yaml_of_the_page() -> None:
    """The blocks of the page are YAML, name jobs, and call commands with options that exist."""
    from frame_async.cli.commands import cli

    blocks = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    actions, gitlab = (yaml.safe_load(block) for block in blocks)
    steps = actions["jobs"]["tests"]["steps"]
    runs = [step["run"] for step in steps if "run" in step]
    assert any(run.startswith("frame-async emulator --limit none") for run in runs)
    assert gitlab["tests"]["variables"]["FRAME_ALLOW_HTTP_TO"] == "emulator"
    assert gitlab["tests"]["services"][0]["alias"] == "emulator"
    for words in (["create"], ["emulator"]):
        assert words[0] in cli.commands
