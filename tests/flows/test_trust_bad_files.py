"""What is broken on disk or in the database: told at the start, or kept out while serving."""

import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app import clock
from app.store import crls as rows
from app.store import registry
from tests.kit import crls, placing, unhurried
from tests.kit.crls import serial_of
from tests.kit.live import claims, live, reason
from tests.kit.running import Running, certbound, clean_environment, running
from tests.kit.timed import eventually

MILLION = 1_000_000


@pytest.mark.parametrize("setting", ["trust_ca_file", "jwks_uri_ca_file"])
@pytest.mark.parametrize("content", [None, "", "half", "text"])
def test_a_server_does_not_start_with_a_bad_ca_file(
    home: Path, tmp_path: Path, setting: str, content: str | None
) -> None:
    """Vanished, empty, cut off, no certificate at all: exit code 3, and the file's name is told."""
    good = (home / "certs" / "ca.crt").read_text()
    file = tmp_path / "bad-cas.pem"
    texts = {"": "", "half": good + good[: len(good) // 2], "text": "BEGIN nothing\n"}
    if content is not None:
        file.write_text(texts[content])
    done = subprocess.run(
        [sys.executable, "-m", "app", "serve", "--home", str(home)],
        env={**clean_environment(), f"CERTBOUND_{setting.upper()}": str(file)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 3, done
    assert str(file) in done.stderr
    assert setting in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that nobody serves."""
    made = tmp_path_factory.mktemp("home")
    certbound(made, "quickstart")
    return made


def test_a_list_that_is_broken_in_the_database(server: Running) -> None:
    """Nobody is let in by the silence of the one before; one alert; the next good one is taken."""
    authority = placing.root("CA of rotten")
    server.certbound(
        "trust", "add", "rotten", str(placing.authority_file(server, authority, "rotten"))
    )
    der = placing.place(server, "rotten", authority)
    server.certbound("client", "add", "rotten", "--subject-dn", "CN=rotten", "--trust", "rotten")
    server.certbound("trust", "revocation", "rotten", "crl")
    now = clock.now()

    def load(count: int, *serials: int) -> None:
        file = placing.crl_file(server, "rotten", crls.crl(authority, now, serials, count=count))
        server.certbound("trust", "crl", "rotten", str(file))

    load(1)
    with live(server, "rotten") as ask:
        assert claims(ask())["sub"] == "rotten"
        with server.desk() as desk, registry.change(desk.db) as conn:
            [row] = [each for each in rows.listed(conn) if each.trust_set == "rotten"]
            broken = rows.CrlRow(
                trust_set=row.trust_set,
                issuer_key=row.issuer_key,
                digest="0" * 64,
                number="2",
                this_update=row.this_update,
                next_update=row.next_update,
                loaded_at=now,
                entries=row.entries,
                partition=row.partition,
            )
            assert rows.replace_crl(conn, broken, b"not a list any more")
        for _ in range(5):
            assert reason(server, ask()) == "revocation_unknown"
        eventually(lambda: alerts(server, "rotten") == 1)
        load(3, serial_of(der))
        assert reason(server, ask()) == "revoked"
        assert alerts(server, "rotten") == 1


def alerts(server: Running, trust_set: str) -> int:
    """How often the log says that a list of this set cannot be used."""
    lines = [line for line in server.log.splitlines() if "crl.unusable" in line]
    return sum(f"trust_set={trust_set} " in line for line in lines)


def test_a_list_of_a_million_entries(tmp_path: Path) -> None:
    """50 MB: loaded by the command in seconds of processor time, and it bites at the next request."""
    with running(tmp_path, program=unhurried.PROGRAM) as server:
        authority = placing.root("CA of a million")
        file = placing.authority_file(server, authority, "million")
        server.certbound("trust", "add", "million", str(file))
        serials = {
            name: serial_of(placing.place(server, name, authority)) for name in ("one", "two")
        }
        for name in serials:
            who = ("--subject-dn", f"CN={name}", "--trust", "million")
            server.certbound("client", "add", name, *who)
        server.certbound("trust", "revocation", "million", "crl")
        now = clock.now()
        small = placing.crl_file(server, "small", crls.crl(authority, now))
        server.certbound("trust", "crl", "million", str(small))
        entries = crls.many(MILLION, now)[0] + crls.entry(serials["one"], now - 60)
        made = crls.sign(crls.draft(now, count=2).with_(entries=entries), authority)
        large = placing.crl_file(server, "large", made)
        assert large.stat().st_size > 50_000_000
        with live(server, "one") as revoked:
            assert claims(revoked())["sub"] == "one"
            before = _spent()
            certbound(
                server.home, "trust", "crl", "million", str(large), environment=server.environment
            )
            spent = _spent() - before
            began = time.monotonic()
            assert reason(server, revoked()) == "revoked"
            waited = time.monotonic() - began
        with live(server, "two") as good:
            assert claims(good())["sub"] == "two"
    print(  # noqa: T201 - the figures are for the record
        f"a CRL of {MILLION} entries: the command {spent:.1f} s of processor time, the request after "
        f"it waited {waited:.1f} s"
    )
    assert spent < 15


def _spent() -> float:
    """Seconds of processor time of ended child processes."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
