"""Hostile paths: certificates whose names are right and whose provenance is not."""

from collections.abc import Iterator

from cryptography import x509

from app.errors import Reason
from tests.kit import ca
from tests.kit.ca import Authority, basic, below, client_draft, eku, name, san, usage
from tests.kit.world import Hostile, World

AKI, BASIC = "2.5.29.35", "2.5.29.19"


def cases(world: World) -> Iterator[Hostile]:
    """All of them."""
    yield from _provenance(world)
    yield from _dates(world)
    yield from _forged(world)
    yield from _authorities(world)
    yield from _weak(world)
    yield from _constraints(world)


def _case(name: str, leaf: bytes, *rest: bytes, reason: Reason, wire: bool = True) -> Hostile:
    return Hostile(name, "dn", (leaf, *rest), ca.key(label="attacker"), reason, wire=wire)


def _middle(label: str) -> bytes:
    return name(("O", "Kit"), ("CN", f"Kit {label} CA"))


def _provenance(world: World) -> Iterator[Hostile]:
    draft = world.draft()
    unknown, incomplete = Reason.ISSUER_UNKNOWN, Reason.CHAIN_INCOMPLETE
    evil = world.evil
    yield _case("wrong_ca", evil.sign(draft), reason=unknown)
    yield _case("wrong_ca_with_its_root", evil.sign(draft), evil.certificate, reason=unknown)
    evil_sub = below(evil, _middle("Stray"), ca.key(label="evil-sub"), world.now)
    yield _case(
        "wrong_ca_with_whole_chain",
        evil_sub.sign(draft),
        evil_sub.certificate,
        evil.certificate,
        reason=unknown,
    )
    yield _case("missing_intermediate", world.issuing.sign(draft), reason=unknown)
    second = below(world.issuing, _middle("Second"), ca.key(label="second"), world.now)
    yield _case(
        "missing_middle_intermediate",
        second.sign(draft),
        second.certificate,
        reason=incomplete,
    )
    lone = ca.sign(draft, world.bot, ca.key(label="attacker"))
    yield _case("self_signed_at_pki_client", lone, reason=unknown)


def _dates(world: World) -> Iterator[Hostile]:
    now, draft = world.now, world.draft()
    past = draft.with_(not_before=now - 7200, not_after=now - 1)
    future = draft.with_(not_before=now + 3600)
    yield _case("expired", world.root.sign(past), reason=Reason.EXPIRED)
    yield _case("not_yet_valid", world.root.sign(future), reason=Reason.NOT_YET_VALID)
    for label, changes, reason in (
        ("expired", {"not_after": now - 1}, Reason.EXPIRED),
        ("not_yet_valid", {"not_before": now + 3600}, Reason.NOT_YET_VALID),
    ):
        subject, key = _middle(label), ca.key(label=label)
        certificate = world.root.sign(ca.ca_draft(subject, key, now).with_(**changes))
        leaf = Authority(subject, key, certificate).sign(draft)
        yield _case(f"{label}_intermediate", leaf, certificate, reason=reason)


def _forged(world: World) -> Iterator[Hostile]:
    draft, invalid = world.draft(), Reason.CHAIN_INVALID
    forger = Authority(world.root.subject, ca.key(label="evil"), world.evil.certificate)
    yield _case("forged_issuer_name", forger.sign(draft), reason=invalid)
    copied = draft.plus(ca.identifiers(b"", ca.spki(world.root.key))[1])
    yield _case("forged_issuer_name_and_key_id", forger.sign(copied), reason=invalid)
    twin = ca.root(world.root.subject, ca.key(label="evil"), world.now)
    yield _case(
        "same_ca_name_other_key_presented",
        twin.sign(draft),
        twin.certificate,
        reason=invalid,
    )
    honest = world.root.sign(draft)
    yield _case("signature_altered", honest[:-1] + bytes([honest[-1] ^ 1]), reason=invalid)
    other = world.root.sign(world.draft(subject=name(("C", "US"), ("O", "Kit"), ("CN", "bat"))))
    yield _case("subject_altered_after_signing", other.replace(b"bat", b"bot"), reason=invalid)
    client = world.clients["dns"].good
    assert client is not None
    stepping = Authority(name(("CN", "anonymous")), client.key, client.chain[0])
    yield _case("issued_by_another_client", stepping.sign(draft), client.chain[0], reason=invalid)


