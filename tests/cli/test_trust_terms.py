"""The terms on which a trust set vouches: names, revocation policy, CRLs; and what removal stops."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from app import clock
from app.admin.authority import Request
from app.pki.crl_store import AT_ONCE
from tests.kit import ca, crls
from tests.kit.asgi import Stage, peer_of
from tests.kit.authority import authority_of, serial_of
from tests.kit.ca import extension
from tests.kit.command import call, done, refused
from tests.kit.placing import pem


def _set(home: Path, name: str = "default") -> Any:
    [found] = [one for one in done(home, "trust", "list")["trust_sets"] if one["name"] == name]
    return found


def _reason(home: Path, client_id: str = "bot", cert: str = "bot.crt") -> str | None:
    outcome = call(
        home, "doctor", "cert", str(home / "certs" / cert), "--client", client_id, "--json"
    )
    found: str | None = outcome.json["answer"]["reason"]
    return found


def _other_ca(tmp_path: Path) -> Path:
    return Path(done(tmp_path / "elsewhere", "ca", "init")["certificate"])


def _crl(home: Path, name: str, *, count: int = 1, revoked: tuple[int, ...] = ()) -> str:
    path = home / name
    path.write_bytes(crls.crl(authority_of(home), clock.now(), revoked, count=count))
    return str(path)


def test_bounds_hold_from_the_next_request_on(home: Path, stage: Stage) -> None:
    """A set bounded elsewhere stops its clients at once; --any lets them in again."""
    assert stage.token(stage.bot).status == 200
    assert done(home, "trust", "permit", "default", "dns:acme.example")["permitted"] == [
        "dns:acme.example"
    ]
    answer = stage.token(stage.bot)
    assert answer.status == 401
    assert stage.explained(answer.json()["error_ref"])["reason"] == "name_constraint"
    assert _reason(home) == "name_constraint"
    assert _set(home)["permitted"] == ["dns:acme.example"]
    done(home, "trust", "permit", "default", "--any")
    assert stage.token(stage.bot).status == 200


def test_a_new_set_has_the_bounds_it_was_given(home: Path, tmp_path: Path) -> None:
    """Bounds and description are stored with the set, and adding to it does not change them."""
    ca = str(_other_ca(tmp_path))
    bounds = ("--permit", "dn:O=Acme,C=DE", "--permit", "dns:acme.example")
    done(home, "trust", "add", "acme", ca, *bounds, "--description", "the partner")
    found = _set(home, "acme")
    assert found["permitted"] == ["dn:O=Acme,C=DE", "dns:acme.example"]
    assert found["description"] == "the partner"
    assert done(home, "trust", "add", "acme", ca, *bounds)["added"] == []
    error = refused(home, "trust", "add", "acme", ca, "--permit", "dns:evil.example")
    assert error["message"] == "acme has other bounds"
    assert "trust permit acme" in error["do_this"]


def test_clients_a_set_may_not_vouch_for_are_not_registered(home: Path, tmp_path: Path) -> None:
    """A client whose name lies outside the bounds of all its sets is refused, naming the bounds."""
    done(home, "trust", "add", "acme", str(_other_ca(tmp_path)), "--permit", "dns:acme.example")
    add = ("client", "add", "x", "--trust", "acme")
    assert "acme.example" in refused(home, *add, "--san-dns", "x.evil.example")["expected"]
    assert refused(home, *add, "--subject-dn", "CN=x.acme.example")
    assert done(home, *add, "--san-dns", "x.acme.example")


@pytest.mark.parametrize("pattern", ["acme.example", "dns:*.acme.example", "dn:", "spiffe:A B"])
def test_patterns_that_are_none(home: Path, pattern: str) -> None:
    """A bound that is not understood is refused; the old ones stay."""
    assert (
        refused(home, "trust", "permit", "default", pattern)["message"]
        == "this is no permitted name"
    )
    assert _set(home)["permitted"] == []


def test_permit_wants_patterns_or_any(home: Path) -> None:
    """Neither, or both, is a usage error: no bounds are never an accident."""
    refused(home, "trust", "permit", "default", code=2)
    refused(home, "trust", "permit", "default", "dns:a.example", "--any", code=2)
    assert refused(home, "trust", "permit", "nope", "--any")["message"] == (
        "there is no such trust set"
    )


def test_a_crl_counts_at_once_however_long_it_is(home: Path, tmp_path: Path) -> None:
    """A long one as much as a short one: requests wait for it, so there is nothing to warn of."""
    now = clock.now()
    for count, entries in ((1, AT_ONCE), (2, AT_ONCE + 1)):
        draft = crls.draft(now, count=count).with_(entries=crls.many(entries, now)[0])
        path = tmp_path / f"{entries}.crl"
        path.write_bytes(crls.sign(draft, authority_of(home)))
        page = call(home, "trust", "crl", "default", str(path))
        assert "within seconds" not in page.out + page.err
        loaded = done(home, "trust", "crl", "default", str(path))
        assert (loaded["counts"], loaded["crl"]["entries"]) == ("at once", entries)


def test_a_crl_decides(home: Path, stage: Stage) -> None:
    """Hard without a list refuses, a list lets in, one that names the certificate stops it."""
    outcome = call(home, "trust", "revocation", "default", "crl")
    assert "nobody is let in until there is one" in outcome.out
    assert _reason(home) == "revocation_unknown"
    assert stage.token(stage.bot).status == 401
    loaded = done(home, "trust", "crl", "default", _crl(home, "one.crl"))
    assert (loaded["crl"]["number"], loaded["crl"]["entries"], loaded["replaced"]) == (1, 0, None)
    assert _reason(home) is None
    assert stage.token(stage.bot).status == 200
    revoking = _crl(home, "two.crl", count=2, revoked=(serial_of(home / "certs" / "bot.crt"),))
    loaded = done(home, "trust", "crl", "default", revoking)
    assert loaded["replaced"]["number"] == 1
    assert [one["client_id"] for one in loaded["stops"]] == ["bot"]
    assert _reason(home) == "revoked"
    assert stage.token(stage.bot).status == 401
    listed = _set(home)
    assert [one["number"] for one in listed["crls"]] == [2]
    assert listed["revocation"]["mode"] == "crl"


def test_an_older_list_changes_nothing(home: Path) -> None:
    """A list with a lower number is refused with both numbers; the newer one stays."""
    done(home, "trust", "crl", "default", _crl(home, "new.crl", count=7))
    error = refused(home, "trust", "crl", "default", _crl(home, "old.crl", count=6))
    assert "older than the one at hand" in error["message"]
    assert "number 7" in error["expected"]
    assert [one["number"] for one in _set(home)["crls"]] == [7]


def _hostile(home: Path, tmp_path: Path) -> dict[str, bytes]:
    now, own = clock.now(), authority_of(home)
    _other_ca(tmp_path)
    stranger = authority_of(tmp_path / "elsewhere")
    plain = crls.draft(now)
    delta = extension(x509.DeltaCRLIndicator(1), critical=True)
    indirect = crls.partition(full_name=crls.point("http://x.example/"), indirect_crl=True)
    return {
        "a CRL of": crls.crl(stranger, now),
        "did not sign": crls.sign(plain.with_(issuer=own.subject), stranger),
        "a delta CRL": crls.sign(plain.plus(delta), own),
        "an indirect CRL": crls.sign(plain.plus(indirect), own),
        "begins only at": crls.sign(plain.with_(this_update=now + 3600), own),
        "a CRL of version 1": own.certificate,
        "neither DER nor": b"nonsense",
    }


def test_lists_that_prove_nothing(home: Path, tmp_path: Path) -> None:
    """Wrong issuer, wrong key, delta, indirect, from the future, no list: refused with the reason."""
    for words, data in _hostile(home, tmp_path).items():
        (home / "bad.crl").write_bytes(data)
        error = refused(home, "trust", "crl", "default", str(home / "bad.crl"))
        assert words in error["seen"], (words, error)
    assert _set(home)["crls"] == []


def test_a_file_that_is_empty_or_gone(home: Path) -> None:
    """An empty or missing file is an environment problem that names the file."""
    (home / "empty.crl").write_bytes(b"")
    for name in ("empty.crl", "gone.crl"):
        error = refused(home, "trust", "crl", "default", str(home / name), code=3)
        assert name in error["message"]


def test_soft_lets_in_and_says_so(home: Path) -> None:
    """Soft failure lets in what is not known, and every doctor's look says what was not known."""
    done(home, "trust", "revocation", "default", "crl", "--soft", "--max-staleness", "12h")
    outcome = call(home, "doctor", "cert", str(home / "certs/bot.crt"), "--client", "bot")
    assert outcome.code == 0
    assert "let in because default fails soft" in outcome.out
    assert _set(home)["revocation"] == {
        "mode": "crl", "fail": "soft", "max_staleness": 43_200, "urls": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("sometimes",), 2),
        (("crl", "--hard", "--soft"), 2),
        (("off", "--soft"), 2),
        (("crl", "--max-staleness", "12"), 2),
        (("crl", "--max-staleness", "soon"), 2),
        (("ocsp",), 1),
        (("ocsp", "--url", "http://a.example/", "--url", "http://b.example/"), 1),
        (("ocsp", "--url", "ldap://a.example/"), 1),
        (("crl", "--url", "http://user@a.example/"), 1),
        (("off", "--url", "http://a.example/"), 1),
        (("ocsp", "--url", "http://a.example/", "--signer", "certs/ca.crt"), 1),
    ],
    ids=str,
)
def test_policies_that_mean_nothing(home: Path, arguments: tuple[str, ...], code: int) -> None:
    """A policy without a meaning is refused and the old one stays."""
    refused(home, "trust", "revocation", "default", *arguments, code=code)
    assert _set(home)["revocation"]["mode"] == "off"


