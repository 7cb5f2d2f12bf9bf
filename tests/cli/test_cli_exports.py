"""Files as shops export them, through the command."""

import io
import json
import re
import runpy
import shlex
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from support.bulk_runs import Desk

from frame_async.emulator import Emulator

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "exports.md").read_text()
SHOPIFY = [
    *("Name", "Email", "Financial Status", "Paid at", "Fulfillment Status", "Fulfilled at"),
    *("Accepts Marketing", "Currency", "Subtotal", "Shipping", "Taxes", "Total"),
    *("Discount Code", "Discount Amount", "Shipping Method", "Created at"),
    *("Lineitem quantity", "Lineitem name", "Lineitem price", "Lineitem compare at price"),
    *("Lineitem sku", "Lineitem requires shipping", "Lineitem taxable"),
    *("Lineitem fulfillment status", "Billing Name", "Billing Street", "Billing Phone"),
    *("Shipping Name", "Notes", "Note Attributes", "Cancelled at", "Payment Method"),
    *("Payment Reference", "Refunded Amount", "Vendor", "Outstanding Balance", "Id", "Tags"),
]
"""The columns of Shopify's order export that say something here, in its order."""

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


# --- the page of exports, command by command -------------------------------------------


def section(title: str) -> tuple[list[str], list[list[str]]]:
    """The files that a section shows, and its commands."""
    part = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    files = re.findall(r"```text\n(.*?)```", part, re.DOTALL)
    scripts = re.findall(r"```sh\n(.*?)```", part, re.DOTALL)
    lines = [line for script in scripts for line in script.replace("\\\n", "").splitlines()]
    return files, [shlex.split(line) for line in lines]


def follow(desk: Desk, words: list[str]) -> list[str]:
    """Do what a command of the page says; the references that have a session then."""
    if words[0] == "python":
        desk.monkeypatch.setattr(
            sys, "argv", [str(ROOT / "docs" / "examples" / words[1]), *words[2:]]
        )
        runpy.run_path(sys.argv[0], run_name="__main__")
        return []
    (desk.place.folder / "sessions.jsonl.state").unlink(missing_ok=True)
    (desk.place.folder / "sessions.jsonl").unlink(missing_ok=True)
    assert words[:2] == ["frame-async", "bulk"]
    checked = desk.invoke([*words[1:], "--check"])
    assert (checked.status, "wrong" in checked.err) == (0, True), checked.err
    ran = desk.invoke(words[1:])
    assert ran.status == 0, ran.err
    lines = (desk.place.folder / "sessions.jsonl").read_text().splitlines()
    return [json.loads(line)["reference"] for line in lines]


def shopify(*orders: dict[str, str]) -> str:
    """An export of Shopify with these rows."""
    rows = [",".join(f'"{order.get(name, "")}"' for name in SHOPIFY) for order in orders]
    return "\n".join([",".join(SHOPIFY), *rows, ""])


