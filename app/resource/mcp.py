"""For MCP servers of the official SDK (mcp 2): a token verifier that knows the certificate.

The SDK hands a verifier nothing but the token. `Certificates` goes around the server's ASGI
application and tells the certificate of each request; where it is missing, no token is accepted.
"""

from mcp.server.auth.provider import AccessToken

from app.resource.asgi import certificate
from app.resource.bearer import Sent
from app.resource.challenge import Rejected
from app.resource.mcp_user import access_token
from app.resource.verifier import Verifier


class BoundTokenVerifier:
    """For ``MCPServer(token_verifier=…)``: the SDK's protocol `TokenVerifier`.

    The SDK answers each refusal itself, with 401, and asks for the scopes of its own
    ``required_scopes``.
    """

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier

    async def verify_token(self, token: str) -> AccessToken | None:
        """The token as the SDK wants it, or None where it does not hold for this connection."""
        presented = certificate.get()
        if presented is None:
            return None  # nobody looked: `Certificates` is not in front
        try:
            sent = Sent((b"Bearer " + token.encode("latin-1", "replace"),))
            accepted = await self._verifier.verify_async(sent, presented)
        except Rejected:
            return None
        return access_token(token, accepted, self._verifier.audience)
