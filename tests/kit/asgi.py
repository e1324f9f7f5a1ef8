"""The whole server but its sockets: requests in, answers out, on one thread and one database file.

The application is the one `app.main` wires; only TLS is missing, so a test says itself which
certificate "was proven" on the connection. Nothing here listens, connects or sleeps. What a request
waits for the database is bounded by the database's own limits alone: that all its waits together
take no longer is for real servers (`tests/faults`), and a busy machine is now and then that late.
"""

import asyncio
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self
from unittest import mock
from urllib.parse import unquote, urlencode

from app import clock, config
from app.admin import authority, clients, quickstart, resources
from app.admin.authority import Request
from app.admin.client_wishes import Wishes
from app.admin.desk import Desk
from app.admin.identity import Identity, by_certificate_name, by_certificates
from app.config import Settings
from app.jose import jwt
from app.main import House, open_house
from app.pki.anchors import load_pem_bundle
from app.store import audit, patience, registry
from app.store import clients as client_rows
from app.tls.peer import PeerCertificate
from tests.kit.patience import PATIENCE

FORM = ("content-type", "application/x-www-form-urlencoded")
TOKEN_PATH = "/token"  # noqa: S105 - a path, no password
Fields = Mapping[str, str] | Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Answer:
    """One HTTP answer as the application gave it."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The value of a header, which must not stand twice."""
        found = [value for key, value in self.headers if key == name]
        assert len(found) <= 1, f"{name} stands {len(found)} times"
        return found[0] if found else None

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Stage:
    """An open house, asked without sockets. Use as a context manager."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.house: House = open_house(settings)
        self._loop = asyncio.Runner()

    def __enter__(self) -> Self:
        self._all_the_time = mock.patch.object(patience, "LIMIT", PATIENCE)
        self._all_the_time.start()
        self.house.door.journal.start()
        self.house.door.lookups.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.run(self.house.door.remote_keys.close())
        self.house.door.lookups.close(5)
        self.house.door.journal.close(5)
        self.house.database.dispose()
        self._loop.close()
        self._all_the_time.stop()

    @property
    def desk(self) -> Desk:
        """Where an operator would sit, on the same database."""
        return Desk(self.house.database, self.settings, "tester")

    @property
    def bot(self) -> PeerCertificate:
        """The client certificate of quickstart, proven."""
        return self.peer("bot")

    def peer(self, name: str, *, with_chain: Sequence[bytes] = ()) -> PeerCertificate:
        """The certificate ``certs/<name>.crt`` as a handshake would prove it."""
        return peer_of(self.settings.home / "certs" / f"{name}.crt", with_chain)

    def issue(self, name: str, wanted: Request) -> PeerCertificate:
        """A new certificate in ``certs/``, by the development CA unless self-signed."""
        authority.issue(authority.directory(self.settings), name, wanted)
        return self.peer(name)

    def add_client(self, client_id: str, **wishes: Sequence[str]) -> PeerCertificate:
        """Register a client by the name in a new certificate of the development CA."""
        peer = self.issue(client_id, Request(san_uri=(f"spiffe://dev.local/{client_id}",)))
        path = self.settings.home / "certs" / f"{client_id}.crt"
        self.register(client_id, by_certificate_name(path), **wishes)
        return peer

    def add_self_signed(self, client_id: str, **wishes: Sequence[str]) -> PeerCertificate:
        """Register a client by a new self-signed certificate."""
        peer = self.issue(client_id, Request(dn=f"CN={client_id}", self_signed=True))
        path = self.settings.home / "certs" / f"{client_id}.crt"
        self.register(client_id, by_certificates([path]), **wishes)
        return peer

    def register(self, client_id: str, identity: Identity, **wishes: Sequence[str]) -> None:
        """Register a client that proves itself as `identity` says."""
        clients.add(self.desk, client_id, identity, Wishes(**wishes))

    def add_resource(self, url: str, *scopes: str) -> None:
        """Register a protected resource."""
        resources.add(self.desk, url, scopes)

    def refresh(self) -> None:
        """What the server does about once a second: look whether the registry moved."""
        self.house.door.snapshots.refresh()

    def ask(
        self,
        method: str,
        path: str,
        *,
        peer: PeerCertificate | None = None,
        peer_error: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        query: bytes = b"",
        body: bytes | Sequence[bytes] = b"",
    ) -> Answer:
        """One request, path as on the wire."""
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "https",
            "path": unquote(path),
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query,
            "headers": [(k.lower().encode(), v.encode("latin-1")) for k, v in headers],
            "client": ("127.0.0.1", 40000),
            "server": ("127.0.0.1", 8443),
            "state": {"certbound.peer": peer},
        }
        if peer_error is not None:
            scope["state"] = {"certbound.peer": peer, "certbound.peer_error": peer_error}
        pieces = [body] if isinstance(body, bytes) else body
        return self._loop.run(_asked(self.house, scope, pieces))

    def post(
        self,
        path: str,
        fields: Fields,
        *,
        peer: PeerCertificate | None = None,
        headers: Iterable[tuple[str, str]] = (),
    ) -> Answer:
        """A form, encoded as browsers and client libraries do."""
        body = urlencode(list(fields.items()) if isinstance(fields, Mapping) else fields).encode()
        return self.ask("POST", path, peer=peer, headers=(FORM, *headers), body=body)

    def token(self, peer: PeerCertificate | None, **parameters: str) -> Answer:
        """A client credentials request; an empty parameter is left out, ``bot`` asks unless said."""
        fields = {"grant_type": "client_credentials", "client_id": "bot"} | parameters
        path = self.house.door.issuer.path + TOKEN_PATH
        return self.post(path, {k: v for k, v in fields.items() if v}, peer=peer)

    def introspect(
        self,
        token: str,
        peer: PeerCertificate | None = None,
        *,
        accept: str = "*/*",
        **parameters: str,
    ) -> Answer:
        """A question about `token`, from ``bot`` unless said."""
        headers = [("accept", accept)]
        fields = {"client_id": "bot", "token": token} | parameters
        return self.post("/introspect", fields, peer=peer or self.bot, headers=headers)

    def revoke(self, token: str, peer: PeerCertificate | None = None, **more: str) -> Answer:
        """A revocation of `token`, by ``bot`` unless said."""
        fields = {"client_id": "bot", "token": token} | more
        return self.post("/revoke", fields, peer=peer or self.bot)

    def let_see(self, client_id: str, *serves: str, everything: bool = False) -> None:
        """Register which tokens the client may look at."""
        sight: Literal["own", "all"] = "all" if everything else "own"
        with registry.change(self.house.database) as conn:
            now = clock.now()
            assert client_rows.set_sight(conn, client_id, now, introspection=sight, serves=serves)

    def claims(self, answer: Answer) -> dict[str, Any]:
        """The claims of the token in `answer`, verified as a resource server would."""
        assert answer.status == 200, answer.body
        token = answer.json()["access_token"]
        audience = jwt.unverified(token)[1]["aud"]
        verified = jwt.verify(
            token,
            keys=self.house.door.snapshots.current.keys.published,
            algorithm=self.settings.signing_algorithm,
            issuer=self.settings.issuer,
            audience=audience if isinstance(audience, str) else "",
            now=clock.now(),
        )
        return dict(verified.claims)

    def explained(self, ref: str) -> dict[str, Any]:
        """The audit entry that an `error_ref` leads to."""
        with self.house.database.read() as conn:
            row = audit.find_ref(conn, ref)
        assert row is not None, f"nothing is recorded under {ref}"
        body: dict[str, Any] = json.loads(row.body)
        return body

    def entries(self, count: int = 1) -> list[dict[str, Any]]:
        """The last audit entries, oldest first."""
        with self.house.database.read() as conn:
            return [json.loads(row.body) for row in audit.tail(conn, count)]


def peer_of(path: Path, with_chain: Sequence[bytes] = ()) -> PeerCertificate:
    """The first certificate of a PEM file as a handshake would prove it."""
    der = load_pem_bundle(path.read_bytes())[0]
    return PeerCertificate(der, tuple(with_chain), "TLSv1.3", "TLS_AES_128_GCM_SHA256")


def make_home(home: Path, **flags: Any) -> Path:
    """A home as ``certbound quickstart`` makes it."""
    home.mkdir(parents=True, exist_ok=True)
    for _part in quickstart.quickstart(settings_for(home, **flags)):
        pass
    return home


def settings_for(home: Path, **flags: Any) -> Settings:
    """The settings of a server in `home`, whatever the environment says."""
    return config.load(home, flags=flags, environ={}).settings


@contextmanager
def staged(template: Path, home: Path, **flags: Any) -> Iterator[Stage]:
    """A stage on a copy of the home `template`."""
    shutil.copytree(template, home)
    with Stage(settings_for(home, **flags)) as stage:
        yield stage


async def _asked(house: House, scope: dict[str, Any], pieces: Sequence[bytes]) -> Answer:
    waiting = [
        {"type": "http.request", "body": piece, "more_body": number < len(pieces)}
        for number, piece in enumerate(pieces, 1)
    ]
    sent: list[Any] = []

    async def receive() -> Any:
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await house.app(scope, receive, send)
    start = sent[0]
    headers = tuple((k.decode("latin-1"), v.decode("latin-1")) for k, v in start["headers"])
    return Answer(start["status"], headers, b"".join(m.get("body", b"") for m in sent[1:]))