def test_an_unreachable_responder_is_no_answer(home: Path) -> None:
    """With OCSP, hard, and a responder that the server may not ask, the doctor says what is missing."""
    done(home, "trust", "revocation", "default", "ocsp", "--url", "http://127.0.0.1:1/")
    assert _reason(home) == "revocation_unknown"


def test_the_list_of_another_ca(home: Path, tmp_path: Path) -> None:
    """The refusal names the CAs that the set holds, and does not advise to pin a CA for its list."""
    _other_ca(tmp_path)
    path = tmp_path / "other.crl"
    path.write_bytes(crls.crl(authority_of(tmp_path / "elsewhere"), clock.now()))
    error = refused(home, "trust", "crl", "default", str(path))
    assert "trust add" not in json.dumps(error)
    assert f"default holds {_set(home)['certificates'][0]['subject']}" in error["expected"]
    assert error["do_this"].startswith("Load the list of that CA.")


def test_a_delegated_signer_joins_the_set(home: Path) -> None:
    """--signer puts a CRL signer beside the CA; a certificate that signs no CRLs is refused."""
    error = refused(
        home, "trust", "revocation", "default", "crl", "--signer", str(home / "certs/bot.crt")
    )
    assert "cannot join a trust set" in error["message"]
    assert _set(home)["revocation"]["mode"] == "off"


