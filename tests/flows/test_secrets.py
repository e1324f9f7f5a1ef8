"""After everything that can happen to a token, nothing secret is found in log, audit or database."""

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit import ledger, tokens
from tests.kit.running import Running, running


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, list[str]]]:
    """A server with the most talkative log that went through tokens, refusals and rotations."""
    with running(tmp_path_factory.mktemp("home"), log_level="debug", log_format="json") as server:
        received = [tokens.issued(tokens.ask_as(server, "bot")) for _ in range(3)]
        server.certbound("key", "rotate", "--force")
        received.append(tokens.issued(tokens.ask_as(server, "bot")))
        printed = server.certbound(
            *("token", "get", "--cert", str(server.file("bot.crt"))),
            *("--key", str(server.file("bot.key"))),
        )
        received += re.findall(r"eyJ[\w-]+\.[\w-]+\.[\w-]+", printed)
        assert len(received) == 5
        misuse(server, received[0])
        yield server, received


def misuse(server: Running, token: str) -> None:
    """Send a token and passwords where they do not belong."""
    with server.client() as http:
        for form, headers in (
            ({"client_id": token}, {}),
            ({"client_id": "bot", "scope": token}, {}),
            ({"client_id": "bot", "resource": token}, {}),
            ({"client_id": "bot", "client_secret": PASSWORD}, {}),
            ({"client_id": "bot"}, {"Authorization": f"Bearer {token}"}),
            ({"client_id": "bot", "client_assertion": token}, {}),
            ({"client_id": "bot", "grant_type": "x"}, {"Cookie": PASSWORD}),
        ):
            response = http.post(
                server.token_url, data={"grant_type": "client_credentials", **form}, headers=headers
            )
            assert response.status_code in (400, 401)
    server.certbound("token", "inspect", token)


PASSWORD = "correct-horse-battery-staple"  # noqa: S105 - it opens nothing


def secrets(server: Running, received: list[str]) -> dict[str, bytes]:
    """What must not be found, by name."""
    found = {f"signature of token {n}": t.split(".")[2].encode() for n, t in enumerate(received)}
    for path in sorted((server.home / "certs").glob("*.key")):
        lines = [line for line in path.read_bytes().split() if len(line) >= 40]
        assert lines, path
        found |= {f"{path.name} line {n}": line for n, line in enumerate(lines)}
    return found


def hits(haystack: bytes, wanted: dict[str, bytes]) -> list[str]:
    """The names of those that are in there."""
    return [name for name, secret in wanted.items() if secret in haystack]


def dump(path: Path) -> bytes:
    """The database: its files as they are, and every value as SQL shows it."""
    raw = b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as conn:
        sql = "\n".join(conn.iterdump())
    conn.close()
    return raw + sql.encode()


def test_the_search_finds_what_is_there(lived: tuple[Running, list[str]]) -> None:
    """The control: the same search finds each secret in the file that rightly holds it."""
    server, received = lived
    wanted = secrets(server, received)
    keys = b"".join(path.read_bytes() for path in (server.home / "certs").glob("*.key"))
    assert len(hits(keys, wanted)) == len(wanted) - len(received)
    assert len(wanted) >= 5 + 4 * 1
    assert b"bot" in dump(server.home / "certbound.db")


def test_no_secret_in_the_log(lived: tuple[Running, list[str]]) -> None:
    """At debug level too."""
    server, received = lived
    log = server.log.encode()
    assert b"request.refused" in log
    assert hits(log, secrets(server, received)) == []
    assert PASSWORD.encode() not in log


def test_no_secret_in_the_database(lived: tuple[Running, list[str]]) -> None:
    """Neither in a value nor in a page that SQLite left behind; signing keys are sealed."""
    server, received = lived
    content = dump(server.home / "certbound.db")
    assert hits(content, secrets(server, received)) == []
    assert PASSWORD.encode() not in content
    assert b"PRIVATE KEY" not in content
    for member in (b'"d":', b'"d" :', b"'d':"):
        assert member not in content, "the private member of a JWK"


def test_no_secret_in_the_audit(lived: tuple[Running, list[str]]) -> None:
    """Entries name tokens by jti and certificates by thumbprint, and quote no credential."""
    server, received = lived
    rows = ledger.entries(server.home)
    text = "\n".join(row.body for row in rows).encode()
    assert {"token.issued", "request.refused", "client.added", "key.rotated"} <= {
        row.event for row in rows
    }
    assert hits(text, secrets(server, received)) == []
    assert PASSWORD.encode() not in text
    assert b"BEGIN CERTIFICATE" not in text
    for token in received:
        assert tokens.read(token)["jti"].encode() in text
