"""The DER reader takes one spelling only."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.pki import der


@pytest.mark.parametrize(
    "encoded",
    [
        b"",
        b"\x30",
        b"\x30\x80\x00\x00",
        b"\x30\x81\x01\x00",
        b"\x30\x82\x00\x80" + bytes(128),
        b"\x30\x84\x00\x00\x00\x01\x00",
        b"\x30\x02\x00",
        b"\x1f\x81\x01\x00",
        b"\x30\x00\x00",
    ],
    ids=[
        "empty",
        "no length",
        "indefinite",
        "long form for a short length",
        "padded length",
        "absurd length of length",
        "truncated",
        "long-form tag",
        "trailing byte",
    ],
)
def test_other_spellings_are_refused(encoded: bytes) -> None:
    """What BER allows beyond DER, and what is cut short, raises ValueError."""
    with pytest.raises(ValueError, match=r"."):
        der.single(encoded)


@settings(max_examples=100)
@given(st.binary(max_size=70_000))
def test_what_is_written_reads_back(content: bytes) -> None:
    """Every content survives, whatever length form it needs."""
    assert der.single(der.encode(0x04, content)).content == content


@settings(max_examples=200)
@given(st.binary(max_size=64))
def test_nothing_but_value_error(octets: bytes) -> None:
    """Random octets are read or refused; what is read is written the same."""
    try:
        found = der.elements(octets)
    except ValueError:
        return
    assert b"".join(der.encode(each.tag, each.content) for each in found) == octets


@settings(max_examples=200)
@given(
    st.one_of(
        st.tuples(st.integers(0, 1), st.integers(0, 39)), st.tuples(st.just(2), st.integers(0))
    ),
    st.lists(st.integers(0, 2**64), max_size=6),
)
def test_object_identifiers_round_trip(root: tuple[int, int], arcs: list[int]) -> None:
    """Dotted text and content octets are two forms of one identifier."""
    dotted = ".".join(map(str, (*root, *arcs)))
    assert der.oid_text(der.oid_content(dotted)) == dotted


@pytest.mark.parametrize("content", [b"", b"\x80\x01", b"\x55\x80", b"\x55\x04\x80\x03"])
def test_malformed_object_identifiers(content: bytes) -> None:
    """Empty, padded and unfinished identifiers raise ValueError."""
    with pytest.raises(ValueError, match="object identifier"):
        der.oid_text(content)


@pytest.mark.parametrize("dotted", ["1", "3.1", "1.40", "x.y"])
def test_impossible_object_identifiers(dotted: str) -> None:
    """X.660 has three roots and forty arcs under the first two."""
    with pytest.raises(ValueError, match=r"."):
        der.oid_content(dotted)


@settings(max_examples=200)
@given(
    st.recursive(st.binary(max_size=3), lambda below: st.lists(below, max_size=4), max_leaves=20)
)
def test_counting_counts_every_element(tree: object) -> None:
    """At all depths, and no further than it is allowed to."""

    def encoded(node: object) -> tuple[bytes, int]:
        if isinstance(node, bytes):
            return der.encode(der.OCTET_STRING, node), 1
        assert isinstance(node, list)
        parts = [encoded(each) for each in node]
        content = b"".join(part for part, _ in parts)
        return der.encode(der.SEQUENCE, content), 1 + sum(number for _, number in parts)

    data, number = encoded(tree)
    assert der.count(data, number) == number
    with pytest.raises(ValueError, match="more than"):
        der.count(data, number - 1)


@pytest.mark.parametrize("inner", [b"\x04\x7f\x00", b"\x30\x03\x04\x7f\x00", b"\x1f\x00", b"\x04"])
def test_nothing_hides_from_the_count(inner: bytes) -> None:
    """A length that points past its parent would jump over what follows."""
    with pytest.raises(ValueError, match=r"."):
        der.count(der.encode(der.SEQUENCE, inner) + b"\x05\x00" * 300, 100)
