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
    """Payment method data has four digits, too few to find a card number by trying."""
    fingerprint = make_fingerprint({"payment_method_data": b"4242", "amount": b"1"})
    digits = dict(part.split("=") for part in fingerprint.split(","))
    assert {name: len(digest) for name, digest in digits.items()} == {
        "amount": 16,
        "payment_method_data": 4,
    }


def test_payment_method_data_that_changed_is_noticed() -> None:
    """Nearly every change of payment method data changes the fingerprint."""
    cards = {make_fingerprint({"payment_method_data": b"%d" % n}) for n in range(500)}
    assert len(cards) > 490


def test_values_are_not_in_it() -> None:
    """No value can be read from a fingerprint."""
    assert "secret" not in make_fingerprint({"note": b"secret", "payment_method_data": b"secret"})


def test_no_fields_at_all() -> None:
    """An empty request has a fingerprint too, and differs from every other in all fields."""
    assert make_fingerprint({}) == ""
    assert differing_fields("", make_fingerprint({"a": b"", "b": b""})) == ("a", "b")
