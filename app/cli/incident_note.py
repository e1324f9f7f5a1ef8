"""The note about an incident: the same statements as lines, as Markdown and as members."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from app import clock
from app.admin.incident import Incident, Seen
from app.cli.escape import escape

SCOPE = (
    "This note says who proved the private key of which certificate, and what was decided. "
    "It says nothing of intent, and authentication is no approval."
)
_UNREPORTED = "no resource or proxy reported it: whether it was used is not known here"


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with its statements, label and value."""

    title: str
    statements: tuple[tuple[str, str], ...]


def sections(found: Incident) -> list[Section]:
    """Everything the note says, in order."""
    made = [
        Section("Token", _token(found)) if found.jti is not None else None,
        Section("Certificate", _certificate(found)),
        Section("Used by its holder or replayed", _presented(found)),
        Section("Revoked or denied", _acts(found)),
        Section("What else the certificate touched", _touched(found)),
    ]
    return [section for section in made if section is not None]


def conclusion(found: Incident) -> str:
    """Holder or replay, in one sentence."""
    what = "The token" if found.jti is not None else "A token of this certificate"
    others, bare = found.count("other_certificate"), found.count("no_certificate")
    held = found.count("holder")
    if others:
        return f"{what} was replayed: presented with another certificate, {_times(others)}."
    if bare:
        return (
            f"{what} was presented without any certificate, {_times(bare)}: copied, or by way of a "
            "resource that does not pass the certificate on."
        )
    if held:
        return f"{what} was presented by its holder only, {_times(held)}, as far as was reported."
    return f"{what}: {_UNREPORTED}."


