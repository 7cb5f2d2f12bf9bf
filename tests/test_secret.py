"""No secret shows: not in a repr, a pickle, an error, or a traceback with local variables."""

import copy
import csv
import io
import pickle
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

import frame_async
from frame_async.bulk import read_csv, read_jsonl
from frame_async.bulk.columns import build_request
from frame_async.bulk.unpacking import unpacked
from frame_async.bulk.xlsx_rows import read_xlsx
from frame_async.errors import Problem, ValidationError
from frame_async.models import BankAccount, Card, LineItem, PaymentLinkSessionRequest
from frame_async.models.payment_methods import PaymentMethodData
from frame_async.secret import Secret, refuse_pickling
from frame_async.serialization import dump

PACKAGE = str(Path(frame_async.__file__).parent)
NUMBER = "4242424242424242"
SECRETS = (NUMBER, "s3cr3t")
MUG = [LineItem(product="prod_mug")]
CARD = Card(
    card_number=NUMBER, exp_month="12", exp_year="2030", cvc="s3cr3t", billing={"name": "s3cr3t"}
)
ACCOUNT = BankAccount(account_type="checking", account_number=NUMBER, routing_number="s3cr3t")
RAW = {"type": "card", "card_number": NUMBER, "billing": {"name": ["s3cr3t"]}}
DATA = [CARD, ACCOUNT, RAW]


def ours(error: BaseException) -> Iterator[str]:
    """What our own frames show of their variables, in every traceback that hangs on an error.

    Like ``TracebackException(..., capture_locals=True)``, but for the frames of others.
    """
    seen: list[BaseException] = [error]
    while seen:
        caught = seen.pop()
        seen += [other for other in (caught.__cause__, caught.__context__) if other]
        for frame, _ in traceback.walk_tb(caught.__traceback__):
            file = frame.f_code.co_filename
            if file.startswith(PACKAGE) or "attrs generated" in file:
                yield from map(repr, frame.f_locals.values())


def assert_silent(error: BaseException) -> None:
    """Neither the error nor our frames show a secret."""
    shown = [str(error), repr(error), str(vars(error)), *ours(error)]
    for secret in SECRETS:
        assert not [text for text in shown if secret in text]


class Lying(Mapping[str, Any]):
    """A mapping that holds a secret and breaks while it is read."""

    def __getitem__(self, name: str) -> Any:
        raise RuntimeError(f"no {name} beside {NUMBER}")

    def __iter__(self) -> Iterator[str]:
        return iter(RAW)

    def __len__(self) -> int:
        return 1

    def __repr__(self) -> str:
        return NUMBER


def test_the_detector_sees_a_leak() -> None:
    """The check that the other tests rely on finds a secret in a frame of ours."""
    with pytest.raises(TypeError) as caught:
        refuse_pickling(NUMBER)
    with pytest.raises(AssertionError):
        assert_silent(caught.value)


# --- the box -------------------------------------------------------------------------


def test_a_box_gives_back_what_it_holds() -> None:
    """`reveal` returns the very object that was put in."""
    value = object()
    assert Secret(value).reveal() is value


@pytest.mark.parametrize("show", [repr, str, "{}".format, "{!r}".format, "%s".__mod__])
def test_a_box_shows_nothing(show: Callable[[object], str]) -> None:
    """Every way to turn a box into text gives the same word."""
    assert show(Secret(NUMBER)) == "<hidden>"


def test_a_box_has_no_dict_that_could_be_printed() -> None:
    """A box is slotted: `vars` doesn't work on it."""
    with pytest.raises(TypeError):
        vars(Secret(NUMBER))


def test_boxes_are_never_equal() -> None:
    """Two boxes with the same value differ, so comparing can't be used to guess."""
    assert Secret(NUMBER) != Secret(NUMBER)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copied_box_is_the_same_box(copied: Callable[[object], object]) -> None:
    """Copying a box makes no second place where the value is."""
    box = Secret([NUMBER])
    assert copied(box) is box


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_box_refuses_to_be_pickled(protocol: int) -> None:
    """No pickle protocol carries a box, and the refusal says why."""
    with pytest.raises(TypeError) as caught:
        pickle.dumps(Secret(NUMBER), protocol)
    assert str(caught.value) == (
        "a secret can't be pickled: it would carry a secret out of this process"
    )
    assert_silent(caught.value)


