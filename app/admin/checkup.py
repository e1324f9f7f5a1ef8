"""Could a server run on these settings? Every part looked at, nothing changed, nothing made."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass

from app import clock
from app.admin import authority, database, seen, server_names
from app.admin.desk import Desk, at_desk
from app.admin.keys import unsealed
from app.admin.problem import Problem
from app.admin.server_files import unusable
from app.clients import crl_due, deny_list
from app.config import Settings
from app.keys.ring import KeyRing
from app.keys.seal import SealingError, SealingKey
from app.pki import check
from app.pki.check import CertificateFacts
from app.store import registry as store_registry
from app.store.engine import StoreUnavailable
from app.store.registry import RegistryRows
from app.tls import context
from app.tls.context import CertificateFileError

ANCHOR_DUE = 30 * 86_400
"""Seconds before a trust anchor ends at which to begin: its clients need other certificates."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. `passed` is None for what is worth a look but stops no server."""

    name: str
    passed: bool | None
    seen: str
    expected: str = ""
    action: str = ""
    due: bool = False
    """Whether clients are, or will soon be, refused unless somebody acts."""


def checkup(settings: Settings) -> list[Check]:
    """Every check, in the order a server would meet them."""
    checks = [_guarded("server certificate", _tls, settings), *_urls(settings)]
    try:
        status = database.status(settings)
    except (Problem, StoreUnavailable) as error:
        return [*checks, _of_error("database", error)]
    if not (status.is_current or status.goes_on):
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
    checks.append(Check("database", passed=True, seen=f"{status.shown}, schema {status.before}"))
    with at_desk(settings) as desk:
        checks += _older(desk)
        with desk.db.read() as conn:
            rows = store_registry.load(conn)
    checks.append(_guarded("signing keys", lambda one: _keys(one, rows), settings))
    checks.append(_trust(rows))
    checks += _denied(rows)
    checks += _lists(rows)
    checks.append(_resource(settings, rows))
    return checks


def _older(desk: Desk) -> list[Check]:
    """A complaint where the database is an older copy of itself, on which no server starts."""
    try:
        seen.require_not_older(desk.settings, desk.db)
    except Problem as error:
        return [_of_error("database", error)]
    return []


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
    by_hand = [
        (one.name, a)
        for one in rows.trust_sets
        for a in one.anchors
        if a.role == "anchor" and one.bundle is None
    ]
    now = clock.now()
    ending = [(name, a) for name, a in by_hand if a.not_after <= now + ANCHOR_DUE]
    if ending:
        name, first = min(ending, key=lambda one: one[1].not_after)
        told = (
            f"{a.subject} in {name} {'expired' if a.not_after <= now else 'ends'} "
            f"{clock.iso(a.not_after)}"
            for name, a in ending
        )
        return Check(
            "trust anchors",
            passed=None,
            seen="; ".join(told),
            expected=f"anchors in date for {ANCHOR_DUE // 86_400} days",
            action=f"Add the CA's new certificate: certbound trust add {name} FILE. Where nobody "
            f"needs the old one any more: certbound trust remove {name} {first.thumbprint}",
            due=True,
        )
    if not anchors:
        return Check(
            "trust anchors",
            passed=None,
            seen="none: only self-signed clients can authenticate",
            action="Pin a CA: certbound trust add default FILE",
        )
    return Check("trust anchors", passed=True, seen=f"{len(anchors)} in date")


def _denied(rows: RegistryRows) -> list[Check]:
    """Members of trust sets that the deny-list stops; no line where there is none."""
    told = [
        (one.name, member, how)
        for one in rows.trust_sets
        for member in one.anchors
        if (how := _entry(rows, member.der)) is not None
    ]
    if not told:
        return []
    name, first, _ = told[0]
    return [
        Check(
            "denied CAs",
            passed=None,
            seen="; ".join(f"{member.subject} in {name}, by {how}" for name, member, how in told),
            expected="trust sets whose members may vouch for somebody",
            action=f"Take it out: certbound trust remove {name} {first.thumbprint}. After a "
            "mistake, take the entry off the list: certbound revoke list",
            due=any(member.role == "anchor" for _, member, _ in told),
        )
    ]


def _entry(rows: RegistryRows, der: bytes) -> str | None:
    try:
        return deny_list.entry(rows.denied, check.describe(der))
    except ValueError:  # told where a client of the set is refused
        return None


def _lists(rows: RegistryRows) -> list[Check]:
    """The CRLs that trust sets ask; no line where none does."""
    asked = [one for one in rows.trust_sets if one.revocation.mode == "crl"]
    checks = []
    for one in asked:
        lists = crl_due.lists_of(one, rows.crls, clock.now())
        told = [f"none of {subject}" for subject in lists.without]
        told += [
            f"that of {each.of} {'counts no more since' if each.state == 'stale' else 'ends'} "
            f"{clock.iso(each.ends)}"
            for each in lists.due
        ]
        fetched = bool(one.revocation.urls)
        checks.append(
            Check(
                f"CRLs of {one.name}",
                passed=None if told else True,
                seen="; ".join(told) or f"{len(lists.standings)}, none is due",
                expected="a list of each CA, and none that is about to end" if told else "",
                action=(
                    "See why it is not fetched: the server's log has crl.fetch_failed."
                    if fetched
                    else f"Load the CA's newest: certbound trust crl {one.name} FILE"
                )
                if told
                else "",
                due=bool(told),
            )
        )
    return checks


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
