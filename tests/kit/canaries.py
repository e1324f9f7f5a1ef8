"""Marked secrets, taken on a tour through every flow of a server; what came out of it on the way.

What rightly carries a secret is left out: the answer that is the token, and ``token get``, which
prints it. Everything else that anybody is told, or that is written anywhere, is kept.
"""

import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import httpx2

from tests.kit import tokens
from tests.kit.command import call
from tests.kit.demo import demo_api
from tests.kit.issuing import issue
from tests.kit.running import Running

JWT = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+")
SENT = ("password", "assertion", "authorization", "cookie", "userinfo", "query", "path", "proof")
"""What clients and operators put where it does not belong, each with a mark of its own."""


def mark(name: str) -> str:
    """A secret that is like no other."""
    return f"canary-{name}-{secrets.token_hex(12)}"


@dataclass
class Tour:
    """One server, the secrets it met, and what it let out."""

    server: Running
    secrets: dict[str, str]
    """By name; nothing of them may be found."""
    form: tuple[str, ...] = ()
    """Of the commands' output: for people, or ``--json``."""
    received: list[str] = field(default_factory=list)
    """Tokens."""
    told: dict[str, str] = field(default_factory=dict)
    """What was answered or printed, by where it came from."""

    def __post_init__(self) -> None:
        self.secrets |= {name: mark(name) for name in SENT}

    def wanted(self) -> dict[str, bytes]:
        """What must not be found, by name: signatures stand for tokens, lines of PEM for keys."""
        found = {name: secret.encode() for name, secret in self.secrets.items()}
        for number, token in enumerate(self.received):
            found[f"signature of token {number}"] = token.split(".")[2].encode()
        for path in sorted((self.server.home / "certs").glob("*.key")):
            lines = [line for line in path.read_bytes().split() if len(line) >= 40]
            assert lines, path
            found |= {f"{path.name} line {n}": line for n, line in enumerate(lines)}
        return found

    def go(self) -> None:
        """Everything, once."""
        self._tokens()
        self._looked_at()
        self._misused()
        self._api()
        self._operated()
        self._mistaken()
        self._watched()

    def _keep(self, where: str, text: str) -> None:
        self.told[f"{len(self.told)} {where}"] = text

    def _hear(self, answer: httpx2.Response, *statuses: int) -> httpx2.Response:
        assert answer.status_code in statuses, (answer.url, answer.status_code, answer.text)
        self._keep(str(answer.url.path), f"{answer.status_code} {answer.headers} {answer.text}")
        return answer

    def _run(self, *words: str, fails: bool = False) -> None:
        done = call(self.server.home, *words, *self.form, environment=self.server.environment)
        assert (done.code != 0) == fails, (words, done)
        self._keep(" ".join(words[:2]), done.out + done.err)

    def _tokens(self) -> None:
        """By both methods and a new signing key, over HTTP and by the command."""
        server = self.server
        issue(server.home / "certs", "selfmade", self_signed=True)
        file = str(server.file("selfmade.crt"))
        own = ("--method", "self_signed_tls_client_auth", "--cert", file, "--scope", "api:read")
        server.certbound("client", "add", "selfmade", *own)
        self.received += [tokens.issued(tokens.ask_as(server, "bot")) for _ in range(3)]
        self.received.append(tokens.issued(tokens.ask_as(server, "selfmade")))
        self._run("key", "rotate", "--force")
        self.received.append(tokens.issued(tokens.ask_as(server, "bot")))
        cert = ("--cert", str(server.file("bot.crt")), "--key", str(server.file("bot.key")))
        printed = server.certbound("token", "get", *cert)
        self.received += JWT.findall(printed)
        assert len(self.received) == 6

    def _looked_at(self) -> None:
        """Introspection in both forms, forward authentication, revocation, status lists."""
        server, token = self.server, self.received[1]
        url = f"https://localhost:{server.mtls_port}"
        about = {"client_id": "bot", "token": token}
        signed = {"Accept": "application/token-introspection+jwt"}
        issue(server.home / "certs", "edge")
        server.certbound("proxy", "add", "edge", str(server.file("edge.crt")), *_EDGE)
        bearer = {"Authorization": f"Bearer {token}"}
        with server.client("edge") as http:
            for name, status in (("bot", 200), ("selfmade", 401)):
                shown = {"X-Client-Cert": quote(server.file(f"{name}.crt").read_text(), safe="")}
                self._hear(http.get(f"{url}/forward-auth", headers=bearer | shown), status)
        with server.client("bot") as http:
            self._hear(http.post(f"{url}/introspect", data=about), 200)
            self._hear(http.post(f"{url}/introspect", data=about, headers=signed), 200)
            self._hear(http.get(f"{url}/forward-auth", headers=bearer), 400, 401)
            self._hear(http.post(f"{url}/revoke", data=about), 200)
            self._hear(http.post(f"{url}/introspect", data=about), 200)
            listed = tokens.read(token)["status"]["status_list"]["uri"]
            self._hear(http.get(str(listed)), 200)
        with server.client("selfmade") as http:
            self._hear(http.post(f"{url}/introspect", data={**about, "client_id": "selfmade"}), 200)
            self._hear(http.post(f"{url}/introspect", data=about), 400, 401)

    def _misused(self) -> None:
        """Tokens, passwords and their like where they do not belong."""
        server, marked, token = self.server, self.secrets, self.received[0]
        basic = {"Authorization": f"Basic {marked['authorization']}"}
        bearer = {"Authorization": f"Bearer {token}"}
        assertion = {"client_assertion": marked["assertion"], "client_assertion_type": "x"}
        cookies = {"Cookie": marked["cookie"], "DPoP": marked["proof"]}
        forms: tuple[tuple[dict[str, str], dict[str, str]], ...] = (
            ({"client_id": token}, {}),
            ({"client_id": "bot", "scope": token}, {}),
            ({"client_id": "bot", "resource": token}, {}),
            ({"client_id": "bot", "resource": f"https://x:{marked['password']}@a.example"}, {}),
            ({"client_id": "bot", "client_secret": marked["password"]}, {}),
            ({"client_id": "bot"}, bearer),
            ({"client_id": "bot"}, basic),
            ({"client_id": "bot", **assertion}, {}),
            ({"client_id": "bot", "grant_type": token}, cookies),
            ({"client_id": "nobody"}, {"X-Forwarded-Client-Cert": marked["proof"]}),
        )
        with server.client() as http:
            for form, headers in forms:
                data = {"grant_type": "client_credentials", **form}
                self._hear(http.post(server.mtls_token_url, data=data, headers=headers), 400, 401)
            for name in ("introspect", "revoke", "token", "authorize", marked["path"]):
                query = {"token": marked["query"], "access_token": token}
                url = f"{server.issuer}/{name}"
                self._hear(http.get(url, params=query, headers=basic), 400, 404, 405)
                data = {"client_id": "bot", "token": marked["query"]}
                self._hear(http.post(url, data=data, params=query), 400, 401, 404, 405)
            for headers in ({**bearer, "X-Client-Cert": marked["proof"]}, basic, cookies, {}):
                self._hear(http.get(f"{server.issuer}/forward-auth", headers=headers), 400, 401)

    def _api(self) -> None:
        """The demo API: the holder, a thief, a token in the query, one that never was."""
        token = self.received[0]
        with demo_api(self.server.home, self.server.environment) as demo:
            self._hear(demo.ask(token), 200)
            self._hear(demo.ask(token, "selfmade"), 401)
            self._hear(demo.ask(None, query=f"?access_token={token}"), 400)
            self._hear(demo.ask(self.secrets["authorization"]), 400, 401)
            self._hear(demo.ask(None, headers={"Cookie": self.secrets["cookie"]}), 401)
            self._keep("the demo API", demo.log)

    def _operated(self) -> None:
        """Every command that tells something, and the audit in all its forms."""
        server, token = self.server, self.received[0]
        jti, file = tokens.read(token)["jti"], str(server.file("bot.crt"))
        (ref, *_) = re.findall(r'"error_ref":"(\w+)"', "".join(self.told.values()))
        export = [("audit", "export", "--format", form) for form in ("jsonl", "ocsf", "cef")]
        for words in (
            ("token", "inspect", token),
            ("explain", ref),
            ("doctor", "cert", file),
            ("config", "show"),
            ("config", "check"),
            ("client", "list"),
            ("client", "show", "bot"),
            ("client", "cert", "list", "selfmade"),
            ("trust", "list"),
            ("resource", "list"),
            ("key", "list"),
            ("db", "status"),
            ("revoke", "token", jti),
            ("audit", "search"),
            ("audit", "tail"),
            ("audit", "verify"),
            ("audit", "incident", jti),
            ("audit", "incident", file),
        ):
            self._run(*words)
        for words in export:
            self._keep(" ".join(words), server.certbound(*words))

    def _mistaken(self) -> None:
        """A token where its jti is meant, and passwords in URLs."""
        token, url = self.received[2], f"https://me:{self.secrets['userinfo']}@localhost:1/x"
        for words in (
            ("explain", token),
            ("audit", "incident", token),
            ("revoke", "token", token),
            ("trust", "revocation", "default", "crl", "--url", url),
            ("trust", "revocation", "default", "ocsp", "--url", url),
            ("trust", "bundle", "spiffe", url, "--trust-domain", "acme.example"),
            ("client", "add", "j", "--method", "self_signed_tls_client_auth", "--jwks-uri", url),
            ("resource", "add", url),
        ):
            self._run(*words, fails=True)

    def _watched(self) -> None:
        """The operations listener."""
        port = self.server.environment["CERTBOUND_OPS_PORT"]
        for path in ("metrics", "readyz", "livez"):
            self._hear(httpx2.get(f"http://127.0.0.1:{port}/{path}", trust_env=False), 200)


_EDGE = ("--header", "nginx", "--resource", tokens.DEFAULT_RESOURCE)


def hits(haystack: bytes, wanted: dict[str, bytes]) -> list[str]:
    """The names of those that are in there."""
    return [name for name, secret in wanted.items() if secret in haystack]


def files(folder: Path, names: Iterable[str]) -> bytes:
    """What these files hold, octet by octet."""
    return b"".join(each.read_bytes() for name in names for each in sorted(folder.glob(name)))
