"""Registering clients, and looking after them."""

import json
import shlex
import subprocess
from pathlib import Path

import pytest

from app.store.engine import Database
from tests.kit.certs import issue
from tests.kit.command import call, done, refused

SELF_SIGNED = ("--method", "self_signed_tls_client_auth")
VERY_LONG = "x" * 256


def _cert(home: Path, name: str, *options: str) -> str:
    return str(done(home, "ca", "issue", name, *options)["certificate"])


def test_narrowest_name_is_taken_and_the_others_shown(home: Path) -> None:
    """From a certificate with several names the URI is registered; the rest are offered."""
    names = ("--san-dns", "a.example", "--san-uri", "spiffe://x.example/a", "--san-ip", "10.0.0.1")
    cert = _cert(home, "a", *names)
    outcome = call(home, "client", "add", "a", "--cert", cert)
    assert outcome.code == 0
    assert "✔ recognised by: san_uri spiffe://x.example/a" in outcome.out
    for option in ("--san-dns a.example", "--san-ip 10.0.0.1", "--subject-dn CN=a"):
        assert f"could also be recognised by: {option}" in outcome.out
    assert done(home, "doctor", "cert", cert, "--client", "a")["answer"]["status"] == 200


@pytest.mark.parametrize(
    ("option", "value", "stored"),
    [
        ("--subject-dn", "/C=US/O=Acme/CN=b", "CN=b,O=Acme,C=US"),
        ("--san-dns", "B.Example", "b.example"),
        ("--san-uri", "urn:b", "urn:b"),
        ("--san-ip", "2001:db8::1", "2001:db8::1"),
        ("--san-email", "b@example.com", "b@example.com"),
    ],
)
def test_every_subject_attribute(home: Path, option: str, value: str, stored: str) -> None:
    """Each of the five attributes of RFC 8705 section 2.1.2 registers a client and is shown."""
    done(home, "client", "add", "b", option, value)
    client = done(home, "client", "show", "b")["client"]
    assert client[f"tls_client_auth_{option[2:].replace('-', '_')}"] == stored
    assert client["trust_sets"] == ["default"]


def test_own_certificates(home: Path) -> None:
    """A self-signed client with two certificates is accepted with either."""
    first, second = (_cert(home, name, "--self-signed") for name in ("c1", "c2"))
    done(home, "client", "add", "c", *SELF_SIGNED, "--cert", first, "--cert", second)
    for cert in (first, second):
        answer = done(home, "doctor", "cert", cert, "--client", "c")
        assert answer["answer"]["status"] == 200
    assert len(done(home, "client", "show", "c")["credentials"]) == 2


def test_a_key_a_set_and_a_place(home: Path, tmp_path: Path) -> None:
    """A public key, a JWK Set and a jwks_uri register clients; nothing is fetched for it."""
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    (tmp_path / "key.json").write_text(json.dumps(jwk))
    (tmp_path / "set.json").write_text(json.dumps({"keys": [jwk]}))
    done(home, "client", "add", "k", *SELF_SIGNED, "--public-key", str(tmp_path / "key.json"))
    done(home, "client", "add", "s", *SELF_SIGNED, "--jwks", str(tmp_path / "set.json"))
    done(home, "client", "add", "u", *SELF_SIGNED, "--jwks-uri", "https://nowhere.invalid/jwks")
    keys = [done(home, "client", "show", name)["credentials"] for name in ("k", "s", "u")]
    assert [[one["kind"] for one in found] for found in keys] == [["key"], ["key"], []]
    assert done(home, "client", "show", "u")["client"]["jwks_uri"] == "https://nowhere.invalid/jwks"


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--san-dns", "a.example", "--san-uri", "urn:a"),
        ("--cert", "x.crt", "--san-uri", "urn:a"),
        ("--public-key", "x.pem"),
        ("--jwks-uri", "https://x.example/"),
        (*SELF_SIGNED,),
        (*SELF_SIGNED, "--san-uri", "urn:a"),
        (*SELF_SIGNED, "--cert", "x.crt", "--jwks-uri", "https://x.example/"),
        ("--method", "client_secret_basic", "--san-uri", "urn:a"),
    ],
    ids=lambda options: " ".join(options) or "nothing",
)
def test_exactly_one_way(home: Path, options: tuple[str, ...]) -> None:
    """No way, two ways, or one of the other method is a usage error before anything is read."""
    assert refused(home, "client", "add", "x", *options, code=2)["kind"] == "usage"


