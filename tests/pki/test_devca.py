"""The development CA: what it issues passes our own checks, and its files are safe."""

import datetime as dt
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from app import clock
from app.errors import Examination
from app.pki import check, devca, names
from app.pki.anchors import TrustSet, load_pem_bundle
from app.pki.check import Registered, describe
from app.pki.new_files import create_pair
from tests.pki.judging import peer


def der(issued: devca.Issued) -> bytes:
    """The certificate of a pair."""
    return load_pem_bundle(issued.certificate.read_bytes())[0]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A directory with a CA."""
    devca.init(tmp_path / "certs")
    return tmp_path / "certs"


@pytest.mark.parametrize("key_type", ["ec", "rsa"])
def test_a_client_certificate_logs_in_by_each_of_its_names(home: Path, key_type: Any) -> None:
    """All SAN kinds and the DN of one certificate can be registered and are matched."""
    issued = devca.issue(
        home,
        "bot",
        dn='C = CH, O = "Acme, Inc", CN = bot',
        san_dns=["Bot.example"],
        san_uri=["spiffe://acme/bot"],
        san_ip=["10.0.0.1", "2001:db8::1"],
        san_email=["Bot@Acme.example"],
        key_type=key_type,
    )
    trust_set = TrustSet.from_pem("default", (home / "ca.crt").read_bytes())
    trusted = check.by_path(Examination(), peer(der(issued)), [trust_set], clock.now())
    assert trusted.subject == "CN=bot,O=Acme\\, Inc,C=CH"
    offered = names.candidates(trusted.names)
    assert [each.attribute for each in offered] == [
        "san_uri",
        "san_dns",
        "san_email",
        "san_ip",
        "san_ip",
        "subject_dn",
    ]
    for match in offered:
        names.examine_name(Examination(), trusted.names, match)


def test_a_self_signed_certificate_can_be_registered(tmp_path: Path) -> None:
    """It needs no CA in the directory."""
    facts = describe(encoded := der(devca.issue(tmp_path, "self", self_signed=True)))
    assert facts.self_issued
    entry = Registered("key", None, facts.spki_sha256, facts.spki_der, "active")
    trusted = check.by_registration(Examination(), peer(encoded), [entry], clock.now())
    assert trusted.basis == "registered_key"


def test_a_server_certificate_is_for_servers_only(home: Path) -> None:
    """It carries its names and serverAuth, and no client could log in with it."""
    issued = devca.issue(home, "server", san_dns=["localhost"], san_ip=["127.0.0.1"], server=True)
    certificate = x509.load_der_x509_certificate(der(issued))
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_lifetimes(home: Path) -> None:
    """Backdated a minute, as long as asked for, never longer than the CA."""
    rows: tuple[tuple[dict[str, Any], int], ...] = (
        ({}, devca.LEAF_DAYS * 86400),
        ({"days": 3}, 3 * 86400),
        ({"hours": 2}, 7200),
    )
    for options, seconds in rows:
        facts = describe(der(devca.issue(home, f"c{seconds}", **options)))
        assert facts.not_after - facts.not_before == pytest.approx(seconds + 60, abs=2)
    long = describe(der(devca.issue(home, "long", days=devca.CA_DAYS * 2)))
    authority = describe(load_pem_bundle((home / "ca.crt").read_bytes())[0])
    assert long.not_after == authority.not_after


def test_the_ca_itself(home: Path) -> None:
    """A P-256 CA that can issue leaves and nothing else, for five years."""
    certificate = x509.load_pem_x509_certificate((home / "ca.crt").read_bytes())
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (
        True,
        True,
        0,
    )
    assert certificate.not_valid_after_utc > dt.datetime.now(dt.UTC) + dt.timedelta(days=1820)
    assert describe(load_pem_bundle((home / "ca.crt").read_bytes())[0]).key == "EC P-256"


def test_private_keys_are_private_and_fit(home: Path) -> None:
    """Mode 0600 whatever the umask, and the key of the certificate beside it."""
    before = os.umask(0)
    try:
        issued = devca.issue(home, "bot")
    finally:
        os.umask(before)
    for path in (issued.key, home / "ca.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = load_pem_private_key(issued.key.read_bytes(), None)
    certificate = x509.load_pem_x509_certificate(issued.certificate.read_bytes())
    assert key.public_key() == certificate.public_key()
    assert sorted(path.name for path in home.iterdir()) == [
        "bot.crt",
        "bot.key",
        "ca.crt",
        "ca.key",
    ]


def test_nothing_is_overwritten(home: Path) -> None:
    """A second CA or a second bot is refused, and the first stays as it was."""
    devca.issue(home, "bot")
    before = {path.name: path.read_bytes() for path in home.iterdir()}
    with pytest.raises(FileExistsError, match=r"bot\.key exists"):
        devca.issue(home, "bot")
    with pytest.raises(FileExistsError, match="kept"):
        devca.init(home)
    assert {path.name: path.read_bytes() for path in home.iterdir()} == before


def test_a_pair_is_made_whole_or_not_at_all(tmp_path: Path) -> None:
    """When the second file cannot be made, the first is gone again."""
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(OSError, match=r"."):
        create_pair((tmp_path / "a.key", 0o600, b"x"), (blocked / "a.crt", 0o644, b"y"))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_dangling_link_is_not_followed(tmp_path: Path) -> None:
    """A link planted where the key will be is not written through."""
    (tmp_path / "bot.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        devca.issue(tmp_path, "bot", self_signed=True)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    "name",
    [
        "",
        "ca",
        "CA",
        ".",
        "..",
        "../x",
        "a/b",
        ".hidden",
        "a b",
        "a\n",
        "x" * 65,
        "é",
        "-rf",
        "a\x00",
    ],
)
def test_odd_file_names_are_refused(home: Path, name: str) -> None:
    """A certificate's name is a plain file name."""
    with pytest.raises(ValueError, match="certificate name"):
        devca.issue(home, name)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"dn": "bot"}, "TYPE=value"),
        ({"dn": "CN=#020101"}, "text attributes"),
        ({"san_dns": ["*.example"]}, "wildcard"),
        ({"san_ip": ["10.0.0.0/8"]}, "IP address"),
        ({"san_uri": ["bot"]}, "scheme"),
        ({"san_email": ["bot"]}, "local@domain"),
        ({"days": 0}, "positive"),
        ({"hours": -1}, "positive"),
        ({"days": 1, "hours": 1}, "not both"),
    ],
)
def test_what_is_not_issued(home: Path, options: dict[str, Any], says: str) -> None:
    """Names that could not be registered and lifetimes that make no sense: refused, no file left."""
    with pytest.raises(ValueError, match=says):
        devca.issue(home, "bot", **options)
    assert not list(home.glob("*bot*"))


def test_without_a_ca_the_message_names_the_command(tmp_path: Path) -> None:
    """The way on is in the error."""
    with pytest.raises(FileNotFoundError, match="certbound ca init"):
        devca.issue(tmp_path, "bot")


def test_a_foreign_ca_key_is_noticed(home: Path, tmp_path: Path) -> None:
    """Nothing is signed with a key that does not fit the CA's certificate."""
    other = devca.init(tmp_path / "other")
    (home / "ca.key").write_bytes(other.key.read_bytes())
    with pytest.raises(ValueError, match="does not belong"):
        devca.issue(home, "bot")
