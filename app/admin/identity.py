"""How a new client will prove itself: what an operator names, as what the registry stores.

Guarantees: a registered certificate is one that the token endpoint would accept from its holder
(it is judged by the same check), and a subject is stored in canonical form. Nothing is fetched.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from app.admin.certificate_file import read_chain
from app.admin.credential import Credential, certificate, judged, readable
from app.admin.files import read
from app.admin.problem import Problem
from app.clients.methods import self_signed_tls_client_auth, tls_client_auth
from app.jose import jwks
from app.jose.document import FetchRefused, examine_url
from app.jose.jwks import ClientKey
from app.pki import names, spiffe
from app.pki.check import CertificateFacts
from app.pki.names import SubjectMatch

__all__ = [
    "Credential",
    "Identity",
    "by_certificate_name",
    "by_certificates",
    "by_jwks",
    "by_jwks_uri",
    "by_names",
    "by_public_key",
    "by_spiffe_id",
    "by_subject",
]


@dataclass(frozen=True, slots=True)
class Identity:
    """One of the ways of RFC 8705 section 2: a subject, or credentials, or a place to find them."""

    method: str
    subject: SubjectMatch | None = None
    subject_text: str | None = None
    """As people read it: a DN as RFC 4514, whatever the operator typed."""
    others: tuple[SubjectMatch, ...] = ()
    """What else the certificate could have been registered by."""
    credentials: tuple[Credential, ...] = ()
    jwks_uri: str | None = None
    spiffe_id: str | None = None
    """Beside or instead of the subject; may end in ``/*``."""
    facts: CertificateFacts | None = None
    """Of the certificate that the subject was read from."""


def by_certificate_name(path: Path, client_id: str = "ID") -> Identity:
    """``tls_client_auth`` by the narrowest name of the certificate in `path`.

    Raises:
        Problem: the file holds no certificate, one without any name to register, or one that no
            CA issued.

    """
    facts = readable(path, read_chain(path)[0])
    if facts.self_issued:
        raise _self_signed(path, client_id, facts)
    found = names.candidates(facts.names)
    if not found:
        raise Problem(
            f"{path} has no name that a client can be registered by",
            seen=facts.subject or "an empty subject and no subject alternative name",
            expected="a subject, or one SAN of type URI, DNS, e-mail or IP without a wildcard",
            action="Have it reissued with a name, or register the certificate itself: "
            "--method self_signed_tls_client_auth --cert FILE",
        )
    return Identity(
        tls_client_auth.NAME,
        found[0],
        subject_text=found[0].text,
        others=tuple(found[1:]),
        facts=facts,
    )


def _self_signed(path: Path, client_id: str, facts: CertificateFacts) -> Problem:
    if facts.is_ca:
        return Problem(
            f"{path} is a CA's own certificate",
            seen=facts.subject,
            expected="a client's certificate, which a CA issued",
            action="Give the certificate that this CA issued to the client.",
        )
    add = ("certbound", "client", "add", client_id, "--method", self_signed_tls_client_auth.NAME)
    return Problem(
        f"{path} is self-signed: no CA vouches for it",
        seen=f"issuer and subject {facts.subject}",
        expected="a certificate that a CA issued",
        action="Register the certificate itself:",
        command=(*add, "--cert", str(path)),
    )


def by_subject(attribute: str, text: str) -> Identity:
    """``tls_client_auth`` by one subject attribute of RFC 8705 section 2.1.2, as a person writes it.

    Raises:
        Problem: the text is no such value.

    """
    try:
        match = names.register(attribute, text)
    except ValueError as error:
        raise Problem(
            f"this is no {attribute}",
            seen=text[:200],
            expected=str(error),
            action="Read the name from the certificate with: certbound client add ID --cert FILE",
        ) from error
    return Identity(tls_client_auth.NAME, match, subject_text=match.text)


def by_spiffe_id(text: str, beside: Identity | None = None) -> Identity:
    """``tls_client_auth`` by a SPIFFE ID, or all below one (``/*``); `beside` another name or alone.

    Raises:
        Problem: the text is no such ID.

    """
    try:
        pattern = str(spiffe.parse_pattern(text.strip()))
    except ValueError as error:
        raise Problem(
            "this is no SPIFFE ID",
            seen=text[:200],
            expected=str(error),
            action="Write spiffe://TRUST_DOMAIN/PATH, or spiffe://TRUST_DOMAIN/PATH/* for all below.",
        ) from error
    return replace(beside or Identity(tls_client_auth.NAME), spiffe_id=pattern)


def by_names(
    client_id: str,
    cert: Sequence[Path],
    chosen: Sequence[tuple[str, str]],
    spiffe_id: str | None,
) -> Identity | None:
    """``tls_client_auth`` by one certificate's name or one subject attribute, a SPIFFE ID, or both.

    None where none or several names are given.

    Raises:
        Problem: as `by_certificate_name`, `by_subject` and `by_spiffe_id`.

    """
    beside = None
    if len(cert) + len(chosen) > 1:
        return None
    if cert:
        beside = by_certificate_name(cert[0], client_id)
    elif chosen:
        beside = by_subject(*chosen[0])
    return beside if spiffe_id is None else by_spiffe_id(spiffe_id, beside)


def by_certificates(paths: Iterable[Path]) -> Identity:
    """``self_signed_tls_client_auth`` by the first certificate of each file, compared as a whole.

    Raises:
        Problem: a certificate cannot be read, or could never authenticate.

    """
    credentials = [certificate(path) for path in paths]
    return Identity(self_signed_tls_client_auth.NAME, credentials=tuple(credentials))


def by_public_key(path: Path) -> Identity:
    """``self_signed_tls_client_auth`` by a key: any certificate it signs over itself is accepted.

    Raises:
        Problem: the file holds no acceptable public key.

    """
    data = read(path)
    try:
        key = jwks.parse_public_key(data)
    except ValueError as error:
        raise _unusable(
            path, error, "a public key: PEM (openssl pkey -pubout), DER or JWK"
        ) from error
    return Identity(self_signed_tls_client_auth.NAME, credentials=(_of_key(path, key),))


def by_jwks(path: Path) -> Identity:
    """``self_signed_tls_client_auth`` by a JWK Set: by certificate where a key has ``x5c``, else by key.

    Raises:
        Problem: the file holds no acceptable key set.

    """
    data = read(path)
    try:
        keys = jwks.parse_client_jwks(data)
    except ValueError as error:
        raise _unusable(path, error, "a JWK Set (RFC 7517 section 5) of public keys") from error
    credentials = tuple(_of_key(path, key, "jwks") for key in keys)
    return Identity(self_signed_tls_client_auth.NAME, credentials=credentials)


def by_jwks_uri(url: str) -> Identity:
    """``self_signed_tls_client_auth`` by a JWK Set that the client publishes. Not fetched now.

    Raises:
        Problem: the URL is not one that the server would fetch.

    """
    try:
        examine_url(url)
    except FetchRefused as error:
        raise Problem(
            "this jwks_uri cannot be used",
            seen=str(error),  # and not the URL, which may hold a password
            expected="an https URL without user name and fragment",
        ) from error
    return Identity(self_signed_tls_client_auth.NAME, jwks_uri=url)


def _of_key(
    path: Path, key: ClientKey, source: Literal["registered", "jwks"] = "registered"
) -> Credential:
    if key.certificate_der is None:
        return Credential("key", key.spki_sha256, key.spki_der, source=source)
    der = key.certificate_der
    return judged(path, Credential("certificate", "", b"", der, readable(path, der), source), None)


def _unusable(path: Path, error: ValueError, expected: str) -> Problem:
    return Problem(f"{path} cannot be registered", seen=str(error), expected=expected)