@pytest.mark.parametrize(
    ("client_id", "options", "message"),
    [
        ("x", ("--san-dns", "*.example"), "this is no san_dns"),
        ("x", ("--subject-dn", "nonsense"), "this is no subject_dn"),
        ("x y", ("--san-uri", "urn:x"), "this cannot be a client_id"),
        ("x\n", ("--san-uri", "urn:x"), "this cannot be a client_id"),
        (VERY_LONG, ("--san-uri", "urn:x"), "this cannot be a client_id"),
        ("x", ("--san-uri", "urn:x", "--trust", "nope"), "there is no such trust set"),
        ("x", ("--san-uri", "urn:x", "--grant", "password"), "this grant is not known"),
        ("x", ("--san-uri", "urn:x", "--scope", "a b"), "this is no scope"),
        ("x", ("--san-uri", "urn:x", "--scope", ""), "this is no scope"),
        (
            "x",
            ("--san-uri", "urn:x", "--resource", "https://no"),
            "this resource is not registered",
        ),
        ("bot", ("--san-uri", "urn:x"), "the client bot exists already"),
        ("x", (*SELF_SIGNED, "--jwks-uri", "http://x.example/"), "this jwks_uri cannot be used"),
    ],
)
def test_refusals_in_sentences(
    home: Path, client_id: str, options: tuple[str, ...], message: str
) -> None:
    """What cannot be registered is refused with one sentence, and nothing is registered."""
    assert refused(home, "client", "add", client_id, *options)["message"] == message
    assert [one["client_id"] for one in done(home, "client", "list")["clients"]] == ["bot"]


def test_no_trust_set_for_registered_certificates(home: Path) -> None:
    """A trust set beside a registered certificate is refused: no CA is ever asked about it."""
    cert = _cert(home, "t", "--self-signed")
    error = refused(home, "client", "add", "t", *SELF_SIGNED, "--cert", cert, "--trust", "default")
    assert "no CA is asked" in error["do_this"]


@pytest.mark.parametrize("twin", ["SPIFFE://DEV.LOCAL/BOT", "spiffe://dev.local/bot"])
def test_look_alikes_are_refused(home: Path, twin: str) -> None:
    """A subject that looks like another client's in the same trust set is refused, naming it."""
    error = refused(home, "client", "add", "twin", "--san-uri", twin)
    assert error["message"].startswith("the client bot has this subject")
    assert "client remove bot" in error["do_this"]


def test_look_alikes_in_other_trust_sets(home: Path) -> None:
    """The same subject under another CA is another client."""
    done(home, "trust", "add", "other", str(home / "certs/ca.crt"))
    uri = "spiffe://dev.local/bot"
    done(home, "client", "add", "twin", "--san-uri", uri, "--trust", "other")


def test_a_private_key_is_not_a_certificate(home: Path) -> None:
    """A pasted private key is recognised and refused; its path is the only thing repeated."""
    key = home / "certs/bot.key"
    for options in ((), SELF_SIGNED):
        error = refused(home, "client", "add", "x", *options, "--cert", str(key))
        assert error["message"] == f"{key} holds a private key"
    error = refused(home, "client", "add", "x", *SELF_SIGNED, "--public-key", str(key))
    assert "private key" in error["seen"]


def test_a_file_that_is_not_there(home: Path) -> None:
    """A missing file is an environment problem (exit code 3)."""
    error = refused(home, "client", "add", "x", "--cert", "/nonexistent.crt", code=3)
    assert error["kind"] == "environment"


