"""Is the metadata document that this home would publish a valid one?"""

import json

from authlib.oauth2.rfc8414 import AuthorizationServerMetadata

from app.admin.checkup import Check
from app.config import Settings
from app.endpoints.metadata import document
from app.main import open_house


def check_metadata(settings: Settings) -> Check:
    """The document by Authlib's reading of RFC 8414 and by RFC 8705 section 5."""
    house = open_house(settings)
    try:
        members = document(house.door, house.door.snapshots.current)
    finally:
        house.database.dispose()
    problem = _problem(members)
    if problem is not None:
        return Check(
            "metadata",
            passed=False,
            seen=problem,
            expected="RFC 8414 section 2, RFC 8705 section 5",
            action="Correct issuer and mtls_base_url: certbound config show",
        )
    return Check(
        "metadata", passed=True, seen=f"{len(members)} members, issuer {members['issuer']}"
    )


def _problem(members: dict[str, object]) -> str | None:
    try:
        AuthorizationServerMetadata(json.loads(json.dumps(members))).validate()
    except ValueError as error:
        return str(error)
    aliases = members["mtls_endpoint_aliases"]
    if not isinstance(aliases, dict):
        return "mtls_endpoint_aliases is no object"
    strangers = [name for name in aliases if name not in members]
    plain = [name for name, url in aliases.items() if not str(url).startswith("https://")]
    if strangers or plain:
        return f"mtls_endpoint_aliases: {', '.join(strangers + plain)}"
    return None