# --- reprs, pickles, copies ----------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (CARD, "Card(<hidden>)"),
        (ACCOUNT, "BankAccount(<hidden>)"),
        (PaymentMethodData(RAW), "PaymentMethodData(<hidden>)"),
    ],
)
def test_payment_method_data_shows_its_class_only(data: object, shown: str) -> None:
    """A repr, and so a string, of payment method data names the class and nothing more."""
    assert (repr(data), str(data)) == (shown, shown)


@pytest.mark.parametrize("data", DATA)
def test_a_request_does_not_show_its_payment_method_data(data: Any) -> None:
    """The repr of a request lists what was given, except payment method data."""
    request = PaymentLinkSessionRequest(line_items=MUG, payment_method_data=data)
    assert repr(request) == (
        "PaymentLinkSessionRequest(line_items=(LineItem(product='prod_mug'),))"
    )


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("data", DATA)
def test_a_request_with_payment_method_data_refuses_to_be_pickled(data: Any, protocol: int) -> None:
    """A request that holds payment method data in any form can't be pickled."""
    request = PaymentLinkSessionRequest(line_items=MUG, payment_method_data=data)
    with pytest.raises(TypeError, match="would carry a secret out of this process") as caught:
        pickle.dumps(request, protocol)
    assert_silent(caught.value)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, evolve])
@pytest.mark.parametrize("data", DATA)
def test_a_request_with_payment_method_data_can_be_copied(
    data: Any, copied: Callable[[Any], Any]
) -> None:
    """Within the process, such a request copies to an equal one that asks for the same."""
    request = PaymentLinkSessionRequest(line_items=MUG, payment_method_data=data)
    other = copied(request)
    assert other == request
    assert hash(other) == hash(request)
    assert dump(other) == dump(request)


@pytest.mark.parametrize("data", DATA)
def test_the_body_carries_the_data(data: Any) -> None:
    """What is hidden everywhere else is in the bytes that are sent."""
    body = dump(PaymentLinkSessionRequest(line_items=MUG, payment_method_data=data))
    assert all(secret.encode() in body for secret in SECRETS)


# --- errors and their tracebacks -----------------------------------------------------


class Loud:
    """Something that is no payment method data, and shows a secret whenever it is looked at."""

    def __repr__(self) -> str:
        return NUMBER


class Unshowable:
    """Something that can't even be looked at."""

    def __repr__(self) -> str:
        raise RuntimeError(NUMBER)

    def __eq__(self, other: object) -> bool:
        raise RuntimeError(NUMBER)

    __hash__ = None  # type: ignore[assignment]  # what Python makes of __eq__ alone


def broken_card(**changes: Any) -> Card:
    """A card with wrong values; it is checked by the request, not by itself."""
    given: dict[str, Any] = {
        "card_number": NUMBER,
        "exp_month": 12,
        "exp_year": 2030,
        "cvc": "s3cr3t",
    }
    return Card(**(given | changes))


WRONG: dict[str, Any] = {
    "text": NUMBER,
    "bytes": NUMBER.encode(),
    "integer": int(NUMBER),
    "list": [RAW],
    "loud": Loud(),
    "unshowable": Unshowable(),
    "boxed": Secret(NUMBER),
    "lying": Lying(),
    "key": {NUMBER: float("nan")},
    "long key": {"a" * 50 + NUMBER: float("nan")},
    "key that is no string": {int(NUMBER): 1},
    "value": {"card_number": NUMBER, "cvc": object()},
    "loud value": {"card_number": NUMBER, "cvc": Loud()},
    "unshowable value": {"card_number": NUMBER, "cvc": Unshowable()},
    "nested": {"card_number": NUMBER, "billing": [{"cvc": ("s3cr3t", {NUMBER})}]},
    "lying billing": {"card_number": NUMBER, "billing": Lying()},
    "surrogate": {"card_number": NUMBER + "\ud800"},
    "card with another": broken_card(card_number=NUMBER + "\ud800"),
    "card with a loud cvc": broken_card(cvc=Loud()),
    "card with a number as month": broken_card(exp_month=int(NUMBER)),
    "card with wrong billing": broken_card(billing=NUMBER),
    "card with lying billing": broken_card(billing=Lying()),
    "card with deep billing": broken_card(billing={"name": {NUMBER}}),
    "account": BankAccount(
        account_type=NUMBER,  # type: ignore[arg-type]  # wrong on purpose
        account_number=NUMBER,
        routing_number="s3cr3t",
    ),
    "unshowable account type": BankAccount(
        account_type=Unshowable(),  # type: ignore[arg-type]  # wrong on purpose
        account_number=NUMBER,
        routing_number="s3cr3t",
    ),
}
MADE: dict[str, Callable[[Any], Any]] = {
    "class": lambda data: PaymentLinkSessionRequest(line_items=MUG, payment_method_data=data),
    "mapping": lambda data: PaymentLinkSessionRequest.from_dict(
        {"line_items": MUG, "payment_method_data": data}
    ),
}


