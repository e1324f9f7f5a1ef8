"""A world of honest clients, and the certificates of those who would like to be them.

`World` holds one trusted root, client registrations of both methods and the credentials that
rightly log each of them in. `hostile_cases(world)` is the table of everything that must be
refused: who is impersonated, what is presented, and the reason the audit must name.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID as Access

from app.clock import now as clock_now
from app.errors import Reason
from app.pki.anchors import TrustSet
from app.pki.check import Registered, describe
from tests.kit import ca
from tests.kit.ca import Authority, client_draft, name, san

Method = Literal["tls_client_auth", "self_signed_tls_client_auth"]
URI = "spiffe://kit.example/ns/prod/bot"
DNS = "bot.kit.example"
EMAIL = "Bot@kit.example"
IP = "10.20.30.40"


@dataclass(frozen=True)
class Credential:
    """What a TLS client presents: certificates (leaf first, DER) and the leaf's private key."""

    chain: tuple[bytes, ...]
    key: Any


@dataclass(frozen=True)
class KitClient:
    """A registered client. One of `match` and `registered` is set, as its method says."""

    client_id: str
    method: Method
    good: Credential | None
    """Logs the client in; None for a client that nobody can log in as at the moment."""
    match: tuple[str, str] | None = None
    """Subject attribute and value, as an operator would type it."""
    registered: tuple[bytes, ...] = ()
    """DER certificates registered as such."""
    registered_keys: tuple[bytes, ...] = ()
    """DER SubjectPublicKeyInfos registered as keys."""
    state: Literal["active", "retired"] = "active"
    activate_at: int = 0

    def entries(self) -> list[Registered]:
        """The registrations as `app.pki.check.by_registration` takes them."""
        certificates = [describe(each) for each in self.registered]
        return [
            Registered(
                "certificate", f.thumbprint, f.spki_sha256, f.spki_der, self.state, self.activate_at
            )
            for f in certificates
        ] + [
            Registered("key", None, "", each, self.state, self.activate_at)
            for each in self.registered_keys
        ]


@dataclass(frozen=True)
class Hostile:
    """One attempt. `name` is its failure class; posing as `client_id` must fail with `reason`."""

    name: str
    client_id: str
    chain: tuple[bytes, ...]
    key: Any
    reason: Reason
    method: Method = "tls_client_auth"
    wire: bool = True
    """False: OpenSSL as a client, or TLS itself, cannot send this; the checks see it directly."""


