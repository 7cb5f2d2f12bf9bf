"""``frame-async bulk``: files in, results out, and what it says about them."""

import codecs
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from support.bulk_runs import COLUMNS, Desk, orders
from support.shown import shows

from frame_async.bulk.meaning import trimmed
from frame_async.bulk.output import COLUMNS as RESULT_COLUMNS
from frame_async.emulator import Emulator
from frame_async.emulator.state.sessions import Session

NAMES = [f"order-{n}" for n in range(10)]
CARD = "4242424242424242"
REFUSED = (
    "client_reference_id,customer,payment_method_data,line_items.0.product\n"
    'bad-1,cus_1,"{""type"": ""card""}",prod_1\n'
    "good-1,cus_1,,prod_1\n"
)


def test_a_session_for_each_row(desk: Desk, server: Emulator) -> None:
    """Each row has one line with its session; the summary counts them; exit status 0."""
    ran = desk.run()
    assert ran.status == 0
    results = desk.place.check_complete(NAMES)
    for number, name in enumerate(NAMES):
        result = results[name]
        assert server.created(name) == (result["session_id"],)
        assert (result["row"], result["line"]) == (number + 1, number + 2)
        assert (result["result"], result["attempts"]) == ("created", 1)
        assert result["url"].startswith(server.base_url)
        assert set(result) == set(RESULT_COLUMNS) - {"error"}
    assert re.search(r"10 rows: created 10, refused 0, invalid 0, unknown 0, retried 0", ran.out)
    assert "10 rows, 0 of them wrong" in ran.err


def test_the_same_command_again_sends_nothing(desk: Desk, server: Emulator) -> None:
    """When everything is done, running once more sends nothing and changes nothing."""
    desk.run()
    before = desk.place.output.read_bytes()
    ran = desk.run("--json")
    assert ran.status == 0
    assert ran.summary["created"] == 10
    assert (ran.summary["pending"], ran.summary["changed"], ran.summary["gone"]) == (0, 0, 0)
    assert ran.summary["created_before"] == 10
    assert ran.summary["resume"] is None
    assert desk.place.output.read_bytes() == before
    assert len(server.ledger) == 10


