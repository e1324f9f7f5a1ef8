"""Paths: what ordinary private CAs make is accepted, and either validator alone can say no."""

import datetime as dt
import shutil
import subprocess
import time
from ipaddress import ip_network
from pathlib import Path

import pytest
from cryptography import x509
from OpenSSL._util import lib

from app.errors import Examination, Reason, Refused
from app.pki import check
from app.pki.anchors import TrustSet, load_pem_bundle
from app.pki.check import TrustedCertificate
from tests.kit import ca
from tests.kit.ca import Authority, below, client_draft, eku, name, root, san, usage
from tests.kit.stopwatch import cheapest
from tests.kit.world import World
from tests.pki.judging import peer

_WORLD = World()
_NOW = _WORLD.now
AKI, SKI, USAGE, BASIC = "2.5.29.35", "2.5.29.14", "2.5.29.15", "2.5.29.19"


def by_path(
    *chain: bytes, anchors: list[bytes], between: list[bytes] | None = None
) -> TrustedCertificate:
    """Trust by one set made of these."""
    trust_set = TrustSet("test", tuple(anchors), tuple(between or ()))
    return check.by_path(Examination(), peer(*chain), [trust_set], _NOW)


def accepted(*chain: bytes, anchors: list[bytes], between: list[bytes] | None = None) -> bool:
    """Whether a path was found; where none is, Refused is raised."""
    return by_path(*chain, anchors=anchors, between=between).basis == "path"


def refused(
    *chain: bytes, anchors: list[bytes], between: list[bytes] | None = None
) -> Reason | None:
    """The reason, where there is no trust."""
    with pytest.raises(Refused) as caught:
        by_path(*chain, anchors=anchors, between=between)
    return caught.value.finding.reason


def own_root(kind: str = "P-256", *more: ca.Extension) -> Authority:
    """A root apart from the world's."""
    return root(name(("CN", f"Root {kind}")), ca.key(kind, "path-root"), _NOW, *more)


@pytest.mark.parametrize("kind", ["RSA-2048", "RSA-3072", "P-256", "P-384", "P-521", "Ed25519"])
def test_accepted_client_keys(kind: str) -> None:
    """Every key type of the policy logs in."""
    leaf = _WORLD.root.sign(_WORLD.draft(key=ca.key(kind, "leaf")))
    trusted = by_path(leaf, anchors=[_WORLD.root.certificate])
    assert (trusted.basis, trusted.trust_set, trusted.not_after) == (
        "path",
        "test",
        _NOW + 30 * 86400,
    )


