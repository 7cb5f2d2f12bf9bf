"""Fingerprints: the same for the same request, and telling which fields differ."""

from hypothesis import given
from hypothesis import strategies as st

from frame_async.protocol.fingerprints import differing_fields, make_fingerprint

FIELDS = st.dictionaries(
    st.sampled_from(["amount", "currency", "line_items", "payment_method_data", "metadata"]),
    st.binary(max_size=8),
)


@given(FIELDS)
def test_the_order_of_fields_is_nothing(fields: dict[str, bytes]) -> None:
    """The same fields in another order have the same fingerprint."""
    backwards = dict(reversed(fields.items()))
    assert make_fingerprint(backwards) == make_fingerprint(fields)
    assert differing_fields(make_fingerprint(backwards), make_fingerprint(fields)) == ()


@given(FIELDS, FIELDS)
def test_what_differs_is_named(one: dict[str, bytes], other: dict[str, bytes]) -> None:
    """The fields that were changed, added or left out are named, in order, and no others."""
    # Two values of payment method data in 65,536 look the same.
    other.pop("payment_method_data", None)
    names = one.keys() | other.keys()
    differing = sorted(name for name in names if one.get(name) != other.get(name))
    found = differing_fields(make_fingerprint(one), make_fingerprint(other))
    assert found == tuple(differing)


def test_payment_method_data_is_hardly_there() -> None:
    """Of 2,000 cards some look the same: what tells them apart can't find one by trying."""
    cards = {
        make_fingerprint({"payment_method_data": b"%016d" % n})
        for n in range(0, 10**16, 5 * 10**12)
    }
    assert 1900 < len(cards) < 2000


def test_a_value_does_not_move_into_the_next_field() -> None:
    """The same text, divided in another way, is another request, all through the fingerprint."""
    one, other = {"a": b"12", "b": b"3"}, {"a": b"1", "b": b"23"}
    digests = {make_fingerprint(fields).partition(":")[0] for fields in (one, other)}
    assert len(digests) == 2


def test_payment_method_data_that_changed_is_noticed() -> None:
    """Nearly every change of payment method data changes the fingerprint."""
    cards = {make_fingerprint({"payment_method_data": b"%d" % n}) for n in range(500)}
    assert len(cards) > 490


def test_values_are_not_in_it() -> None:
    """No value can be read from a fingerprint."""
    assert "secret" not in make_fingerprint({"note": b"secret", "payment_method_data": b"secret"})


def test_no_fields_at_all() -> None:
    """An empty request has a fingerprint too, and differs from every other in all fields."""
    empty = make_fingerprint({})
    assert differing_fields(empty, empty) == ()
    assert differing_fields(empty, make_fingerprint({"a": b"", "b": b""})) == ("a", "b")


def test_a_fingerprint_stays_the_same_in_every_version() -> None:
    """Stores keep fingerprints for days, and versions change meanwhile: two are written down."""
    plain = make_fingerprint({"b": b"2", "a": b"1"})
    assert plain == "3670379e12b30f5419c5b0de96367886:a b:83dcefb71ad5be0d"
    paid = make_fingerprint({"line_items": b"x", "payment_method_data": b"card", "account": b""})
    names, sums = "account line_items payment_method_data", "000000008cdc16834680258f"
    assert paid == f"9b932d823b49eba5d7417d101ad73218:{names}:{sums}"