def test_a_session_of_the_other_mode_stops_the_run(
    desk: Desk, server: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A live session for a sandbox key ends the run, though nobody had said a mode."""
    sandbox = Session.as_json
    monkeypatch.setattr(Session, "as_json", lambda *given: sandbox(*given) | {"livemode": True})
    ran = desk.run("--json", "--concurrency", "1")
    assert ran.status == 4
    assert "is live, but sandbox was meant" in ran.summary["stopped"]
    assert len(server.created()) == ran.summary["created"] < 10


def test_results_as_csv(desk: Desk) -> None:
    """An output that ends in .csv has a header, and a line for each row, whatever is in it."""
    desk.write(orders(3) + '"=1+1,""x""",acc,prod_1\n"two\nlines\x1b[31m",acc,prod_1\n,acc,\n')
    desk.place.result = "out.csv"
    assert desk.run().status == 1
    data = desk.place.output.read_bytes()
    assert len(data.splitlines()) == 7
    rows = desk.place.results()
    assert list(rows[0]) == list(RESULT_COLUMNS)
    names = [row["reference"] for row in rows]
    assert sorted(names) == sorted([*NAMES[:3], '\'=1+1,"x"', "two lines [31m", ""])
    (bad,) = [row for row in rows if row["result"] == "invalid"]
    assert "line_items" in bad["error"]


@pytest.mark.parametrize("name", ["x", "a\u3000b", "\U0001f469\u200d\U0001f4bb", "ä"])
def test_references_come_back_as_they_were(desk: Desk, server: Emulator, name: str) -> None:
    """Letters of every script survive, to the server and to both kinds of output."""
    desk.write(f"{COLUMNS}\nx{name}x,acc,prod_1\n")
    for desk.place.result in ("out.csv", "out.jsonl"):
        assert desk.run().status == 0
        assert desk.place.results()[0]["reference"] == f"x{name}x"
    assert len(server.created(f"x{name}x")) == 2


def test_a_file_from_a_spreadsheet(desk: Desk, server: Emulator) -> None:
    """A byte-order mark, semicolons and CRLF are as good as anything."""
    desk.write(codecs.BOM_UTF8 + orders(10).replace(",", ";").replace("\n", "\r\n").encode())
    assert desk.run().status == 0
    desk.place.check_complete(NAMES)
    assert len(server.created()) == 10


def test_a_file_that_was_not_made_for_us(desk: Desk, server: Emulator) -> None:
    """--map names fields for columns or leaves them out, --set is the same for all rows."""
    desk.write("no,what,comment\norder-0,prod_1,hello\norder-1,prod_2,\n")
    maps = ("--map", "no=client_reference_id", "--map", "what=line_items.0.product")
    refused = desk.run(*maps)
    assert refused.status == 2
    assert "comment: is not a field of the request" in refused.err
    ran = desk.run(*maps, "--map", "comment=", "--set", "account=acc_7", "--set", "expires_in=900")
    assert ran.status == 0, ran.err
    bodies = [entry.body or {} for entry in server.ledger]
    assert {body["client_reference_id"] for body in bodies} == {"order-0", "order-1"}
    assert [(body["account"], body["expires_in"]) for body in bodies] == [("acc_7", 900)] * 2


def test_everything_wrong_with_a_header_is_listed(desk: Desk) -> None:
    """Each problem has its line, and the options that help are named."""
    desk.write("ref,mail,sku,account,min\n1,2,3,4,5\n")
    told = desk.run()
    assert told.status == 2
    assert told.err.splitlines() == [
        "frame-async bulk: unusable CSV, line 1:",
        *(
            f"  {name}: is not a field of the request (rename or remove the column)"
            for name in ("ref", "mail", "sku", "min")
        ),
        "  line_items.0.product: is missing (add this column with the product's id)",
        'to say which field a column is: --map "ref=client_reference_id"',
        'to leave a column out: --map "ref="',
        'to leave out all that are not named: --map "*="',
        "to have the same product in every row: --set line_items.0.product=PRODUCT",
    ]


def test_a_wide_header_is_listed_by_name(desk: Desk) -> None:
    """Of very many wrong columns the first have their lines, and the others their names."""
    desk.write(",".join([*(f"a{n}" for n in range(15)), "line_items.0.product"]) + "\n")
    said = desk.run().err.splitlines()
    assert sum(line.endswith("(rename or remove the column)") for line in said) == 12
    assert "  and 3 more: a12, a13, a14" in said


def test_a_file_that_is_not_there(desk: Desk) -> None:
    """Its name and why, without a number of the system's."""
    ran = desk.run(source="none.csv")
    assert ran.status == 2
    assert ran.err == "frame-async bulk: none.csv: No such file or directory\n"


def test_a_file_without_a_header_gets_no_wrong_advice(desk: Desk) -> None:
    """Where a name looks like data, nothing of it is shown, and no option with it."""
    desk.write("4242424242424242\n1\n")
    said = desk.run("--set", "line_items.0.product=prod_1").err
    assert "column 1: is not a field of the request" in said
    assert "4242" not in said
    assert "--map" not in said


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--map", "x"], "--map: must have the form name=value"),
        (["--map", "account=wrong"], "wrong: is not a field of the request"),
        (
            ["--set", "account_id=a"],
            "account_id: is not a field of the request (did you mean account?)",
        ),
        (["--map", "x=quantity_minimum"], "did you mean line_items.0.quantity_minimum?"),
        (["--map", "nothing=customer"], "nothing: is not a column of the file"),
        (["--set", "account=a"], "account: is given twice"),
        (["--set", "expires_in=9", "--set", "expires_in=8"], "names expires_in twice"),
        (["--key", "id"], "id: is not a column of the file"),
        (["--map", "account=customer", "--map", "account=account"], "names account twice"),
    ],
)
def test_layouts_that_do_not_fit(desk: Desk, options: list[str], says: str) -> None:
    """Options that don't fit the file are named, and nothing is sent or made."""
    ran = desk.run(*options)
    assert ran.status == 2
    assert says in ran.err
    assert not desk.place.output.exists()
    assert not desk.place.state.exists()


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    """The bytes of a Parquet file."""
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return bytes(sink.getvalue())