@pytest.mark.parametrize("kind", ["RSA-2048", "P-256", "P-384", "P-521", "Ed25519", "Ed448"])
@pytest.mark.parametrize("through", [False, True], ids=["root", "intermediate"])
def test_accepted_ca_keys(kind: str, through: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """EdDSA CAs too, where only OpenSSL is asked."""
    authority = own_root(kind)
    issuer, extra = authority, []
    if through:
        issuer = below(authority, name(("CN", "Sub")), ca.key(kind, "path-sub"), _NOW)
        extra = [issuer.certificate]
    assert accepted(issuer.sign(_WORLD.draft()), *extra, anchors=[authority.certificate])


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
def test_accepted_hashes(digest: str) -> None:
    """The SHA-2 family with at least 128 bits of strength."""
    assert accepted(_WORLD.root.sign(_WORLD.draft(), digest), anchors=[_WORLD.root.certificate])


def test_an_intermediate_may_come_from_client_or_trust_set() -> None:
    """Either suffices; neither is a refusal."""
    leaf, anchors = _WORLD.issuing.sign(_WORLD.draft()), [_WORLD.root.certificate]
    between = [_WORLD.issuing.certificate]
    assert accepted(leaf, *between, anchors=anchors)
    assert accepted(leaf, anchors=anchors, between=between)
    assert refused(leaf, anchors=anchors) is Reason.ISSUER_UNKNOWN


def test_a_pinned_intermediate_is_an_anchor() -> None:
    """A sub-CA can be trusted without its root, and then its siblings are not."""
    sibling = below(_WORLD.root, name(("CN", "Sibling")), ca.key(label="sibling"), _NOW)
    pinned = [_WORLD.issuing.certificate]
    assert accepted(_WORLD.issuing.sign(_WORLD.draft()), anchors=pinned)
    stranger = sibling.sign(_WORLD.draft())
    assert (
        refused(stranger, sibling.certificate, _WORLD.root.certificate, anchors=pinned)
        is Reason.ISSUER_UNKNOWN
    )


def test_intermediates_of_a_trust_set_are_not_trusted_by_themselves() -> None:
    """Path material from the operator still needs a path to an anchor."""
    foreign = below(_WORLD.evil, name(("CN", "Foreign")), ca.key(label="foreign"), _NOW)
    leaf = foreign.sign(_WORLD.draft())
    assert (
        refused(leaf, anchors=[_WORLD.root.certificate], between=[foreign.certificate])
        is Reason.CHAIN_INCOMPLETE
    )


def test_five_intermediates_are_the_most() -> None:
    """Five lie on a path; the table of hostile ones has six."""
    steps = [_WORLD.root]
    for depth in range(5):
        steps.append(
            below(steps[-1], name(("CN", f"Deep {depth}")), ca.key(label=f"deep{depth}"), _NOW)
        )
    rest = [step.certificate for step in steps[1:]]
    assert accepted(steps[-1].sign(_WORLD.draft()), *rest, anchors=[_WORLD.root.certificate])


@pytest.mark.parametrize(
    ("label", "draft"),
    [
        ("no key usage", lambda draft: draft.without(USAGE)),
        (
            "basic constraints not critical",
            lambda draft: draft.plus(ca.basic(ca=True, critical=False)),
        ),
        ("no subject key identifier", lambda draft: draft.without(SKI)),
        ("none of these", lambda draft: draft.without(USAGE, SKI)),
    ],
)
@pytest.mark.parametrize("place", ["anchor", "intermediate"])
def test_what_ordinary_private_cas_leave_out(label: str, draft: object, place: str) -> None:
    """`openssl req -x509` and its like work: what is absent there proves nothing."""
    assert callable(draft)
    key, subject = ca.key(label="lax"), name(("CN", f"Lax {label}"))
    content = draft(ca.ca_draft(subject, key, _NOW))
    if place == "anchor":
        lax = Authority(subject, key, ca.sign(content, subject, key))
        chain, anchors = [], [lax.certificate]
    else:
        lax = Authority(subject, key, _WORLD.root.sign(content))
        chain, anchors = [lax.certificate], [_WORLD.root.certificate]
    leaf = ca.sign(_WORLD.draft(), subject, key)  # no authority key identifier either
    assert accepted(leaf, *chain, anchors=anchors)


def test_tolerance_does_not_make_a_ca() -> None:
    """Where strictness is relaxed, a certificate without the CA flag still signs nothing."""
    key, subject = ca.key(label="lax"), name(("CN", "No CA"))
    for content in (
        ca.ca_draft(subject, key, _NOW).without(BASIC, USAGE),
        ca.ca_draft(subject, key, _NOW).without(USAGE).plus(ca.basic(ca=False)),
        ca.ca_draft(subject, key, _NOW).without(SKI).plus(usage("crl_sign")),
    ):
        certificate = _WORLD.root.sign(content)
        leaf = ca.sign(_WORLD.draft(), subject, key)
        assert refused(leaf, certificate, anchors=[_WORLD.root.certificate]) is Reason.CHAIN_INVALID


_KIT_TREE = x509.DirectoryName(x509.Name([x509.NameAttribute(x509.NameOID.COUNTRY_NAME, "US")]))


@pytest.mark.parametrize("critical", [True, False], ids=["critical", "noncritical"])
@pytest.mark.parametrize(
    ("subtree", "extension"),
    [
        (x509.DNSName("kit.example"), san(dns=["bot.kit.example"])),
        (x509.IPAddress(ip_network("10.0.0.0/8")), san(ip=["10.1.2.3"])),
        (x509.RFC822Name("kit.example"), san(email=["bot@kit.example"])),
        (x509.UniformResourceIdentifier("kit.example"), san(uri=["spiffe://kit.example/bot"])),
        (_KIT_TREE, None),
    ],
    ids=["dns", "ip", "email", "uri", "directory"],
)
def test_names_inside_their_constraints(
    subtree: x509.GeneralName,
    extension: ca.Extension | None,
    critical: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """The counterpart of the hostile ones: a CA may certify what it is allowed to."""
    constraint = ca.extension(x509.NameConstraints([subtree], None), critical=critical)
    subject = name(("C", "US"), ("CN", f"Bound {subtree!r} {critical}"[:60]))
    authority = below(_WORLD.root, subject, ca.key(label="bound"), _NOW, constraint)
    leaf = authority.sign(_WORLD.draft(*([extension] if extension else [])))
    assert accepted(leaf, authority.certificate, anchors=[_WORLD.root.certificate])


def test_openssl_is_asked() -> None:
    """Only OpenSSL applies DNS constraints to a host name in the CN: its no counts."""
    constraint = ca.extension(
        x509.NameConstraints([x509.DNSName("kit.example")], None), critical=True
    )
    authority = below(_WORLD.root, name(("CN", "CN")), ca.key(label="bound"), _NOW, constraint)
    draft = client_draft(name(("CN", "bot.evil.example")), ca.key(label="attacker"), _NOW)
    reason = refused(
        authority.sign(draft), authority.certificate, anchors=[_WORLD.root.certificate]
    )
    assert reason is Reason.NAME_CONSTRAINT


def test_cryptography_is_asked() -> None:
    """Only cryptography insists on UTCTime before 2050 (RFC 5280 section 4.1.2.5): its no counts."""
    draft = _WORLD.draft()
    honest = _WORLD.root.sign(draft)
    key = _WORLD.root.key
    algorithm = ca.algorithm_identifier(key)
    moment = dt.datetime.fromtimestamp(draft.not_after, dt.UTC)
    short = b"\x17\x0d" + moment.strftime("%y%m%d%H%M%SZ").encode()
    long = b"\x18\x0f" + moment.strftime("%Y%m%d%H%M%SZ").encode()
    grown = draft.plus(ca.identifiers(b"", ca.spki(key))[1]).tbs(_WORLD.root.subject, algorithm)
    assert short in grown
    content = grown.replace(short, long)
    content = _resized(content)
    leaf = ca.assemble(content, algorithm, ca.signature(key, content))
    assert refused(leaf, anchors=[_WORLD.root.certificate]) is Reason.CHAIN_INVALID
    assert accepted(honest, anchors=[_WORLD.root.certificate])


def _resized(tbs: bytes) -> bytes:
    """Two octets were added inside the validity: its length and the outer one follow."""
    validity = tbs.index(b"\x30\x1e\x17\x0d")
    inner = tbs[4:validity] + b"\x30\x20" + tbs[validity + 2 :]
    return b"\x30\x82" + len(inner).to_bytes(2, "big") + inner


def test_refusals_leave_no_openssl_errors_behind() -> None:
    """What went wrong here must not be taken for a failure of the thread's next TLS connection."""
    forger = Authority(_WORLD.root.subject, ca.key(label="evil"), b"")
    copied = _WORLD.draft().plus(ca.identifiers(b"", ca.spki(_WORLD.root.key))[1])
    for leaf in (forger.sign(copied), _WORLD.evil.sign(_WORLD.draft())):
        refused(leaf, anchors=[_WORLD.root.certificate])
        assert lib.ERR_peek_error() == 0


@pytest.mark.parametrize("layers", [1, 5, 10])
def test_path_building_bombs_are_cheap(layers: int) -> None:
    """A trust set full of CAs that share names and keys costs no login more than 50 ms."""
    each = 100 // layers
    key, pile = ca.key(label="bomb"), []
    for layer in range(layers):
        subject, issuer = (name(("CN", f"Layer {n}")) for n in (layer, layer + 1))
        for number in range(each):
            draft = ca.ca_draft(subject, key, _NOW).with_(serial=bytes((1, layer, number)))
            pile.append(ca.sign(draft, issuer, key))
    trust_set = TrustSet("bomb", (_WORLD.root.certificate,), tuple(pile))
    leaf = ca.sign(_WORLD.draft(), name(("CN", "Layer 0")), key)
    presented = peer(leaf, *pile[-9:])

    def login() -> None:
        with pytest.raises(Refused):
            check.by_path(Examination(), presented, [trust_set], _NOW)

    login()  # parses the trust set, once for all logins
    assert cheapest(login) < 0.05


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
@pytest.mark.parametrize("algorithm", ["ec", "rsa", "ed25519"])
def test_a_ca_made_with_openssl_works(tmp_path: Path, algorithm: str) -> None:
    """The four commands of every tutorial give a client that logs in."""
    key = {
        "ec": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
        "rsa": ["-newkey", "rsa:2048"],
        "ed25519": ["-newkey", "ed25519"],
    }[algorithm]
    (tmp_path / "extensions").write_text("extendedKeyUsage=clientAuth\n")
    for command in (
        [
            *("req", "-x509", *key, "-nodes", "-keyout", "ca.key", "-out", "ca.crt"),
            *("-subj", "/CN=Plain CA"),
        ],
        ["req", *key, "-nodes", "-keyout", "bot.key", "-out", "bot.csr", "-subj", "/CN=bot"],
        [
            *("x509", "-req", "-in", "bot.csr", "-CA", "ca.crt", "-CAkey", "ca.key"),
            *("-CAcreateserial", "-extfile", "extensions", "-out", "bot.crt"),
        ],
    ):
        subprocess.run(["openssl", *command], cwd=tmp_path, check=True, capture_output=True)
    trust_set = TrustSet.from_pem("plain", (tmp_path / "ca.crt").read_bytes())
    leaf = load_pem_bundle((tmp_path / "bot.crt").read_bytes())[0]
    trusted = check.by_path(Examination(), peer(leaf), [trust_set], int(time.time()) + 1)
    assert trusted.subject == "CN=bot"


def test_purpose_of_a_ca_binds_it() -> None:
    """A CA restricted to clients issues for clients; the hostile table has the one for servers."""
    authority = below(
        _WORLD.root, name(("CN", "Clients")), ca.key(label="clients"), _NOW, eku(ca.CLIENT)
    )
    assert accepted(
        authority.sign(_WORLD.draft()), authority.certificate, anchors=[_WORLD.root.certificate]
    )
