"""The development CA, trust sets, resources and signing keys on the command line."""

import stat
from pathlib import Path

import pytest

from tests.kit.command import call, done, refused


def test_ca_comes_from_one_command(tmp_path: Path) -> None:
    """One command makes a CA in an empty home, and never a second one over it."""
    made = done(tmp_path, "ca", "init")
    assert stat.S_IMODE(Path(made["key"]).stat().st_mode) == 0o600
    key = Path(made["key"]).read_bytes()
    assert refused(tmp_path, "ca", "init")["message"] == "there is a development CA already"
    assert Path(made["key"]).read_bytes() == key


def test_every_kind_of_name(home: Path) -> None:
    """One certificate can carry a DN and all four kinds of SAN."""
    made = done(
        home, "ca", "issue", "all", "--dn", "CN=x,O=Acme", "--san-dns", "a.example",
        "--san-uri", "urn:a", "--san-ip", "::1", "--san-email", "a@b.example", "--hours", "1",
    )  # fmt: skip
    assert made["subject"] == "CN=x,O=Acme"
    assert made["sans"] == ["URI:urn:a", "DNS:a.example", "IP:::1", "email:a@b.example"]


def test_rsa_self_signed_elsewhere(home: Path, tmp_path: Path) -> None:
    """--key-type, --self-signed and --out do what they say; the key is private there too."""
    out = tmp_path / "elsewhere"
    made = done(home, "ca", "issue", "r", "--self-signed", "--key-type", "rsa", "--out", str(out))
    assert Path(made["certificate"]).parent == out
    assert stat.S_IMODE(Path(made["key"]).stat().st_mode) == 0o600
    assert "RSA 2048" in call(home, "doctor", "cert", made["certificate"]).out


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("../evil",), 1),
        (("ca",), 1),
        (("bot",), 1),
        (("x", "--days", "1", "--hours", "1"), 1),
        (("x", "--days", "0"), 2),
        (("x", "--san-dns", "*.example"), 1),
        (("x", "--dn", "nonsense"), 1),
        (("x", "--key-type", "dsa"), 2),
    ],
)
def test_certificates_that_are_not_made(home: Path, arguments: tuple[str, ...], code: int) -> None:
    """A bad name, an existing one, or a malformed value makes no file."""
    before = sorted(path.name for path in (home / "certs").iterdir())
    refused(home, "ca", "issue", *arguments, code=code)
    assert sorted(path.name for path in (home / "certs").iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "seen", "rule"),
    [
        (("a/b",), "a/b", "a certificate name is 1 to 64 letters"),
        (("x", "--san-ip", "300.1.1.1"), "300.1.1.1", "one IP address"),
        (("x", "--san-uri", "not a uri"), "not a uri", "a URI begins with a scheme"),
        (("x", "--dn", "nonsense"), "nonsense", ""),
    ],
)
def test_what_was_typed_is_seen(
    home: Path, arguments: tuple[str, ...], seen: str, rule: str
) -> None:
    """A refused value stands under what was seen, its rule under what was expected."""
    error = refused(home, "ca", "issue", *arguments)
    assert error["seen"] == seen
    assert error["expected"].startswith(rule)


def test_the_next_step_has_a_scope(home: Path, tmp_path: Path) -> None:
    """The printed registration asks for the scope there is; without one, the page says so."""
    out = call(home, "ca", "issue", "fresh").out
    assert f"--cert {home}/certs/fresh.crt --scope api:read" in out
    done(tmp_path, "ca", "init")
    assert "--scope" not in call(tmp_path, "ca", "issue", "fresh").out
    added = call(home, "client", "add", "fresh", "--cert", str(home / "certs/fresh.crt"))
    assert "! scopes: none: its tokens will carry none" in added.out


def test_no_ca_to_sign(tmp_path: Path) -> None:
    """Without a CA the message names the command that makes one."""
    assert "ca init" in refused(tmp_path, "ca", "issue", "x", code=3)["do_this"]


