"""CRLs: complete, signed and understood, or refused; a million entries in seconds."""

import base64
import datetime as dt
import threading
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from app.pki import der
from app.pki.anchors import TrustSet
from app.pki.crl import CLOCK_SKEW, MAX_BYTES, LoadedCrl, load_crl, load_for, to_der
from app.pki.crl_entries import RevokedEntry, serial_key
from app.pki.leaf import read_leaf
from tests.kit import ca, crls
from tests.kit.ca import Authority, Extension, name, root, usage
from tests.kit.crls import DAY, Draft, draft, entry, number, partition, point, reason
from tests.kit.stopwatch import cheapest
from tests.kit.world import World

_WORLD = World()
_ROOT, _NOW = _WORLD.root, _WORLD.now
_SIGNERS = [read_leaf(_ROOT.certificate)]
_UNKNOWN = "1.2.3.4"


def load(made: Draft, authority: Authority = _ROOT) -> LoadedCrl:
    """The draft signed and loaded again."""
    return load_crl(crls.sign(made, authority), _SIGNERS)


def test_a_crl_says_what_its_ca_wrote() -> None:
    """Issuer, number, dates and entries, with reason and date for people."""
    made = draft(_NOW, count=17).with_(
        entries=entry(5, _NOW - DAY, reason(1)) + entry(2**150, 1767225600) + entry(128, _NOW)
    )
    crl = load(made)
    assert (crl.issuer, crl.title) == (_ROOT.subject, "CRL 17 of CN=Kit Root,O=Kit")
    assert (crl.number, crl.partition, crl.entries.count) == (17, "", 3)
    assert (crl.this_update, crl.next_update) == (made.this_update, made.next_update)
    assert crl.revoked(serial_key(2**150)) == RevokedEntry("2026-01-01T00:00:00Z", "")
    found = crl.revoked(serial_key(5))
    assert found is not None
    assert found.reason == "key compromise"
    assert crl.revoked(serial_key(128))
    for serial in (0, 4, 6, 127, 129, 2**150 + 1, 2**160 - 1):
        assert crl.revoked(serial_key(serial)) is None


def test_an_empty_crl_revokes_nobody() -> None:
    """Without entries the field is left out; a CA that leaves it empty is understood as well."""
    assert load(draft(_NOW)).entries.count == 0
    assert load(draft(_NOW)).revoked(serial_key(1)) is None


@pytest.mark.parametrize("kind", ["RSA-2048", "P-384", "P-521", "Ed25519", "Ed448"])
def test_every_accepted_key_signs_crls(kind: str) -> None:
    """Whatever may sign certificates may sign CRLs, and a flipped octet is noticed."""
    authority = root(name(("CN", kind)), ca.key(kind, "crl"), _NOW)
    signers = [read_leaf(authority.certificate)]
    signed = crls.crl(authority, _NOW, [5])
    assert load_crl(signed, signers).revoked(serial_key(5))
    at = signed.index(crls.moment(_NOW - 3600)) + 3
    broken = signed[:at] + b"0" + signed[at + 1 :]
    assert broken != signed
    with pytest.raises(ValueError, match="did not sign"):
        load_crl(broken, signers)


def test_rsa_pss_signs_crls() -> None:
    """The newer RSA signature, made by cryptography."""
    authority = root(name(("CN", "PSS")), ca.key("RSA-2048", "pss"), _NOW)
    issuer = x509.load_der_x509_certificate(authority.certificate).subject
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer)
        .last_update(_when(_NOW - 60))
        .next_update(_when(_NOW + 60))
        .add_extension(x509.CRLNumber(1), critical=False)
    )
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
    signed = builder.sign(authority.key, hashes.SHA256(), rsa_padding=pss)
    signers = [read_leaf(authority.certificate)]
    assert load_crl(signed.public_bytes(Encoding.DER), signers).number == 1


def test_pem_and_der_are_one_list() -> None:
    """The same digest, whatever surrounds the block; two blocks are not a list."""
    signed = crls.crl(_ROOT, _NOW, range(1, 40_000))
    body = base64.encodebytes(signed)
    pem = b"-----BEGIN X509 CRL-----\n" + body + b"-----END X509 CRL-----\n"
    assert load_crl(b"# text\r\n" + pem, _SIGNERS).digest == load_crl(signed, _SIGNERS).digest
    for bad in (pem + pem, pem[:-30], b"", b"text", pem.replace(b"M", b"!", 1)):
        with pytest.raises(ValueError, match=r"PEM"):
            to_der(bad)


