"""What a client must be before it is registered or changed: refusals in sentences, nothing stored."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from app.admin.problem import Problem
from app.grants import GRANTS, client_credentials
from app.pki import spiffe
from app.pki.permitted import Permitted
from app.pki.spiffe import IdPattern
from app.pki.subject_match import SubjectMatch
from app.store.clients import ClientRow
from app.store.trust import TrustSetRow

NO_GRANT = "none"
"""In the place of a grant: a client that gets no tokens, and only looks at them."""
LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,63}|")


@dataclass(frozen=True, slots=True)
class Labels:
    """What boundaries are drawn by. None: as it is; empty: none."""

    tenant: str | None = None
    risk: str | None = None
    resource_class: str | None = None

    def given(self) -> dict[str, str]:
        """The labels that are to be set.

        Raises:
            Problem: one would need quoting.

        """
        found = {
            "tenant": self.tenant,
            "risk": self.risk,
            "resource_class": self.resource_class,
        }
        for name, value in found.items():
            if value is not None and LABEL.fullmatch(value) is None:
                raise Problem(
                    f"this is no {name.replace('_', ' ')}",
                    seen=value[:200],
                    expected="1 to 64 letters, digits and . _ : / @ + -, or nothing at all",
                )
        return {name: value for name, value in found.items() if value is not None}


def grants(wished: Sequence[str]) -> tuple[str, ...]:
    """The grants, each once; the usual one where none is wished for, and none for the word ``none``.

    Raises:
        Problem: one is not known, or beside ``none``.

    """
    if tuple(wished) == (NO_GRANT,):
        return ()
    found = tuple(dict.fromkeys(wished)) or (client_credentials.GRANT_TYPE,)
    for grant in found:
        if grant not in GRANTS:
            raise Problem(
                "this grant is not known",
                seen=grant[:200],
                expected=f"{' or '.join(GRANTS)}; or {NO_GRANT} alone",
            )
    return found


def require_resources(row: ClientRow, known: Sequence[str]) -> None:
    """Refuse resources that are not registered.

    Raises:
        Problem: one is not.

    """
    require_served(row.resources, known)


def require_served(urls: Sequence[str], known: Sequence[str]) -> None:
    """Refuse resources that are not registered.

    Raises:
        Problem: one is not.

    """
    for url in urls:
        if url not in known:
            raise Problem(
                "this resource is not registered",
                seen=url,
                expected=" or ".join(known[:5]) or "a registered resource; there is none yet",
                action="Register it first: certbound resource add URL --scope SCOPE",
            )


def require_vouchers(row: ClientRow, known: Sequence[TrustSetRow]) -> None:
    """Refuse a client that names a trust set which does not exist, or whom none of its sets may vouch for.

    Raises:
        Problem: it does.

    """
    by_name = {one.name: one for one in known}
    for name in row.trust_sets:
        if name not in by_name:
            raise Problem(
                "there is no such trust set",
                seen=name[:200],
                expected=" or ".join(by_name) or "a trust set; there is none yet",
                action="Make it from a CA certificate: certbound trust add NAME FILE",
            )
    sets = [by_name[name] for name in row.trust_sets]
    names = registered_names(row)
    if not sets or not names:
        return
    for registered in names:
        _require_domain(row, registered, sets)
    if not any(admits(one, names) for one in sets):
        raise Problem(
            "no trust set of this client may vouch for its name",
            seen=" and ".join(_text(registered) for registered in names),
            expected=" or ".join(" or ".join(bounds_of(one).texts) for one in sets),
            action="Give it a set whose bounds hold its name, or widen them: certbound trust list",
        )


def refuse_alike(row: ClientRow, others: Sequence[ClientRow]) -> None:
    """Refuse a client whom people, or the endpoint, could take for another of the same trust set.

    Raises:
        Problem: there is such another.

    """
    for other in others:
        shared = set(row.trust_sets) & set(other.trust_sets)
        if other.client_id == row.client_id or not shared:
            continue
        same = row.collision_key is not None and (
            (row.subject_attribute, row.collision_key)
            == (other.subject_attribute, other.collision_key)
        )
        if same or _overlap(row, other):
            raise Problem(
                f"the client {other.client_id} has this subject, or one that looks the same",
                seen=_of(row),
                expected=f"another subject than {_of(other)} in trust set {min(shared)}",
                action="Give each client a certificate with a name of its own. To replace the other: "
                f"certbound client remove {other.client_id}",
            )


def registered_names(row: ClientRow) -> tuple[SubjectMatch | IdPattern, ...]:
    """What its certificates must bear."""
    found: list[SubjectMatch | IdPattern] = []
    if row.subject_attribute is not None and row.subject_value is not None:
        found.append(SubjectMatch(row.subject_attribute, row.subject_value))
    if row.spiffe_id is not None:
        found.append(spiffe.parse_pattern(row.spiffe_id))
    return tuple(found)


def bounds_of(row: TrustSetRow) -> Permitted:
    """The names a set may vouch for."""
    return Permitted.from_json(row.permitted)


def admits(one: TrustSetRow, names: Sequence[SubjectMatch | IdPattern]) -> bool:
    """Whether the set may vouch for a client registered by these names."""
    bounds = bounds_of(one)
    return all(bounds.admits(name) for name in names)


def _require_domain(
    row: ClientRow, name: SubjectMatch | IdPattern, sets: Sequence[TrustSetRow]
) -> None:
    """A SPIFFE client is vouched for by the bundle of its own trust domain alone."""
    domains = sorted({one.trust_domain for one in sets if one.trust_domain is not None})
    pattern = _pattern(name)
    if pattern is None or (row.spiffe_id is None and not domains):
        return
    if pattern.trust_domain not in domains:
        raise Problem(
            "no trust set of this client stands for its trust domain",
            seen=f"{_text(name)}, trust sets {', '.join(row.trust_sets)}",
            expected=f"a trust set for {pattern.trust_domain}; these stand for "
            f"{' and '.join(domains) or 'none'}",
            action="Make it from the domain's bundle: certbound trust bundle NAME FILE "
            f"--trust-domain {pattern.trust_domain}",
        )


def _pattern(name: SubjectMatch | IdPattern) -> IdPattern | None:
    if isinstance(name, IdPattern):
        return name
    if name.attribute != "san_uri":
        return None
    try:
        return spiffe.parse_pattern(name.text)
    except ValueError:
        return None


def _overlap(row: ClientRow, other: ClientRow) -> bool:
    """Whether one workload could be both; asked only where one of them is registered by a SPIFFE ID."""
    if row.spiffe_id is None and other.spiffe_id is None:
        return False
    mine, theirs = (_workloads(each) for each in (row, other))
    return mine is not None and theirs is not None and mine.overlaps(theirs)


def _workloads(row: ClientRow) -> IdPattern | None:
    found = [p for name in registered_names(row) if (p := _pattern(name)) is not None]
    return found[-1] if found else None


def _text(name: SubjectMatch | IdPattern) -> str:
    return f"spiffe_id {name}" if isinstance(name, IdPattern) else f"{name.attribute} {name.text}"


def _of(row: ClientRow) -> str:
    return (
        f"spiffe_id {row.spiffe_id}"
        if row.spiffe_id
        else (f"{row.subject_attribute} {row.subject_text}")
    )
