"""Getting a token from a running server, and reading it."""

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.command import ROOT, Outcome, call, clean, done, refused, run
from tests.kit.running import Running, free_ports, running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with the client ``bot``."""
    with running(tmp_path_factory.mktemp("token") / "home") as server:
        done(server.home, "ca", "issue", "stranger")
        yield server


def _get(server: Running, *options: str, name: str = "bot") -> Outcome:
    files = ("--cert", str(server.file(f"{name}.crt")), "--key", str(server.file(f"{name}.key")))
    return call(server.home, "token", "get", *files, *options, environment=server.environment)


def test_a_bound_token(server: Running) -> None:
    """One command gives a token bound to the certificate, asked for at the mTLS alias."""
    got = _get(server, "--json").json
    assert got["bound"] is True
    assert got["token_endpoint"] == server.mtls_token_url
    assert got["claims"]["client_id"] == "bot"
    text = _get(server, "--scope", "api:read").out
    assert "✔ bound to this certificate: yes" in text
    assert text.splitlines()[-1].count(".") == 2


def test_a_token_alone(server: Running) -> None:
    """--raw prints the token and nothing else; a refusal leaves standard output empty."""
    good = _get(server, "--raw")
    assert (good.code, good.out.count("\n"), good.out.count(".")) == (0, 1, 2)
    bad = _get(server, "--raw", "--scope", "nope")
    assert (bad.code, bad.out) == (1, "")
    assert "seen: 400 invalid_scope from " in bad.err
    assert "certbound explain " in bad.err


def test_the_same_by_curl(server: Running) -> None:
    """--curl prints a command that a shell runs with the same outcome, and sends nothing itself."""
    printed = _get(server, "--curl", "--scope", "api:read", "--resource", "https://localhost:9444")
    command = shlex.split(printed.out)
    assert command[0] == "curl"
    answer = subprocess.run(
        [*command, "--silent"], capture_output=True, text=True, timeout=60, check=True
    )
    assert json.loads(answer.stdout)["scope"] == "api:read"


def test_a_refusal_leads_to_its_explanation(server: Running) -> None:
    """The server's answer is shown as it came, and the printed command explains it."""
    outcome = _get(server, "--client", "bot", "--json", name="stranger")
    assert outcome.code == 1
    answer = outcome.json
    assert (answer["status"], answer["response"]["error"]) == (401, "invalid_client")
    text = _get(server, "--scope", "nope").out
    assert "error: invalid_scope" in text
    command = shlex.split(text.splitlines()[-1])
    assert command[-4] == "explain"
    explained = call(server.home, "explain", answer["response"]["error_ref"])
    assert "401 invalid_client (san_mismatch)" in explained.out
    # What the certificate of a stranger says never becomes part of a command.
    again = f"certbound client match bot --cert FILE --home {server.home}\n"
    assert again in explained.out


def test_which_client(server: Running, tmp_path: Path) -> None:
    """Without --client the file's name must be a registered client's."""
    assert _get(server, name="stranger").code == 2
    error = _get(server, "--json", name="stranger").error
    assert error["message"] == "which client is it?"
    files = ("--cert", str(server.file("bot.crt")), "--key", str(server.file("bot.key")))
    (tmp_path / "empty").mkdir()
    error = refused(tmp_path / "empty", "token", "get", *files, code=2)
    assert error["seen"] == "there is no database here, so bot cannot be looked up"


def test_the_server_must_be_the_one_asked_for(server: Running, tmp_path: Path) -> None:
    """An untrusted certificate, another issuer, and a port nobody listens on are told apart."""
    done(tmp_path, "ca", "init")
    untrusted = _get(server, "--cacert", str(tmp_path / "certs/ca.crt"), "--json")
    assert untrusted.code == 3
    assert "--cacert" in untrusted.error["do_this"]
    other = _get(server, "--issuer", f"https://127.0.0.1:{server.port}", "--json")
    assert other.code == 3
    assert other.error["seen"] == f"status 200, issuer {server.issuer}"
    nobody = _get(server, "--issuer", "https://localhost:1", "--json")
    assert nobody.code == 3
    assert "serve" in nobody.error["do_this"]
    unknown = _get(server, "--issuer", "https://nowhere.invalid", "--json")
    assert (unknown.code, "--issuer" in unknown.error["do_this"]) == (3, True)


