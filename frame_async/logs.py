"""The log of a script: ``FRAME_LOG=info`` shows what calls do, and needs no line of code."""

import json
import logging
import os
from datetime import UTC, datetime
from typing import Final

from frame_async.errors import ConfigurationError

VARIABLE: Final = "FRAME_LOG"
_LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}
_SHAPES: Final = ("text", "json")
_TEXT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """A record as time, level, logger and message; and the traceback, if there is one."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


class LogHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to the standard error; there is one at most."""


def set_up_from_environment() -> None:
    """Do what ``FRAME_LOG`` says: ``debug``, ``info`` or ``warning``, or such as ``json:info``.

    Where an application has set up logging itself, only the level of our logger is changed.

    Raises:
        ConfigurationError: it says something else.
    """
    said = os.environ.get(VARIABLE, "")
    if not said:
        return
    shape, colon, level = said.rpartition(":")
    shape = shape if colon else "text"
    if level.lower() not in _LEVELS or shape.lower() not in _SHAPES:
        raise ConfigurationError(f"{VARIABLE} must be debug, info or warning, or such as json:info")
    logger = logging.getLogger("frame_async")
    logger.setLevel(_LEVELS[level.lower()])
    if logger.hasHandlers():  # of the application, or ours
        return
    handler = LogHandler()
    handler.setFormatter(JsonLines() if shape.lower() == "json" else logging.Formatter(_TEXT))
    logger.addHandler(handler)
