"""The files to deploy with say what they must, name only what exists, and give no secret away.

No container engine and no cluster is needed here, and none has seen these files by this test; the
topology itself runs in `tests/flows/test_two_nodes_behind_haproxy.py`.
"""

import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import make_url

from app import config
from tests.kit import haproxy
from tests.kit.running import ROOT

DEPLOY = ROOT / "docs" / "deploy"
ACCOUNT = 10001
"""Who runs the image, as a number: Kubernetes cannot see that a name is not root's."""


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's: keyword and the rest, continued lines joined."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(each.split()[0], each.split(maxsplit=1)[1]) for each in lines if each.strip()]


def named(keyword: str) -> list[str]:
    """What the Dockerfile says after this keyword, each time."""
    return [rest for each, rest in instructions() if each == keyword]


def compose() -> Any:
    """docker-compose.yml, anchors followed."""
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def manifests() -> dict[str, Any]:
    """What ``docs/deploy/kubernetes`` holds, by file name; one object per file."""
    return {
        path.stem: yaml.safe_load(path.read_text())
        for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    }


def pods() -> list[Any]:
    """The pods they describe."""
    found = [each["spec"]["template"]["spec"] for each in manifests().values() if _has_pod(each)]
    assert len(found) == 2
    return found


def _has_pod(manifest: Any) -> bool:
    return manifest["kind"] in ("Deployment", "Job")


def load(environment: dict[str, str]) -> config.Settings:
    """As the server does: an unknown name or a value that does not fit is refused."""
    return config.load(Path("/var/lib/certbound"), environ=environment).settings


def image_environment() -> dict[str, str]:
    """What the image sets."""
    (text,) = named("ENV")[1:]
    return dict(part.split("=", 1) for part in text.split())


def test_the_image_runs_as_nobody_of_note() -> None:
    """Not root, by number; ready or not is asked; settings are known; Python is one we test."""
    assert named("USER") == [f"{ACCOUNT}:{ACCOUNT}"]
    assert json.loads(named("ENTRYPOINT")[0]) + json.loads(named("CMD")[0]) == [
        "certbound",
        "serve",
    ]
    assert "/readyz" in named("HEALTHCHECK")[0]
    (python,) = named("ARG")
    version = re.fullmatch(r"PYTHON_IMAGE=python:3\.(\d+)-slim-\w+", python)
    assert version is not None
    assert named("FROM") == ["${PYTHON_IMAGE} AS build", "${PYTHON_IMAGE}"]
    least = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert int(version[1]) >= int(least.removeprefix(">=3."))
    settings = load(image_environment())
    assert settings.home == Path(named("WORKDIR")[-1])
    assert {str(settings.port), str(settings.mtls_port)} == set(named("EXPOSE")[0].split())
    assert settings.ops_host == "127.0.0.1"