def test_a_certificate_that_could_never_work(home: Path, tmp_path: Path) -> None:
    """An expired certificate is refused at registration, with the check that refuses it."""
    expired = issue(tmp_path, "old", None, days=-1).certificate_file
    error = refused(home, "client", "add", "x", *SELF_SIGNED, "--cert", str(expired))
    assert "(expired)" in error["message"]


def test_ca_issued_certificate_as_its_own(home: Path) -> None:
    """A CA-issued certificate may be registered as a whole; the difference is pointed out."""
    cert = _cert(home, "mine")
    outcome = call(home, "client", "add", "mine", *SELF_SIGNED, "--cert", cert)
    assert outcome.code == 0
    assert "only this very certificate counts" in outcome.out


def test_unknown_scope_is_warned_of(home: Path) -> None:
    """A scope that no resource of the client knows is kept, and said to carry nothing yet."""
    added = done(home, "client", "add", "x", "--san-uri", "urn:x", "--scope", "later")
    assert added["unknown_scopes"] == ["later"]
    assert (
        done(home, "client", "add", "y", "--san-uri", "urn:y", "--scope", "api:read")[
            "unknown_scopes"
        ]
        == []
    )


def test_disable_enable_remove(home: Path) -> None:
    """Each changes what the token endpoint would say, is audited once, and may be repeated."""
    cert = str(home / "certs/bot.crt")
    assert done(home, "client", "disable", "bot")["changed"] is True
    assert done(home, "client", "disable", "bot")["changed"] is False
    answer = json.loads(call(home, "doctor", "cert", cert, "--client", "bot", "--json").out)
    assert answer["answer"]["reason"] == "client_disabled"
    assert "disabled since" in call(home, "client", "list").out
    assert done(home, "client", "enable", "bot")["changed"] is True
    assert done(home, "client", "enable", "bot")["changed"] is False
    done(home, "client", "remove", "bot")
    for verb in ("remove", "show", "disable", "enable"):
        assert refused(home, "client", verb, "bot")["message"] == "there is no such client"
    entries = done(home, "audit", "tail", "-n", "3")["entries"]
    assert [one["body"]["event"] for one in entries] == [
        "client.disabled",
        "client.enabled",
        "client.removed",
    ]
    assert all(one["body"]["actor"] for one in entries)


def test_hostile_text_cannot_reach_the_terminal(home: Path) -> None:
    """Control, escape and bidirectional characters in stored text are shown as codes."""
    db = Database(f"sqlite:///{home / 'certbound.db'}")
    with db.begin() as conn:
        conn.exec_driver_sql(
            "UPDATE clients SET subject_text = ?", ("\x1b[31mred\x07\u202etxt.exe\r\nCN=admin",)
        )
    db.dispose()
    for command in (("client", "show", "bot"), ("client", "list")):
        out = call(home, *command).out
        assert "\\x1b[31mred\\x07\\u202etxt.exe\\x0d\\x0aCN=admin" in out
        assert not {"\x1b", "\x07", "\u202e", "\r"} & set(out)
    assert "\x1b" not in call(home, "client", "show", "bot", "--json").out


def test_a_self_signed_certificate_is_no_name(home: Path) -> None:
    """A name that no CA vouches for is refused, with the command that registers the certificate."""
    cert = _cert(home, "alone", "--self-signed")
    error = refused(home, "client", "add", "alone", "--cert", cert)
    assert error["message"] == f"{cert} is self-signed: no CA vouches for it"
    command = shlex.split(error["do_this"].partition(": ")[2])
    assert done(home, *command[1:-2])["client"]["client_id"] == "alone"
    error = refused(home, "client", "add", "authority", "--cert", str(home / "certs/ca.crt"))
    assert error["message"].endswith("is a CA's own certificate")


