"""Reading certificates: every fault is a ValueError, every fact is right."""

import base64
import hashlib
import random
from collections.abc import Iterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from app.pki import leaf as leaf_module
from app.pki.check import describe
from app.pki.leaf import read_leaf
from tests.kit import ca
from tests.kit.ca import name, san
from tests.kit.world import World

_WORLD = World()
_HONEST = _WORLD.root.sign(
    _WORLD.draft(san(dns=["a.example"], uri=["urn:a"], ip=["10.0.0.1", "::1"], email=["a@b.c"]))
)


def test_facts() -> None:
    """What people and audit read about a certificate is what it says."""
    facts = describe(_HONEST)
    public = ca.spki(ca.key(label="attacker"))
    digest = base64.urlsafe_b64encode(hashlib.sha256(public).digest()).rstrip(b"=").decode()
    assert facts.subject == "CN=bot,O=Kit,C=US"
    assert facts.issuer == "CN=Kit Root,O=Kit"
    assert facts.serial == x509.load_der_x509_certificate(_HONEST).serial_number.to_bytes(16).hex()
    assert facts.not_after - facts.not_before == 30 * 86400 + 3600
    assert facts.key == "EC P-256"
    assert facts.sans == ("URI:urn:a", "DNS:a.example", "IP:10.0.0.1", "IP:::1", "email:a@b.c")
    assert (facts.is_ca, facts.self_issued) == (False, False)
    assert (facts.spki_der, facts.spki_sha256) == (public, digest)
    assert facts.thumbprint == base64.urlsafe_b64encode(
        hashlib.sha256(_HONEST).digest()
    ).decode().rstrip("=")


def test_an_ill_formed_issuer_is_shown_as_hex() -> None:
    """The issuer's name is for people only; whatever it holds cannot deceive them."""
    issuer = name(("CN", "bad\x00issuer"))
    facts = describe(ca.sign(_WORLD.draft().with_(issuer=issuer), b"", ca.key(label="attacker")))
    assert facts.issuer == "#" + issuer.hex()


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("RSA-2048", "RSA 2048"),
        ("P-521", "EC P-521"),
        ("Ed25519", "Ed25519"),
        ("Ed448", "Ed448"),
        ("DSA-2048", "DSA 2048"),
        ("secp256k1", "EC secp256k1"),
    ],
)
def test_key_descriptions(kind: str, text: str) -> None:
    """A key is named as its owner would name it."""
    assert describe(_WORLD.root.sign(_WORLD.draft(key=ca.key(kind, "attacker")))).key == text


def mutations() -> Iterator[bytes]:
    """One octet changed, removed or added, at places spread over the whole certificate."""
    random_ = random.Random(8705)  # noqa: S311 - the same mutations at every run
    for _ in range(1500):
        at, octet = random_.randrange(len(_HONEST)), random_.randrange(256)
        yield _HONEST[:at] + bytes((octet,)) + _HONEST[at + 1 :]
        yield _HONEST[:at] + _HONEST[at + 1 :]
        yield _HONEST[:at] + bytes((octet,)) + _HONEST[at:]


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
def test_mutations_raise_nothing_but_value_error() -> None:
    """Bit rot and cunning alike: a certificate is read or refused; what is read is DER."""
    read = 0
    for encoded in mutations():
        try:
            found = read_leaf(encoded)
        except ValueError:
            continue
        read += 1
        assert found.certificate.public_bytes(Encoding.DER) == encoded
    assert read > 100  # signatures and keys are not this reader's business


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_random_octets_raise_nothing_but_value_error(octets: bytes) -> None:
    """Whatever TLS may hand over."""
    with pytest.raises(ValueError, match=r"."):
        read_leaf(octets)


@pytest.fixture
def unseen() -> bytes:
    """A certificate that nobody read before."""
    leaf_module._remembered.cache_clear()
    return _HONEST


