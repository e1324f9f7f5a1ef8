"""What the commands about clients take."""

from pathlib import Path
from typing import Annotated

import typer

from app.clients.methods import METHODS

ClientId = Annotated[
    str, typer.Argument(metavar="ID", help="client_id: letters, digits and . _ : / @ + -")
]
Method = Annotated[
    str, typer.Option(metavar="METHOD", help=f"How it proves itself: {' or '.join(METHODS)}.")
]
Cert = Annotated[
    list[Path] | None,
    typer.Option(
        "--cert",
        metavar="FILE",
        help="tls_client_auth: take the narrowest name of this certificate. "
        "self_signed_tls_client_auth: register this very certificate; repeatable.",
    ),
]
SubjectDn = Annotated[
    str | None,
    typer.Option("--subject-dn", metavar="DN", help="The certificate's subject, RFC 4514."),
]
SanDns = Annotated[str | None, typer.Option("--san-dns", metavar="NAME", help="A dNSName.")]
SanUri = Annotated[str | None, typer.Option("--san-uri", metavar="URI", help="A URI.")]
SanIp = Annotated[str | None, typer.Option("--san-ip", metavar="ADDRESS", help="An IP address.")]
SanEmail = Annotated[str | None, typer.Option("--san-email", metavar="ADDRESS", help="An e-mail.")]
PublicKey = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="A public key: any certificate it signs over itself is accepted."
    ),
]
Jwks = Annotated[Path | None, typer.Option("--jwks", metavar="FILE", help="A JWK Set.")]
JwksUri = Annotated[
    str | None, typer.Option("--jwks-uri", metavar="URL", help="Where it publishes its JWK Set.")
]
Scope = Annotated[
    list[str] | None,
    typer.Option("--scope", metavar="SCOPE", help="A scope it may have; repeatable."),
]
Resource = Annotated[
    list[str] | None,
    typer.Option(
        "--resource",
        metavar="URL",
        help="A resource it may name; repeatable. Default: the default resource alone.",
    ),
]
Grant = Annotated[
    list[str] | None,
    typer.Option(
        "--grant",
        metavar="GRANT",
        help="A grant it may use; default: client_credentials. none: it gets no tokens.",
    ),
]
Serves = Annotated[
    list[str] | None,
    typer.Option(
        "--serves",
        metavar="URL",
        help="A resource it is the server of: it may look at their tokens; repeatable.",
    ),
]
IntrospectAll = Annotated[
    bool, typer.Option("--introspect-all", help="It may look at every token, whatever it is for.")
]
Own = Annotated[bool, typer.Option("--own", help="It may look at its own tokens only.")]
Trust = Annotated[
    list[str] | None,
    typer.Option(
        "--trust", metavar="NAME", help="A trust set that may vouch for it; default: default."
    ),
]
SpiffeId = Annotated[
    str | None,
    typer.Option(
        "--spiffe-id",
        metavar="ID",
        help="A SPIFFE ID, or spiffe://DOMAIN/PATH/* for all below; alone or beside a name.",
    ),
]
Tenant = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Whose it is; keys are not shared between tenants."),
]
Risk = Annotated[str | None, typer.Option(metavar="LABEL", help="How much harm it could do.")]
ResourceClass = Annotated[
    str | None, typer.Option(metavar="LABEL", help="What kind of data or work it is for.")
]
TrustNames = Annotated[
    list[str], typer.Argument(metavar="NAME", help="The trust sets that may vouch for it.")
]
NewCertificate = Annotated[
    Path,
    typer.Argument(
        metavar="NEWCERT", help="The new certificate, then its intermediates, PEM or DER."
    ),
]
