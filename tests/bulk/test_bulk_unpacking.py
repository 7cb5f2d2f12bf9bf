"""Files as programs write them: arrays, encodings, dialects, compressed; or refused in words."""

import gzip
import io
import json
import pickle
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from frame_async.bulk import Layout, Row, read_jsonl
from frame_async.bulk.sources import Reading, open_input
from frame_async.errors import ConfigurationError, ValidationError

PRODUCT = "line_items.0.product"
ORDERS = [
    {"client_reference_id": f'ö"],{{\\{n}', "line_items": [{"product": "p"}]} for n in range(3)
]
NAMES = [order["client_reference_id"] for order in ORDERS]
TEXT = "".join(json.dumps(order, ensure_ascii=False) + "\n" for order in ORDERS)
TABLE = f"client_reference_id,{PRODUCT}\nMüller,p\nmug,p\n"


def rows(path: Path, data: bytes, **reading: Any) -> list[Row]:
    """The rows of a file, which reads the same twice."""
    path.write_bytes(data)
    with open_input(path, io.BytesIO(), Reading(**reading), Layout()) as source:
        found = list(source.rows())
        assert list(source.rows()) == found
        return found


def references(found: list[Row]) -> list[str]:
    """Their references, all of them good."""
    assert [problem for row in found for problem in row.problems] == []
    return [row.reference for row in found]


# --- arrays --------------------------------------------------------------------------


