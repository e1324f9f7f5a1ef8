"""Hostile names: well-formed certificates of the trusted CA that almost say what they should not."""

import dataclasses
from collections.abc import Iterator

from app.errors import Reason
from tests.kit import ca
from tests.kit.ca import BMP, PRINTABLE, TELETEX, client_draft, name, san
from tests.kit.world import DNS, EMAIL, IP, URI, Hostile, World

C, O, CN = ("C", "US"), ("O", "Kit"), ("CN", "bot")  # noqa: E741 - X.520's own names


def cases(world: World) -> Iterator[Hostile]:
    """All of them."""
    yield from _ill_formed(world)
    yield from _distinguished(world)
    yield from _alternative(world)


def _case(
    label: str, world: World, subject: bytes, *more: ca.Extension, client: str, reason: Reason
) -> Hostile:
    key = ca.key(label="attacker")
    leaf = world.root.sign(client_draft(subject, key, world.now, *more))
    return Hostile(label, client, (leaf,), key, reason)


def _ill_formed(world: World) -> Iterator[Hostile]:
    """Characters that deceive, and strings that are none."""
    deceptive = {
        "nul": "bot\0",
        "nul_then_more": "bot\0.evil.example",
        "newline": "bot\r\nsubject: admin",
        "escape": "bot\x1b[2K",
        "delete": "bot\x7f",
        "bidi_override": "\u202etob",
        "bidi_isolate": "bot\u2066",
        "zero_width_space": "bo\u200bt",
        "zero_width_joiner": "bot\u200d",
        "soft_hyphen": "bo\u00adt",
        "byte_order_mark": "\ufeffbot",
        "line_separator": "bot\u2028",
        "hangul_filler": "bot\u3164",
    }
    bad = Reason.CERTIFICATE_MALFORMED
    for label, text in deceptive.items():
        subject = name(C, O, ("CN", text))
        yield _case(f"cn_with_{label}", world, subject, client="dn", reason=bad)
    octets: dict[str, tuple[bytes, int]] = {
        "ill_formed_utf8": (b"bot\xff", 0x0C),
        "overlong_utf8": (b"\xc1\xa2ot", 0x0C),
        "at_sign_in_printable_string": (b"bot@kit", PRINTABLE),
        "latin1_in_teletex_string": (b"b\xf6t", TELETEX),
        "surrogates_in_bmp_string": (b"\xd8\x3d\xde\x00", BMP),
        "odd_bmp_string": (b"\0b\0o\0", BMP),
    }
    for label, (value, tag) in octets.items():
        subject = name(C, O, ("CN", value, tag))
        case = _case(f"cn_{label}", world, subject, client="dn", reason=bad)
        # OpenSSL itself does not read these: neither end of a handshake would.
        yield dataclasses.replace(case, wire="_string" in label and "bmp" not in label)
    key = ca.key(label="attacker")
    number = world.root.sign(client_draft(name(C, O, ("CN", b"\x01", 0x02)), key, world.now))
    yield Hostile("cn_is_an_integer", "dn", (number,), key, bad, wire=False)
    crowd = name(*([("OU", "x")] * 300), C, O, CN)
    yield _case("dn_of_three_hundred_rdns", world, crowd, client="dn", reason=bad)
    names = san(dns=[DNS, *(f"b{n}" for n in range(100))])
    yield _case("san_of_a_hundred_and_one", world, name(C, O, CN), names, client="dns", reason=bad)
    for label, more in (
        ("dns_with_nul", san(dns=[DNS + "\0.evil.example"])),
        ("dns_with_newline", san(dns=[DNS + "\n"])),
        ("uri_with_nul", san(uri=[URI + "\0"])),
        ("email_with_nul", san(email=[EMAIL + "\0"])),
    ):
        yield _case(f"san_{label}", world, name(C, O, CN), more, client="dn", reason=bad)


