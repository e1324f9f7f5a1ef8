"""Does a certificate bear the registered name? The face of the name modules.

Guarantees: a certificate matches exactly when it holds the registered value *as the registered
type* (RFC 8705 section 2.1.2; canonical forms in `subject_match`). No wildcards, prefixes,
patterns, or look into the CN; one equal SAN among several suffices.
Does not say who issued the certificate: ask `app.pki.check` first, always.
"""

from app.errors import Examination, Finding, Reason
from app.pki.near_miss import near_miss, registration
from app.pki.subject_match import (
    ATTRIBUTES,
    PresentedNames,
    SubjectMatch,
    candidates,
    collision_key,
    register,
)

__all__ = [
    "ATTRIBUTES",
    "PresentedNames",
    "SubjectMatch",
    "candidates",
    "collision_key",
    "examine_name",
    "register",
    "shown_values",
]

_SHOWN = 5  # values of one attribute in a finding: a line, not a list


def examine_name(exam: Examination, names: PresentedNames, match: SubjectMatch) -> None:
    """Note whether the certificate bears the registered name; near misses are named for people."""
    presented = names.values(match.attribute)
    if match.value in presented:
        exam.note(Finding("name", f"{match.attribute} {match.text}"))
        return
    reason = Reason.DN_MISMATCH if match.attribute == "subject_dn" else Reason.SAN_MISMATCH
    shown, nearest = shown_values(names, match.attribute), near_miss(names, match)
    exam.note(
        Finding(
            "name",
            seen=f"{shown}; {nearest}" if nearest else shown,
            expected=f"{match.attribute} {match.text}",
            action=registration(names),
            reason=reason,
        )
    )


def shown_values(names: PresentedNames, attribute: str) -> str:
    """The presented values of one attribute in one line, cut after a few."""
    presented = [SubjectMatch(attribute, value).text for value in names.values(attribute)]
    if not presented:
        return f"no {attribute} in the certificate"
    more = f" and {len(presented) - _SHOWN} more" if len(presented) > _SHOWN else ""
    return f"{attribute} " + ", ".join(presented[:_SHOWN]) + more
