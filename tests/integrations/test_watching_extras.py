"""Without their extras, what watches calls says what to install."""

import subprocess
import sys

import pytest
from support.store_workers import environment


@pytest.mark.parametrize(
    ("module", "missing", "extra"),
    [("opentelemetry", "opentelemetry", "otel"), ("prometheus", "prometheus_client", "prometheus")],
)
def test_a_missing_extra_is_named(module: str, missing: str, extra: str) -> None:
    """Importing an integration whose library isn't there is an ImportError with the remedy."""
    code = f"""
import sys
sys.modules[{missing!r}] = None
try:
    import frame_async.integrations.{module}
except ImportError as error:
    print(error, error.__cause__, error.__suppress_context__)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment()
    )
    assert f"pip install 'frame-async[{extra}]' None True" in done.stdout


@pytest.mark.parametrize("missing", ["opentelemetry", "prometheus_client"])
def test_the_library_does_without(missing: str) -> None:
    """Importing the library and making a client imports neither."""
    code = (
        "import sys; from frame_async import FrameClient; FrameClient('sk_sandbox_x'); "
        f"print({missing!r} in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment()
    )
    assert done.stdout.strip() == "False"