def test_trust_sets(home: Path) -> None:
    """A set is made, grows, repeats nothing, and its removal names the clients it leaves alone."""
    ca = str(home / "certs/ca.crt")
    assert len(done(home, "trust", "add", "second", ca)["added"]) == 1
    assert done(home, "trust", "add", "second", ca)["added"] == []
    names = [one["name"] for one in done(home, "trust", "list")["trust_sets"]]
    assert names == ["default", "second"]
    assert done(home, "trust", "remove", "default")["clients_naming_it"] == ["bot"]
    assert refused(home, "trust", "remove", "default")["message"] == "there is no such trust set"
    outcome = call(home, "doctor", "cert", str(home / "certs/bot.crt"), "--client", "bot")
    assert "401 invalid_client (issuer_unknown)" in outcome.out


@pytest.mark.parametrize("file", ["bot.crt", "bot.key", "sealing.key"])
def test_only_authorities_are_trusted(home: Path, file: str) -> None:
    """A client's certificate, a key, or a file of something else never joins a trust set."""
    assert refused(home, "trust", "add", "x", str(home / "certs" / file))
    assert [one["name"] for one in done(home, "trust", "list")["trust_sets"]] == ["default"]


def test_a_trust_set_has_a_plain_name(home: Path) -> None:
    """A name that would need quoting is refused."""
    ca = str(home / "certs/ca.crt")
    assert refused(home, "trust", "add", "a b", ca)["message"].startswith("this cannot be the name")


def test_resources(home: Path) -> None:
    """A resource is added, replaced, listed and removed; the default one's removal is warned of."""
    url = "https://api.example/v1"
    assert done(home, "resource", "add", url, "--scope", "a", "--scope", "b")["created"] is True
    assert (
        done(home, "resource", "add", url, "--scope", "c", "--require", "any")["created"] is False
    )
    listed = done(home, "resource", "list")["resources"]
    found = next(one for one in listed if one["url"] == url)
    assert (found["scopes"], found["require"]) == (["c"], "any")
    done(home, "resource", "remove", url)
    assert refused(home, "resource", "remove", url)["message"] == "this resource is not registered"
    assert "refused from now on" in call(home, "resource", "remove", "https://localhost:9444").out
    outcome = call(home, "doctor", "cert", str(home / "certs/bot.crt"), "--client", "bot")
    assert "400 invalid_target (resource_unknown)" in outcome.out


@pytest.mark.parametrize(
    "url", ["api", "https://x.example/#f", "https://x.exa mple", "", "http://[x"]
)
def test_malformed_resources(home: Path, url: str) -> None:
    """Only absolute URIs without fragment are resources (RFC 8707 section 2)."""
    assert refused(home, "resource", "add", url)["message"] == "this is no resource"


def test_requirement_is_one_of_two(home: Path) -> None:
    """--require takes mtls or any."""
    refused(home, "resource", "add", "https://x.example", "--require", "none", code=2)


def test_signing_keys(home: Path) -> None:
    """A rotation before verifiers can know the next key needs --force; then next becomes current."""
    keys = {one["state"]: one["kid"] for one in done(home, "key", "list")["keys"]}
    error = refused(home, "key", "rotate")
    assert error["message"] == "the next signing key is too young to sign"
    assert "--force" in error["do_this"]
    rotated = done(home, "key", "rotate", "--force")
    assert rotated["rotated"] is True
    assert rotated["current"] == keys["next"]
    after = {one["state"]: one["kid"] for one in done(home, "key", "list")["keys"]}
    assert (after["current"], after["retired"]) == (keys["next"], keys["current"])


def test_rotation_needs_the_right_sealing_key(home: Path) -> None:
    """A missing sealing key stops the rotation with a sentence; nothing changes."""
    (home / "certs/sealing.key").unlink()
    error = refused(home, "key", "rotate", "--force", code=3)
    assert error["message"] == "the signing keys cannot be unsealed"
