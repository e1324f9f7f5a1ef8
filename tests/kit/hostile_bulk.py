"""Hostile bulk: certificates of an untrusted CA with as much to read as their bytes can hold."""

from collections.abc import Iterator

from app.errors import Reason
from app.pki import der
from tests.kit import ca
from tests.kit.ca import Extension, below, name, san
from tests.kit.world import Hostile, World

_X = name(("CN", "x"))
_LIMIT = 32 * 1024  # bytes of a whole chain that the TLS room lets pass


def cases(world: World) -> Iterator[Hostile]:
    """All of them, dearest first as they were before anything was counted."""
    yield from _over_the_cap(world)
    yield from _at_the_cap(world)


def _case(label: str, leaf: bytes, *rest: bytes, reason: Reason) -> Hostile:
    assert sum(map(len, (leaf, *rest))) <= _LIMIT
    return Hostile(f"bulk_{label}", "dn", (leaf, *rest), ca.key(label="attacker"), reason)


def _sequence(*content: bytes) -> bytes:
    return der.encode(der.SEQUENCE, b"".join(content))


def _over_the_cap(world: World) -> Iterator[Hostile]:
    """Refused by a count of elements, before anybody builds an object for each."""
    directory = der.encode(0xA4, _X)
    access = _sequence(b"\x06\x08\x2b\x06\x01\x05\x05\x07\x30\x01", directory)
    points = der.encode(0xA0, der.encode(0xA0, directory * 1200))
    twin = ca.root(world.root.subject, ca.key(label="evil"), world.now, san(directory=[_X] * 900))
    bad = Reason.CERTIFICATE_MALFORMED
    crowded = world.draft(san(directory=[_X] * 800))
    yield _case("directory_names_twice", twin.sign(crowded), twin.certificate, reason=bad)
    extensions = {
        "directory_names": san(directory=[_X] * 990),
        "one_directory_name": san(directory=[name(*([("CN", "x")] * 990))]),
        "addresses": san(ip=["10.0.0.1"] * 990),
        "issuer_alternative_names": Extension("2.5.29.18", _sequence(directory * 1500)),
        "distribution_points": Extension("2.5.29.31", _sequence(_sequence(points))),
        "access": Extension("1.3.6.1.5.5.7.1.1", _sequence(access * 1000)),
        "constraints": Extension(
            "2.5.29.30", _sequence(der.encode(0xA0, _sequence(directory) * 1400))
        ),
        "authority_key": Extension(
            "2.5.29.35", _sequence(der.encode(0xA1, directory * 1500), b"\x82\x01\x01")
        ),
    }
    for label, extension in extensions.items():
        yield _case(label, world.evil.sign(world.draft(extension)), reason=bad)
    unknown = [Extension(f"1.3.6.1.4.1.{n}", b"\x05\x00") for n in range(1500)]
    yield _case("unknown_extensions", world.evil.sign(world.draft(*unknown)), reason=bad)
    attributes = name(*([("CN", "x")] * 256))
    yield _case("subject", world.evil.sign(world.draft(subject=attributes)), reason=bad)
    issued = ca.sign(world.draft(), attributes, ca.key(label="attacker"))
    yield _case("issuer", issued, reason=bad)
    rest = [
        below(world.evil, name(*([("CN", f"x{n}")] * 100)), ca.key(label=f"bulk{n}"), world.now)
        for n in range(9)
    ]
    leaf = rest[-1].sign(world.draft())
    yield _case("chain_of_long_names", leaf, *(each.certificate for each in rest), reason=bad)


def _at_the_cap(world: World) -> Iterator[Hostile]:
    """As much as may pass: these are read, and then found to be nobody's."""
    odd = name(*((f"1.2.{n + 1}.{n * 7919}", "\u00e9") for n in range(105)))
    addresses = der.encode(0xA0, _sequence(b"\x87\x08\x0a\0\0\0\xff\0\0\0") * 200)
    drafts = {
        "odd_attributes": world.draft(subject=odd),
        "thirty_thousand_commas": world.draft(subject=name(("CN", "," * 31_000))),
        "fifteen_thousand_letters": world.draft(subject=name(("CN", "\u00e9" * 15_000, ca.BMP))),
        "hundred_addresses": world.draft(san(ip=["10.0.0.1"] * 100)),
        "constrained_addresses": world.draft(Extension("2.5.29.30", _sequence(addresses))),
    }
    for label, draft in drafts.items():
        yield _case(label, world.evil.sign(draft), reason=Reason.ISSUER_UNKNOWN)