def test_a_parser_panic_is_a_refusal(monkeypatch: pytest.MonkeyPatch, unseen: bytes) -> None:
    """A panic inside the Rust parser, a BaseException, does not end the worker."""
    panic = type("PanicException", (BaseException,), {})

    def load(_: bytes) -> x509.Certificate:
        raise panic

    monkeypatch.setattr(x509, "load_der_x509_certificate", load)
    with pytest.raises(ValueError, match="gave up"):
        read_leaf(unseen)
    leaf_module._remembered.cache_clear()  # the others read the same one


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_is_not_swallowed(
    monkeypatch: pytest.MonkeyPatch, unseen: bytes, kind: type[BaseException]
) -> None:
    """Guarding against panics must not make the server unstoppable."""

    def load(_: bytes) -> x509.Certificate:
        raise kind

    monkeypatch.setattr(x509, "load_der_x509_certificate", load)
    with pytest.raises(kind):
        read_leaf(unseen)


def test_size_is_capped_before_parsing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Untrusted octets meet the cap before any parser."""
    monkeypatch.setattr(leaf_module, "read_outline", lambda _: pytest.fail("parsed"))
    with pytest.raises(ValueError, match="more than"):
        read_leaf(bytes(leaf_module.MAX_BYTES + 1))


def test_elements_are_counted_before_parsing(monkeypatch: pytest.MonkeyPatch) -> None:
    """No parser gets to see what would make thousands of objects, wherever in it they are."""
    monkeypatch.setattr(x509, "load_der_x509_certificate", lambda _: pytest.fail("parsed"))
    many = [name(("CN", "x"))] * 200
    for draft in (
        _WORLD.draft(subject=name(*([("CN", "x")] * 200))),
        _WORLD.draft(san(directory=many)),
        _WORLD.draft(ca.Extension("2.5.29.18", san(directory=many).value)),
        _WORLD.draft(*(ca.Extension(f"1.2.{n}.3", b"") for n in range(1, 200))),
    ):
        with pytest.raises(ValueError, match="more than 512 DER elements"):
            read_leaf(_WORLD.root.sign(draft))


def test_what_nobody_opens_is_not_counted() -> None:
    """A private extension may hold a book, DER or not."""
    book = ca.Extension("1.3.6.1.4.1.99999.7", b"\x30\x80\xff" + b"\x05\x00" * 4000)
    assert read_leaf(_WORLD.root.sign(_WORLD.draft(book))).elements < 100


def test_a_hundred_alternative_names_are_the_most() -> None:
    """Public CAs give as many."""
    hundred = [f"b{n}" for n in range(100)]
    facts = describe(_WORLD.root.sign(_WORLD.draft(san(dns=hundred))))
    assert len(facts.sans) == 100
    with pytest.raises(ValueError, match="more than 100"):
        describe(_WORLD.root.sign(_WORLD.draft(san(dns=[*hundred, "b"]))))


def test_a_directory_name_in_the_san_is_no_name_here() -> None:
    """RFC 8705 cannot match one: it is neither shown nor judged."""
    deceptive = san(directory=[name(("CN", "bot\0"))], uri=["urn:a"])
    facts = describe(_WORLD.root.sign(_WORLD.draft(deceptive)))
    assert facts.sans == ("URI:urn:a",)


def test_reading_is_remembered_refused_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second look costs nothing, gives the same, and holds on to no exception."""
    leaf_module._remembered.cache_clear()
    bad = _HONEST + b"\0"
    first = read_leaf(_HONEST)
    with pytest.raises(ValueError, match="truncated") as once:
        read_leaf(bad)
    monkeypatch.setattr(leaf_module, "read_outline", lambda _: pytest.fail("read again"))
    assert read_leaf(bytes(bytearray(_HONEST))) is first
    with pytest.raises(ValueError, match="truncated") as twice:
        read_leaf(bad)
    assert str(twice.value) == str(once.value)
    assert twice.value is not once.value


def test_shortness_of_memory_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process in need must not lock a client out for good."""

    def load(_: bytes) -> x509.Certificate:
        raise MemoryError

    leaf_module._remembered.cache_clear()
    with monkeypatch.context() as starved:
        starved.setattr(x509, "load_der_x509_certificate", load)
        with pytest.raises(MemoryError):
            read_leaf(_HONEST)
    assert read_leaf(_HONEST).facts.key == "EC P-256"
