"""A client's certificates as lines and members: where each stands, when it was used, how often."""

from collections.abc import Mapping
from typing import Any

from app import clock
from app.admin.life_cycle import DAYS, LifeCycle, Standing
from app.cli.dates import until
from app.cli.page import Page
from app.store.credentials import CredentialRow
from app.store.uses import DAY, UseRow


def add_standing(page: Page, one: Standing) -> None:
    """One certificate or key, as a line of `page`."""
    row, now = one.credential, clock.now()
    kind = row.kind if row is not None else "certificate"
    ended = one.not_after is not None and one.not_after <= now
    state = "expired" if ended and one.state in _GOING else one.state
    mark = page.ok if state in _GOING else page.bad
    if state == "staged":
        mark = page.fact
    if one.denied:
        mark = page.bad
    notes = notes_of(row) if row is not None else {}
    mark(
        f"{kind} ({state})",
        one.digest,
        subject=one.subject,
        denied=one.denied and f"by {one.denied}",
        **_dates(one),
        **notes,
    )


def add_overlap(page: Page, cycle: LifeCycle) -> None:
    """Whether old certificates are still used beside the one that was taken up last."""
    counting = {one.digest for one in cycle.standings if one.state in _GOING}
    used = sorted(cycle.used, key=lambda use: use.first_used)
    used = [use for use in used if use.thumbprint in counting]
    now = clock.now()
    for old in used[:-1]:
        newest = used[-1]
        if old.last_used >= newest.first_used and old.not_after > now:
            page.warn(
                "still used beside a newer one",
                old.thumbprint,
                last_used=until(old.last_used),
                newer=f"{newest.thumbprint}, since {clock.iso(newest.first_used)}",
            )


def add_revoked(page: Page, found: Mapping[str, str]) -> None:
    """Certificates, by thumbprint, that a trust set's CRL revokes: registered all the same."""
    page.members["revoked_by_ca"] = dict(found)
    for digest, name in found.items():
        page.warn(
            "revoked by its CA",
            digest,
            seen=f"a CRL of trust set {name}",
            note="its registration counts all the same: no CA is asked about it. Retire it unless "
            "you know why it was revoked",
        )


def standing_members(one: Standing) -> dict[str, Any]:
    """One certificate or key as JSON members."""
    use, row = one.use, one.credential
    return {
        **(credential_members(row) if row is not None else learned_members(use)),
        "state": one.state,
        "denied": one.denied or None,
        "first_used": use.first_used if use else None,
        "last_used": use.last_used if use else None,
        "uses": use.uses if use else 0,
        "uses_per_day": {
            clock.iso(day * DAY)[:10]: count for day, count in sorted(one.per_day.items())
        },
    }


def credential_members(row: CredentialRow) -> dict[str, Any]:
    """A registered credential as JSON members."""
    return {
        "kind": row.kind,
        "x5t#S256": row.thumbprint,
        "spki_sha256": row.spki_sha256,
        "subject": row.subject,
        "not_before": row.not_before,
        "not_after": row.not_after,
        "activate_at": row.activate_at,
        "retire_at": row.retire_at,
        "retired_at": row.retired_at,
        "source": row.source,
        "custody": row.custody,
        "owner": row.owner,
        "tenant": row.tenant,
        "risk": row.risk,
        "resource_class": row.resource_class,
    }


def notes_of(row: CredentialRow) -> dict[str, str]:
    """What its operator noted of a registered credential; an empty label is the client's."""
    return {
        "key_kept_in": "" if row.custody == "unknown" else row.custody,
        "owner": row.owner,
        "tenant": row.tenant,
        "risk": row.risk,
        "resource_class": row.resource_class,
    }


def learned_members(use: UseRow | None) -> dict[str, Any]:
    """A certificate that was only seen, as JSON members."""
    return {
        "kind": "certificate",
        "x5t#S256": use.thumbprint if use else None,
        "spki_sha256": use.spki_sha256 if use else None,
        "subject": use.subject if use else None,
        "not_before": use.not_before if use else None,
        "not_after": use.not_after if use else None,
        "issuer": use.issuer if use else None,
        "serial": use.serial if use else None,
        "trust_set": use.trust_set if use else None,
        "source": "learned",
    }


_GOING = ("active", "retiring", "staged", "learned")


def _dates(one: Standing) -> dict[str, str]:
    use, row = one.use, one.credential
    dates = {"ends": until(one.not_after)}
    if row is not None:
        if one.state == "staged":
            dates["counts_from"] = until(row.activate_at)
        dates["retires" if one.state != "retired" else "retired"] = until(
            row.retired_at if row.retired_at is not None else row.retire_at
        )
    if use is None:
        return {**dates, "used": "never" if row is None or row.kind == "certificate" else ""}
    total = sum(one.per_day.values())
    return {
        **dates,
        "first_used": until(use.first_used),
        "last_used": until(use.last_used),
        "uses": f"{use.uses}; in the last {DAYS} days {total}, today {_today(one)}",
        "vouched_for_by": f"trust set {use.trust_set}" if use.trust_set else "",
    }


def _today(one: Standing) -> int:
    return one.per_day.get(clock.now() // DAY, 0)
