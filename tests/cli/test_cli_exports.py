"""Files as shops export them, through the command."""

import io
import json
from importlib import import_module
from typing import Any

from support.bulk_runs import Desk

from frame_async.emulator import Emulator

openpyxl: Any = import_module("openpyxl")  # untyped


def workbook(*rows: tuple[Any, ...]) -> bytes:
    """A workbook of Excel with these rows."""
    book = openpyxl.Workbook()
    for row in rows:
        book.worksheets[0].append(row)
    data = io.BytesIO()
    book.save(data)
    return data.getvalue()


def test_the_command_reads_a_workbook(desk: Desk, server: Emulator) -> None:
    """A workbook gives the same rows as the CSV that it is exported to; a pipe, too."""
    data = workbook(
        ("client_reference_id", "account", "line_items.0.product"),
        *((f"order-{n}", "acc", "prod_1") for n in range(10)),
    )
    assert desk.run().status == 0
    desk.write(data, "orders.xlsx")
    ran = desk.run("--json")
    assert (ran.status, json.loads(ran.out)["created_before"]) == (0, 10)
    assert desk.run(given=data, source="-").status == 0
    assert len(server.created()) == 10