def test_doubts_are_told_at_once(home: Path, tmp_path: Path) -> None:
    """A certificate that would be refused as things stand is registered, with the reason beside."""
    for cert, reason in (
        (str(home / "certs/server.crt"), "eku_missing_client_auth"),
        (_other_ca(tmp_path), "issuer_unknown"),
    ):
        outcome = call(home, "client", "add", reason, "--cert", cert)
        assert outcome.code == 0
        assert f": {reason}\n" in outcome.out
        assert "✔ may be vouched for by: trust set default" in outcome.out
    good = done(home, "client", "add", "good", "--cert", _cert(home, "good"))
    assert good["problems"] == []


def _other_ca(folder: Path) -> str:
    done(folder, "ca", "init")
    return str(done(folder, "ca", "issue", "elsewhere")["certificate"])


def test_a_certificate_without_extensions(home: Path, tmp_path: Path) -> None:
    """What `openssl x509 -req` makes by default is named for what it is, with the way to mend it."""
    paths = [str(tmp_path / name) for name in ("old.key", "old.csr", "old.crt")]
    key, csr, crt = paths
    for words in (
        ["req", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", csr, "-subj", "/CN=old"],
        ["x509", "-req", "-in", csr, "-CA", str(home / "certs/ca.crt"), "-CAcreateserial", "-CAkey",
         str(home / "certs/ca.key"), "-CAserial", str(tmp_path / "serial"), "-out", crt],
    ):  # fmt: skip
        subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=60)
    if b"Version: 1" not in _text_of(crt):
        pytest.skip("this openssl adds extensions by itself")
    error = refused(home, "client", "add", "old", "--cert", crt)
    assert error["message"].endswith("holds a certificate without extensions")
    assert "extendedKeyUsage=clientAuth" in error["do_this"]


def _text_of(path: str) -> bytes:
    command = ["openssl", "x509", "-in", path, "-noout", "-text"]
    return subprocess.run(command, check=True, capture_output=True, timeout=60).stdout


def test_a_key_has_one_name(home: Path, tmp_path: Path) -> None:
    """The doctor names a registered key by the hash that `client cert list` shows."""
    cert = _cert(home, "own", "--self-signed")
    public = tmp_path / "own.pub"
    words = ["openssl", "pkey", "-in", str(home / "certs/own.key"), "-pubout", "-out", str(public)]
    subprocess.run(words, check=True, capture_output=True, timeout=60)
    [digest] = done(home, "client", "add", "own", *SELF_SIGNED, "--public-key", str(public))[
        "credentials"
    ]
    findings = done(home, "doctor", "cert", cert, "--client", "own")["findings"]
    assert f"registered public key, {digest}" in [one["seen"] for one in findings]


def test_the_trust_set_that_was_forgotten(home: Path, tmp_path: Path) -> None:
    """A client added without the set of its CA: the warning has the command that gives it the set."""
    elsewhere = tmp_path / "elsewhere"
    done(home, "trust", "add", "initech", done(elsewhere, "ca", "init")["certificate"])
    cert = done(elsewhere, "ca", "issue", "app", "--san-uri", "spiffe://dev.local/app")
    outcome = call(home, "client", "add", "app", "--cert", cert["certificate"])
    assert outcome.code == 0
    assert "! chain: issuer_unknown" in outcome.out
    assert "certbound client trust app default initech" in outcome.out.replace(
        f" --home {home}", ""
    )
    assert "see whether it works then:" in outcome.out
    assert "see that it works:" not in outcome.out


def test_a_resource_that_must_be_named(home: Path) -> None:
    """A client without the default resource is told how its requests name one."""
    done(home, "resource", "add", "https://own.example", "--scope", "read")
    resource = ("--resource", "https://own.example", "--scope", "read")
    out = call(home, "client", "add", "own", "--san-uri", "urn:own", *resource).out
    assert "· it must name its resource: --resource https://own.example" in out
    out = call(home, "client", "add", "other", "--san-uri", "urn:other").out
    assert "must name" not in out
