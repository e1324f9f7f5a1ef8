"""A home from nothing: CA, certificates, database, keys, one client. What exists is kept.

For development only: the CA's key lies beside its certificates.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from app import clock
from app.admin import audit_checkpoints, authority, clients, database, keys, resources, trust
from app.admin.authority import Request
from app.admin.client_wishes import DEFAULT_TRUST, Wishes
from app.admin.desk import Desk, at_desk
from app.admin.identity import by_certificate_name
from app.admin.keys import unsealed
from app.clients.methods import tls_client_auth
from app.config import Settings
from app.keys.rotate import ensure_keys
from app.keys.seal import SealingError, SealingKey, make_sealing_key
from app.pki.check import CertificateFacts

CLIENT_ID = "bot"
CLIENT_URI = "spiffe://dev.local/bot"
SCOPE = "api:read"


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that quickstart made or found."""

    name: str
    value: str
    made: bool
    problem: str = ""
    """What is wrong with what was kept; empty: nothing."""
    remedy: tuple[Path, ...] = ()
    """Files to remove before the next quickstart."""


def quickstart(settings: Settings) -> Iterator[Part]:
    """Make what is missing, part by part.

    Raises:
        Problem: a part can neither be made nor used.

    """
    folder = authority.directory(settings)
    yield from _certificates(settings, folder)
    before = database.upgrade(settings)
    with at_desk(settings) as desk:
        yield _sealing_key(desk)
        yield Part("database", before.shown, made=not before.is_current)
        yield _signing_keys(desk)
        yield _trust(desk, folder)
        yield _resource(desk)
        yield _client(desk, folder)


def _certificates(settings: Settings, folder: Path) -> Iterator[Part]:
    made = not (folder / "ca.crt").exists()
    if made:
        authority.init(folder)
    yield _certificate("development CA", folder / "ca.crt", made=made)
    dns, ips = _server_names(settings)
    wanted = {
        "server": ("server certificate", Request(san_dns=dns, san_ip=ips, server=True)),
        CLIENT_ID: ("client certificate", Request(san_uri=(CLIENT_URI,))),
    }
    for name, (label, request) in wanted.items():
        made = not (folder / f"{name}.crt").exists()
        if made:
            authority.issue(folder, name, request)
        yield _certificate(label, folder / f"{name}.crt", made=made)


def _server_names(settings: Settings) -> tuple[Sequence[str], Sequence[str]]:
    """The names clients on this machine use, and those in the configured URLs."""
    dns, ips = ["localhost"], ["127.0.0.1", "::1"]
    for url in (settings.issuer, settings.mtls_base_url):
        host = urlsplit(url).hostname or ""
        try:
            known, host = ips, str(ip_address(host))
        except ValueError:
            known = dns
        if host not in known:
            known.append(host)
    return dns, ips


def _certificate(label: str, path: Path, *, made: bool) -> Part:
    facts = authority.facts_of(path)
    return Part(label, str(path), made, *_fault(path, facts))


def _fault(path: Path, facts: CertificateFacts) -> tuple[str, tuple[Path, ...]]:
    """What is wrong with a kept pair, and what to remove; the CA's is never to be removed alone."""
    key = path.with_suffix(".key")
    if not key.exists():
        told = f"its key {key.name} is missing"
        return (f"{told}: {authority.LOST_KEY}", ()) if facts.is_ca else (told, (path,))
    if facts.not_after > clock.now():
        return "", ()
    return f"expired at {clock.iso(facts.not_after)}", (path, path.with_suffix(".key"))


def _sealing_key(desk: Desk) -> Part:
    """Made only where nothing is sealed yet: a new one opens nothing."""
    settings = desk.settings
    if settings.sealing_key is not None:
        return Part("sealing key", "from the settings", made=False)
    path = settings.sealing_key_file
    made = not path.exists()
    try:
        if made and not keys.listed(desk):
            make_sealing_key(path)
        else:
            SealingKey.from_file(path)
    except SealingError as error:
        raise unsealed(error, settings) from error
    return Part("sealing key", str(path), made)


def _signing_keys(desk: Desk) -> Part:
    try:
        sealing_key = SealingKey.load(desk.settings)
        done = ensure_keys(
            desk.db,
            sealing_key,
            desk.settings.signing_algorithm,
            clock.now(),
            actor=desk.actor,
        )
        audit_checkpoints.begin(desk, sealing_key)
    except SealingError as error:
        raise unsealed(error, desk.settings) from error
    return Part("signing keys", desk.settings.signing_algorithm, made=bool(done))


def _trust(desk: Desk, folder: Path) -> Part:
    """The set `default`; where an operator has filled it otherwise, it stays as it is."""
    known = any(row.name == DEFAULT_TRUST for row in trust.listed(desk))
    if not known:
        trust.add(desk, DEFAULT_TRUST, folder / "ca.crt")
    return Part("trust set", DEFAULT_TRUST, made=not known)


def _resource(desk: Desk) -> Part:
    url = desk.settings.default_resource
    known = any(row.url == url for row in resources.listed(desk))
    if not known:
        resources.add(desk, url, (SCOPE,))
    return Part("resource", url, made=not known)


def _client(desk: Desk, folder: Path) -> Part:
    known = any(row.client_id == CLIENT_ID for row in clients.listed(desk))
    if not known:
        identity = by_certificate_name(folder / f"{CLIENT_ID}.crt")
        clients.add(desk, CLIENT_ID, identity, Wishes(scopes=(SCOPE,)))
    row, _ = clients.shown(desk, CLIENT_ID)
    match = f"{row.subject_attribute} {row.subject_text}" if row.subject_attribute else ""
    if row.auth_method != tls_client_auth.NAME:
        match = row.auth_method
    return Part("client", f"{CLIENT_ID}, matched by {match}", made=not known)
