"""Proxies that end TLS in front of a resource: which ones are believed, and for what.

Guarantees that a proxy is known by its very certificate, whoever issued it, and that it stands in
front of registered resources. Renewing its certificate means registering the new one under another
name and removing the old. Not here: what a proxy says of a caller, and whether it is true.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from app import clock
from app.admin.certificate_file import read_chain
from app.admin.client_checks import require_served
from app.admin.credential import readable
from app.admin.desk import Desk
from app.admin.problem import Problem
from app.audit import CertificateEvidence, ProxyAdded, ProxyRemoved
from app.store import audit, proxies, registry, resources
from app.store.proxies import Header, ProxyRow

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
RESERVED = "direct"
"""What the audit calls a connection without a proxy."""


def add(desk: Desk, name: str, path: Path, header: Header, urls: Sequence[str]) -> ProxyRow:
    """Believe what the holder of this certificate forwards, for these resources.

    Raises:
        Problem: a malformed or taken name, a certificate that cannot be read, has ended, is a CA's
            or belongs to another proxy, or a resource that is not registered.

    """
    if NAME.fullmatch(name) is None or name == RESERVED:
        raise Problem(
            "this cannot be a proxy's name",
            seen=name[:200],
            expected=f"1 to 64 letters, digits and . _ -, and not {RESERVED}",
        )
    facts = readable(path, read_chain(path)[0])
    now = clock.now()
    if facts.is_ca or facts.not_after <= now:
        raise Problem(
            f"the certificate in {path} cannot be a proxy's",
            seen="a CA's certificate" if facts.is_ca else f"ended {clock.iso(facts.not_after)}",
            expected="the certificate that the proxy presents to this server, in date",
        )
    row = ProxyRow(
        name=name,
        thumbprint=facts.thumbprint,
        subject=facts.subject,
        not_after=facts.not_after,
        header=header,
        resources=tuple(dict.fromkeys(urls)),
        created_at=now,
    )
    with registry.change(desk.db) as conn:
        require_served(row.resources, [one.url for one in resources.listed(conn)])
        if not proxies.add(conn, row):
            same = [one.name for one in proxies.listed(conn) if one.thumbprint == row.thumbprint]
            raise Problem(
                "this proxy is registered already",
                seen=f"certificate of {same[0]}" if same else name,
                expected="a new name, and a certificate of its own",
                action="certbound proxy list",
            )
        evidence = CertificateEvidence(
            thumbprint=facts.thumbprint,
            subject=facts.subject,
            issuer=facts.issuer,
            serial=facts.serial,
            not_after=facts.not_after,
        )
        details = {"name": name, "header": header, "resources": list(row.resources)}
        event = ProxyAdded(actor=desk.actor, certificate=evidence, details=details)
        audit.append_admin(conn, event)
    return row


def listed(desk: Desk) -> Sequence[ProxyRow]:
    """Every proxy, by name."""
    with desk.db.read() as conn:
        return proxies.listed(conn)


def remove(desk: Desk, name: str) -> ProxyRow:
    """Believe it no longer, from the next request on, in every process.

    Raises:
        Problem: there is no such proxy.

    """
    with registry.change(desk.db) as conn:
        row = next((one for one in proxies.listed(conn) if one.name == name), None)
        if row is None:
            raise Problem(
                "there is no such proxy",
                seen=name[:200],
                expected="a registered proxy",
                action="certbound proxy list",
            )
        proxies.remove(conn, name)
        evidence = CertificateEvidence(thumbprint=row.thumbprint, subject=row.subject)
        event = ProxyRemoved(actor=desk.actor, certificate=evidence, details={"name": name})
        audit.append_admin(conn, event)
    return row
