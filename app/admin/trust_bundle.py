"""A trust set whose anchors come from a SPIFFE trust bundle, loaded now and kept fresh by the server."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from app import clock
from app.admin.desk import Desk
from app.admin.files import read
from app.admin.problem import Problem
from app.admin.trust_known import find, require_name
from app.audit import TrustChanged
from app.clients.bundles import Bundles, checked_source
from app.jose.document import FetchRefused, RemoteDocuments
from app.pki.bundle import MAX_BUNDLE, parse_bundle
from app.pki.permitted import Permitted
from app.pki.spiffe import require_trust_domain
from app.store import audit, registry, trust
from app.store.trust import BundleRow, TrustSetRow


@dataclass(frozen=True, slots=True)
class Followed:
    """A set that follows a bundle from now on."""

    row: TrustSetRow
    problem: str | None
    """Why its source could not be loaded just now; the server goes on trying. None: it was."""


def follow(
    desk: Desk, name: str, source: str, trust_domain: str, max_staleness: int = 0
) -> Followed:
    """Let the bundle at `source`, a file or an https URL, be the anchors of the set.

    A new set may vouch for IDs of `trust_domain` alone (`app.admin.trust.permit` widens that).
    `max_staleness`: seconds a copy counts; 0: two refresh intervals of the publisher's.

    Raises:
        Problem: the name, domain or source is none, the file holds no bundle, or the set has
            anchors that were pinned by hand.

    """
    require_name(name)
    domain, place = _checked(source, trust_domain)
    if "://" not in place:
        _require_bundle(Path(place))
    now = clock.now()
    with registry.change(desk.db) as conn:
        created = trust.add_set(conn, name, "", now)
        known = find(trust.listed(conn), name)
        _refuse_pinned(known)
        if created:
            trust.permit(conn, name, Permitted(spiffe=(domain,)).to_json(), now)
        trust.set_trust_domain(conn, name, domain, now)
        kept = known.bundle if known.bundle and known.bundle.source == place else None
        bundle = BundleRow(
            source=place,
            max_staleness=max_staleness,
            sequence=kept.sequence if kept else None,
            refresh_hint=kept.refresh_hint if kept else None,
            fetched_at=kept.fetched_at if kept else None,
        )
        trust.follow_bundle(conn, name, bundle, now)
        details: dict[str, object] = {
            "trust_set": name,
            "trust_domain": domain,
            "bundle": {"source": place, "max_staleness": max_staleness},
        }
        audit.append_admin(conn, TrustChanged(actor=desk.actor, details=details))
    problem = asyncio.run(_load(desk, name))
    with desk.db.read() as conn:
        return Followed(find(trust.listed(conn), name), problem)


async def _load(desk: Desk, name: str) -> str | None:
    settings = desk.settings
    documents = RemoteDocuments(
        allow_private=settings.trust_allow_private, ca_file=settings.trust_ca_file
    )
    with desk.db.read() as conn:
        row = find(trust.listed(conn), name)
    loader = Bundles(desk.db, lambda: (row,), documents, actor=desk.actor)
    try:
        return await loader.refresh(row)
    finally:
        await loader.close()


def _checked(source: str, trust_domain: str) -> tuple[str, str]:
    try:
        domain = require_trust_domain(trust_domain.removeprefix("spiffe://"))
        return domain, checked_source(source)
    except (ValueError, FetchRefused) as error:
        raise Problem(
            "this bundle cannot be followed",
            seen=str(error),
            expected="a file or an https URL, and the trust domain that it is for",
        ) from error


def _require_bundle(path: Path) -> None:
    try:
        parse_bundle(read(path, at_most=MAX_BUNDLE))
    except ValueError as error:
        raise Problem(
            f"{path} holds no SPIFFE trust bundle",
            seen=str(error),
            expected="a JWK Set with keys of use x509-svid (SPIFFE Trust Domain and Bundle "
            "section 4)",
            action="SPIRE writes one with: spire-server bundle show -format spiffe",
        ) from error


def _refuse_pinned(known: TrustSetRow) -> None:
    pinned = [row.subject for row in known.anchors if row.role == "anchor"]
    if known.bundle is None and pinned:
        raise Problem(
            f"{known.name} has anchors that were pinned by hand",
            seen="; ".join(pinned[:5]),
            expected="a new set, or one that follows a bundle: a bundle replaces all anchors",
            action="Take another name, and give it to the clients: certbound client trust ID NAME",
        )
