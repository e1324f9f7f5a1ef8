"""Could a server run on these settings? Every part looked at, nothing changed, nothing made."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass

from app import clock
from app.admin import authority, database, server_names
from app.admin.desk import at_desk
from app.admin.keys import unsealed
from app.admin.problem import Problem
from app.admin.server_files import unusable
from app.config import Settings
from app.keys.ring import KeyRing
from app.keys.seal import SealingError, SealingKey
from app.pki.check import CertificateFacts
from app.store import registry as store_registry
from app.store.engine import StoreUnavailable
from app.store.registry import RegistryRows
from app.tls import context
from app.tls.context import CertificateFileError


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. `passed` is None for what is worth a look but stops no server."""

    name: str
    passed: bool | None
    seen: str
    expected: str = ""
    action: str = ""


def checkup(settings: Settings) -> list[Check]:
    """Every check, in the order a server would meet them."""
    checks = [_guarded("server certificate", _tls, settings), *_urls(settings)]
    try:
        status = database.status(settings)
    except (Problem, StoreUnavailable) as error:
        return [*checks, _of_error("database", error)]
    if not status.is_current:
        return [
            *checks,
            Check(
                "database",
                passed=False,
                seen=f"schema {status.before or 'none: it is empty'}",
                expected=f"schema {status.needed}",
                action=status.remedy,
            ),
        ]
    checks.append(Check("database", passed=True, seen=f"{status.shown}, schema {status.needed}"))
    with at_desk(settings) as desk, desk.db.read() as conn:
        rows = store_registry.load(conn)
    checks.append(_guarded("signing keys", lambda one: _keys(one, rows), settings))
    checks.append(_trust(rows))
    checks.append(_resource(settings, rows))
    return checks


def _guarded(name: str, look: Callable[[Settings], Check], settings: Settings) -> Check:
    try:
        return look(settings)
    except SealingError as error:
        return _of_error(name, unsealed(error, settings))
    except CertificateFileError as error:
        return _of_error(name, unusable(error, settings))
    except Problem as error:
        return _of_error(name, error)


def _of_error(name: str, error: Exception) -> Check:
    if isinstance(error, Problem):
        return Check(
            name,
            passed=False,
            seen=error.seen or error.message,
            expected=error.expected,
            action=error.action,
        )
    return Check(name, passed=False, seen=str(error), action="certbound config show")


def _tls(settings: Settings) -> Check:
    """The files as the listeners will load them: readable, PEM, and belonging together."""
    context.build(settings.tls_certificate_file, settings.tls_key_file)
    facts = authority.facts_of(settings.tls_certificate_file)
    if facts.not_after <= clock.now():
        return Check(
            "server certificate",
            passed=False,
            seen=f"expired at {clock.iso(facts.not_after)}",
            expected="a certificate in date",
            action="Renew it; a running server loads the new files by itself.",
        )
    if server_names.missing(facts, settings):
        return _nameless(settings, facts)
    return Check(
        "server certificate",
        passed=True,
        seen=f"{', '.join(facts.sans) or facts.subject}, until {clock.iso(facts.not_after)}",
    )


def _nameless(settings: Settings, facts: CertificateFacts) -> Check:
    development = (authority.directory(settings) / "ca.key").exists()
    files = shlex.join(map(str, (settings.tls_certificate_file, settings.tls_key_file)))
    told = ", ".join(
        f"{'the ' if name == 'issuer' else ''}{name}'s host {host}"
        for name, host in server_names.missing(facts, settings)
    )
    return Check(
        "server certificate",
        passed=False,
        seen=f"names {server_names.listed(facts.sans)}; {told} is missing",
        expected="a certificate that names the host of every URL that clients are given",
        action=f"Make another: rm -- {files} && certbound quickstart"
        if development
        else "Have one issued with this name, or correct the setting.",
    )


def _urls(settings: Settings) -> list[Check]:
    text = server_names.left_local(settings)
    if not text:
        return []
    return [
        Check(
            "mtls_base_url",
            passed=None,
            seen=text,
            expected="a URL that the clients of the issuer can reach",
            action="Set mtls_base_url as well.",
        )
    ]


def _keys(settings: Settings, rows: RegistryRows) -> Check:
    sealing_key = SealingKey.load(settings)
    if not rows.signing_keys:
        return Check(
            "signing keys", passed=True, seen="none yet; the server makes them at its start"
        )
    ring = KeyRing.from_rows(rows.signing_keys, sealing_key)
    return Check(
        "signing keys",
        passed=True,
        seen=f"{len(rows.signing_keys)}, current {ring.current.kid} ({ring.current.algorithm})",
    )


def _trust(rows: RegistryRows) -> Check:
    anchors = [a for one in rows.trust_sets for a in one.anchors if a.role == "anchor"]
    expired = [a.subject for a in anchors if a.not_after <= clock.now()]
    if expired:
        return Check(
            "trust anchors",
            passed=None,
            seen=f"expired: {', '.join(expired)}",
            expected="anchors in date",
            action="Add the CA's new certificate: certbound trust add NAME FILE",
        )
    if not anchors:
        return Check(
            "trust anchors",
            passed=None,
            seen="none: only self-signed clients can authenticate",
            action="Pin a CA: certbound trust add default FILE",
        )
    return Check("trust anchors", passed=True, seen=f"{len(anchors)} in date")


def _resource(settings: Settings, rows: RegistryRows) -> Check:
    if any(one.url == settings.default_resource for one in rows.resources):
        return Check("default resource", passed=True, seen=settings.default_resource)
    return Check(
        "default resource",
        passed=None,
        seen=f"{settings.default_resource} is not registered",
        expected="a registered resource, or clients that always name one",
        action="Register it with: certbound resource add URL --scope SCOPE",
    )