def _hold_lifted() -> bytes:
    return entry(5, _NOW, reason(8))


def _ext(oid: str, *, critical: bool) -> Extension:
    return Extension(oid, b"\x05\x00", critical)


def _certificate_issuer() -> Extension:
    names = der.encode(der.SEQUENCE, der.encode(0xA4, _ROOT.subject))
    return Extension("2.5.29.29", names, critical=True)


_BASE = draft(_NOW)
_REFUSED: dict[str, tuple[Draft, str]] = {
    "v1": (_BASE.with_(version=None, extensions=()), "version 1"),
    "v3": (_BASE.with_(version=2), "version"),
    "no number": (_BASE.with_(extensions=(_ext(_UNKNOWN, critical=False),)), "without a number"),
    "no next update": (_BASE.with_(next_update=None), "without next update"),
    "delta": (_BASE.plus(crls.delta(1)), "delta CRL"),
    "indirect": (_BASE.plus(partition(indirect_crl=True)), "indirect"),
    "attributes": (_BASE.plus(partition(only_contains_attribute_certs=True)), "attribute"),
    "some reasons": (
        _BASE.plus(partition(only_some_reasons=frozenset([x509.ReasonFlags.key_compromise]))),
        "some reasons",
    ),
    "unknown critical": (_BASE.plus(_ext(_UNKNOWN, critical=True)), "critical extension 1.2.3.4"),
    "a number too large": (_BASE.plus(number(2**159)), "no count"),
    "another issuer": (_BASE.with_(issuer=_WORLD.evil.subject), "CN=Evil Root"),
    "entry of another CA": (
        _BASE.with_(entries=entry(5, _NOW, _certificate_issuer())),
        "indirect CRL",
    ),
    "hold lifted": (_BASE.with_(entries=_hold_lifted()), "removeFromCRL"),
    "unused reason": (_BASE.with_(entries=entry(5, _NOW, reason(7))), "unknown reason 7"),
    "unknown entry extension": (
        _BASE.with_(entries=entry(5, _NOW, _ext(_UNKNOWN, critical=True))),
        "critical extension 1.2.3.4",
    ),
    "entry extension twice": (
        _BASE.with_(entries=entry(5, _NOW, _ext(_UNKNOWN, critical=False), reason(1), reason(1))),
        "twice",
    ),
    "no date": (
        _BASE.with_(entries=der.encode(der.SEQUENCE, der.encode(der.INTEGER, b"\5"))),
        "without serial",
    ),
    "no serial": (_BASE.with_(entries=entry(b"", _NOW)), "without serial"),
    "long serial form": (_BASE.with_(entries=entry(b"\0\5", _NOW)), "shortest form"),
    "malformed date": (
        _BASE.with_(entries=entry(5, _NOW).replace(b"Z", b"z")),
        "malformed date",
    ),
    "no entry": (_BASE.with_(entries=b"\x05\x00"), "SEQUENCE"),
    "truncated entry": (_BASE.with_(entries=entry(5, _NOW)[:-1]), r"DER|date|entry"),
    "entry and a half": (_BASE.with_(entries=entry(5, _NOW) + b"\x30"), "truncated"),
}


@pytest.mark.parametrize("kind", _REFUSED)
def test_what_is_not_understood_is_refused_with_words(kind: str) -> None:
    """Properly signed each of them, and still no list to rely on."""
    made, says = _REFUSED[kind]
    with pytest.raises(ValueError, match=says):
        load(made)


def test_harmless_extensions_are_taken() -> None:
    """Unknown ones that are not critical, and a date of invalidity beside a reason."""
    invalid = Extension("2.5.29.24", der.encode(0x18, b"20260101000000Z"))
    made = draft(_NOW).plus(_ext(_UNKNOWN, critical=False))
    entries = entry(5, _NOW, reason(4), invalid, _ext(_UNKNOWN, critical=False))
    found = load(made.with_(entries=entries)).revoked(serial_key(5))
    assert found is not None
    assert found.reason == "superseded"


