"""Rows keep their identity: who stands where they stood, and who doesn't, in a later run."""

import json

from support.bulk_runs import COLUMNS, Desk, orders

from frame_async.emulator import Emulator


def lines_of(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def test_rows_that_moved_make_no_second_session(desk: Desk, server: Emulator) -> None:
    """Without --key, rows that were reversed, inserted or removed are known by what they say."""
    assert desk.run().status == 0
    head, *rows = lines_of(orders(10))
    for text in ([*reversed(rows)], ["new,acc,prod_1\n", *rows[3:]], rows):
        desk.write("".join([head, *text]))
        assert desk.run().status == 0
    assert len(server.created()) == 11
    assert len(server.created("new")) == 1
    assert len(desk.place.results()) == 11


def test_a_row_that_has_changed_waits_for_a_word(desk: Desk, server: Emulator) -> None:
    """It stands where another stood: named, and sent when it is said to be new."""
    assert desk.run().status == 0
    head, *rows = lines_of(orders(10))
    moved = ["new,acc,prod_1\n", *rows]
    desk.write("".join([head, *moved]))
    assert desk.run().status == 0
    moved[4] = "order-3,acc,prod_2\n"  # the places of the run before count, not of the first
    desk.write("".join([head, *moved]))
    for _ in range(2):
        ran = desk.run("--json")
        assert (ran.status, ran.summary["changed"], ran.summary["pending"]) == (1, 1, 0)
        assert ran.summary["changed_rows"] == [{"line": 6, "reference": "order-3"}]
    assert len(server.created("order-3")) == 1
    ran = desk.run("--again", "changed", "--json")
    assert (ran.status, ran.summary["possible_duplicates"], ran.summary["gone"]) == (0, 0, 1)
    assert len(server.created("order-3")) == 2
    assert desk.run().status == 0
    assert len(desk.place.results()) == 12


def test_a_changed_row_with_a_key(desk: Desk, server: Emulator) -> None:
    """With --key, too, it is sent when that is said, and the line of its first session stays."""
    key = ("--key", "client_reference_id")
    assert desk.run(*key).status == 0
    desk.write(orders(10).replace("order-3,acc,prod_1", "order-3,acc,prod_2"))
    assert desk.run(*key).status == 1
    assert len(server.created()) == 10
    assert desk.run(*key, "--again", "changed").status == 0
    assert desk.run(*key).status == 0
    assert len(server.created("order-3")) == 2
    assert [line["reference"] for line in desk.place.results()].count("order-3") == 2


def test_rows_that_say_the_same(desk: Desk, server: Emulator) -> None:
    """Equal rows are known by their count: one more is one session more."""
    same = ",acc,prod_1\n"
    for count in (3, 3, 4, 2):
        desk.write(f"{COLUMNS}\n{same * count}")
        assert desk.run().status == 0
    assert len(server.created()) == 4


def test_what_identity_can_not_decide_is_counted(desk: Desk, server: Emulator) -> None:
    """A row that moved and was changed looks like a new one: the summary counts it."""
    assert desk.run().status == 0
    head, *rows = lines_of(orders(10))
    desk.write("".join([head, *rows[1:], "more,acc,prod_1\n", "order-0,acc,prod_2\n"]))
    ran = desk.run("--json")
    assert (ran.status, ran.summary["possible_duplicates"]) == (0, 1)
    assert [row["reference"] for row in ran.summary["gone_rows"]] == ["order-0"]
    assert "up to 1 rows" not in desk.run().out  # it is said of the run that sent them


def test_another_notation_is_the_same_row(desk: Desk, server: Emulator) -> None:
    """A file that is turned from CSV into JSON Lines has the same rows."""
    desk.run()
    values = [{"client_reference_id": f"order-{n}", "account": "acc"} for n in range(10)]
    rows = [{**value, "line_items": [{"product": "prod_1"}]} for value in values]
    desk.write("".join(json.dumps(row) + "\n" for row in reversed(rows)), "orders.jsonl")
    assert desk.run().status == 0
    assert len(server.created()) == 10
