"""Distinguished names as people write them, and as OpenSSL prints them."""

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.pki import dn, dn_text
from app.pki.anchors import load_pem_bundle
from app.pki.check import describe

_WANTED = "CN=bot,O=Acme,C=US"


@pytest.mark.parametrize(
    "text",
    [
        "CN=bot,O=Acme,C=US",
        "cn=bot, o=Acme, c=US",
        " CN=bot ; O=Acme ; C=US\n",
        "commonName=bot,organizationName=Acme,countryName=US",
        "2.5.4.3=bot,OID.2.5.4.10=Acme,oid.2.5.4.6=US",
        "CN=#0c03626f74,O=#130441636d65,C=#13025553",
        'CN="bot",O="Acme",C=US',
        "CN=b\\6ft,O=\\41cme,C=US",
        "C = US, O = Acme, CN = bot",
        "subject=C = US, O = Acme, CN = bot",
        "subject=C=US, O=Acme, CN=bot",
        "subject=CN=bot,O=Acme,C=US",
        "Subject: C = US, O = Acme, CN = bot",
        "/C=US/O=Acme/CN=bot",
        "subject= /C=US/O=Acme/CN=bot",
        "/C=US/O=\\x41cme/CN=bot",
    ],
)
def test_spellings_of_one_name(text: str) -> None:
    """Each comma form, the slash form, keywords in any case, OIDs, hex, quotes, escapes."""
    assert dn.text(dn_text.parse(text)) == _WANTED


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("E=a@b.c", "emailAddress=a@b.c"),
        ("emailAddress=a@b.c,UID=7,DC=x", "emailAddress=a@b.c,UID=7,DC=x"),
        ('CN=a\\,b\\+c\\"d\\\\e', 'CN=a\\,b\\+c\\"d\\\\e'),
        ('CN="a,b"', "CN=a\\,b"),
        ("CN=\\ a\\ ", "CN=\\ a\\ "),
        ("CN=a  b", "CN=a  b"),
        ("CN=\\#1", "CN=\\#1"),
        ("CN=Z\\C3\\BCrich", "CN=Zürich"),
        ('O = "Acme, Inc.", CN = a', "CN=a,O=Acme\\, Inc."),
        ("/O=a\\/b/CN=c", "CN=c,O=a/b"),
        ("C = US, CN = y + OU = z", "CN=y+OU=z,C=US"),
        ("1.2.3.4=x", "1.2.3.4=x"),
        ("1.2.3.4=#0201ff", "1.2.3.4=#0201ff"),
        ("1.3.6.1.4.1.311.60.2.1.3=#13024252", "jurisdictionC=BR"),
        ("serialNumber=1,businessCategory=x,jurisdictionC=BR", None),
        ("CN=a/b", "CN=a/b"),
    ],
)
def test_values(text: str, canonical: str | None) -> None:
    """Special characters, multi-valued RDNs and uncommon attributes come out as RFC 4514 has them."""
    assert dn.text(dn_text.parse(text)) == (text if canonical is None else canonical)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "names nobody"),
        ("  ", "names nobody"),
        ("bot", "TYPE=value"),
        ("CN=", "no value"),
        ("CN=a,", "TYPE=value"),
        ("CN=a,,O=b", "TYPE=value"),
        ("CN=a+b", "TYPE=value"),
        ("/CN=a/b", "TYPE=value"),
        ("/", "TYPE=value"),
        ("comonName=a", "did you mean commonname"),
        ("X=1", "dotted OID"),
        ("CN=#zz", "hex DER"),
        ("CN=#0c05", "hex DER"),
        ("CN=a\\", "backslash"),
        ('CN="a', "closing quote"),
        ('CN="a"b', "after a quoted"),
        ("CN=\\ff", "not UTF-8"),
        ("CN=a\\00", "U+0000"),
        ("CN=a\u202eb", "U+202E"),
        ("CN=a\ud800", "not UTF-8"),
        ("/CN=\\xg", "hex digits"),
        ("CN=" + "x" * 5000, "4096"),
        (",".join(["OU=x"] * 60), "50 parts"),
        ("3.1=x", "object identifier"),
    ],
)
def test_refusals_explain_themselves(text: str, says: str) -> None:
    """What cannot be read is refused in words that help."""
    with pytest.raises(ValueError, match=says.replace("+", "\\+")):
        dn.encode(dn_text.parse(text))


@settings(max_examples=300)
@given(st.text(alphabet=st.sampled_from('CNO=,+/\\"#; .0af1\x00é\u200b'), max_size=40))
def test_nothing_but_value_error(text: str) -> None:
    """Random text is a name or a ValueError; a name is printed as it was read."""
    try:
        encoded = dn.encode(dn_text.parse(text))
    except ValueError:
        return
    assert dn.encode(dn_text.parse(dn.text(dn.read(encoded)))) == encoded


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
@pytest.mark.parametrize(
    "options",
    [[], ["-nameopt", "RFC2253"], ["-nameopt", "compat"], ["-nameopt", "oneline,-esc_msb,utf8"]],
    ids=["default", "RFC2253", "slash", "utf8"],
)
def test_what_openssl_prints_can_be_pasted(tmp_path: Path, options: list[str]) -> None:
    """`openssl x509 -subject` in its common forms registers exactly the certificate's name.

    From OpenSSL 3.2 on, the default form writes a comma in a value as it writes one between values.
    """
    subject = "/C=CH/O=Zürich, Inc/OU=a+b/CN=bot #1/UID=7"
    certificate = tmp_path / "c.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-keyout", "/dev/null", "-out", str(certificate), "-utf8"),
            *("-subj", subject.replace("a+b", "a\\+b")),
        ],
        check=True,
        capture_output=True,
    )
    printed = subprocess.run(
        ["openssl", "x509", "-in", certificate, "-noout", "-subject", *options],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    if options[1:] == ["compat"]:  # the slash form escapes nothing, so the plus is ambiguous there
        printed = printed.replace("a+b", "a\\+b")
    facts = describe(load_pem_bundle(certificate.read_bytes())[0])
    if "O=Zürich, Inc, OU" in printed:
        with pytest.raises(ValueError, match="inside a value write"):
            dn_text.parse(printed)
        return
    assert dn.encode(dn_text.parse(printed)) == facts.names.dn