def as_json(rows: list[dict[str, Any]]) -> bytes:
    """The bytes of a JSON Lines file."""
    return "".join(f"{json.dumps(row)}\r\n" for row in rows).encode()


ROWS = [
    {
        "client_reference_id": name,
        "account": None if number % 2 else "acc",
        "line_items": [{"product": "prod_1", "quantity_maximum": 3}],
    }
    for number, name in enumerate(NAMES)
]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
@pytest.mark.parametrize("piped", [False, True])
def test_other_formats(desk: Desk, server: Emulator, kind: str, piped: bool) -> None:
    """JSON Lines and Parquet, from a file or a pipe: nested values, nulls, every row."""
    data = as_json(ROWS) if kind == "jsonl" else as_parquet(ROWS)
    if piped:
        ran = desk.run("--limit", "0", source="-", given=data)
    else:
        desk.write(data, f"orders.{kind}")
        ran = desk.run()
    assert ran.status == 0, ran.err
    desk.place.check_complete(NAMES)
    bodies = [entry.body or {} for entry in server.ledger]
    items = [{"product": "prod_1", "quantity_maximum": 3}]
    assert all(body["line_items"] == items for body in bodies)
    assert sum("account" in body for body in bodies) == 5


def test_csv_from_a_pipe_and_to_one(desk: Desk, server: Emulator) -> None:
    """From standard input to standard output: results there, everything else on stderr."""
    desk.place.result = "-"
    words = ("-o", "-", "--json")
    ran = desk.run(*words, source="-", given=orders(10).encode())
    assert ran.status == 0
    results = [json.loads(line) for line in ran.out.splitlines()]
    assert sorted(result["reference"] for result in results) == NAMES
    assert json.loads(ran.err.splitlines()[-1])["created"] == 10
    assert not list(desk.place.folder.glob("*.state"))


