"""The strict form body: one meaning per request."""

from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from app.errors import InvalidRequest, PayloadTooLarge
from app.web import form

PRINTABLE = st.text(
    st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="\x7f"), min_size=1
)


def request(
    body: bytes = b"",
    *,
    query: bytes = b"",
    content_types: tuple[bytes, ...] = (b"application/x-www-form-urlencoded",),
    chunk: int = 1000,
) -> Request:
    """A POST with `body` sent in pieces of `chunk` bytes."""
    pieces = [body[i : i + chunk] for i in range(0, len(body), chunk)] or [b""]

    async def receive() -> dict[str, object]:
        piece = pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    headers = [(b"content-type", value) for value in content_types]
    scope = {"type": "http", "method": "POST", "query_string": query, "headers": headers}
    return Request(scope, receive)


@given(st.dictionaries(PRINTABLE, PRINTABLE, max_size=20))
def test_what_urlencode_writes_is_read_back(values: dict[str, str]) -> None:
    """Every printable form survives the usual encoder unchanged."""
    read = form.parse(urlencode(values).encode())
    assert {name: read.get(name) for name in read.values} == values


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    """No body raises anything but the registered error."""
    try:
        read = form.parse(body)
    except InvalidRequest:
        return
    assert all(value for values in read.values.values() for value in values)


@pytest.mark.parametrize(
    "body",
    [
        b"a=1&a=1",
        b"a=1&a=2",
        b"a=&a=1",
        b"a=1&%61=2",
        b"a=%00",
        b"a=%0a",
        b"a=%1B[31m",
        b"a=\x00",
        b"a=\xff",
        b"a=%ff",
        b"a=%ed%a0%80",
        b"a=%zz",
        b"a=%4",
        b"a=%",
        b"a=%7f",
        b"&".join(b"p%d=1" % i for i in range(101)),
    ],
)
def test_second_meanings_are_refused(body: bytes) -> None:
    """Repeated names, control characters, broken escapes and bad UTF-8 are no form."""
    with pytest.raises(InvalidRequest):
        form.parse(body)


def test_an_empty_value_is_an_absent_parameter() -> None:
    """RFC 6749 section 3.2: a parameter without a value counts as omitted."""
    read = form.parse(b"scope=&client_id=bot")
    assert read.get("scope") is None
    assert read.get("client_id") == "bot"


def test_plus_is_a_space_and_percent_2b_is_a_plus() -> None:
    """Both spellings of a space are one, and a literal plus survives when escaped."""
    assert form.parse(b"a=1+2%203%2B4").get("a") == "1 2 3+4"


def test_a_repeatable_name_keeps_its_order() -> None:
    """Only names an endpoint declares may stand more than once."""
    read = form.parse(b"resource=https%3A%2F%2Fa&resource=https%3A%2F%2Fb", repeatable={"resource"})
    assert read.all("resource") == ("https://a", "https://b")


@pytest.mark.anyio
async def test_the_query_is_never_read() -> None:
    """A parameter in the URL is refused, since URLs end up in logs."""
    with pytest.raises(InvalidRequest):
        await form.read(request(b"a=1", query=b"b=2"))


@pytest.mark.anyio
@pytest.mark.parametrize(
    "content_types",
    [
        (),
        (b"application/json",),
        (b"multipart/form-data; boundary=x",),
        (b"text/plain",),
        (b"application/x-www-form-urlencoded; charset=utf-16",),
        (b"application/x-www-form-urlencoded", b"application/json"),
    ],
)
async def test_only_urlencoded_bodies_are_read(content_types: tuple[bytes, ...]) -> None:
    """One content type, and that one."""
    with pytest.raises(InvalidRequest):
        await form.read(request(b"a=1", content_types=content_types))


@pytest.mark.anyio
@pytest.mark.parametrize(
    "content_type",
    [
        b"application/x-www-form-urlencoded",
        b"Application/X-WWW-Form-Urlencoded;charset=UTF-8",
        b'application/x-www-form-urlencoded; charset="utf-8"',
    ],
)
async def test_usual_spellings_of_the_content_type_are_read(content_type: bytes) -> None:
    """Case and a UTF-8 charset make no difference."""
    read = await form.read(request(b"a=1", content_types=(content_type,)))
    assert read.get("a") == "1"


@pytest.mark.anyio
async def test_a_body_over_the_cap_is_refused_before_decoding() -> None:
    """The cap holds while the body streams in, whatever Content-Length says."""
    with pytest.raises(PayloadTooLarge):
        await form.read(request(b"a=" + b"x" * form.MAX_BODY))
