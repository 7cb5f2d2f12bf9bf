"""Where the command takes its store from, and what rows are known by."""

import json
import os
import sqlite3
from pathlib import Path

import pytest
from support.bulk_runs import COLUMNS, Desk, orders

from frame_async.emulator import Emulator

SECRET = "hunter2"


def test_a_store_from_a_file_or_the_environment(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its URL may be in a file or in FRAME_STORE_URL, which are used as if they were said."""
    stores = [tmp_path / f"{name}.db" for name in ("file", "environment")]
    named = tmp_path / "store.url"
    named.write_text(f"\n sqlite:///{stores[0]} \n")
    named.chmod(0o600)
    ran = desk.run("--store", f"@{named}")
    assert (ran.status, "chmod" in ran.err) == (0, False)
    monkeypatch.setenv("FRAME_STORE_URL", f"sqlite:///{stores[1]}")
    desk.place.result = "other.jsonl"
    assert desk.run().status == 0
    assert all(path.stat().st_size for path in stores)


def test_a_store_of_the_environment_is_not_for_the_emulator(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run on the embedded emulator leaves the shop's store alone."""
    monkeypatch.setenv("FRAME_STORE_URL", "redis://127.0.0.1:1/0")
    assert desk.run("--emulator").status == 0
    assert desk.run("--check").status == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "can't be read: No such file or directory"),
        ("", "must hold one URL, and nothing else"),
        ("\n\n", "must hold one URL, and nothing else"),
        (f"redis://:{SECRET}@a/0\nredis://:{SECRET}@b/0", "must hold one URL, and nothing else"),
        (b"\xff\xfe\x00", "can't be read: it isn't text"),
    ],
)
@pytest.mark.parametrize("option", ["--store", "--queue"])
def test_a_file_without_a_store_is_named(
    desk: Desk, tmp_path: Path, option: str, text: str | bytes | None, says: str
) -> None:
    """What is wrong with the file is said with its name, and nothing of what is in it."""
    named = tmp_path / "store.url"
    if text is not None:
        named.write_bytes(text.encode() if isinstance(text, str) else text)
    ran = desk.run(option, f"@{named}")
    assert ran.status == 2
    assert f"the file {named} {says}" in " ".join(ran.err.split())
    assert SECRET not in ran.err


def test_a_file_that_others_may_read_is_named(desk: Desk, tmp_path: Path) -> None:
    """It is used, and how to make it private is said."""
    named = tmp_path / "my store"
    named.write_text(f"sqlite:///{tmp_path}/store.db")
    named.chmod(0o644)
    ran = desk.run("--store", f"@{named}")
    assert ran.status == 0
    assert f"chmod 600 '{named}'" in ran.err


def test_the_command_to_go_on_names_the_file(desk: Desk, tmp_path: Path) -> None:
    """It has the file's name, and nothing of the URL in it."""
    named = tmp_path / "store.url"
    named.write_text(f"redis://:{SECRET}@127.0.0.1:1/0")
    ran = desk.run("--store", f"@{named}", "--json")
    assert ran.status == 4
    assert SECRET not in ran.out + ran.err
    assert f"--store @{named}" in ran.summary["resume"]


def test_a_run_goes_on_with_its_own_store(desk: Desk, tmp_path: Path, server: Emulator) -> None:
    """Another store knows nothing of what is in doubt: it is refused, and no password is shown."""
    ran = desk.run()
    assert ran.status == 0
    desk.write(orders(11))
    for store in (
        f"sqlite:///{tmp_path}/a.db",
        f"redis://u:{SECRET}@127.0.0.1:1/0?password={SECRET}",
    ):
        ran = desk.run("--store", store)
        assert ran.status == 2
        assert "was begun with the state file as its store, not the store " in ran.err
        assert SECRET not in ran.err + desk.place.state.read_bytes().decode(errors="replace")
    assert len(server.created()) == 10
    desk.place.result = "other.jsonl"
    own = f"sqlite:///{tmp_path}/a.db"
    assert desk.run("--store", own).status == 0
    assert desk.run("--store", own).status == 0
    assert desk.run().status == 2


# --- what rows are known by ------------------------------------------------------------


def hint(column: str) -> str:
    return f"each row has its own client_reference_id: consider --key {column}"


def test_a_key_is_suggested(desk: Desk) -> None:
    """Where each row has a reference of its own, the column is named; once, and only there."""
    assert hint("client_reference_id") in desk.run("--check").err
    assert hint("client_reference_id") in desk.run().err
    assert "consider" not in desk.run().err
    for text in (orders(3) + "order-1,acc,p\n", orders(3) + ",acc,p\n", "line_items\n"):
        desk.write(text)
        assert "consider" not in desk.run("--check").err
    desk.write(f"{COLUMNS}\na,acc,p\n".replace("client_reference_id", "Order No"))
    maps = ("--map", "Order No=client_reference_id", "--check")
    assert hint("'Order No'") in desk.run(*maps).err
    assert "consider" not in desk.run(*maps, "--key", "Order No").err


def test_a_key_is_taken_if_that_is_said(desk: Desk, server: Emulator) -> None:
    """--key auto knows rows by their own reference, and a changed row by its name."""
    assert "rows are known by client_reference_id (--key auto)" in desk.run("--key", "auto").err
    head, *rows = orders(10).splitlines(keepends=True)
    rows.reverse()
    rows[0] = "order-9,acc,prod_2\n"
    desk.write("".join([head, *rows]))
    ran = desk.run("--key", "auto", "--json")
    assert (ran.status, ran.summary["changed_rows"]) == (
        *(1, [{"line": 2, "reference": "order-9"}]),
    )
    assert desk.run("--key", "client_reference_id").status == 1
    assert len(server.created()) == 10
    desk.write(orders(3) + "order-1,acc,p\n")  # what was decided once stays
    ran = desk.run("--key", "auto")
    assert "is the same as on line 3" in ran.err


