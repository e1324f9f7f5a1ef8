"""What the token endpoint would object to in the certificate of a client that was just registered.

Not guaranteed to be complete: where the signing keys cannot be unsealed, nothing is looked at, as
no server could run either.
"""

from dataclasses import replace
from pathlib import Path

from app.admin import doctor
from app.admin.certificate_file import read_chain
from app.admin.desk import Desk
from app.admin.problem import Problem
from app.errors import Finding


def first_try(desk: Desk, client_id: str, path: Path) -> tuple[Finding, ...]:
    """The checks that fail now; none for a client that would get a token with this certificate."""
    try:
        diagnosis = doctor.examiner(desk, read_chain(path), [client_id]).diagnose(client_id)
    except Problem:
        return ()
    return tuple(_said(one, client_id) for one in diagnosis.findings if not one.passed)


def _said(finding: Finding, client_id: str) -> Finding:
    """With what to do only where that is a trust set that was forgotten.

    All else is the doctor's to say, whose command stands below: registering the client once more,
    as a refusal of another's certificate advises, is what was done just now.
    """
    action = finding.action if "client trust ID" in finding.action else ""
    return replace(finding, action=action.replace("client trust ID", f"client trust {client_id}"))