def test_files_that_do_not_fit(server: Running) -> None:
    """A key of another certificate, or an encrypted one, is an environment problem, no prompt."""
    cert, key = server.file("bot.crt"), server.file("ca.key")
    error = refused(server.home, "token", "get", "--cert", str(cert), "--key", str(key), code=3)
    assert "cannot be used" in error["message"]
    assert error["seen"] == "this key does not belong to this certificate"
    locked = server.home / "locked.key"
    subprocess.run(
        ["openssl", "pkey", "-in", server.file("bot.key"), "-aes256", "-passout", "pass:x",
         "-out", locked],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    arguments = ("token", "get", "--cert", str(cert), "--key", str(locked), "--json")
    outcome = run(server.home, *arguments)
    assert outcome.code == 3
    assert "PRIVATE" not in outcome.err


def test_reading_a_token(server: Running) -> None:
    """Each claim in words; genuine by this home's keys; bound or not to a certificate."""
    token = _get(server, "--json").json["access_token"]
    environment = server.environment
    bot, stranger = (str(server.file(f"{name}.crt")) for name in ("bot", "stranger"))
    good = call(server.home, "token", "inspect", token, "--cert", bot, environment=environment)
    assert good.code == 0
    for line in (
        "✔ signature: genuine",
        "✔ binding: bound to this certificate",
        "· record: in this",
    ):
        assert line in good.out
    bad = call(
        server.home, "token", "inspect", token, "--cert", stranger, "--json",
        environment=environment,
    )  # fmt: skip
    assert bad.code == 1
    assert (bad.json["verified"], bad.json["bound"], bad.json["recorded"]) == (True, False, True)
    piped = run(
        server.home, "token", "inspect", "-", stdin=token.encode() + b"\n", environment=environment
    )
    assert piped.code == 0


def test_a_token_of_other_ports(server: Running) -> None:
    """Ports given to `serve` alone: the token is genuine, and what differs is the issuer."""
    token = _get(server, "--json").json["access_token"]
    outcome = call(server.home, "token", "inspect", token, environment={"CERTBOUND_PORT": "1"})
    assert outcome.code == 1
    assert "✘ issuer: the signature is genuine" in outcome.out
    assert f"seen: iss {server.issuer}" in outcome.out
    assert "certbound.toml" in outcome.out


def test_a_changed_token_is_not_genuine(server: Running) -> None:
    """One changed character is noticed; without a database nothing is claimed."""
    token = _get(server, "--json").json["access_token"]
    head, body, signature = token.split(".")
    swapped = signature[:-10] + ("A" if signature[-10] != "A" else "B") + signature[-9:]
    forged = f"{head}.{body}.{swapped}"
    outcome = call(server.home, "token", "inspect", forged, environment=server.environment)
    assert outcome.code == 1
    assert "✘ token signature" in outcome.out
    empty = server.home / "empty"
    empty.mkdir()
    unverified = call(empty, "token", "inspect", forged)
    assert unverified.code == 0
    assert "! signature: not verified" in unverified.out


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "." * 20_000, "\x1b[31m.x.y"])
def test_what_is_no_token(home: Path, token: str) -> None:
    """Junk of any size is refused with a sentence that does not repeat it."""
    error = refused(home, "token", "inspect", token)
    assert error["message"] == "this is no token that can be read"
    assert len(json.dumps(error)) < 1000


