"""What ``certbound client rehearse`` prints."""

from pathlib import Path
from typing import Any

from app import clock
from app.admin.rehearsal import Rehearsal
from app.cli.dates import until
from app.cli.findings import add_finding, filled_in, members
from app.cli.page import REFUSED, Page
from app.cli.session import Session, shown


def rehearsal_page(session: Session, file: Path, found: Rehearsal) -> Page:
    """The verdict, the tokens, and the steps in their order."""
    client_id, facts = found.before.client.client_id, found.facts
    refusal = found.diagnosis.refusal
    steps = [] if refusal is not None else _steps(session, file, found)
    page = Page(
        {
            "client_id": client_id,
            "x5t#S256": facts.thumbprint,
            "accepted": refusal is None,
            "from": found.at,
            "needs_registration": found.needs_registration,
            "same_key": found.same_key,
            "reason": str(refusal.finding.reason) if refusal else None,
            "findings": members(found.diagnosis.findings),
            "tokens": _token_members(found),
            "labels": dict(found.labels),
            "also_held_by": [row.client_id for row in found.holders],
            "steps": [
                {"do": purpose, "command": list(command) or None} for purpose, command in steps
            ],
        }
    )
    page.fact(
        "new certificate",
        facts.thumbprint,
        subject=facts.subject,
        names=", ".join(facts.sans),
        issuer=facts.issuer,
        ends=until(facts.not_after),
    )
    for finding in found.diagnosis.findings:
        add_finding(page, session, filled_in(finding, client_id, file, found.diagnosis.client))
    if refusal is not None:
        page.bad(
            "it would not be accepted",
            f"{refusal.status} {refusal.error} ({refusal.finding.reason})",
        )
        page.code = REFUSED
        return page
    when = "at once" if found.at <= clock.now() else f"from {until(found.at)}"
    page.ok("it would be accepted", f"{when}{', once registered' * found.needs_registration}")
    if found.same_key:
        page.warn("same key", "the key is not renewed with it: what leaked before is leaked still")
    _tokens(page, found)
    for number, (purpose, command) in enumerate(steps, 1):
        if command:
            page.command(f"{number}. {purpose}", *command)
        else:
            page.fact(f"{number}. {purpose}")
    return page


def _tokens(page: Page, found: Rehearsal) -> None:
    out = found.outstanding
    if out.count == 0:
        page.fact("unexpired tokens", "none")
        return
    page.fact(
        "unexpired tokens",
        f"{out.count}, the last until {until(out.until)}",
        bound_to=", ".join(found.by_certificate),
        note="they stay valid, over connections with the certificate they are bound to alone",
    )


def _steps(session: Session, file: Path, found: Rehearsal) -> list[tuple[str, tuple[str, ...]]]:
    client_id = found.before.client.client_id
    steps: list[tuple[str, tuple[str, ...]]] = []
    if found.needs_registration:
        steps.append(
            (
                "register it; the old one keeps counting",
                session.certbound(
                    "client", "cert", "add", client_id, shown(file),
                    *(word for name, text in found.labels.items()
                      for word in (f"--{name.replace('_', '-')}", text)),
                ),
            )
        )  # fmt: skip
    if found.at > clock.now():
        steps.append((f"wait until it begins, {until(found.at)}", ()))
    steps.append(
        ("install it and its key at the connector, and drop the tokens the connector holds", ())
    )
    steps.append(
        (
            "see that it is used, and that the old one no longer is",
            session.certbound("client", "cert", "list", client_id),
        )
    )
    for one in found.before.standings:
        if one.credential is not None and one.state in ("active", "retiring"):
            if one.digest == found.facts.thumbprint:
                continue
            steps.append(
                (
                    "retire the old one, when its last token has run out",
                    session.certbound(
                        "client", "cert", "retire", client_id, one.digest,
                        "--at", clock.iso(found.retire_at),
                    ),
                )
            )  # fmt: skip
        elif one.state == "learned" and one.digest != found.facts.thumbprint:
            not_after = one.not_after or 0
            if not_after > clock.now():
                steps.append(
                    (
                        f"the old one counts until {until(not_after)}; to stop it before that",
                        session.certbound("revoke", "cert", one.digest, "--dry-run"),
                    )
                )
    return steps


def _token_members(found: Rehearsal) -> dict[str, Any]:
    return {
        "count": found.outstanding.count,
        "until": found.outstanding.until,
        "by_certificate": {
            thumbprint: {"count": one.count, "until": one.until}
            for thumbprint, one in found.by_certificate.items()
        },
    }