def next_steps(found: Incident) -> list[tuple[str, tuple[str, ...]]]:
    """What to do, each with its command."""
    steps: list[tuple[str, tuple[str, ...]]] = []
    good = found.record is not None and found.record.expires_at > clock.now()
    if found.jti is not None and good and found.revoked_at is None:
        steps.append(("the token still counts; stop it", ("revoke", "token", found.jti)))
    if found.thumbprint and not found.denied:
        what = "if its private key may be known to others, stop the certificate"
        steps.append((what, ("revoke", "cert", found.thumbprint)))
        steps += [
            (f"and give {client} another one", ("client", "cert", "add", client, "FILE"))
            for client in found.clients[:3]
        ]
    since = _began_ms(found)
    if since is not None:
        steps.append(
            (
                "keep the entries outside",
                ("audit", "export", "incident.jsonl", "--since", clock.iso(since // 1000)),
            )
        )
    steps.append(("show that the audit is intact", ("audit", "verify")))
    return steps


def markdown(found: Incident, commands: list[tuple[str, str]]) -> str:
    """The whole note."""
    subject = f"token {found.jti}" if found.jti is not None else f"certificate {found.thumbprint}"
    lines = [f"# Incident: {_plain(subject)}", "", _plain(conclusion(found)), ""]
    for section in sections(found):
        lines += [f"## {section.title}", ""]
        lines += [f"- {_plain(label)}: {_plain(value)}" for label, value in section.statements]
        lines.append("")
    lines += ["## What to do next", ""]
    lines += [f"- {_plain(purpose)}: `{command}`" for purpose, command in commands]
    return "\n".join([*lines, "", SCOPE, ""])


def members(found: Incident) -> dict[str, Any]:
    """The same for programs."""
    record = found.record
    return {
        "jti": found.jti,
        "x5t#S256": found.thumbprint,
        "conclusion": conclusion(found),
        "holder": found.count("holder"),
        "other_certificate": found.count("other_certificate"),
        "no_certificate": found.count("no_certificate"),
        "token": found.issued or None,
        "expires_at": found.issued.get("expires_at") or (record.expires_at if record else None),
        "revoked_at": found.revoked_at,
        "certificate": found.certificate or None,
        "presented": [dataclasses.asdict(seen) for seen in found.presented],
        "carried": [dataclasses.asdict(seen) for seen in found.carried],
        "acts": [dataclasses.asdict(act) for act in found.acts],
        "clients": found.clients,
        "resources": list(found.resources),
        "tokens": found.tokens,
        "outstanding": found.outstanding.count,
        "refused": found.refused,
        "denied": [dataclasses.asdict(row) for row in found.denied],
        "more": found.more,
        "scope": SCOPE,
    }


def _token(found: Incident) -> tuple[tuple[str, str], ...]:
    body, record = found.issued, found.record
    issued = body.get("issued_at") or (record.issued_at if record else None)
    expires = body.get("expires_at") or (record.expires_at if record else None)
    certificate = body.get("certificate") or {}
    pairs = (
        ("jti", found.jti or ""),
        ("client", body.get("client_id") or (record.client_id if record else "")),
        ("token type", body.get("token_type", "")),
        ("confirmation method", body.get("confirmation", "")),
        ("resource", body.get("resource") or (record.resource if record else "")),
        ("scope", body.get("scope") or (record.scope if record else "") or "(none)"),
        ("client authentication", body.get("method", "")),
        ("mechanisms of RFC 8705", ", ".join(body.get("mechanisms", ()))),
        ("TLS ended at", certificate.get("termination", "")),
        ("TLS", f"{certificate.get('tls_version', '')} {certificate.get('cipher', '')}".strip()),
        ("issued", _date(issued)),
        ("expires", _date(expires)),
        ("revoked", _date(found.revoked_at) or _revoked_unknown(found)),
        ("entry", "cut from the audit" if not body else ""),
    )
    return _given(pairs)


def _revoked_unknown(found: Incident) -> str:
    if found.record is not None:
        return "no"
    return "see below" if found.acts else "no entry says so; its row is gone since it expired"


def _certificate(found: Incident) -> tuple[tuple[str, str], ...]:
    known = found.certificate
    return _given(
        (
            ("thumbprint (x5t#S256)", found.thumbprint),
            ("subject", known.get("subject", "")),
            ("serial", known.get("serial", "")),
            ("issuer", known.get("issuer", "")),
            ("trust set", known.get("trust_set") or "(none: registered itself, or refused)"),
            ("ends", _date(known.get("not_after"))),
        )
    )


def _presented(found: Incident) -> tuple[tuple[str, str], ...]:
    told = [(seen.verdict.replace("_", " "), _seen(seen)) for seen in found.presented]
    told += [
        (f"this certificate with a token of another one: {seen.verdict}", _seen(seen))
        for seen in found.carried
    ]
    return tuple(told) or (("presented", _UNREPORTED),)


def _seen(seen: Seen) -> str:
    certificate = f"certificate {seen.thumbprint}" if seen.thumbprint else "no certificate"
    if seen.thumbprint is None and seen.verdict == "other_certificate":
        certificate = "further certificates, too many to tell apart"
    subject = f" ({seen.subject})" if seen.subject else ""
    where = f", TLS ended at {seen.termination}" if seen.termination else ""
    return (
        f"{_times(seen.count)}, {certificate}{subject}, told by {seen.reporter}{where}, "
        f"{_date_ms(seen.first_ms)} to {_date_ms(seen.last_ms)}"
    )


def _acts(found: Incident) -> tuple[tuple[str, str], ...]:
    told = [
        (_date_ms(act.at_ms), f"{act.event} by {act.by} {act.what} (entry {act.ref})")
        for act in found.acts
    ]
    return tuple(told) or (("nothing", "no entry says that anything was revoked or denied"),)


def _touched(found: Incident) -> tuple[tuple[str, str], ...]:
    span = f"{_date_ms(found.first_token_ms)} to {_date_ms(found.last_token_ms)}"
    pairs = [
        (
            f"client {use.client_id}",
            f"{_times(use.uses)}, {_date(use.first_used)} to {_date(use.last_used)}",
        )
        for use in found.uses
    ]
    pairs += [("resource", resource) for resource in found.resources]
    pairs.append(("tokens", f"{found.tokens}, {span}" if found.tokens else "none in the audit"))
    pairs.append(("of these still accepted", str(found.outstanding.count)))
    pairs += [(f"refused as {reason}", _times(count)) for reason, count in found.refused.items()]
    if found.more:
        pairs.append(("more", "there are more entries than were read"))
    return tuple(pairs)


def _began_ms(found: Incident) -> int | None:
    if found.jti is not None and "issued_at" in found.issued:
        return int(found.issued["issued_at"]) * 1000
    return found.first_token_ms


def _given(pairs: tuple[tuple[str, Any], ...]) -> tuple[tuple[str, str], ...]:
    return tuple((label, str(value)) for label, value in pairs if value)


def _date(seconds: int | None) -> str:
    return clock.iso(seconds) if seconds is not None else ""


def _date_ms(at_ms: int | None) -> str:
    return _date(at_ms // 1000) if at_ms is not None else ""


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _plain(text: str) -> str:
    """Text of others in Markdown: nothing of it is markup."""
    safe = escape(text)
    for mark in "\\`*_{}[]<>#|":
        safe = safe.replace(mark, f"\\{mark}")
    return safe