def _distinguished(world: World) -> Iterator[Hostile]:
    """Registered is C=US, O=Kit, CN=bot in this order, one attribute each."""
    subjects = {
        "one_cn_spelling_the_whole_dn": name(("CN", "bot,O=Kit,C=US")),
        "cn_with_comma_and_o": name(C, ("CN", "bot,O=Kit")),
        "cn_with_slash_and_o": name(C, ("CN", "bot/O=Kit")),
        "cn_with_plus": name(C, O, ("CN", "bot+UID=1")),
        "reversed_rdns": name(CN, O, C),
        "two_rdns_exchanged": name(O, C, CN),
        "multi_valued_instead_of_separate": name(C, [O, CN]),
        "all_in_one_rdn": name([C, O, CN]),
        "missing_rdn": name(O, CN),
        "missing_cn": name(C, O),
        "extra_rdn_before": name(("DC", "evil"), C, O, CN),
        "extra_rdn_after": name(C, O, CN, ("UID", "1")),
        "extra_value_in_rdn": name(C, O, [CN, ("UID", "1")]),
        "unknown_attribute_added": name(C, O, CN, ("1.3.6.1.4.1.99999.3", "x")),
        "two_cns_ours_first": name(C, O, CN, ("CN", "evil")),
        "two_cns_ours_last": name(C, O, ("CN", "evil"), CN),
        "cn_repeated": name(C, O, CN, CN),
        "other_attribute_type": name(C, ("OU", "Kit"), CN),
        "other_case": name(C, O, ("CN", "Bot")),
        "trailing_blank": name(C, O, ("CN", "bot ")),
        "leading_blank": name(C, O, ("CN", " bot")),
        "full_width_letter": name(C, O, ("CN", "\uff42ot")),
        "cyrillic_letter": name(C, O, ("CN", "b\u043et")),
        "non_breaking_blank": name(C, O, ("CN", "bot\u00a0")),
        "combining_mark": name(C, O, ("CN", "bot\u0301")),
        "value_is_no_string": name(C, O, ("x500UniqueIdentifier", b"\0bot", 0x03)),
        "a_hundred_rdns": name(*([("OU", "x")] * 97), C, O, CN),
        "ten_kilobytes_in_cn": name(C, O, ("CN", "bot" + "x" * 10_000)),
        "injection": name(C, O, ("CN", "bot' or 1=1--${jndi:ldap://x}*)(uid=*")),
    }
    for label, subject in subjects.items():
        yield _case(f"dn_{label}", world, subject, client="dn", reason=Reason.DN_MISMATCH)
    nobody = san(directory=[name(C, O, CN)], critical=True)
    yield _case(
        "dn_only_as_directory_name_in_san",
        world,
        name(),
        nobody,
        client="dn",
        reason=Reason.DN_MISMATCH,
    )


def _alternative(world: World) -> Iterator[Hostile]:
    rows: dict[str, dict[str, ca.Extension]] = {
        "dns": {
            "wildcard": san(dns=["*.kit.example"]),
            "bare_wildcard": san(dns=["*"]),
            "trailing_dot": san(dns=[DNS + "."]),
            "leading_dot": san(dns=["." + DNS]),
            "parent": san(dns=["kit.example"]),
            "child": san(dns=["x." + DNS]),
            "longer": san(dns=[DNS + ".evil.example"]),
            "empty": san(dns=[""]),
            "as_email": san(email=[f"x@{DNS}"]),
            "as_uri": san(uri=[f"https://{DNS}"]),
            "in_bare_uri": san(uri=[DNS]),
            "as_directory_name": san(directory=[name(("CN", DNS))]),
            "many_others": san(dns=[f"bot{n}.kit.example" for n in range(100)]),
        },
        "uri": {
            "other_case": san(uri=[URI.replace("kit", "KIT")]),
            "scheme_in_capitals": san(uri=[URI.replace("spiffe", "SPIFFE")]),
            "longer": san(uri=[URI + "/x"]),
            "trailing_slash": san(uri=[URI + "/"]),
            "prefix": san(uri=[URI[:-1]]),
            "percent_encoded": san(uri=[URI.replace("bot", "%62ot")]),
            "dot_segment": san(uri=[URI.replace("/bot", "/x/../bot")]),
            "query": san(uri=[URI + "?"]),
            "as_dns": san(dns=[URI]),
            "as_email": san(email=[URI]),
        },
        "ip": {
            "other": san(ip=["10.20.30.41"]),
            "v4_mapped": san(ip=["::ffff:10.20.30.40"]),
            "v4_compatible": san(ip=["::10.20.30.40"]),
            "text_as_dns": san(dns=[IP]),
            "text_as_uri": san(uri=[f"https://{IP}"]),
        },
        "email": {
            "local_part_in_lower_case": san(email=[EMAIL.lower()]),
            "other_domain": san(email=["Bot@evil.example"]),
            "subdomain": san(email=["Bot@x.kit.example"]),
            "two_at_signs": san(email=["Bot@kit.example@evil.example"]),
            "domain_only": san(email=["kit.example"]),
            "as_dns": san(dns=[EMAIL]),
            "as_uri": san(uri=[f"mailto:{EMAIL}"]),
        },
    }
    subject = name(("CN", "anonymous"))
    for client, attempts in rows.items():
        for label, extension in attempts.items():
            yield _case(
                f"san_{client}_{label}",
                world,
                subject,
                extension,
                client=client,
                reason=Reason.SAN_MISMATCH,
            )
    for client, value in (("dns", DNS), ("uri", URI), ("ip", IP), ("email", EMAIL)):
        yield _case(
            f"san_{client}_only_in_cn",
            world,
            name(("CN", value)),
            client=client,
            reason=Reason.SAN_MISMATCH,
        )
    yield _case(
        "san_email_only_in_subject",
        world,
        name(("emailAddress", EMAIL, ca.IA5)),
        client="email",
        reason=Reason.SAN_MISMATCH,
    )
    yield _case(
        "dn_client_matched_by_san_only",
        world,
        subject,
        san(dns=["bot"]),
        client="dn",
        reason=Reason.DN_MISMATCH,
    )
