"""Token Status List (draft-ietf-oauth-status-list-21, not an RFC yet), section by section."""

import zlib
from typing import Any

import pytest

from app import clock
from app.jose import jwt
from app.jose.base64url import decode
from app.store import status_lists, tokens
from app.tokens.status import SIZE
from app.tokens.status_document import MEDIA_TYPE, bits, packed
from tests.kit.asgi import Answer, Stage

SIXTEEN = [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1]
"""The statuses of section 4.1's example."""
MILLION = (
    0, 1993, 25460, 159495, 495669, 554353, 645645, 723232, 854545, 934534, 1000345,
)  # fmt: skip
"""What is 1 in the one-bit test vector of appendix C.1, a list of 2^20."""
MILLION_LST = (
    "eNrt3AENwCAMAEGogklACtKQPg9LugC9k_ACvreiogE"
    "AAKkeCQAAAAAAAAAAAAAAAAAAAIBylgQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAAAAAAAAXG9IAAAAAAAAAPwsJAAAAAAAAAAAAAAAvhsSAAAAAAAAAAA"
    "A7KpLAAAAAAAAAAAAAAAAAAAAAJsLCQAAAAAAAAAAADjelAAAAAAAAAAAKjDMAQAAA"
    "ACAZC8L2AEb"
)


def placed(stage: Stage) -> tuple[dict[str, Any], str]:
    """A new token's claims, and the path of its list."""
    claims = stage.claims(stage.token(stage.bot))
    uri = claims["status"]["status_list"]["uri"]
    assert uri.startswith(stage.settings.issuer)
    return claims, uri.removeprefix(stage.settings.issuer)


def revoke(stage: Stage, jti: str) -> None:
    """As whoever may revoke it does: its row says so, committed."""
    with stage.house.database.begin() as conn:
        assert tokens.revoke(conn, [jti], clock.now()) == {jti}


def read(stage: Stage, answer: Answer) -> dict[str, Any]:
    """The claims of a list, its signature and type checked."""
    assert answer.status == 200, answer.body
    header, claims = jwt.unverified(answer.body.decode())
    assert header["typ"] == "statuslist+jwt"
    keys = stage.house.door.snapshots.current.keys.published
    assert keys.get(header["kid"]) is not None
    with pytest.raises(jwt.InvalidToken) as refusal:  # the last thing it looks at is the audience
        jwt.verify(
            answer.body,
            keys=keys,
            algorithm="ES256",
            issuer=stage.settings.issuer,
            audience="x",
            now=clock.now(),
            typ="statuslist+jwt",
        )
    assert refusal.value.finding.check == "token aud"
    return dict(claims)