def _authorities(world: World) -> Iterator[Hostile]:
    draft, invalid, now = world.draft(), Reason.CHAIN_INVALID, world.now

    def under(label: str, change: ca.Draft) -> tuple[bytes, bytes]:
        certificate = world.root.sign(change)
        return Authority(change.subject, ca.key(label=label), certificate).sign(draft), certificate

    def plain(label: str) -> ca.Draft:
        return ca.ca_draft(_middle(label), ca.key(label=label), now)

    for label, change in (
        ("without_ca_flag", plain("without_ca_flag").plus(basic(ca=False))),
        ("without_basic_constraints", plain("without_basic_constraints").without(BASIC)),
        ("without_key_cert_sign", plain("without_key_cert_sign").plus(usage("digital_signature"))),
        ("for_servers_only", plain("for_servers_only").plus(eku(ca.SERVER))),
        (
            "with_unknown_critical_extension",
            plain("with_unknown_critical_extension").plus(
                ca.Extension("1.3.6.1.4.1.99999.1", b"\x05\x00", critical=True)
            ),
        ),
    ):
        yield _case(f"intermediate_{label}", *under(label, change), reason=invalid)
    v1 = plain("v1").with_(version=None, extensions=())
    yield _case("intermediate_v1", *under("v1", v1), reason=Reason.CERTIFICATE_MALFORMED)
    short = below(world.root, _middle("Short"), ca.key(label="short"), now, pathlen=0)
    long = below(short, _middle("Long"), ca.key(label="long"), now)
    yield _case(
        "pathlen_exceeded",
        long.sign(draft),
        long.certificate,
        short.certificate,
        reason=invalid,
    )
    steps = [world.root]
    for depth in range(6):
        steps.append(below(steps[-1], _middle(f"Step {depth}"), ca.key(label=f"step{depth}"), now))
    rest = [each.certificate for each in reversed(steps[1:])]
    yield _case("too_deep", steps[-1].sign(draft), *rest, reason=invalid)


def _weak(world: World) -> Iterator[Hostile]:
    draft, now = world.draft(), world.now
    subject, key = _middle("SHA-1"), ca.key(label="sha1-ca")
    certificate = world.root.sign(ca.ca_draft(subject, key, now), "sha1")
    leaf = Authority(subject, key, certificate).sign(draft)
    yield _case("intermediate_sha1", leaf, certificate, reason=Reason.WEAK_SIGNATURE)
    for kind in ("RSA-1024", "P-224"):
        key = ca.key(kind, "weak-ca")
        weak = below(world.root, _middle(kind), key, now)
        yield _case(
            f"intermediate_{kind.lower()}",
            weak.sign(draft),
            weak.certificate,
            reason=Reason.WEAK_KEY,
        )


def _constraints(world: World) -> Iterator[Hostile]:
    """Each CA may certify only what its name constraints allow; the leaf has something else."""

    def tree(host: x509.GeneralName, *, permitted: bool) -> x509.NameConstraints:
        return x509.NameConstraints([host] if permitted else None, None if permitted else [host])

    import ipaddress  # noqa: PLC0415 - one line needs it

    kit = x509.DNSName("kit.example")
    directory = x509.DirectoryName(
        x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Elsewhere")])
    )
    own_tree = x509.DirectoryName(x509.Name([x509.NameAttribute(x509.NameOID.COUNTRY_NAME, "US")]))
    network = x509.IPAddress(ipaddress.ip_network("10.0.0.0/8"))
    rows = (
        ("dns_permitted", kit, True, san(dns=["bot.elsewhere.example"])),
        ("dns_excluded", kit, False, san(dns=["bot.kit.example"])),
        ("ip_permitted", network, True, san(ip=["192.0.2.1"])),
        ("ip_excluded", network, False, san(ip=["10.20.30.40"])),
        ("email_permitted", x509.RFC822Name("kit.example"), True, san(email=["bot@evil.example"])),
        ("email_excluded", x509.RFC822Name("kit.example"), False, san(email=["bot@kit.example"])),
        (
            "uri_permitted",
            x509.UniformResourceIdentifier("kit.example"),
            True,
            san(uri=["spiffe://evil.example/bot"]),
        ),
        (
            "uri_excluded",
            x509.UniformResourceIdentifier("kit.example"),
            False,
            san(uri=["spiffe://kit.example/bot"]),
        ),
        ("directory_permitted", directory, True, None),
        ("directory_excluded", own_tree, False, None),
    )
    for label, subtree, permitted, extension in rows:
        for critical in (True, False):
            constraint = ca.extension(tree(subtree, permitted=permitted), critical=critical)
            full = f"{label}_{'critical' if critical else 'noncritical'}"
            authority = below(
                world.root, _middle(full), ca.key(label="constrained"), world.now, constraint
            )
            draft = world.draft(*([extension] if extension else []))
            yield _case(
                f"name_constraint_{full}",
                authority.sign(draft),
                authority.certificate,
                reason=Reason.NAME_CONSTRAINT,
            )
    authority = below(
        world.root,
        _middle("CN"),
        ca.key(label="constrained"),
        world.now,
        ca.extension(tree(kit, permitted=True), critical=True),
    )
    draft = client_draft(name(("CN", "bot.elsewhere.example")), ca.key(label="attacker"), world.now)
    yield _case(
        "name_constraint_dns_name_in_cn",
        authority.sign(draft),
        authority.certificate,
        reason=Reason.NAME_CONSTRAINT,
    )