def test_serve_says_where_it_stands(server: Running) -> None:
    """The start is announced: addresses, issuer, both token endpoints, anchors, database, DEV."""
    log = (server.home / "server.log").read_text()
    for text in (
        f"✔ listening on: 127.0.0.1:{server.port} and 127.0.0.1:{server.mtls_port}",
        f"✔ listening on: 127.0.0.1:{server.port} and 127.0.0.1:{server.mtls_port}",
        f"✔ issuer: {server.issuer}",
        f"metadata: {server.issuer}/.well-known/oauth-authorization-server",
        f"✔ token endpoint: {server.token_url}",
        f"mtls alias: {server.mtls_token_url}",
        "✔ trust anchors: 1, the first ends",
        "! DEV",
    ):
        assert text in log


def test_ports_for_one_run(home: Path) -> None:
    """Ports given as flags are said to be this run's alone; who asks elsewhere is told where to write them."""
    one, two = free_ports(2)
    log = home / "serve.log"
    with log.open("w") as opened:
        serving = subprocess.Popen(
            [
                sys.executable, "-m", "app", "serve", "--home", str(home),
                "--port", str(one), "--mtls-port", str(two),
            ],
            cwd=ROOT,
            env={**clean(), "CERTBOUND_OPS_PORT": "0"},
            stdout=opened,
            stderr=opened,
        )  # fmt: skip
    while "see what it decides" not in log.read_text() and serving.poll() is None:
        time.sleep(0.05)
    serving.terminate()
    assert serving.wait(60) == 0
    told = log.read_text()
    assert f"· --port {one}: counts for this run alone" in told
    assert "so that every command knows: port = … in certbound.toml" in told
    assert f"· --mtls-port {two}" in told
    asked = call(
        home, "token", "get", "--cert", str(home / "certs/bot.crt"),
        "--key", str(home / "certs/bot.key"), environment={"CERTBOUND_PORT": str(one)},
    )  # fmt: skip
    assert asked.code == 3
    assert "If yours was started with --port" in asked.err


def test_serve_refuses_in_sentences(server: Running, tmp_path: Path) -> None:
    """A taken port, an empty home and an impossible flag end with the right code and no stack."""
    taken = run(server.home, "serve", environment=server.environment)
    assert (taken.code, taken.err.splitlines()[0]) == (3, "✘ the server cannot listen")
    assert "so that every command knows them, with port = " in taken.err
    nothing = run(tmp_path, "serve")
    assert (nothing.code, nothing.err.splitlines()[0]) == (3, "✘ there is no database here")
    assert list(tmp_path.iterdir()) == []
    flag = run(tmp_path, "serve", "--access-token-lifetime", "0")
    assert flag.code == 2
    assert "access_token_lifetime" in flag.err
    assert run(tmp_path, "serve", "--workers", "0").code == 2
    for count in ("1", "2"):  # good flags; no database
        assert run(tmp_path, "serve", "--workers", count).code == 3


def test_a_client_shows_what_it_used(server: Running) -> None:
    """`client show` names the certificate of the latest tokens and when it was used."""
    _get(server)
    used = done(server.home, "client", "show", "bot")["last_used"]
    assert [one["subject"] for one in used] == ["CN=bot"]
    assert used[0]["at"] <= used[0]["not_after"]


def test_follow_shows_entries_as_they_come(server: Running) -> None:
    """`audit tail --follow --json` prints one object per line, new ones within two looks."""
    with subprocess.Popen(
        [sys.executable, "-m", "app", "audit", "tail", "--follow", "--json", "-n", "1"],
        cwd=server.home,
        stdout=subprocess.PIPE,
        text=True,
        env={**clean(), **server.environment, "PYTHONPATH": str(ROOT)},
    ) as process:
        assert process.stdout is not None
        try:
            json.loads(process.stdout.readline())
            wanted = _get(server, "--json").json["claims"]["jti"]
            seen = (json.loads(line)["body"].get("jti") for line in process.stdout)
            assert wanted in seen
        finally:
            process.terminate()
