"""The lines of the table: what is asked, and of whom. `bench/README.md` explains each."""

from dataclasses import dataclass, replace

from bench.load import Ask
from bench.peer import NAME as PEER
from bench.server import Server

CERTBOUND = "certbound"
POSTGRESQL = "certbound, PostgreSQL"
EMPTY = "empty handler"


@dataclass(frozen=True, slots=True)
class Line:
    """One kind of work under load."""

    name: str
    title: str
    ask: Ask
    beside: tuple[str, ...] = (PEER,)
    """Who does the same, after certbound."""


def token(client: str = "ec", **how: str | int) -> Ask:
    """A token for this client."""
    body = f"grant_type=client_credentials&client_id={client}&scope=api:read"
    asked = Ask("/token", "access_token", body, client)
    return replace(asked, **how)  # type: ignore[arg-type]  # mypy checks no fields behind **


_ALL = (POSTGRESQL, PEER, EMPTY)
_FULL = "token, new connection, full handshake"

LINES = (
    Line("keep-1", "token, 1 kept-alive connection", token(connections=1)),
    Line("keep-16", "token, 16 kept-alive connections", token(), _ALL),
    Line("keep-64", "token, 64 kept-alive connections", token(connections=64)),
    Line("full-ec", f"{_FULL}, P-256", token(mode="full"), _ALL),
    Line("full-ec-self", f"{_FULL}, P-256 self-signed", token("ec-self", mode="full")),
    Line("full-rsa", f"{_FULL}, RSA-2048", token("rsa", mode="full")),
    Line("full-rsa-self", f"{_FULL}, RSA-2048 self-signed", token("rsa-self", mode="full")),
    Line("resume", "token, new connection, the peer resumes", token(mode="resume")),
    Line("introspection", "introspection", Ask("/introspect", '"active":true')),
    Line("metadata", "metadata", Ask("/.well-known/oauth-authorization-server", '"issuer"')),
)


def asked_of(line: Line, contender: str, server: Server) -> Ask:
    """The line's work as this contender knows it: paths and kinds of token differ."""
    if line.name == "resume" and contender != PEER:
        return replace(line.ask, mode="full")  # certbound resumes nothing
    if line.name == "introspection":
        return _introspection(line.ask, contender, server)
    return line.ask


def _introspection(ask: Ask, contender: str, server: Server) -> Ask:
    """A fresh token's. The peer introspects only opaque tokens, which it keeps in memory."""
    wanted = token()
    if contender == PEER:
        ask = replace(ask, path="/token/introspection")
        wanted = replace(wanted, body=f"{wanted.body}&resource=urn:bench:opaque")
    answer = server.ask(wanted).decode()
    found = answer.partition('"access_token":"')[2].partition('"')[0]
    return replace(ask, body=f"client_id=ec&token={found}")
