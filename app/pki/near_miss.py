"""What almost matched, and what to do: the sentences beside a refused name. For operators only.

The first quotes what a stranger presented, so it belongs to what was seen. The second is advice:
operators paste it, so nothing presented ever enters it.
"""

from collections import Counter

from app.pki import dn
from app.pki.subject_match import (
    ATTRIBUTES,
    PresentedNames,
    SubjectMatch,
    collision_key,
    has_candidate,
)


def near_miss(names: PresentedNames, match: SubjectMatch) -> str:
    """The nearest thing to a match in the certificate; empty where nothing comes near."""
    return _dn_miss(names, match) if match.attribute == "subject_dn" else _san_miss(names, match)


def registration(names: PresentedNames) -> str:
    """A pasteable command. It names a file: a stranger's words never enter a command."""
    if not has_candidate(names):
        return "the certificate has no name that a client could be registered by"
    return (
        "only if you know this certificate is the client's: certbound client match ID --cert FILE"
    )


def _dn_miss(names: PresentedNames, match: SubjectMatch) -> str:
    registered, presented = dn.read(match.value), dn.read(names.dn)
    if not presented:
        return "the certificate's subject is empty"
    if presented[::-1] == registered:
        return "same attributes in the other order"
    wanted, given = _counted(registered), _counted(presented)
    if wanted == given:
        return "same attributes, grouped or ordered otherwise"
    if collision_key(SubjectMatch("subject_dn", names.dn)) == collision_key(match):
        return "differs only in case, blanks or Unicode form"
    parts = []
    if missing := wanted - given:
        parts.append("the certificate lacks " + _listed(missing))
    if extra := given - wanted:
        parts.append("it has besides " + _listed(extra))
    return ", ".join(parts)


def _counted(name: dn.Name) -> Counter[dn.Attribute]:
    return Counter(attribute for rdn in name for attribute in rdn)


def _listed(attributes: Counter[dn.Attribute]) -> str:
    return dn.text((tuple(attributes),))


def _san_miss(names: PresentedNames, match: SubjectMatch) -> str:
    value = match.value
    for other in ATTRIBUTES:
        if other not in {match.attribute, "subject_dn"} and value in names.values(other):
            return f"the certificate has this value as {other}, not as {match.attribute}"
    if any(a.value == match.text for rdn in dn.read(names.dn) for a in rdn):
        return f"the certificate has this value in its subject, not as {match.attribute}"
    for presented in names.values(match.attribute):
        if presented.lower() == value.lower():
            return "differs only in case"
        if presented.rstrip(b"./") == value.rstrip(b"./"):
            return "differs only in a trailing dot or slash"
        if presented.startswith(b"*.") and value.endswith(presented[1:]):
            return "the certificate has a wildcard, which never matches"
        if presented[-4:] == value[-4:] and {len(presented), len(value)} == {4, 16}:
            return "IPv4 and IPv4-mapped IPv6 are two addresses"
    return ""