@pytest.mark.parametrize("make", MADE.values(), ids=MADE)
@pytest.mark.parametrize("data", WRONG.values(), ids=WRONG)
def test_wrong_payment_method_data_is_refused_in_silence(
    data: Any, make: Callable[[Any], Any]
) -> None:
    """Wrong payment method data is refused by its path; neither error nor traceback has it."""
    with pytest.raises(ValidationError) as caught:
        make(data)
    assert all(p.path.startswith("payment_method_data") for p in caught.value.problems)
    assert_silent(caught.value)


@pytest.mark.parametrize("make", MADE.values(), ids=MADE)
@pytest.mark.parametrize("data", DATA)
def test_another_problem_does_not_show_the_data(data: Any, make: Callable[[Any], Any]) -> None:
    """A request that is wrong elsewhere is refused without a word of its good card."""
    with pytest.raises(ValidationError) as caught:
        evolve(make(data), customer=3)
    assert [p.path for p in caught.value.problems] == ["customer"]
    assert_silent(caught.value)


@pytest.mark.parametrize("name", ["payment_method_dat", "card", "4242 4242"])
def test_a_misspelt_name_does_not_show_the_data(name: str) -> None:
    """Data under a name that the request doesn't have is refused, and hidden all the same."""
    given: dict[str, Any] = {name: {"cvc": "s3cr3t"}}
    with pytest.raises(TypeError, match="unexpected keyword argument") as caught:
        PaymentLinkSessionRequest(line_items=MUG, **given)
    assert not [text for text in ours(caught.value) if "s3cr3t" in text]
    with pytest.raises(ValidationError) as refused:
        PaymentLinkSessionRequest.from_dict(given | {"line_items": MUG})
    assert_silent(refused.value)
    assert "4242" not in str(refused.value)


@pytest.mark.parametrize("given", [f'{{"cvc": "{NUMBER}"}}', [RAW], None])
def test_what_is_no_mapping_does_not_show(given: Any) -> None:
    """A request read from something else than a mapping is refused without showing it."""
    with pytest.raises(ValidationError, match="must be a mapping, not") as caught:
        PaymentLinkSessionRequest.from_dict(given)
    assert_silent(caught.value)


def test_a_missing_argument_does_not_show_the_data() -> None:
    """A request without line items is a TypeError whose frames hide the card."""
    with pytest.raises(TypeError, match="line_items") as caught:
        PaymentLinkSessionRequest(payment_method_data=RAW)  # type: ignore[call-arg]
    assert_silent(caught.value)


# --- rows ----------------------------------------------------------------------------

JSON = f'{{"type": "card", "card_number": "{NUMBER}"}}'
CELLS = [
    {"line_items.0.product": "", "payment_method_data": JSON},
    {"line_items.0.product": "mug", "payment_method_data": JSON[:-1]},
    {"line_items.0.product": "mug", "payment_method_data": JSON + "\udcff"},
    {"line_items.0.product": "mug", "payment_method_data": f'["{NUMBER}"]'},
    {"line_items.0.product": "mug", "payment_method_dat": JSON},
    {"line_items.0.product": "mug", JSON: JSON},
]