def test_what_is_installed_is_locked() -> None:
    """Everything from outside comes by hash, and what is ours comes without anything else."""
    installs = [each for each in named("RUN") if '"install", "--' in each]
    assert len(installs) == 2
    assert "--require-hashes" in installs[0]
    assert "--no-deps" in installs[1]
    assert "--no-build-isolation" in installs[1]


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the build stage has in /src: what is copied, as far as .dockerignore lets it through."""
    lines = [
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert lines[0] == "*"
    let_in = {line[1:] for line in lines if line.startswith("!")}
    kept_out = [line.removeprefix("**/") for line in lines if line.startswith("**/")]
    folder = tmp_path_factory.mktemp("context")
    for name in let_in:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns(*kept_out))
        else:
            shutil.copy(source, folder / name)
    copied = {
        name
        for each in named("COPY")
        if not each.startswith("--from")
        for name in each.split()[:-1]
    }
    assert copied == let_in
    return folder


def test_the_image_has_the_whole_package(context: Path, tmp_path: Path) -> None:
    """The wheel made of what is copied holds every file of app/ and every migration."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = subprocess.run(command, cwd=context, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        held = set(file.namelist())
    listed = subprocess.run(
        ["git", "ls-files", "app", "migrations"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    wanted = {re.sub("^migrations/", "app/_migrations/", each) for each in listed}
    assert wanted - held == set()


def test_compose_names_what_there_is() -> None:
    """Images have a version, what is named is defined, and only this machine is answered."""
    found = compose()
    for name, service in found["services"].items():
        assert re.search(r":[\w.-]+$", service["image"]), name
        assert not service["image"].endswith(":latest")
        assert set(service.get("depends_on", {})) <= set(found["services"])
        assert set(service.get("networks", [])) <= set(found["networks"])
        volumes = [each.split(":")[0] for each in service.get("volumes", [])]
        for volume in volumes:
            assert volume in found["volumes"] or (ROOT / volume).is_file(), volume
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    certbound = [each for each in found["services"].values() if each["image"] == "certbound:local"]
    assert len(certbound) == 5
    for service in certbound:
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]


def test_compose_configures_one_issuer() -> None:
    """Both nodes have the same settings, all known; the balancer's file leads to them."""
    services = compose()["services"]
    environment = image_environment() | services["node-1"]["environment"]
    assert services["node-1"] == services["node-2"]
    settings = load(environment)
    text = haproxy.CONFIGURATION.read_text()
    for node in ("node-1", "node-2"):
        assert f" {node}:{settings.port}\n" in text
        assert f" {node}:{settings.mtls_port}\n" in text
        assert services["balancer"]["depends_on"][node] == {"condition": "service_healthy"}
        assert services[node]["volumes"] == ["home:/var/lib/certbound:ro"]
    assert settings.issuer == "https://localhost:8443"
    grace = int(services["node-1"]["stop_grace_period"].removesuffix("s"))
    assert grace > settings.shutdown_timeout


def first_secrets(home: Path, folder: Path) -> int:
    """Run compose's first step."""
    program = DEPLOY / "compose" / "first_secrets.py"
    return subprocess.run(
        [sys.executable, program, home, folder], capture_output=True, check=False
    ).returncode


def test_compose_makes_its_password(tmp_path: Path) -> None:
    """A new one each time, for both who need it, kept by a second run, and half of it is refused."""
    home, folder = tmp_path / "home", tmp_path / "folder"
    home.mkdir()
    folder.mkdir()
    assert first_secrets(home, folder) == 0
    line, password = (home / "pgpass").read_text(), (folder / "password").read_text()
    assert len(password) >= 40
    assert (home / "pgpass").stat().st_mode & 0o777 == 0o600
    url = make_url(compose()["services"]["node-1"]["environment"]["CERTBOUND_DATABASE_URL"])
    where = (url.host, str(url.port), url.database, url.username, password)
    assert line == ":".join(str(part) for part in where) + "\n"
    assert url.password is None
    assert url.query == {"passfile": "/var/lib/certbound/pgpass"}
    assert first_secrets(home, folder) == 0
    assert (home / "pgpass").read_text() == line
    (home / "pgpass").unlink()
    assert first_secrets(home, folder) == 1
    (folder / "password").unlink()
    assert first_secrets(home, folder) == 0
    assert (folder / "password").read_text() != password


@pytest.mark.skipif(haproxy.PROGRAM is None, reason=haproxy.WANTING)
def test_haproxy_takes_its_file() -> None:
    """As it stands, with names that nothing resolves yet."""
    assert haproxy.PROGRAM is not None
    command = [haproxy.PROGRAM, "-c", "-f", str(haproxy.CONFIGURATION)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    warned = [line for line in done.stderr.splitlines() if "WARNING" in line]
    assert [line for line in warned if "could not resolve address 'node-" not in line] == []


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """Every line is understood; the program is not where it will be, so another stands in for it."""
    text = (DEPLOY / "certbound.service").read_text()
    program = "/opt/certbound/.venv/bin/certbound"
    assert text.count(program) == 1
    unit = tmp_path / "certbound.service"
    unit.write_text(text.replace(program, "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert str(unit) not in done.stderr


def test_the_unit_sets_known_settings() -> None:
    """What it puts into the environment is understood, and it waits long enough for an end."""
    text = (DEPLOY / "certbound.service").read_text()
    (line,) = re.findall(r"^Environment=(.*)$", text, re.MULTILINE)
    settings = load(dict(part.split("=", 1) for part in line.split()))
    assert not re.search("^MemoryDenyWriteExecute", text, re.MULTILINE)  # TLS would not start
    (stop,) = re.findall(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
    assert int(stop) > settings.shutdown_timeout


def environment_of(pod: Any) -> dict[str, str]:
    """What its container gets; what comes from a Secret has a value of the right form."""
    secret = {"database-url": "postgresql+psycopg://db/certbound", "sealing-key": "A" * 43}
    return {
        each["name"]: each.get("value") or secret[each["valueFrom"]["secretKeyRef"]["key"]]
        for each in pod["containers"][0]["env"]
    }


def test_pods_are_confined_and_configured() -> None:
    """Not root, nothing to write to or to gain, every setting known, no secret written down."""
    for pod in pods():
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == ACCOUNT
        assert pod["automountServiceAccountToken"] is False
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        mounted = {each["name"] for each in container["volumeMounts"]}
        assert mounted == {each["name"] for each in pod["volumes"]}
        load(image_environment() | environment_of(pod))
        for each in container["env"]:
            if each["name"] in ("CERTBOUND_DATABASE_URL", "CERTBOUND_SEALING_KEY"):
                assert set(each) == {"name", "valueFrom"}


def test_a_services_own_variables_would_stop_certbound() -> None:
    """Kubernetes would set CERTBOUND_PORT to a URL, which is refused: so it is told not to."""
    with pytest.raises(config.ConfigError, match="port"):
        load({"CERTBOUND_PORT": "tcp://10.0.0.1:443"})
    assert [pod["enableServiceLinks"] for pod in pods()] == [False, False]


def test_the_cluster_fits_together() -> None:
    """Ports, labels, names and addresses of the files agree, and a node can always be spared."""
    found = manifests()
    deployment, service = found["deployment"]["spec"], found["service"]["spec"]
    pod = deployment["template"]["spec"]
    (container,) = pod["containers"]
    settings = load(image_environment() | environment_of(pod))
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    assert ports == {
        "main": settings.port,
        "mtls": settings.mtls_port,
        "ops": settings.ops_port,
    }
    assert [each["targetPort"] for each in service["ports"]] == ["main"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] == "ops"
    labels = deployment["template"]["metadata"]["labels"]
    selectors = [
        deployment["selector"]["matchLabels"],
        service["selector"],
        found["disruption"]["spec"]["selector"]["matchLabels"],
        found["network"]["spec"]["podSelector"]["matchLabels"],
    ]
    assert selectors == [labels] * 4
    assert deployment["replicas"] > found["disruption"]["spec"]["minAvailable"] >= 1
    certificate = found["certificate"]["spec"]
    hosts = [url.removeprefix("https://") for url in (settings.issuer, settings.mtls_base_url)]
    assert certificate["dnsNames"] == hosts
    assert pod["volumes"][0]["secret"]["secretName"] == certificate["secretName"]
    assert pod["terminationGracePeriodSeconds"] > 5 + settings.shutdown_timeout


def test_one_release_of_the_image() -> None:
    """What `kubectl apply -k` takes is every file but the migration, which is of the same release."""
    found = manifests()
    listed = {name.removesuffix(".yaml") for name in found["kustomization"]["resources"]}
    assert listed == set(found) - {"kustomization", "migrate"}
    (image,) = found["kustomization"]["images"]
    release = f"{image['name']}:{image['newTag']}"
    job = found["migrate"]["spec"]["template"]["spec"]["containers"][0]
    assert job["image"] == release
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert image["newTag"] == version
    assert job["args"] == ["db", "upgrade"]