def test_serials_that_no_certificate_has_do_no_harm() -> None:
    """Negative and overlong serials stand in old lists; they match nothing, not even by length."""
    entries = entry(-1, _NOW) + entry(2**170, _NOW) + entry(7, _NOW)
    crl = load(draft(_NOW).with_(entries=entries))
    assert crl.entries.count == 3
    assert crl.revoked(serial_key(7))
    assert crl.revoked(serial_key(255)) is None


@pytest.mark.parametrize(
    ("signer", "says"),
    [
        (_WORLD.evil, "Evil Root"),
        (Authority(_ROOT.subject, ca.key(label="evil"), b""), "did not sign"),
        (Authority(_ROOT.subject, ca.key("RSA-2048", "evil"), b""), "did not sign"),
    ],
    ids=["stranger", "forger", "forger with another kind of key"],
)
def test_nobody_else_signs(signer: Authority, says: str) -> None:
    """Neither another CA nor another key under the CA's name."""
    with pytest.raises(ValueError, match=says):
        load(draft(_NOW), signer)


def test_sha1_does_not_sign() -> None:
    """As for certificates."""
    with pytest.raises(ValueError, match="SHA-2"):
        load_crl(crls.sign(draft(_NOW), _ROOT, "sha1"), _SIGNERS)


def test_a_ca_without_crl_sign_does_not_sign() -> None:
    """KeyUsage is obeyed; the refusal names the command that adds a signer."""
    made = ca.ca_draft(name(("CN", "Mute")), ca.key(label="mute"), _NOW)
    mute = ca.sign(made.plus(usage("key_cert_sign")), made.subject, ca.key(label="mute"))
    authority = Authority(made.subject, ca.key(label="mute"), mute)
    trust_set = TrustSet("mute", (mute,))
    with pytest.raises(ValueError, match=r"certbound trust add NAME FILE"):
        load_for(trust_set, crls.crl(authority, _NOW))


def test_only_certificates_of_the_trust_set_sign_for_it() -> None:
    """The CA of one set has no say in another."""
    assert load_for(_WORLD.trust_set, crls.crl(_ROOT, _NOW)).number == 1
    with pytest.raises(ValueError, match="Evil Root"):
        load_for(_WORLD.trust_set, crls.crl(_WORLD.evil, _NOW))


def test_the_same_list_may_be_judged_by_other_certificates() -> None:
    """Without reading it again; whoever did not sign is still refused."""
    crl = load(draft(_NOW))
    assert crl.under([*_SIGNERS, read_leaf(_WORLD.evil.certificate)]).entries is crl.entries
    with pytest.raises(ValueError, match="Kit Root"):
        crl.under([read_leaf(_WORLD.evil.certificate)])


def test_a_list_ends_and_ages() -> None:
    """NextUpdate ends it, a maximum staleness may end it before, and none begins in the future."""
    crl = load(Draft(_NOW, _NOW + 100, extensions=(number(1),)))
    assert crl.stale(_NOW) is None
    assert crl.stale(_NOW + 99) is None
    assert "due for replacement" in (crl.stale(_NOW + 100) or "")
    assert crl.stale(_NOW + 50, 50) is None
    assert "older than the 50 s" in (crl.stale(_NOW + 51, 50) or "")
    assert crl.stale(_NOW - CLOCK_SKEW) is None
    assert "begins only" in (crl.stale(_NOW - CLOCK_SKEW - 1) or "")


def test_an_older_list_does_not_supersede() -> None:
    """By number; of one number by date."""
    first, second = load(draft(_NOW, count=9)), load(draft(_NOW + 60, count=10))
    assert second.supersedes(first)
    assert first.supersedes(first)
    assert not first.supersedes(second)
    assert not load(draft(_NOW + 60, count=8)).supersedes(first)
    assert load(draft(_NOW - 60, count=11)).supersedes(first), "the CA's clock was set back"


def test_partitions_have_names() -> None:
    """By kind of certificate and by distribution point; the names are data."""
    options = {"only_contains_user_certs": True, "full_name": point("http://ca.example/1.crl")}
    crl = load(draft(_NOW).plus(partition(**options)))
    assert crl.partition == "clients URI:http://ca.example/1.crl"
    assert load(draft(_NOW).plus(partition(only_contains_ca_certs=True))).partition == "CAs"