def test_without_references_of_their_own_rows_are_known_by_their_words(desk: Desk) -> None:
    """--key auto says so, and never takes a key that isn't one."""
    desk.write(orders(3) + "order-1,acc,p\n,acc,p\n")
    for _ in range(2):
        ran = desk.run("--key", "auto")
        assert ran.status == 0
        assert "rows are known by what they say (--key auto)" in ran.err


def test_what_a_later_run_finds_is_listed(desk: Desk) -> None:
    """New, changed and gone rows have their lines, for people and for machines."""
    desk.run("--key", "auto")
    head, *rows = orders(10).splitlines(keepends=True)
    rows[4] = "order-4,acc,prod_2\n"
    desk.write("".join([head, *rows[1:], "new-1,acc,p\n", "new-2,acc,\n"]))
    said = desk.run("--key", "auto").out.splitlines()
    assert said[:2] == [
        "These rows were changed after they were sent, and are not sent again:",
        "  line 5 (order-4)",
    ]
    assert said[3:6] == ["These rows are new:", "  line 11 (new-1)", "  line 12 (new-2)"]
    assert said[6] == "These rows have a result, and are not in the input any more:"
    assert said[7].startswith("  line 2 (order-0): ")
    ran = desk.run("--key", "auto", "--json")
    assert (ran.summary["new"], ran.summary["changed"], ran.summary["gone"]) == (0, 1, 1)
    assert [row["reference"] for row in ran.summary["gone_rows"]] == ["order-0"]


def test_a_changed_row_is_not_gone(desk: Desk) -> None:
    """Without a key, too, a row is listed as changed or as gone, and not as both."""
    desk.run()
    head, *rows = orders(10).splitlines(keepends=True)
    rows[4] = "order-4,acc,prod_2\n"
    desk.write("".join([head, *rows[:9]]))
    ran = desk.run("--json")
    assert [row["reference"] for row in ran.summary["changed_rows"]] == ["order-4"]
    assert [row["reference"] for row in ran.summary["gone_rows"]] == ["order-9"]


def test_what_was_left_open_is_not_new(desk: Desk, server: Emulator) -> None:
    """Only behind a run that came to its end are rows new; those taken up again aren't."""
    desk.write("client_reference_id,customer,payment_method_data,line_items.0.product\nx,,,p\n")
    desk.write(desk.place.orders.read_text() + 'bad,cus_1,"{""type"": ""card""}",p\n')
    assert desk.run("--json").summary["new"] == 0
    ran = desk.run("--again", "refused", "--json")
    assert (ran.summary["refused"], ran.summary["new"]) == (1, 0)
    with sqlite3.connect(desk.place.state) as state:
        state.execute("UPDATE bulk_run SET complete = 0")
    state.close()
    desk.write(desk.place.orders.read_text() + "y,,,p\n")
    assert desk.run("--json").summary["new"] == 0
    desk.write(desk.place.orders.read_text() + "z,,,p\n")
    ran = desk.run("--json")
    assert ran.summary["new_rows"] == [{"line": 5, "reference": "z"}]


# --- headers ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Order No.", '"Order No.=client_reference_id"'),
        ("Größe (cm)", '"Größe (cm)=client_reference_id"'),
        ("Preis in $", "'Preis in $=client_reference_id'"),
        ('3" pipe', "'3\" pipe=client_reference_id'"),
        ("it's", '"it\'s=client_reference_id"'),
        ("E-Mail", '"E-Mail=customer_email"'),
    ],
)
def test_a_header_is_shown_as_written(desk: Desk, name: str, shown: str) -> None:
    """A header that is no name of ours is shown as it is, and quoted for a shell."""
    quoted = '"' + name.replace('"', '""') + '"'
    desk.write(f"{quoted},line_items.0.product\n1,p\n")
    ran = desk.run("--check")
    assert f"{name}: is not a field of the request" in ran.err
    assert f"--map {shown}" in ran.err
    assert desk.run("--check", "--map", f"{name}=client_reference_id").status == 0


def test_a_header_with_a_line_break(desk: Desk) -> None:
    """Its name has a blank there, for whoever has to write it."""
    desk.write('"Order\r\nNo",line_items.0.product\n1,p\n')
    assert "Order No: is not a field" in desk.run("--check").err
    for name in ("Order No", "Order\nNo"):
        assert desk.run("--check", "--map", f"{name}=client_reference_id").status == 0
    near = desk.run("--check", "--map", "OrderNo=client_reference_id").err
    assert "OrderNo: is not a column of the file (did you mean Order No?)" in near


@pytest.mark.parametrize(
    "cell",
    ["4242424242424242", '"{""card_number"": 1}"', "a@mail.example", "sk_live_abc", "x" * 99],
)
def test_a_first_row_of_data_is_not_shown(desk: Desk, cell: str) -> None:
    """A file without a header has data in its place: what may be secret isn't repeated."""
    desk.write(f"{cell},line_items.0.product\n1,p\n")
    ran = desk.run("--check", "--json")
    assert "column 1: is not a field" in ran.err
    assert cell not in ran.err + json.dumps(ran.summary)


def test_umask_is_nobodys_business(desk: Desk) -> None:
    """Whatever the umask says, output and state are for their owner alone."""
    before = os.umask(0)
    try:
        assert desk.run().status == 0
    finally:
        os.umask(before)
    for path in (desk.place.output, desk.place.state):
        assert path.stat().st_mode & 0o777 == 0o600
