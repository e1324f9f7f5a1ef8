"""What a protected API uses: a guard that checks tokens and the certificates they are bound to."""

from app.resource.accepted import Accepted
from app.resource.asgi import Certificates, Guard, current
from app.resource.bearer import Sent
from app.resource.certificate import Connection, Presented, Proxy
from app.resource.challenge import Rejected
from app.resource.decision import Decision, Verdict
from app.resource.verifier import Verifier

__all__ = [
    "Accepted",
    "Certificates",
    "Connection",
    "Decision",
    "Guard",
    "Presented",
    "Proxy",
    "Rejected",
    "Sent",
    "Verdict",
    "Verifier",
    "current",
]
