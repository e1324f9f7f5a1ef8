"""The curl that gets a development home its first token."""

from app.admin.authority import directory
from app.admin.quickstart import CLIENT_ID
from app.cli.session import shown
from app.config import Settings
from app.issuers import Issuer


def curl(settings: Settings) -> tuple[str, ...]:
    """The command, word by word; pasteable where the user stands."""
    folder = directory(settings)
    issuer = Issuer(settings.issuer, settings.mtls_base_url)
    return (
        "curl",
        "--cacert",
        shown(folder / "ca.crt"),
        "--cert",
        shown(folder / f"{CLIENT_ID}.crt"),
        "--key",
        shown(folder / f"{CLIENT_ID}.key"),
        "-d",
        "grant_type=client_credentials",
        "-d",
        f"client_id={CLIENT_ID}",
        issuer.mtls_url("/token"),
    )