def status(claims: dict[str, Any], index: int) -> int:
    """The bit of one token, as section 8.3 reads it."""
    found = claims["status_list"]
    octets = zlib.decompress(decode(found["lst"]))
    assert (found["bits"], len(octets) * 8) == (1, SIZE)
    return octets[index // 8] >> index % 8 & 1


def test_section_4_1_bits_count_from_the_least_significant() -> None:
    """The specification's example of sixteen statuses: B9 A3, and its compressed spelling."""
    octets = bits([at for at, each in enumerate(SIXTEEN) if each], 16)
    assert octets == bytes.fromhex("b9a3")
    assert packed(octets) == "eNrbuRgAAhcBXQ"


def test_appendix_c_1_the_vector_of_a_million() -> None:
    """Octet for octet what the one-bit vector decompresses to, and no longer than it."""
    octets = bits(MILLION, SIZE)
    assert octets == zlib.decompress(decode(MILLION_LST))
    assert len(packed(octets)) <= len(MILLION_LST)


def test_section_5_1_the_claims_of_a_list(stage: Stage) -> None:
    """Type, sub as the token names it, iat, exp, ttl, and one bit for each token."""
    token, path = placed(stage)
    before = clock.now()
    claims = read(stage, stage.ask("GET", path))
    assert claims.keys() == {"iss", "sub", "iat", "exp", "ttl", "status_list"}
    assert claims["sub"] == token["status"]["status_list"]["uri"]
    assert claims["iss"] == token["iss"]
    assert before <= claims["iat"] <= clock.now()
    assert (claims["exp"], claims["ttl"]) == (claims["iat"] + 60, 60)
    assert claims["status_list"].keys() == {"bits", "lst"}


def test_section_7_1_a_revoked_token_is_1_and_no_other(stage: Stage) -> None:
    """Set at the very next fetch, however young the list that was given out before."""
    first, path = placed(stage)
    second, same = placed(stage)
    assert path == same
    one, other = (each["status"]["status_list"]["idx"] for each in (first, second))
    before = read(stage, stage.ask("GET", path))
    assert [status(before, at) for at in (one, other)] == [0, 0]
    revoke(stage, first["jti"])
    after = read(stage, stage.ask("GET", path))
    assert [status(after, at) for at in (one, other)] == [1, 0]
    assert sum(map(int.bit_count, zlib.decompress(decode(after["status_list"]["lst"])))) == 1


def test_section_8_1_any_page_may_read_it(stage: Stage) -> None:
    """Browser-based resources too: the answer is the same for every origin."""
    _, path = placed(stage)
    answer = stage.ask("GET", path, headers=[("origin", "https://elsewhere.example")])
    assert answer.header("access-control-allow-origin") == "*"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ((), 200),
        ((MEDIA_TYPE,), 200),
        (("Application/StatusList+JWT",), 200),
        (("application/statuslist+cwt, application/statuslist+jwt;q=0.1",), 200),
        (("application/statuslist+cwt", "*/*;q=0.5"), 200),
        (("application/*",), 200),
        (("",), 200),
        (("application/statuslist+cwt",), 406),
        (("text/html, application/json",), 406),
        (("application/statuslist+jwt;q=0, */*",), 406),
        (("application/*;q=0.0, */*",), 406),
        (("*/*; q=0.000",), 406),
    ],
)
def test_section_8_1_the_type_is_negotiated(
    standing: Stage, accept: tuple[str, ...], expected: int
) -> None:
    """A JWT for whoever takes one or says nothing; 406 for whoever takes only something else."""
    _, path = placed(standing)
    answer = standing.ask("GET", path, headers=[("accept", each) for each in accept])
    assert answer.status == expected


def test_section_8_2_the_response(stage: Stage) -> None:
    """Its media type; caches keep it no longer than it counts; an unchanged one is not sent again."""
    claims, path = placed(stage)
    answer = stage.ask("GET", path)
    assert answer.header("content-type") == MEDIA_TYPE
    cached = answer.header("cache-control") or ""
    assert 0 <= int(cached.removeprefix("public, max-age=")) <= 60
    etag = answer.header("etag") or ""
    again = stage.ask("GET", path, headers=[("if-none-match", etag)])
    assert (again.status, again.body, again.header("etag")) == (304, b"", etag)
    revoke(stage, claims["jti"])
    changed = stage.ask("GET", path, headers=[("if-none-match", etag)])
    assert changed.status == 200
    assert changed.header("etag") != etag


def test_section_8_4_the_past_is_not_kept(stage: Stage) -> None:
    """A list as of another time is refused with 501, not answered with today's."""
    _, path = placed(stage)
    answer = stage.ask("GET", path, query=b"time=1686925000")
    assert answer.status == 501


@pytest.mark.parametrize(
    "list_id", ["A" * 16, "A" * 15, "A" * 17, "AAAAAAAA.AAAAAAA", "%41" * 16, "", "A" * 8000]
)
def test_section_8_an_unknown_list_is_not_found(standing: Stage, list_id: str) -> None:
    """404 without a reference: nothing is written down about it."""
    before = standing.entries(1)
    answer = standing.ask("GET", f"/status-lists/{list_id}")
    assert (answer.status, set(answer.json())) == (404, {"error", "error_description"})
    assert standing.entries(1) == before


def test_section_8_a_list_that_ended_is_not_found(stage: Stage) -> None:
    """After its last token expired, whether it was purged yet or not."""
    row = status_lists.StatusListRow(id="E" * 16, opened_at=1, ends_at=clock.now())
    with stage.house.database.begin() as conn:
        status_lists.put(conn, row)
    assert stage.ask("GET", f"/status-lists/{row.id}").status == 404
