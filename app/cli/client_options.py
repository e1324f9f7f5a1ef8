"""What the commands about clients take, and the one name that they read from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, get_args

import typer

from app.admin import identity
from app.admin.client_checks import Labels
from app.admin.credential import Keeping
from app.admin.identity import Identity
from app.clients.methods import METHODS, tls_client_auth
from app.store.credentials import Custody as CustodyWord

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
CUSTODIES: tuple[CustodyWord, ...] = get_args(CustodyWord)
Custody = Annotated[
    str | None,
    typer.Option(metavar="|".join(CUSTODIES), help="Where the private key is kept."),
]
Owner = Annotated[str | None, typer.Option(metavar="TEXT", help="Whom to call about the key.")]
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


@dataclass(frozen=True, slots=True)
class NameOptions:
    """The ways to name a client by what its certificates bear (RFC 8705 section 2.1.2, SPIFFE)."""

    subject_dn: SubjectDn = None
    san_dns: SanDns = None
    san_uri: SanUri = None
    san_ip: SanIp = None
    san_email: SanEmail = None
    spiffe_id: SpiffeId = None

    def given(self) -> dict[str, str]:
        """Those that were given, by parameter."""
        names = self.__slots__
        return {name: text for name in names if (text := getattr(self, name)) is not None}

    def identity(self, client_id: str, certificates: Sequence[Path]) -> Identity:
        """How the client is recognised: by exactly one of these or of `certificates`.

        A SPIFFE ID may stand beside another name.

        Raises:
            typer.BadParameter: none or several are given.
            Problem: the one given is no such name.

        """
        subjects = self.given()
        spiffe_id = subjects.pop("spiffe_id", None)
        found = identity.by_names(client_id, certificates, list(subjects.items()), spiffe_id)
        if found is None:
            raise typer.BadParameter(
                "give exactly one of --cert FILE, --subject-dn, --san-dns, --san-uri, --san-ip, "
                "--san-email (RFC 8705 section 2.1.2), or --spiffe-id",
                param_hint=tls_client_auth.NAME,
            )
        return found


@dataclass(frozen=True, slots=True)
class LabelOptions:
    """What boundaries are drawn by."""

    tenant: Tenant = None
    risk: Risk = None
    resource_class: ResourceClass = None

    def labels(self) -> Labels:
        """As actions take them."""
        return Labels(self.tenant, self.risk, self.resource_class)


@dataclass(frozen=True, slots=True)
class KeepingOptions:
    """Who answers for a private key, and where it is kept."""

    custody: Custody = None
    owner: Owner = None

    def keeping(self) -> Keeping:
        """As actions take it.

        Raises:
            typer.BadParameter: the custody is no known word.

        """
        word = next((known for known in CUSTODIES if known == self.custody), None)
        if word is None and self.custody is not None:
            raise typer.BadParameter(f"must be {' or '.join(CUSTODIES)}", param_hint="--custody")
        return Keeping(word, self.owner)