class Trickle(io.RawIOBase):
    """A file that gives one byte at a time."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._data = io.BytesIO(data)

    def readline(self, size: int | None = -1, /) -> bytes:
        return self._data.readline(-1 if size is None else size)

    def read(self, _: int = -1, /) -> bytes:
        return self._data.read(1)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (json.dumps(ORDERS), [1, 1, 1]),
        (json.dumps(ORDERS, ensure_ascii=False, indent=2), [2, 10, 18]),
        ("\ufeff\n \n [\n" + ",\n".join(map(json.dumps, ORDERS)) + "\n]\n\n", [4, 5, 6]),
    ],
)
def test_a_json_array(text: str, lines: list[int]) -> None:
    """A file that begins with [ is an array: each object is a row, on the line it begins on."""
    for file in (io.BytesIO(text.encode()), Trickle(text.encode())):
        found = list(read_jsonl(file))  # type: ignore[arg-type]
        assert references(found) == NAMES
        assert [row.line for row in found] == lines
        assert [row.number for row in found] == [1, 2, 3]


def test_elements_of_an_array_that_are_no_orders() -> None:
    """Each that is none is a wrong row, and the others are read; an empty array has no rows."""
    text = f"[1, {json.dumps(ORDERS[0])}, {{'x'}}, [2], {json.dumps(ORDERS[1])},]"
    found = list(read_jsonl(io.BytesIO(text.encode())))
    assert [row.request is not None for row in found] == [False, True, False, False, True, False]
    assert list(read_jsonl(io.BytesIO(b" [ ] "))) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [("[", "without an end"), ('[{"a": 1', "without an end"), ("[{}] {}", "more behind")],
)
def test_an_array_that_is_not_whole(text: str, says: str) -> None:
    """An array that was cut, or has more behind it, can't be used."""
    with pytest.raises(ValidationError, match=says):
        list(read_jsonl(io.BytesIO(text.encode())))


def test_an_array_is_not_held() -> None:
    """The first rows come before the file is read to its end, however long it is."""
    endless = Trickle(b"[" + b'{"line_items": [{"product": "p"}]},' * 100_000)
    found = read_jsonl(endless)  # type: ignore[arg-type]
    one = [next(found) for _ in range(2)]
    assert all(row.request is not None for row in one)


def test_an_element_without_an_end() -> None:
    """Of an element of more than a megabyte, only so much is held that it can be refused."""
    long = json.dumps({**ORDERS[0], "account": "x" * (3 << 20)})
    found = list(read_jsonl(io.BytesIO(f"[{long}, {json.dumps(ORDERS[1])}]".encode())))
    assert [row.request is not None for row in found] == [False, True]


# --- encodings and dialects ----------------------------------------------------------


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json"])
def test_utf_16_is_named(tmp_path: Path, name: str) -> None:
    """UTF-16 is said to be UTF-16, whatever the format, and read when it is named."""
    text = TABLE if name == "a.csv" else TEXT if name == "a.jsonl" else json.dumps(ORDERS)
    data = text.encode("utf-16")
    with pytest.raises(ValidationError, match=r"is UTF-16.*--encoding utf-16"):
        rows(tmp_path / name, data)
    wanted = ["Müller", "mug"] if name == "a.csv" else NAMES
    assert references(rows(tmp_path / name, data, encoding="utf-16")) == wanted


def test_windows_1252_is_named(tmp_path: Path) -> None:
    """Windows-1252 isn't guessed: its rows are wrong, with the advice, until it is named."""
    data = TABLE.encode("windows-1252")
    bad, good = rows(tmp_path / "a.csv", data)
    assert "--encoding windows-1252" in str(bad.problems[0])
    assert good.request is not None
    named = rows(tmp_path / "a.csv", data, encoding="windows-1252")
    assert references(named) == ["Müller", "mug"]
    with pytest.raises(ValidationError, match=r"not UTF-8.*--encoding windows-1252"):
        rows(tmp_path / "a.csv", f"Größe,{PRODUCT}\n1,p\n".encode("windows-1252"))


@pytest.mark.parametrize("encoding", ["ascii", "utf-16", "windows-1252"])
def test_a_wrong_name_of_an_encoding(tmp_path: Path, encoding: str) -> None:
    """Bytes that aren't in the encoding that was named are refused, and not shown."""
    data = f"{PRODUCT}\n".encode() + b"Secret\x81\xff\xfe\xd8"
    with pytest.raises(ValidationError, match=f"not {encoding}") as caught:
        rows(tmp_path / "a.csv", data, encoding=encoding)
    assert "Secret" not in repr(caught.value)
    assert caught.value.__context__ is None


def test_a_delimiter_and_a_quote_of_their_own(tmp_path: Path) -> None:
    """What separates cells and what is around them can be said; a first line sep= gives way."""
    text = f"client_reference_id|{PRODUCT}\n'a|b,c'|p\n"
    for head in ("", "sep=;\n"):
        found = rows(tmp_path / "a.csv", (head + text).encode(), delimiter="|", quote="'")
        assert references(found) == ["a|b,c"]
    plain = rows(tmp_path / "a.csv", f'client_reference_id,{PRODUCT}\n"a,p\n'.encode(), quote="")
    assert references(plain) == ['"a']


# --- compressed ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.csv.gz", "a.json.gz", "a.gz", "a.jsonl"])
def test_gzip(tmp_path: Path, name: str) -> None:
    """A file that is compressed with gzip is opened, also in pieces, whatever it is called."""
    text = TABLE if name == "a.csv.gz" else TEXT
    half = text.index("\n") + 1
    data = gzip.compress(text[:half].encode(), mtime=0) + gzip.compress(text[half:].encode())
    wanted = ["Müller", "mug"] if name == "a.csv.gz" else NAMES
    assert references(rows(tmp_path / name, data)) == wanted


@pytest.mark.parametrize(
    ("cut", "says"), [(slice(-9), "its end is missing"), (slice(12, None), "is damaged")]
)
def test_gzip_that_is_cut(tmp_path: Path, cut: slice, says: str) -> None:
    """A compressed file without its end, or that is damaged, can't be used."""
    data = gzip.compress(TEXT.encode() * 10, mtime=0)
    with pytest.raises(ValidationError, match=says):
        rows(tmp_path / "a.jsonl.gz", data[:10] + data[10:][cut])


def zstd(data: bytes) -> bytes:
    """The data, compressed by whichever package is there to read it."""
    try:
        own: Any = import_module("compression.zstd")
    except ImportError:
        own = import_module("zstandard")
    return bytes(own.compress(data))


def test_zstandard(tmp_path: Path) -> None:
    """Zstandard is opened, also several pieces behind one another; a cut or damaged one is said."""
    data = zstd(TABLE.encode())
    assert references(rows(tmp_path / "a.csv.zst", data)) == ["Müller", "mug"]
    assert len(rows(tmp_path / "b.csv.zst", data + zstd(b"three,p\n" * 40_000))) == 40_002
    with pytest.raises(ValidationError, match="its end is missing"):
        rows(tmp_path / "a.csv.zst", data[:-4])
    with pytest.raises(ValidationError, match="is damaged"):
        rows(tmp_path / "a.csv.zst", data + b"something else")


def test_without_zstandard_its_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where neither Python nor a package unpacks it, the error says what to install."""
    for name in ("zstandard", "compression.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigurationError, match=r"frame-async\[zstd\]"):
        rows(tmp_path / "a.csv.zst", b"\x28\xb5\x2f\xfd")


def test_parquet_is_unpacked(tmp_path: Path) -> None:
    """Parquet inside gzip or Zstandard is read as Parquet."""
    arrow: Any = import_module("pyarrow")
    parquet: Any = import_module("pyarrow.parquet")
    out = io.BytesIO()
    parquet.write_table(arrow.Table.from_pylist(ORDERS), out)
    for packed in (gzip.compress(out.getvalue(), mtime=0), zstd(out.getvalue())):
        assert references(rows(tmp_path / "orders", packed)) == NAMES


def test_what_is_in_a_file_counts(tmp_path: Path) -> None:
    """JSON under the name of a CSV file is read as JSON, in another encoding as well."""
    data = json.dumps(ORDERS, ensure_ascii=False)
    assert references(rows(tmp_path / "a.csv", data.encode())) == NAMES
    assert references(rows(tmp_path / "a", data.encode("utf-16"), encoding="utf-16")) == NAMES
    assert references(rows(tmp_path / "a", data.encode("utf-32"), encoding="utf-32")) == NAMES


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a"])
def test_utf_16_without_a_mark_is_named(tmp_path: Path, encoding: str, name: str) -> None:
    """With a mark or without, as JSON or as CSV, it is said to be UTF-16."""
    text = TABLE if name != "a.jsonl" else TEXT
    with pytest.raises(ValidationError, match=r"is UTF-16 \(save the file as UTF-8, or say"):
        rows(tmp_path / name, text.encode(encoding))


# --- no tables -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"%PDF-1.7\n", "a PDF"),
        (b"\x89PNG\r\n\x1a\n", "an image"),
        (b"\xff\xd8\xff\xe0", "an image"),
        (b"GIF89a", "an image"),
        (b"PK\x03\x04\x14", "a ZIP archive"),
        (b"BM\x36\x00\x0c\x00\x00\x00", "an image, a program or another binary file"),
        (b"\x00\x00\x00\x18ftypheic", "an image, a program or another binary file"),
        (b"7z\xbc\xaf\x27\x1c\x00\x04", "a 7z archive"),
        (b"BZh91AY&SY", "compressed with bzip2"),
        (b"{\\rtf1\\ansi", "an RTF document"),
        (b"\xd0\xcf\x11\xe0\xa1", "an old spreadsheet"),
        (b"SQLite format 3\x00", "a database"),
        (b"\xef\xbb\xbf\n <!DOCTYPE html>", "HTML"),
        (b"\x7fELF\x02\x01\x01\x00", "a program"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript"),
        (b"\xc5\xd0\xd3\xc6\x1e\x00\x00\x00", "PostScript"),
        (b"ORC\x0a\x03\x00", "an ORC file"),
        (b"Obj\x01\x04\x14avro.codec", "an Avro file"),
        (pickle.dumps([{"a": 1}]), "a pickle of Python"),
        (pickle.dumps({"a": 1}, protocol=2), "a pickle of Python"),
        (gzip.compress(b"<html>", mtime=0), "HTML"),
    ],
)
@pytest.mark.parametrize("name", ["a.csv", "a.json", "a"])
def test_what_is_no_table(tmp_path: Path, data: bytes, what: str, name: str) -> None:
    """A file that can't be a table is refused at once, with advice; --format is the way out."""
    with pytest.raises(ConfigurationError, match=f"is {what}.*as CSV, or say --format"):
        rows(tmp_path / name, data)
    with pytest.raises(ValidationError):
        rows(tmp_path / name, data, format="csv")
