"""The clients a refusal needs: one of each kind, on one stage."""

from dataclasses import dataclass, replace
from pathlib import Path

from cryptography import x509

from app import clock
from app.admin import certificates, clients, identity, quickstart, trust
from app.admin.authority import Request
from app.store import clients as client_rows
from app.store import credentials as credential_rows
from app.store import registry
from app.tls.peer import PeerCertificate
from tests.kit import ca
from tests.kit.asgi import Stage, make_home

OTHER_RESOURCE = "https://files.example"
UNUSED_RESOURCE = "https://unused.example"


@dataclass(frozen=True)
class Cast:
    """A stage, and the certificates of those who play on it."""

    stage: Stage
    bot: PeerCertificate
    """Registered by SAN URI: the client of quickstart."""
    selfsigned: PeerCertificate
    """Of the client ``selfsigned``, registered as a whole."""
    retired: PeerCertificate
    """Of the client ``selfsigned`` too, retired since."""
    pending: PeerCertificate
    """Of the client ``selfsigned`` too, active from tomorrow."""
    disabled: PeerCertificate
    """Of the client ``disabled``."""
    orphan: PeerCertificate
    """Of the client ``orphan``, whose trust set has been removed."""
    stranger: PeerCertificate
    """From a CA nobody trusts, with the very name of ``bot``."""
    impostor: PeerCertificate
    """The same, from a CA that has the trusted one's name and another key."""
    malformed: PeerCertificate
    """Bytes that are no certificate."""


def cast_on(stage: Stage, elsewhere: Path) -> Cast:
    """Register everybody on `stage`; `elsewhere` becomes the home of the other CA."""
    make_home(elsewhere)
    stage.add_resource(OTHER_RESOURCE, "files:read", "files:write")
    stage.add_resource(UNUSED_RESOURCE)
    selfsigned = stage.add_self_signed("selfsigned", scopes=("api:read",))
    disabled = stage.add_client("disabled")
    clients.disable(stage.desk, "disabled")
    trust.add(stage.desk, "gone", elsewhere / "certs" / "ca.crt")
    orphan = stage.add_client("orphan", trust_sets=("gone",))
    trust.remove(stage.desk, "gone")
    stage.add_client("files", resources=(OTHER_RESOURCE,), scopes=("files:read", "api:read"))
    stage.register("remote", identity.by_jwks_uri("https://127.0.0.1:1/jwks"))
    _odd_rows(stage)
    return Cast(
        stage=stage,
        bot=stage.bot,
        selfsigned=selfsigned,
        retired=_another(stage, "retired"),
        pending=_another(stage, "pending"),
        disabled=disabled,
        orphan=orphan,
        stranger=_like_bot(ca.name(("CN", "Another CA"))),
        impostor=_like_bot(_subject_of(stage.settings.home / "certs" / "ca.crt")),
        malformed=PeerCertificate(
            b"\x30\x03\x02\x01", (), "TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256"
        ),
    )


def _subject_of(path: Path) -> bytes:
    return x509.load_pem_x509_certificate(path.read_bytes()).subject.public_bytes()


def _like_bot(issuer: bytes) -> PeerCertificate:
    now = clock.now()
    authority = ca.root(issuer, ca.key(label="cast"), now)
    names = ca.san(uri=(quickstart.CLIENT_URI,))
    draft = ca.client_draft(ca.name(("CN", "bot")), ca.key(label="cast bot"), now, names)
    return PeerCertificate(authority.sign(draft), (), "TLSv1.3", "TLS_AES_128_GCM_SHA256")


def _another(stage: Stage, name: str) -> PeerCertificate:
    peer = stage.issue(name, Request(dn=f"CN={name}", self_signed=True))
    path = stage.settings.home / "certs" / f"{name}.crt"
    tomorrow = clock.now() + 86_400
    certificates.add(stage.desk, "selfsigned", path, tomorrow if name == "pending" else None)
    if name == "retired":
        certificates.retire(stage.desk, "selfsigned", peer.thumbprint)
    return peer


def _odd_rows(stage: Stage) -> None:
    """What no command registers today: no grant at all, and a method of another release."""
    row, credentials = clients.shown(stage.desk, "selfsigned")
    odd = (
        replace(row, client_id="grantless", grants=()),
        replace(row, client_id="futuristic", auth_method="spiffe_x509"),
    )
    with registry.change(stage.desk.db) as conn:
        for one in odd:
            client_rows.add(conn, one)
            for credential in credentials:
                credential_rows.add(conn, replace(credential, client_id=one.client_id))