@pytest.fixture
def here(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the commands of the page are given."""
    monkeypatch.chdir(desk.place.folder)
    return desk.place.folder


def bodies(server: Emulator) -> dict[str, Any]:
    """What was sent, by reference."""
    sent: list[dict[str, Any]] = [dict(entry.body or {}) for entry in server.ledger]
    return {body["client_reference_id"]: body for body in sent}


def test_the_first_command(desk: Desk, here: Path) -> None:
    """The command at the beginning of the page checks a file."""
    (here / "orders.csv").write_text("Order,Remarks\n1,x\n")
    (line,) = re.findall(r"```sh\n(.*?)```", PAGE.split("\n## ")[0], re.DOTALL)
    assert desk.invoke(shlex.split(line)[1:]).status == 0


def test_excel_in_german(desk: Desk, here: Path, server: Emulator) -> None:
    """Windows-1252, semicolons and decimal commas; the zero of an order number stays."""
    (text,), (command,) = section("Excel, in German")
    data = text.replace("\n", "\r\n").encode("windows-1252")
    (here / "bestellungen.csv").write_bytes(data)
    assert sorted(follow(desk, command)) == ["0815", "0816"]
    assert bodies(server)["0815"]["line_items"] == [{"product": "prod_mug", "quantity_minimum": 2}]
    (here / "bestellungen.csv").write_bytes(b"sep=;\r\n" + data)
    assert sorted(follow(desk, command)) == ["0815", "0816"]


def test_excel_in_english(desk: Desk, here: Path, server: Emulator) -> None:
    """A sheet of a workbook, with a number format, a date, and a hidden sheet before it."""
    _, (command,) = section("Excel, in English")
    book = openpyxl.Workbook()
    book.worksheets[0].sheet_state = "hidden"
    book.create_sheet("Summary").append(("Total", 2))
    sheet = book.create_sheet("Open orders")
    sheet.append(("Order No.", "Date", "E-mail", "Product ID", "Total"))
    sheet.append((815, "2026-11-29", "ada@mail.example", "prod_mug", 19.9))
    sheet.append((816, "2026-11-29", "alan@mail.example", "prod_cap", "=1+1"))
    for cell in ("A2", "A3"):
        sheet[cell].number_format = "00000"
    book.save(here / "orders.xlsx")
    assert sorted(follow(desk, command)) == ["00815", "00816"]
    assert bodies(server)["00816"]["customer_email"] == "alan@mail.example"


def test_google_sheets(desk: Desk, here: Path, server: Emulator) -> None:
    """Empty columns without a name are nothing; a note in one makes its row wrong."""
    (text,), (command,) = section("Google Sheets and LibreOffice")
    (here / "sheet.csv").write_text(text)
    assert sorted(follow(desk, command)) == ["A-1001", "A-1002"]
    assert bodies(server)["A-1001"]["expires_in"] == 3600
    (here / "sheet.csv").write_text(text + "A-1003,x@mail.example,prod_cap,,,call them\n")
    said = desk.invoke([*command[1:], "--check"]).err
    assert "line 4 (A-1003): column 6: has no name (name it in the header, or take it out)" in said


def test_pandas(desk: Desk, here: Path, server: Emulator) -> None:
    """Floats that are whole are integers; an index without a name is refused, or left out."""
    (text,), (command,) = section("pandas")
    (here / "orders.csv").write_text(text)
    assert sorted(follow(desk, command)) == ["B-1", "B-2"]
    assert bodies(server)["B-1"]["expires_in"] == 3600
    head, *rows = text.splitlines()
    indexed = "\n".join([f",{head}", *(f"{n},{row}" for n, row in enumerate(rows))])
    (here / "orders.csv").write_text(indexed)
    assert "column 1: has no name" in desk.invoke([*command[1:], "--check"]).err
    assert desk.invoke([*command[1:], "--check", "--map", "*="]).status == 0


def test_shopify(desk: Desk, here: Path, server: Emulator) -> None:
    """The items of an order come together, paid orders are left out; single items need none."""
    _, (script, command, single) = section("Shopify")
    first = {"Name": "#1001", "Email": "", "Financial Status": "pending"}
    mug = {"Lineitem quantity": "2", "Lineitem sku": "MUG-01", "Lineitem name": "Mug, blue"}
    cap = {"Lineitem quantity": "1", "Lineitem sku": "CAP-02"}
    paid = {"Name": "#1002", "Email": "alan@mail.example", "Financial Status": "paid"}
    rows = (first | mug, {"Name": "#1001"} | cap, paid | mug, {"Name": "#1002"} | cap)
    (here / "orders_export.csv").write_text(shopify(*rows), encoding="utf-8-sig")
    follow(desk, script)
    assert follow(desk, command) == ["#1001"]
    assert [item["product"] for item in bodies(server)["#1001"]["line_items"]] == [
        *("prod_mug", "prod_cap"),
    ]
    (here / "single_items.csv").write_text(shopify(first | mug, paid | cap))
    assert sorted(follow(desk, single)) == ["#1001", "#1002"]
    (here / "single_items.csv").write_text(shopify(*rows))
    said = desk.invoke([*single[1:], "--check"]).err
    assert "line 3 (#1001): Name: is the same as on line 2" in said


def test_woocommerce(desk: Desk, here: Path, server: Emulator) -> None:
    """Unpaid orders have all their items with their quantities, without an e-mail address too."""
    (text,), (script, command, _) = section("WooCommerce")
    (here / "woocommerce.csv").write_text(text)
    follow(desk, script)
    assert sorted(follow(desk, command)) == ["1731", "1733"]
    sent = bodies(server)
    assert [
        [item["quantity_maximum"] for item in body["line_items"]] for body in sent.values()
    ] in (
        [[2], [1, 1]],
        [[1, 1], [2]],
    )
    assert (sent["1731"]["customer_email"], "customer_email" in sent["1733"]) == (
        "ada@mail.example",
        False,
    )


def test_woocommerce_of_one_product(desk: Desk, here: Path, server: Emulator) -> None:
    """Its payment_method is none of ours: left out by name, and refused otherwise."""
    (text,), (_, _, command) = section("WooCommerce")
    (here / "same_product.csv").write_text(text)
    assert sorted(follow(desk, command)) == ["1731", "1732", "1733"]
    assert bodies(server)["1731"]["customer_email"] == "ada@mail.example"
    assert "payment_method" not in bodies(server)["1731"]
    at = command.index("payment_method=")
    words = [*command[1 : at - 1], *command[at + 1 :]]
    assert "payment_method" in desk.invoke([*words, "--check"]).err


def test_an_article_that_frame_does_not_know(desk: Desk, here: Path) -> None:
    """The script ends with the order and the article, and not with a traceback."""
    _, (script, _, _) = section("Shopify")
    row = {"Name": "#7", "Financial Status": "pending", "Lineitem quantity": "1"}
    (here / "orders_export.csv").write_text(shopify(row))
    with pytest.raises(SystemExit, match="#7: PRODUCTS has no article ''"):
        follow(desk, script)


def test_other_columns_are_left_out_alone(desk: Desk) -> None:
    """``*=`` leaves fields where they are, and stands for no field itself."""
    desk.write("client_reference_id,x,line_items.0.product,y\no1,1,p,2\n")
    assert desk.run("--check", "--map", "*=").status == 0
    told = desk.run("--check", "--map", "*=customer")
    assert (told.status, "leave other columns out with *=" in told.err) == (2, True)