def test_overlap_then_removal(home: Path, stage: Stage, tmp_path: Path) -> None:
    """A new CA joins, the dry run names who would stop, by last use; then the old one goes."""
    own = home / "certs/ca.crt"
    old = _set(home)["certificates"][0]["x5t#S256"]
    assert refused(home, "trust", "remove", "default", old)["message"] == (
        "this is the last anchor of default"
    )
    done(home, "trust", "add", "default", str(_other_ca(tmp_path)))
    assert stage.token(stage.bot).status == 200
    dry = done(home, "trust", "remove", "default", str(own), "--dry-run")
    [affected] = dry["clients"]
    assert (affected["client_id"], affected["x5t#S256"]) == ("bot", stage.bot.thumbprint)
    assert affected["last_used"] is not None
    assert affected["outlook"] in {"stops", "unclear"}
    assert stage.token(stage.bot).status == 200
    assert len(_set(home)["certificates"]) == 2
    done(home, "trust", "remove", "default", old)
    assert stage.token(stage.bot).status == 401
    assert [one["x5t#S256"] for one in _set(home)["certificates"]] != [old]


def test_one_instance_has_the_new_certificate_and_another_the_old(
    home: Path, stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The forecast counts both, whichever was used last; once the old one rests, the client goes on."""
    other = _other_ca(tmp_path)
    uri = ("--san-uri", "spiffe://dev.local/bot")
    done(other.parent.parent, "ca", "issue", "bot", "--dn", "CN=bot", *uri)
    done(home, "trust", "add", "default", str(other))
    own = str(home / "certs/ca.crt")
    new = peer_of(other.parent / "bot.crt")
    start = clock.now()
    for at, peer in enumerate((stage.bot, new, stage.bot, new)):
        monkeypatch.setattr(clock, "now", lambda at=at: start + 60 * at)
        assert stage.token(peer).status == 200
    outcome = call(home, "trust", "remove", "default", own, "--dry-run")
    assert outcome.code == 0
    assert "! bot: goes on in part: an instance may stop" in outcome.out
    assert f"! bot not with: {stage.bot.thumbprint}" in outcome.out
    [one] = done(home, "trust", "remove", "default", own, "--dry-run")["clients"]
    assert one["outlook"] == "in_part"
    assert [use["x5t#S256"] for use in one["stopping"]] == [stage.bot.thumbprint]
    ending = call(home, "client", "cert", "expiring", "--within", "9999d", "--json").json
    assert len(json.dumps(ending).split(stage.bot.thumbprint)) > 1
    done(home, "revoke", "cert", stage.bot.thumbprint)
    [one] = done(home, "trust", "remove", "default", own, "--dry-run")["clients"]
    assert one["outlook"] == "goes_on"
    done(home, "revoke", "cert", new.thumbprint)
    outcome = call(home, "trust", "remove", "default", own, "--dry-run")
    assert "bot: is stopped already" in outcome.out


def test_who_is_revoked_by_its_ca_does_not_stop_again(home: Path, stage: Stage) -> None:
    """A client whose certificate a loaded list names is not forecast to stop: it is stopped."""
    assert stage.token(stage.bot).status == 200
    serial = serial_of(home / "certs/bot.crt")
    done(home, "trust", "crl", "default", _crl(home, "one.crl", revoked=(serial,)))
    [one] = done(home, "trust", "remove", "default", "--dry-run")["clients"]
    assert one["outlook"] == "stops", "nobody asks the list"
    done(home, "trust", "revocation", "default", "crl")
    [one] = done(home, "trust", "remove", "default", "--dry-run")["clients"]
    assert one["outlook"] == "stopped"


def test_who_would_stop_by_new_bounds(home: Path, stage: Stage) -> None:
    """The dry run of bounds names the clients outside and changes nothing; the real one names them too."""
    assert stage.token(stage.bot).status == 200
    peer = stage.issue("web", Request(san_dns=("web.acme.example",)))
    done(home, "client", "add", "web", "--cert", str(home / "certs/web.crt"))
    assert stage.token(peer, client_id="web").status == 200
    permit = ("trust", "permit", "default", "dns:acme.example")
    dry = done(home, *permit, "--dry-run")
    assert [(one["client_id"], one["outlook"]) for one in dry["clients"]] == [
        ("bot", "stops"), ("web", "goes_on"),
    ]  # fmt: skip
    assert _set(home)["permitted"] == []
    assert stage.token(stage.bot).status == 200
    out = call(home, *permit, "--dry-run").out
    assert "✘ bot: would stop authenticating" in out
    assert "do it:\n    certbound" in out
    out = call(home, *permit).out
    assert "✘ bot: cannot authenticate any more" in out
    assert "web" not in out
    assert stage.token(stage.bot).status == 401


def test_who_would_stop_by_other_sets(home: Path, stage: Stage, tmp_path: Path) -> None:
    """A dry run of other sets for a client forecasts by its certificates and changes nothing."""
    assert stage.token(stage.bot).status == 200
    done(home, "trust", "add", "other", str(_other_ca(tmp_path)))
    change = ("client", "trust", "bot", "other")
    assert done(home, *change, "--dry-run")["outlook"]["outlook"] == "stops"
    assert "✘ bot: would stop authenticating" in call(home, *change, "--dry-run").out
    assert stage.token(stage.bot).status == 200
    both = done(home, "client", "trust", "bot", "other", "default", "--dry-run")
    assert both["outlook"]["outlook"] == "goes_on"
    assert "✘ bot: cannot authenticate any more" in call(home, *change).out
    assert stage.token(stage.bot).status == 401


def test_a_clients_certificate_is_no_ca(home: Path) -> None:
    """The refusal says how a certificate of a CA is registered, and how one without."""
    error = refused(home, "trust", "add", "acme", str(home / "certs/bot.crt"))
    assert "is not a CA certificate" in error["seen"]
    assert "self_signed" not in error["seen"]
    assert "client add ID --cert" in error["do_this"]
    assert "--trust NAME. Where no CA issued it, it is registered with" in error["do_this"]


def test_a_dry_run_removes_nothing(home: Path) -> None:
    """The dry run of a whole set names its clients, never seen ones too, and leaves everything."""
    done(home, "client", "add", "idle", "--san-uri", "urn:idle")
    dry = done(home, "trust", "remove", "default", "--dry-run")
    assert {one["client_id"]: one["outlook"] for one in dry["clients"]} == {
        "bot": "stops", "idle": "stops",
    }  # fmt: skip
    assert _reason(home) is None
    entries = done(home, "audit", "tail", "-n", "1")["entries"]
    assert entries[0]["body"]["event"] == "client.added"


def test_another_set_takes_over(home: Path, stage: Stage) -> None:
    """Where another set of the client holds the same CA, the removal stops nobody, and it is said."""
    done(home, "trust", "add", "spare", str(home / "certs/ca.crt"))
    done(home, "client", "trust", "bot", "default", "spare")
    assert stage.token(stage.bot).status == 200
    assert done(home, "trust", "remove", "default")["clients"][0]["outlook"] == "goes_on"
    assert stage.token(stage.bot).status == 200


def _shared(home: Path, *terms: tuple[str, ...]) -> Any:
    """The forecast for bot where a spare set with the same CA, under these terms, is left."""
    done(home, "trust", "add", "spare", str(home / "certs/ca.crt"))
    done(home, "client", "trust", "bot", "default", "spare")
    for words in terms:
        done(home, "trust", *words)
    [one] = done(home, "trust", "remove", "default", "--dry-run")["clients"]
    return one["outlook"]


def test_a_set_that_may_not_vouch_takes_nothing_over(home: Path, stage: Stage) -> None:
    """The same CA in a set whose permitted names leave the client out is no help."""
    assert stage.token(stage.bot).status == 200
    assert _shared(home, ("permit", "spare", "dns:other.example")) == "stops"
    done(home, "trust", "remove", "default")
    assert stage.token(stage.bot).status == 401


def test_a_set_that_asks_about_revocation_may_not_take_over(home: Path, stage: Stage) -> None:
    """What its lists or its responder will say of the client is not known."""
    assert stage.token(stage.bot).status == 200
    assert _shared(home, ("revocation", "spare", "crl")) == "unclear"
    done(home, "trust", "remove", "default")
    assert stage.token(stage.bot).status == 401


def test_an_anchor_out_of_date_takes_nothing_over(
    home: Path, stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same CA in a certificate that has ended by then."""
    own = authority_of(home)
    now = clock.now()
    ends = ca.ca_draft(own.subject, own.key, now).with_(serial=b"\x05", not_after=now + 60)
    old = pem(tmp_path / "old.crt", ca.sign(ends, own.subject, own.key))
    done(home, "trust", "add", "spare", str(old))
    done(home, "client", "trust", "bot", "default", "spare")
    assert stage.token(stage.bot).status == 200
    remove = ("trust", "remove", "default", "--dry-run")
    assert done(home, *remove)["clients"][0]["outlook"] == "goes_on"
    monkeypatch.setattr(clock, "now", lambda: now + 61)
    assert done(home, *remove)["clients"][0]["outlook"] == "stops"


def test_every_instance_of_late_counts(home: Path, stage: Stage, tmp_path: Path) -> None:
    """An instance with the old CA's certificate is forecast, though only the new one was used since."""
    other = _other_ca(tmp_path)
    done(other.parent.parent, "ca", "issue", "bot", "--san-uri", "spiffe://dev.local/bot")
    done(home, "trust", "add", "default", str(other))
    assert stage.token(stage.bot).status == 200
    assert stage.token(peer_of(other.parent / "bot.crt")).status == 200
    own = str(home / "certs/ca.crt")
    [one] = done(home, "trust", "remove", "default", own, "--dry-run")["clients"]
    assert one["outlook"] == "in_part"


def test_removal_refuses_what_is_not_there(home: Path) -> None:
    """No such set, no such member."""
    assert refused(home, "trust", "remove", "nope")["message"] == "there is no such trust set"
    error = refused(home, "trust", "remove", "default", str(home / "certs/bot.crt"))
    assert error["message"] == "default holds no such certificate"


def test_every_act_is_audited(home: Path, tmp_path: Path) -> None:
    """Bounds, policy, list and removed member each leave one entry with the account's name."""
    done(home, "trust", "permit", "default", "spiffe:dev.local")
    done(home, "trust", "revocation", "default", "crl")
    done(home, "trust", "crl", "default", _crl(home, "one.crl"))
    ca = str(_other_ca(tmp_path))
    done(home, "trust", "add", "default", ca)
    done(home, "trust", "remove", "default", ca)
    bodies = [one["body"] for one in done(home, "audit", "tail", "-n", "5")["entries"]]
    assert [one["event"] for one in bodies] == [
        "trust.changed", "trust.changed", "crl.replaced", "trust.added", "anchor.removed",
    ]  # fmt: skip
    assert all(one["actor"] for one in bodies)
    assert bodies[0]["details"]["permitted"] == ["spiffe:dev.local"]