def test_keys_tell_lists_apart() -> None:
    """One key per name and signing key: a new key's list does not replace the old key's."""
    again = root(_ROOT.subject, ca.key(label="renewed"), _NOW)
    renewed = load_crl(crls.crl(again, _NOW), [read_leaf(again.certificate)])
    assert renewed.issuer_key != load(draft(_NOW)).issuer_key
    assert load(draft(_NOW, count=2)).issuer_key == load(draft(_NOW)).issuer_key


_SMALL = crls.sign(draft(_NOW).with_(entries=entry(5, _NOW, reason(1)) + entry(6, _NOW)), _ROOT)


@given(st.data())
def test_mangled_lists_raise_value_error_and_nothing_else(data: st.DataObject) -> None:
    """Flipped, cut and stretched octets never pass, and never escape as another error."""
    at = data.draw(st.integers(0, len(_SMALL) - 1))
    flipped = bytes([_SMALL[at] ^ data.draw(st.integers(1, 255))])
    inserted = data.draw(st.binary(min_size=1, max_size=5))
    mangled = data.draw(
        st.sampled_from(
            [
                _SMALL[:at],
                _SMALL[:at] + flipped + _SMALL[at + 1 :],
                _SMALL[:at] + inserted + _SMALL[at:],
            ]
        )
    )
    try:
        crl = load_crl(mangled, _SIGNERS)
    except ValueError:
        return
    # an ECDSA signature has two encodings of its own accord; nothing else may differ
    assert crl.revoked(serial_key(5))
    assert crl.entries.count == 2


def test_a_million_entries() -> None:
    """50 MB load within 5 s of work without holding up other threads, and are found at once."""
    entries, serials = crls.many(1_000_000, _NOW)
    signed = crls.sign(draft(_NOW).with_(entries=entries), _ROOT)
    assert len(signed) > 50_000_000
    del entries
    pauses: list[float] = []
    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(threading.get_ident(), pauses, done))
    watcher.start()
    started = time.thread_time()
    crl = load_crl(signed, _SIGNERS)
    spent = time.thread_time() - started
    done.set()
    watcher.join()
    assert crl.entries.count == len(serials)
    assert spent < 5
    assert sorted(pauses)[-len(pauses) // 100] < 0.05  # but for one in a hundred
    assert sum(map(len, crl.entries._index)) < 34 * len(serials)
    assert all(crl.revoked(serial_key(serial)) for serial in serials[::997])
    known, unknown = serial_key(serials[77]), serial_key(serials[77] + 1)

    def look() -> None:
        for _ in range(100):
            crl.revoked(known)
            crl.revoked(unknown)

    assert cheapest(look) / 200 < 20e-6


def test_ordered_serials_are_found_as_fast() -> None:
    """A CA that counts fills no single bucket."""
    crl = load_crl(crls.crl(_ROOT, _NOW, range(1, 50_001)), _SIGNERS)
    assert max(map(len, crl.entries._index)) < 33 * 60
    assert crl.revoked(serial_key(50_000))
    assert crl.revoked(serial_key(50_001)) is None


def _watch(worker: int, pauses: list[float], done: threading.Event) -> None:
    """Between two turns of this thread: how long the other one worked, whoever else does."""
    clock = time.pthread_getcpuclockid(worker)
    last = time.clock_gettime(clock)
    while not done.is_set():
        time.sleep(0.001)
        now = time.clock_gettime(clock)
        pauses.append(now - last)
        last = now


def _when(seconds: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


@pytest.mark.parametrize("start", [b"\x30", b"-----BEGIN X509 CRL-----"], ids=["DER", "PEM"])
def test_a_list_above_the_cap_is_refused_unread(start: bytes) -> None:
    """A hundred megabytes meet a length, not a parser."""
    data = start + bytes(2 * MAX_BYTES) + b"-----END X509 CRL-----"

    def attempt() -> None:
        with pytest.raises(ValueError, match="more than 67108864 bytes"):
            load_crl(data, _SIGNERS)

    assert cheapest(attempt) < 0.2