@pytest.mark.parametrize("cells", CELLS)
def test_a_wrong_row_does_not_show_the_data(cells: dict[str, str]) -> None:
    """A row that is refused shows no payment method data, nor do the frames that read it."""
    with pytest.raises(ValidationError) as caught:
        build_request(cells)
    assert_silent(caught.value)


def as_csv(*records: list[str]) -> bytes:
    """A CSV file with these records."""
    text = io.StringIO()
    csv.writer(text).writerows(records)
    return text.getvalue().encode()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(as_csv(["mug", JSON]), id="no header"),
        pytest.param(as_csv(["mug", JSON]).replace(b"\r\n", b'"'), id="no header, open quote"),
        pytest.param(b"\xff\xfe" + JSON.encode(), id="wide mark"),
        pytest.param(as_csv(["line_items.0.product", JSON], ["mug", JSON]), id="wrong header"),
        pytest.param(as_csv(["line_items", JSON, JSON]), id="doubled header"),
    ],
)
def test_an_unusable_file_does_not_show_its_first_line(data: bytes) -> None:
    """A file without a usable header is refused without showing what stands there instead."""
    with pytest.raises(ValidationError) as caught:
        list(read_csv(io.BytesIO(data)))
    assert_silent(caught.value)


class Breaking(io.BytesIO):
    """A file on a disk that fails after a few lines."""

    lines = 0

    def readline(self, size: int | None = -1, /) -> bytes:
        self.lines += 1
        if self.lines > 2:
            raise OSError("disk on fire")
        return super().readline(size)


def test_a_file_that_breaks_does_not_show_the_rows_before() -> None:
    """When reading fails midway, the traceback doesn't show the row that was read last."""
    good = as_csv(["line_items.0.product", "payment_method_data"], ["mug", JSON], ["mug", JSON])
    rows = read_csv(Breaking(good))
    assert next(rows).request is not None
    with pytest.raises(OSError, match="disk on fire") as caught:
        next(rows)
    assert_silent(caught.value)


@pytest.mark.parametrize("begins", ["[", "", "[\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_json_that_breaks_does_not_show_the_rows_before(begins: str, encoding: str) -> None:
    """The same of JSON Lines and arrays, decoded and not."""
    order = f'{{"payment_method_data": {JSON}, "line_items": [{{"product": "mug"}}]}}'
    data = f"{begins}{order}{',' if begins else ''}\n{order}".encode(encoding)

    class Torn(io.BytesIO):
        """A file on a disk that fails at its end."""

        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(size) or self._fail()

        def readline(self, size: int | None = -1, /) -> bytes:
            return super().readline(size) or self._fail()

        @staticmethod
        def _fail() -> bytes:
            raise OSError("disk on fire")

    rows = read_jsonl(unpacked(Torn(data), encoding))
    with pytest.raises(OSError, match="disk on fire") as caught:
        list(rows)
    assert_silent(caught.value)


def test_a_row_does_not_show_the_data() -> None:
    """The repr of a row shows its request without the card."""
    good = as_csv(["line_items.0.product", "payment_method_data"], ["mug", JSON])
    (row,) = read_csv(io.BytesIO(good))
    assert row.request is not None
    assert row.request.payment_method_data == {"type": "card", "card_number": NUMBER}
    assert NUMBER not in repr(row)


def test_problems_are_what_they_are() -> None:
    """A problem reads as place, rule and fix; without a place it starts with the rule."""
    assert str(Problem("a.b", "is bad", "mend it")) == "a.b: is bad (mend it)"
    assert str(Problem("", "is bad", "mend it")) == "is bad (mend it)"


@pytest.mark.parametrize(
    "cells", [["mug", JSON], ["line_items.0.product", JSON], ["line_items", JSON, JSON]]
)
def test_an_unusable_workbook_does_not_show_its_first_row(cells: list[str], tmp_path: Path) -> None:
    """The same for a sheet."""
    book: Any = pytest.importorskip("openpyxl").Workbook()
    book.worksheets[0].append(cells)
    book.save(tmp_path / "orders.xlsx")
    with pytest.raises(ValidationError) as caught:
        list(read_xlsx(tmp_path / "orders.xlsx"))
    assert_silent(caught.value)
