"""Two releases on one database while it is migrated, under load: migrations/README.md as it happens.

This checkout is the older one. The newer ones are it with further migrations (`tests.kit.newer`).
"""

import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import httpx2
import pytest

from app.store import schema
from tests.kit import crew, newer, timing, unhurried
from tests.kit import tokens as kit
from tests.kit.crew import eventually
from tests.kit.newer import Release
from tests.kit.recorded import assert_recorded
from tests.kit.running import Running, certbound, clean_environment, free_ports, running
from tests.kit.steady import Steady

ISSUER = "https://localhost:8443"
PROGRAM = "tests.kit.newer"
LIFETIME = "3600"
"""Seconds: no token may run out while they are counted."""


def upgraded(home: Path, url: str, release: Release) -> str:
    """``db upgrade`` by that release; what it said."""
    environment = {**release.environment, "CERTBOUND_DATABASE_URL": url}
    return certbound(home, "db", "upgrade", environment=environment, program=PROGRAM).stdout


def refuses_to_start(home: Path, url: str, program: str = "app", **more: str) -> str:
    """What ``serve`` says instead of starting."""
    command = [sys.executable, "-m", program, "serve", "--home", str(home)]
    environment = {**clean_environment(), "CERTBOUND_DATABASE_URL": url, **more}
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=60, check=False
    )
    assert done.returncode == 3, done.stdout + done.stderr
    return done.stderr


def watched(port: int) -> tuple[int, str]:
    """The operations listener's `/readyz`: its status, and what it says of the schema."""
    answer = httpx2.get(f"http://127.0.0.1:{port}/readyz", trust_env=False, timeout=60)
    return answer.status_code, answer.json()["checks"]["schema"]


@pytest.mark.timeout(400)
def test_the_old_release_goes_on_until_it_must_not(
    database_url: str, home: Path, tmp_path: Path
) -> None:
    """Both serve once the newer schema is there; where that ends the old one stops, and says so."""
    first, second = newer.next_releases(tmp_path)
    certbound(home, "quickstart", environment={"CERTBOUND_DATABASE_URL": database_url})
    other = tmp_path / "other"
    shutil.copytree(home, other)
    (ops,) = free_ports(1)
    serving = partial(
        running,
        quickstart=False,
        database_url=database_url,
        issuer=ISSUER,
        access_token_lifetime=LIFETIME,
    )
    with (
        serving(home, program=unhurried.PROGRAM, workers="2", ops_port=str(ops)) as old,
        ExitStack() as stack,
    ):
        eventually(lambda: len(crew.ready(old)) == 2)
        load = Steady([old])
        with load.running():
            said = refuses_to_start(other, database_url, PROGRAM, **first.environment)
            assert f"has schema {schema.HEAD}, this release needs schema {first.head}" in said
            assert "certbound db upgrade" in said
            assert f"{schema.HEAD} → {first.head}" in upgraded(other, database_url, first)
            crew.kill(old, 1, signal.SIGKILL)  # a new process of the old release, on the new schema
            new = stack.enter_context(serving(other, program=PROGRAM, extra=first.environment))
            _serve_beside_each_other(old, new)
            assert watched(ops) == (200, "ok")
            load.wait(50)
            assert load.others == []
        assert len(load.broken) <= load.threads, "more than the worker that was killed had"
        late = Steady([old])
        with late.running():
            upgraded(other, database_url, second)
            eventually(lambda: timing.token(old).status == 503)
        assert set(late.others) == {(503, "2")}
        assert late.broken == []
        eventually(lambda: timing.timed(old, "GET", "/readyz").status == 503)
        assert timing.timed(old, "GET", "/jwks").status == 200
        eventually(lambda: f"its schema is {second.head}" in old.log, lambda: old.log)
        assert "install the newer release" in refuses_to_start(home, database_url)
        assert timing.token(new).status == 200, "the release before the newest goes on"
    assert_recorded(database_url, load.received + late.received)


def _serve_beside_each_other(old: Running, new: Running) -> None:
    """Tokens, their revocation and the registry of one are the other's."""
    token = kit.issued(kit.ask_as(old, "bot"))
    about = {"client_id": "bot", "token": token}
    for server in (old, new):
        with server.client("bot") as http:
            at = f"https://localhost:{server.mtls_port}"
            assert http.post(f"{at}/introspect", data=about).json()["active"] is True
    with new.client("bot") as http:
        http.post(f"https://localhost:{new.mtls_port}/revoke", data=about)
    with old.client("bot") as http:
        at = f"https://localhost:{old.mtls_port}"
        assert http.post(f"{at}/introspect", data=about).json()["active"] is False
