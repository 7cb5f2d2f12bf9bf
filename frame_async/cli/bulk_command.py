"""The options of ``frame-async bulk``, as they were given."""

from pathlib import Path
from typing import Final, Literal

from attrs import field, frozen

from frame_async.bulk.output import OutputFormat
from frame_async.bulk.sources import Format, Reading
from frame_async.protocol.retry import RetryPolicy

STDIN: Final = Path("-")
CHANGED: Final = "changed"
AUTO: Final = "auto"


class OptionsError(Exception):
    """Options that don't go together."""


@frozen(kw_only=True)
class Command:
    """The options as they were given."""

    orders: Path
    output: Path | None
    check_only: bool
    strict: bool
    input_format: Format | None
    output_format: OutputFormat | None
    encoding: str
    delimiter: str
    quote: str
    sheet: str = ""
    maps: tuple[str, ...]
    sets: tuple[str, ...] = field(repr=False)
    key_column: str
    mode: Literal["sandbox", "live"] | None
    on_emulator: bool
    limit: int | None
    concurrency: int
    on_unknown: Literal["retry", "hold"]
    again: tuple[str, ...]
    state: Path | None
    store: str | None = field(repr=False)
    proxy: str | None = field(default=None, repr=False)
    new_key: bool
    rewrite: bool = False
    raw_csv: bool = False
    grace: float
    patience: float
    every: float
    as_json: bool
    verbose: bool
    queue: str | None = field(default=None, repr=False)
    run: str | None = None

    @property
    def to_stdout(self) -> bool:
        """Whether results go to the standard output."""
        return self.output == STDIN

    @property
    def to_file(self) -> bool:
        """Whether results go to a file that can be cut back, and not to a pipe or device."""
        if self.output is None or self.to_stdout:
            return False
        return self.output.is_file() or not self.output.exists()

    @property
    def reading(self) -> Reading:
        """How the input is read."""
        return Reading(
            format=self.input_format,
            encoding=self.encoding,
            delimiter=self.delimiter,
            quote=self.quote,
            sheet=self.sheet,
        )

    @property
    def state_path(self) -> Path | None:
        """The state file; None when it is gone afterwards."""
        if self.state is not None or self.output is None or not self.to_file:
            return self.state
        return self.output.with_name(f"{self.output.name}.state")

    @property
    def folder(self) -> Path | None:
        """Where the state file is; None when it is gone afterwards."""
        return self.state_path.parent if self.state_path else None

    @property
    def written_as(self) -> OutputFormat:
        """The format of the output."""
        suffix = self.output.suffix.lower() if self.output else ""
        named = self.output_format or ("csv" if suffix == ".csv" else "jsonl")
        return "raw csv" if named == "csv" and self.raw_csv else named

    @property
    def policy(self) -> RetryPolicy:
        """How calls are retried."""
        return RetryPolicy(on_unknown="retry" if self.on_unknown == "retry" else "raise")
