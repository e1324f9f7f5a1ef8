"""``certbound demo-api``: a protected API to try tokens on."""

from pathlib import Path
from typing import Annotated

import typer

from app import demo
from app.admin.authority import directory
from app.admin.problem import Kind, Problem
from app.admin.quickstart import CLIENT_ID
from app.admin.server_files import unusable
from app.cli.escape import command_line
from app.cli.page import Page
from app.cli.session import Session, shown
from app.cli.verb import verb
from app.config import Settings
from app.demo import Place
from app.tls.context import CertificateFileError

Port = Annotated[
    int,
    typer.Option(metavar="PORT", min=0, max=65535, help="Where it listens; 0: a free port."),
]
Ca = Annotated[
    Path | None,
    typer.Option(
        "--ca", metavar="FILE", help="Who vouches for the issuer; default: certs/ca.crt if any."
    ),
]


def demo_api(session: Session, *, port: Port = demo.PORT, ca: Ca = None) -> Page:
    """Serve a protected sample API: GET / answers to the holder of a token for default_resource."""
    settings = session.settings
    own_ca = directory(settings) / "ca.crt"
    place = Place(settings.host, port, ca or (own_ca if own_ca.exists() else None))

    def announce(addresses: list[tuple[str, int]]) -> None:
        session.emit(_announcement(session, settings, addresses))

    try:
        demo.serve(settings, place, announce)
    except CertificateFileError as error:
        raise unusable(error, settings) from error
    except OSError as error:
        raise Problem(
            "the demo API cannot listen",
            seen=str(error),
            expected="an address of this machine, and a port that nobody else listens on",
            action="Name another port with --port.",
            kind=Kind.ENVIRONMENT,
        ) from error
    page = Page({"stopped": True})
    page.ok("stopped")
    return page


def register(app: typer.Typer) -> None:
    """Put the command into the tree."""
    verb(app, "demo-api")(demo_api)


def _announcement(session: Session, settings: Settings, addresses: list[tuple[str, int]]) -> Page:
    listening = [
        f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in addresses
    ]
    url = f"https://localhost:{addresses[0][1]}/"
    page = Page(
        {
            "listening": listening,
            "url": url,
            "audience": settings.default_resource,
            "issuer": settings.issuer,
        }
    )
    page.ok("demo API", " and ".join(listening))
    page.ok("takes tokens for", settings.default_resource, issued_by=settings.issuer)
    folder = directory(settings)
    if (folder / f"{CLIENT_ID}.key").exists():
        file = folder / f"{CLIENT_ID}.crt"
        pair = ("--cert", shown(file), "--key", shown(file.with_suffix(".key")))
        get = command_line(session.certbound("token", "get", *pair, "--raw"))
        page.shell("get a token, in another terminal", f"TOKEN=$({get})")
        page.shell("use it with its certificate", _curl(folder, CLIENT_ID, url))
        page.command("make another certificate", *session.certbound("ca", "issue", "thief"))
        page.shell("and try the token with that", _curl(folder, "thief", url))
    return page


def _curl(folder: Path, name: str, url: str) -> str:
    """The token stands in a variable, which a shell must see between double quotes."""
    words = (
        *("curl", "--cacert", shown(folder / "ca.crt")),
        *("--cert", shown(folder / f"{name}.crt"), "--key", shown(folder / f"{name}.key")),
    )
    return f'{command_line(words)} -H "Authorization: Bearer $TOKEN" {command_line((url,))}'