def test_a_parquet_file_that_is_none(desk: Desk) -> None:
    """What only has the name of a Parquet file, or is cut off, is refused in a sentence."""
    whole = as_parquet(ROWS)
    for data in (
        b"PAR1 nonsense",
        whole[: len(whole) // 2],
        b"",
        whole[:-9] + b"\xff" * 5 + b"PAR1",
    ):
        desk.write(data, "orders.parquet")
        ran = desk.run()
        assert ran.status == 2, data
        assert "is not Parquet" in ran.err


def bad_file(count: int, bad: int) -> str:
    """A file of so many rows, of which so many are wrong, in eight ways."""
    ways = ["x,acc", "x,acc,p,more", "x,acc,", 'x,"a"b,p', "x,,p,", "\x00,,", "x", "é,acc,\udc80"]
    lines = orders(count - bad).splitlines()
    for number in range(bad):
        lines.insert(1 + number * (count // bad), ways[number % len(ways)])
    return "\n".join(lines) + "\n"


def test_a_check_of_10_000_rows_with_40_bad_ones(desk: Desk, server: Emulator) -> None:
    """Every bad row is named by line, with problem and fix, and nothing is sent."""
    text = bad_file(10_000, 40)
    desk.write(text.encode("utf-8", "surrogateescape"))
    ran = desk.run("--check", "--json")
    assert ran.status == 2
    assert (ran.summary["rows"], ran.summary["invalid"]) == (10_000, 40)
    named = re.findall(r"^line (\d+)(?: \(.*?\))?: .+ \(.+\)$", ran.err, re.MULTILINE)
    assert {int(line) for line in named} == {2 + number * 250 for number in range(40)}
    assert not server.ledger
    assert not desk.place.output.exists()
    assert not desk.place.state.exists()


def test_strict_sends_nothing_if_a_row_is_bad(desk: Desk, server: Emulator) -> None:
    """--strict stops before the first request; without it the good rows are sent: status 1."""
    desk.write(bad_file(200, 8).encode("utf-8", "surrogateescape"))
    assert desk.run("--strict").status == 2
    assert not server.ledger
    ran = desk.run("--json")
    assert ran.status == 1
    assert (ran.summary["created"], ran.summary["invalid"]) == (192, 8)
    assert len(server.created()) == 192
    lines = {result["line"] for result in desk.place.results() if result["result"] == "invalid"}
    assert lines == {2 + number * 25 for number in range(8)}


def test_a_good_file_is_checked(desk: Desk, server: Emulator) -> None:
    """--check on a good file: status 0, without an output or a key."""
    assert desk.run("--check", key="").status == 0
    assert not server.ledger


def test_refused_rows(desk: Desk, server: Emulator) -> None:
    """A row that the server refuses has its message; status 1; --again takes it up again."""
    desk.write(REFUSED)
    ran = desk.run("--json")
    assert ran.status == 1
    assert (ran.summary["created"], ran.summary["refused"]) == (1, 1)
    assert ran.summary["created_before"] == 0
    (bad,) = [result for result in desk.place.results() if result["result"] == "refused"]
    assert bad["error"]["status"] == 422
    assert "HTTP 422" in bad["error"]["message"]
    assert desk.run().status == 1
    assert len(server.ledger) == 2
    desk.write(REFUSED.replace('"{""type"": ""card""}"', ""))
    still = desk.run("--json")
    assert (still.status, still.summary["changed"]) == (1, 1)
    assert still.summary["changed_rows"] == [{"line": 2, "reference": "bad-1"}]
    assert len(server.ledger) == 2
    again = desk.run("--again", "refused", "--json")
    assert again.status == 0, again.out
    assert (again.summary["created"], again.summary["created_before"]) == (2, 1)
    desk.place.check_complete(["bad-1", "good-1"])


def test_a_file_that_was_edited(desk: Desk, server: Emulator) -> None:
    """Changed rows are refused by name, appended ones done, those that are gone counted."""
    desk.run()
    text = orders(10).replace("order-3,acc,prod_1", "order-3,acc,prod_2")
    desk.write(text + "order-10,acc,prod_1\n")
    ran = desk.run("--json")
    assert ran.status == 1
    assert ran.summary["changed_rows"] == [{"line": 5, "reference": "order-3"}]
    assert ran.summary["created"] == 11
    desk.place.check_complete([*NAMES, "order-10"])
    said = desk.run()
    assert "These rows were changed after they were sent, and are not sent again:" in said.out
    assert "line 5 (order-3)" in said.out
    assert "11 rows: created 11 (11 before, 0 now), refused 0" in said.out
    desk.write(orders(4))
    fewer = desk.run("--json")
    assert (fewer.summary["rows"], fewer.summary["gone"], fewer.summary["pending"]) == (4, 7, 0)
    assert len(server.ledger) == 11


def test_rows_that_moved(desk: Desk, server: Emulator) -> None:
    """With --key, rows are known by their column, wherever they are; doubles are refused."""
    key = ("--key", "client_reference_id")
    assert desk.run(*key).status == 0
    lines = orders(10).splitlines()
    desk.write("\n".join([lines[0], "new,acc,prod_1", *reversed(lines[3:]), "order-5,acc,prod_9"]))
    ran = desk.run(*key, "--json")
    assert ran.status == 1
    summary = ran.summary
    assert (summary["created"], summary["invalid"], summary["changed"]) == (11, 1, 0)
    assert (summary["gone"], summary["pending"]) == (2, 0)
    assert "client_reference_id: is the same as on line 7" in ran.err
    desk.place.check_complete([*NAMES, "new", "order-5"])
    assert len(server.created()) == 11
    other = desk.run("--key", "account")
    assert other.status == 2
    assert "was begun with --key 'client_reference_id', not 'account'" in other.err


@pytest.mark.parametrize(
    ("options", "key", "says"),
    [
        ([], "sk_production_x1234567", "the API key is for live mode: say --mode live"),
        (
            ["--mode", "live"],
            "sk_sandbox_x",
            "but the API key is for sandbox",
        ),
        ([], "rk_x12345678", "doesn't tell its mode: say --mode sandbox or --mode live"),
        ([], "pk_sandbox_x", "FRAME_SECRET_KEY"),
        ([], "", "FRAME_SECRET_KEY"),
        (["--store", "nonsense://x"], "sk_sandbox_x", "store must be a URL"),
        (["--again", "refused", "-o", "-"], "sk_sandbox_x", "has to be a file"),
    ],
)
def test_usage(desk: Desk, options: list[str], key: str, says: str) -> None:
    """What can't be meant is refused before the file is even read: status 2, and in JSON too."""
    ran = desk.run(*options, "--json", key=key)
    assert ran.status == 2
    assert says in ran.err
    told = json.loads((ran.out or ran.err).splitlines()[-1])
    assert told["exit_status"] == 2
    assert not desk.place.state.exists()


def test_usage_without_an_output(desk: Desk) -> None:
    """Without -o, nothing is sent; unknown options are click's business: status 2."""
    ran = desk.invoke(["bulk", str(desk.place.orders), "--json"])
    assert ran.status == 2
    assert "where do the results go?" in ran.err


def test_input_that_can_not_be_used(desk: Desk, tmp_path: Path) -> None:
    """A file that isn't there, is a folder, or has no header: status 2, one sentence."""
    for source in (str(tmp_path / "none.csv"), str(tmp_path)):
        ran = desk.run(source=source)
        assert ran.status == 2
        assert ran.err.startswith("frame-async bulk: ")
        assert len(ran.err.splitlines()) == 1
    for text in (b"", b"\n\n", "a;b\n".encode("utf-16")):
        desk.write(text)
        assert desk.run().status == 2


def test_nothing_to_do(desk: Desk) -> None:
    """A header without rows is a complete run: status 0, an empty output."""
    desk.write(f"{COLUMNS}\n\n")
    assert desk.run().status == 0
    assert desk.place.results() == []


def test_a_run_of_another_key(desk: Desk) -> None:
    """A state file of another key is refused, unless the new key is said to be the same's."""
    assert desk.run().status == 0
    ran = desk.run(key="sk_sandbox_another")
    assert ran.status == 2
    assert "another API key" in ran.err
    assert "sk_sandbox" not in ran.err
    assert desk.run("--new-key", key="sk_sandbox_another").status == 0
    assert desk.run(key="sk_sandbox_another").status == 0


def test_a_run_of_another_address_or_format(desk: Desk) -> None:
    """A state file of another address, mode or output is refused, and says how it differs."""
    assert desk.run().status == 0
    other = desk.run("--emulator")
    assert (other.status, "at the emulator" in other.err) == (2, True)
    desk.place.base_url = "http://127.0.0.1:9"
    moved = desk.run()
    assert (moved.status, "http://127.0.0.1:9/v1" in moved.err) == (2, True)
    state, desk.place.result = str(desk.place.state), "other.jsonl"
    named = desk.run("--state", state, "--emulator")
    assert (named.status, "out.jsonl" in named.err or "emulator" in named.err) == (2, True)


def test_the_output_may_be_named_in_another_way(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same output by a relative path is the same run."""
    assert desk.run().status == 0
    monkeypatch.chdir(desk.place.folder)
    ran = desk.run("-o", "out.jsonl", "--json")
    assert (ran.status, ran.summary["replayed"]) == (0, 0), ran.err


def test_someone_elses_output_is_left_alone(desk: Desk, server: Emulator) -> None:
    """A file that no state knows of is never written over."""
    desk.place.output.write_text("precious\n")
    ran = desk.run()
    assert ran.status == 2
    assert "is there already" in ran.err
    assert desk.place.output.read_text() == "precious\n"
    assert not server.ledger


def broken_off(desk: Desk) -> None:
    """A run that stopped after five rows, because the key was revoked."""
    desk.write(orders(5))
    assert desk.run().status == 0
    desk.write(orders(10))


@pytest.mark.parametrize(
    "harm",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: b"something else\n" * 1000,
        lambda data: data.replace(b"order-", b"ORDER-"),
        lambda data: data + b"my notes\n",
    ],
)
@pytest.mark.parametrize("result", ["out.jsonl", "out.csv"])
def test_an_output_that_was_harmed(desk: Desk, harm: Any, result: str, server: Emulator) -> None:
    """An output that was shortened, replaced or edited stops the run; nothing is cut or sent."""
    desk.place.result = result
    broken_off(desk)
    harmed = harm(desk.place.output.read_bytes())
    desk.place.output.write_bytes(harmed)
    for options in ((), ("--again", "refused")):
        ran = desk.run(*options)
        assert ran.status == 2
        assert "the output" in ran.err
        assert desk.place.output.read_bytes() == harmed
    assert len(server.ledger) == 5


@pytest.mark.parametrize("result", ["out.jsonl", "out.csv"])
@pytest.mark.parametrize("cut", [1, 40, 400])
def test_a_torn_tail(desk: Desk, result: str, cut: int) -> None:
    """Lines that a killed run wrote and never mentioned are cut off and written anew."""
    desk.place.result = result
    broken_off(desk)
    whole = desk.place.output.read_bytes()
    desk.place.output.write_bytes(whole + whole.splitlines(keepends=True)[-1] + whole[-cut:][:0])
    torn = whole.splitlines(keepends=True)[-1][:cut].rstrip(b"\n")
    desk.place.output.write_bytes(desk.place.output.read_bytes() + torn)
    assert desk.run().status == 0
    desk.place.check_complete(NAMES)


def test_an_output_that_is_a_link(desk: Desk, tmp_path: Path) -> None:
    """A link to the output stays one, and the file keeps its mode, also with --again."""
    real = tmp_path / "elsewhere" / "real.jsonl"
    real.parent.mkdir()
    real.touch(0o640)
    real.chmod(0o640)
    desk.place.output.symlink_to(real)
    desk.write(orders(3) + "bad,acc,\n")
    assert desk.run().status == 1
    assert desk.run("--again", "invalid").status == 1
    assert desk.place.output.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    desk.place.check_complete([*NAMES[:3], "bad"])


def test_the_state_file(desk: Desk) -> None:
    """A state file that isn't one, is damaged or can't be had: said, and nothing is sent."""
    desk.run()
    state = desk.place.state
    assert state.stat().st_mode & 0o777 == 0o600
    for data in (b"not a database at all, but long enough" * 9, state.read_bytes()[:5000]):
        state.write_bytes(data)
        ran = desk.run()
        assert ran.status == 4
        assert "the store" in ran.err
    elsewhere = desk.run("--state", str(desk.place.folder / "none" / "s"))
    assert (elsewhere.status, "folder that doesn't exist" in elsewhere.err) == (4, True)
    same = desk.run("--state", str(desk.place.output))
    assert same.status == 4


def test_secrets_are_nowhere(desk: Desk, server: Emulator) -> None:
    """Card numbers and keys are in no output, state, message or command, whatever happens."""
    card = {"type": "card", "card_number": CARD, "exp_month": "1", "exp_year": "2030", "cvc": "987"}
    cell = json.dumps(card).replace('"', '""')
    desk.write(
        "client_reference_id,customer,payment_method_data,expires_in,line_items.0.product\n"
        f'good,cus_1,"{cell}",,prod_1\n'
        f'no-owner,,"{cell}",,prod_1\n'
        f'cut,cus_1,"{cell[:-6]}",,prod_1\n'
        f"astray,cus_1,,{CARD},prod_1\n"
        f"spaced,cus_1,,4242 4242 4242 4242,prod_1\n"
        f'more,cus_1,"{cell}",,prod_1,{CARD}\n'
        f'quote,cus_1,"{cell}"x,,prod_1\n'
    )
    ran = desk.run("--json", "-v")
    assert ran.status == 1, ran.err
    given = desk.run("--set", f"payment_method_data={json.dumps(card)}", "-v", "--json")
    everything = [ran.out, ran.err, given.out, given.err]
    everything += [p.read_bytes().decode("latin-1") for p in desk.place.folder.glob("out*")]
    for text in everything:
        for secret in (CARD, "4242 4242", "sk_sandbox_emulator"):
            assert secret not in text
        assert not shows(text, "987")
    assert len(server.created("good")) == 1


def test_the_command_that_goes_on_has_no_secrets() -> None:
    """Passwords and payment data are left out, and so is --again, which is done by then."""
    from frame_async.cli.bulk_resume import resuming

    shown = resuming(
        shlex.split(
            "bulk 'a b.csv' --store redis://:hunter2@host/0 --again unknown --again=refused "
            "--set 'payment_method_data={\"a\": 1}' --limit=5"
        )
    )
    assert shown == (
        "frame-async bulk 'a b.csv' --store redis://...@host/0 "
        "--set payment_method_data=... --limit=5"
    )


@pytest.mark.parametrize(
    "words",
    [
        ["--store", "redis://127.0.0.1/0?password=hunter2"],
        ["--store=rediss://127.0.0.1/0?db=1&ssl_password=hunter2"],
        ["--store", "postgresql://u:p@hunter2?x@host/db"],
        ["--store", "postgresql://u:a/hunter2@host/db#hunter2"],
        ["--store", "redis:hunter2@host"],
        ["--store=redis:u:hunter2@host"],
        ["--store", "//u:hunter2@host/db?password=hunter2"],
        ["--store", "redis:/u:a@hunter2@host"],
        ["--store", "u:hunter2@host?x=hunter2"],
        ["--set", " payment_method_data =hunter2"],
        ["--set", "payment_method_data\u200b=hunter2"],
        ["--set=\u2060payment_method_data\ufeff\u200b =hunter2"],
        ["--set=payment_method_data\u00a0\t={\n'hunter2'}"],
    ],
)
def test_the_command_that_goes_on_hides_what_may_be_secret(words: list[str]) -> None:
    """No query and no password of a URL is shown, and no payment data, however written."""
    from frame_async.cli.bulk_resume import resuming

    shown = resuming(["bulk", "o.csv", *words])
    assert "hunter2" not in shown
    assert "..." in shown


def test_the_command_that_goes_on_is_otherwise_as_it_was() -> None:
    """A file with a URL, an e-mail address and a column with a question mark stay as they are."""
    from frame_async.cli.bulk_resume import resuming

    words = ["bulk", "o.csv", "--store", "@/etc/u:x", "--set", "customer_email=a@b.example"]
    words += ["--map", "expires_in=How long?"]
    assert shlex.split(resuming(words)) == ["frame-async", *words]


@pytest.mark.parametrize(
    "reference",
    ["=1+1", "+1", "-1", "@SUM(1)", " =1", "\uff1d1", "\t=1", "\u200b=1", "\u2060\ufeff@x"],
)
def test_formulas_are_escaped(desk: Desk, reference: str) -> None:
    """A reference that a spreadsheet would run gets an apostrophe, unless ``--raw-csv`` is said."""
    value = {"client_reference_id": f"{reference}x", "account": "acc"}
    desk.write(json.dumps({**value, "line_items": [{"product": "p"}]}), "orders.jsonl")
    for result, options, before in (("a.csv", (), "'"), ("b.csv", ("--raw-csv",), "")):
        desk.place.result = result
        assert desk.run(*options).status == 0
        assert desk.place.results()[0]["reference"] == f"{before}{trimmed(reference)}x"


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_hostile_input(desk: Desk, server: Emulator, kind: str) -> None:
    """Endless lines, NULs, 1,000 columns, terminal codes: each bad row is told, none steers."""
    evil = "\x1b]0;owned\x07\x1b[2J\x9b31m"
    if kind == "csv":
        rows = [f'"{evil}",acc,', "x" * 3_000_000, f'"{"y" * 200_000}",acc,p', "\0,\0,\0"]
        rows += [",".join("z" * 1_000), f"ok,acc,{evil}", '"open,acc,prod_1']
        desk.write("\n".join([COLUMNS, *rows]) + "\n")
    else:
        rows = [json.dumps({"client_reference_id": evil}), "[" * 100_000, "x" * 3_000_000]
        rows += ["\0", json.dumps({f"c{n}": 1 for n in range(1_000)}), "null", "{}", '{"a":1e999}']
        desk.write("\n".join(rows) + "\n", "orders.jsonl")
    ran = desk.run("--json")
    assert ran.status == 1
    assert ran.summary["invalid"] >= 5
    assert ran.summary["created"] >= (kind == "csv")
    assert max(map(len, ran.err.splitlines())) < 2_000
    for text in (ran.out, ran.err):
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", text)
    data = desk.place.output.read_text()
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", data)
    assert len(data.splitlines()) == ran.summary["rows"]


def test_a_line_without_end(desk: Desk) -> None:
    """A line of megabytes is one bad row, in any kind of line ends; those after it are fine."""
    for end in ("\n", "\r\n", "\r"):
        long = "x,acc," + "p" * 5_000_000
        many = orders(60_000, first=10) if end == "\r" else orders(10)
        text = many if end == "\r" else many.replace("order-5,acc,prod_1", long)
        desk.write(text.replace("\n", end))
        ran = desk.run("--check", "--json")
        wrong = 0 if end == "\r" else 1
        assert (ran.summary["rows"], ran.summary["invalid"]) == (len(many.splitlines()) - 1, wrong)
        assert ("line 7: has a line of more than 1048576 bytes" in ran.err) == bool(wrong)


def test_1_000_columns(desk: Desk, server: Emulator) -> None:
    """A header of 1,000 strange columns is refused without a flood."""
    desk.write(",".join(f"c{n}" for n in range(1_000)) + "\n")
    ran = desk.run()
    assert ran.status == 2
    assert len(ran.err) < 2_000
    items = ",".join(f"line_items.{n}.product" for n in range(999))
    desk.write(f"client_reference_id,{items}\nwide,{','.join(['p'] * 999)}\n")
    assert desk.run().status == 0
    assert len(server.created("wide")) == 1


def test_the_help_is_complete(desk: Desk) -> None:
    """Every option has its sentence, and the exit statuses are there."""
    ran = desk.invoke(["bulk", "--help"])
    for word in ("--again", "--every", "--grace", "--json", "130 or 143 by"):
        assert word in ran.out


def test_a_json_array_as_input(desk: Desk, server: Emulator) -> None:
    """Every object of an array has its session; as JSON Lines, the same rows send nothing."""
    items = [{"client_reference_id": name, "line_items": [{"product": "p"}]} for name in NAMES]
    lines = [json.dumps(item) for item in items]
    desk.place.name = "orders.json"
    desk.write("[\n" + ",\n".join(lines) + "\n]\n")
    assert desk.run().status == 0
    desk.write("\n".join(lines))
    assert desk.run("--again", "invalid").status == 0
    assert all(len(server.created(name)) == 1 for name in NAMES)


def test_how_a_file_is_written(desk: Desk, server: Emulator) -> None:
    """--encoding, --delimiter and --quote are heeded; what they can't be is told."""
    desk.write("client_reference_id|line_items.0.product\n'Mü|ller'|p\n".encode("windows-1252"))
    options = ("--encoding", "cp1252", "--delimiter", "|", "--quote", "'")
    assert desk.run(*options).status == 0
    assert len(server.created("Mü|ller")) == 1
    for wrong in (("--encoding", "nope"), ("--delimiter", "||"), ("--quote", "\n")):
        told = desk.run(*wrong)
        assert told.status == 2
        assert wrong[0] in told.err