@dataclass(frozen=True)
class World:
    """Two trusted roots, honest clients, and an attacker's own CA."""

    now: int = field(default_factory=clock_now)
    root: Authority = field(init=False)
    rsa_root: Authority = field(init=False)
    issuing: Authority = field(init=False)
    """Intermediate CA below `root`; clients send it."""
    evil: Authority = field(init=False)
    """A CA that nobody trusts."""
    clients: dict[str, KitClient] = field(init=False)

    def __post_init__(self) -> None:
        root = ca.root(name(("O", "Kit"), ("CN", "Kit Root")), ca.key(label="root"), self.now)
        rsa_name = name(("O", "Kit"), ("CN", "Kit RSA Root"))
        issuing_name = name(("O", "Kit"), ("CN", "Kit Issuing CA"))
        evil_name = name(("O", "Evil"), ("CN", "Evil Root"))
        made = {
            "root": root,
            "rsa_root": ca.root(rsa_name, ca.key("RSA-2048", "root"), self.now),
            "issuing": ca.below(root, issuing_name, ca.key(label="issuing"), self.now),
            "evil": ca.root(evil_name, ca.key(label="evil"), self.now),
        }
        for attribute, authority in made.items():
            object.__setattr__(self, attribute, authority)
        clients = (*self._path_clients(), *self._registered_clients())
        object.__setattr__(self, "clients", {each.client_id: each for each in clients})

    @property
    def trust_set(self) -> TrustSet:
        """The two roots; the intermediate is for clients to send."""
        return TrustSet("kit", (self.root.certificate, self.rsa_root.certificate))

    @property
    def bot(self) -> bytes:
        """The subject that client `dn` is registered with."""
        return name(("C", "US"), ("O", "Kit"), ("CN", "bot"))

    def draft(self, *more: ca.Extension, subject: bytes | None = None, key: Any = None) -> ca.Draft:
        """A blameless draft in the name of client `dn`, with the attacker's key."""
        private_key = key or ca.key(label="attacker")
        return client_draft(self.bot if subject is None else subject, private_key, self.now, *more)

    def _path_clients(self) -> list[KitClient]:
        anonymous = name(("CN", "anonymous"))
        by_attribute: tuple[tuple[str, str, bytes, tuple[ca.Extension, ...]], ...] = (
            ("subject_dn", "CN=bot,O=Kit,C=US", self.bot, ()),
            ("san_dns", DNS, anonymous, (san(dns=[DNS]),)),
            ("san_uri", URI, anonymous, (san(uri=[URI]),)),
            ("san_ip", IP, anonymous, (san(ip=[IP]),)),
            ("san_email", EMAIL, anonymous, (san(email=[EMAIL]),)),
        )
        found = []
        for attribute, value, subject, extensions in by_attribute:
            client_id = attribute.rpartition("_")[2]
            private_key = ca.key(label=client_id)
            leaf = self.root.sign(client_draft(subject, private_key, self.now, *extensions))
            good = Credential((leaf,), private_key)
            found.append(KitClient(client_id, "tls_client_auth", good, (attribute, value)))
        return found

    def _registered_clients(self) -> list[KitClient]:
        now = self.now
        method: Method = "self_signed_tls_client_auth"

        def draft(label: str, private_key: Any = None) -> ca.Draft:
            return client_draft(name(("CN", label)), private_key or ca.key(label=label), now)

        def self_signed(draft: ca.Draft, private_key: Any, digest: str = "sha256") -> Credential:
            return Credential((ca.sign(draft, draft.subject, private_key, digest),), private_key)

        def usable(label: str, made: ca.Draft) -> KitClient:
            credential = self_signed(made, ca.key(label=label))
            return KitClient(label, method, credential, registered=credential.chain)

        def useless(label: str, credential: Credential, **options: Any) -> KitClient:
            return KitClient(label, method, None, registered=credential.chain, **options)

        def plain(label: str, digest: str = "sha256") -> Credential:
            return self_signed(draft(label), ca.key(label=label), digest)

        authority = ca.ca_draft(name(("CN", "self-ca")), ca.key(label="self-ca"), now)
        expired = draft("self-expired").with_(not_before=now - 7200, not_after=now - 60)
        weak = ca.key("RSA-1024", "self-weak")
        key = ca.key(label="self-key")
        return [
            usable("self", draft("self")),
            usable("self-ca", authority),
            useless("self-expired", self_signed(expired, ca.key(label="self-expired"))),
            useless("self-retired", plain("self-retired"), state="retired"),
            useless("self-future", plain("self-future"), activate_at=now + 3600),
            useless("self-weak", self_signed(draft("self-weak", weak), weak)),
            useless("self-sha1", plain("self-sha1", "sha1")),
            KitClient("self-key", method, plain("self-key"), registered_keys=(ca.spki(key),)),
        ]


def full_of_urls(world: World, trap: str) -> Credential:
    """A good certificate of client `dn` with every extension that names a URL, all below `trap`.

    Not hostile in itself: it must log in, and no request may ever reach the trap.
    """

    def uri(path: str) -> x509.UniformResourceIdentifier:
        return x509.UniformResourceIdentifier(f"{trap}/{path}")

    def points(path: str) -> list[x509.DistributionPoint]:
        return [x509.DistributionPoint([uri(path)], None, None, None)]

    access = [
        x509.AccessDescription(Access.OCSP, uri("ocsp")),
        x509.AccessDescription(Access.CA_ISSUERS, uri("issuer")),
    ]
    policy = x509.PolicyInformation(x509.ObjectIdentifier("1.2.3.4"), [f"{trap}/cps"])
    private_key = ca.key(label="full-of-urls")
    draft = client_draft(world.bot, private_key, world.now).plus(
        ca.extension(x509.CRLDistributionPoints(points("crl"))),
        ca.extension(x509.FreshestCRL(points("delta"))),
        ca.extension(x509.AuthorityInformationAccess(access)),
        ca.extension(x509.CertificatePolicies([policy])),
        san(uri=[f"{trap}/san"]),
    )
    return Credential((world.root.sign(draft),), private_key)
