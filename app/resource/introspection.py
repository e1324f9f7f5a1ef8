"""Asking the authorization server about each token (RFC 7662), with the resource's own certificate.

Guarantees an answer about this very audience, at most `keep_for` seconds old, and never older
than the token; what was revoked is noticed that soon. The answer has to name the certificate the
token is bound to, and that is compared here on every request, an answer kept or not: an answer
without ``cnf`` is an unbound token. With `report` the server is told which certificate was
presented and writes down who used whose token.

Each unknown token that looks like one of the issuer's for this audience costs a request to the
server; of those only so many are under way (`app.resource.answers`), and beyond that unknown tokens
get 503. Verifying signatures (`app.resource.tokens`) costs none, so strangers cannot make it busy.
"""

import hashlib
import re
import ssl
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from app import clock
from app.errors import Finding, Reason
from app.jose import jwt
from app.jose.strict_json import Members, parse_object
from app.jose.strict_tls import strict
from app.resource.answers import Answer, Answers
from app.resource.certificate import Presented
from app.resource.kept import Kept, Loaded, OutOfReach, patiently
from app.resource.keys import Fetch, endpoint, metadata, over_https

if TYPE_CHECKING:
    import httpx2

LONGEST: Final = 30
"""Seconds an answer may be kept."""
KEPT_IF_NOT: Final = 2
"""Seconds an answer is kept that a token is not active, or no answer at all."""
MAX_ANSWER: Final = 64 * 1024
TIME_LIMIT: Final = 2.0
"""Seconds of silence from the server, and for all of an answer's body."""
_TYPES: Final = (jwt.ACCESS_TOKEN, f"application/{jwt.ACCESS_TOKEN}")
_OK: Final = 200


class _Unanswered(Exception):
    """The server answered, but not the question."""


class Introspection:
    """For `Verifier(tokens=…)`. Any thread may ask."""

    def __init__(
        self,
        issuer: str,
        audience: str,
        *,
        client_id: str,
        certificate: str | Path,
        key: str | Path,
        ca_file: str | Path | None = None,
        keep_for: int = LONGEST,
        report: bool = True,
        leeway: int = jwt.LEEWAY,
        opaque: bool = False,
        fetch: Fetch | None = None,
        now: Callable[[], int] = clock.now,
    ) -> None:
        """`client_id` is the resource as a client, with `certificate` and `key` in PEM files.

        The files are read again when they change. `ca_file` and `leeway` as for `Verifier`.
        `opaque`: ask about tokens too that do not say of themselves to be this issuer's for this
        audience (RFC 9068), for servers whose tokens say nothing.

        Raises:
            ValueError: `keep_for` is not from 1 to `LONGEST`, `leeway` from 0 to `jwt.MOST_LEEWAY`.

        """
        if not 0 <= leeway <= jwt.MOST_LEEWAY:
            raise ValueError(f"leeway must be from 0 to {jwt.MOST_LEEWAY} seconds")
        if not 1 <= keep_for <= LONGEST:
            raise ValueError(f"keep_for must be from 1 to {LONGEST} seconds")
        self._issuer, self._audience, self._client_id = issuer, audience, client_id
        self._files = Path(certificate), Path(key)
        self._ca_file = None if ca_file is None else Path(ca_file)
        self._keep_for, self._report, self._leeway, self._now = keep_for, report, leeway, now
        self._fetch = fetch or over_https(self._ca_file)
        self._url = Kept(self._find_endpoint, now, retry_after=2)
        self._lock = Lock()
        self._answers = Answers(now)
        self._opaque = opaque
        self._http: tuple[httpx2.Client, tuple[float, ...]] | None = None

    def claims(self, token: bytes, presented: Presented) -> Mapping[str, Any]:
        """As `app.resource.tokens.Tokens.claims`."""
        if not 0 < len(token) <= jwt.MAX_TOKEN:
            raise jwt.oversized(len(token))
        if not all(0x21 <= octet <= 0x7E for octet in token):  # noqa: PLR2004  # printable ASCII
            raise _refused("token form", "not readable")
        answer = self._answer(token, presented)
        if answer.members is None:
            raise OutOfReach(answer.problem)
        self._require_active(answer.members)
        return answer.members

    def require_live(self, claims: Mapping[str, Any]) -> None:
        """Nothing more: the answer said so."""

    def close(self) -> None:
        """Let go of connections and threads, once nobody asks any more."""
        self._answers.close()
        if self._http is not None:
            self._http[0].close()

    def _answer(self, token: bytes, presented: Presented) -> Answer:
        seen = (presented.thumbprint or "none") if self._report else None
        question = hashlib.sha256(token).digest(), seen
        answer = self._answers.known(question)
        if answer is not None:
            return answer
        if not self._opaque:
            self._require_form(token)
        return self._answers.asked(question, lambda: self._ask(token, seen))

    def _require_form(self, token: bytes) -> None:
        """What a token says that nobody has verified: enough to tell what was never meant for us."""
        header, claims = jwt.unverified(token)
        typ = header.get("typ")
        if not isinstance(typ, str) or typ.lower() not in _TYPES:
            raise _refused("token typ", "another type")
        if claims.get("iss") != self._issuer:
            raise _refused("token iss", "another issuer")
        if claims.get("aud") != self._audience:
            raise _refused("token aud", "another audience")
        jwt.check_dates(jwt.VerifiedClaims("", claims), self._now(), self._leeway)

    def _ask(self, token: bytes, seen: str | None) -> Answer:
        try:
            members = self._introspect(token, seen)
            return Answer(members, self._now() + self._lasts(members))
        except _Unanswered as error:
            return Answer(None, self._now() + KEPT_IF_NOT, str(error))
        except Exception as error:  # noqa: BLE001  # a request must never wait for a dead thread
            said = str(error)
            problem = said if isinstance(error, _Unanswered) else f"{type(error).__name__}: {said}"
            return Answer(None, self._now() + KEPT_IF_NOT, problem)

    def _lasts(self, members: Members) -> int:
        ends = members.get("exp")
        if members.get("active") is not True or type(ends) is not int:
            return KEPT_IF_NOT
        return max(min(self._keep_for, ends - self._now()), 1)

    def _introspect(self, token: bytes, seen: str | None) -> Members:
        form = {"client_id": self._client_id, "token": token.decode("ascii")}
        if seen is not None:
            form["certificate_thumbprint"] = seen
        url = patiently(self._url.current)
        headers = {"Accept": "application/json"}
        with self._client().stream("POST", url, data=form, headers=headers) as response:
            body, ends_at = b"", time.monotonic() + TIME_LIMIT
            for chunk in response.iter_raw():  # as it arrives, so that the time is looked at
                body += chunk
                if len(body) > MAX_ANSWER:
                    raise _Unanswered("introspection answered too much")
                if time.monotonic() > ends_at:
                    raise _Unanswered("introspection answered too slowly")
        if response.status_code != _OK:
            raise _Unanswered(_refusal(response.status_code, body))
        return parse_object(body, at_most=MAX_ANSWER)

    def _find_endpoint(self) -> Loaded[str]:
        members = metadata(self._issuer, self._fetch)
        aliases = members.get("mtls_endpoint_aliases")
        if isinstance(aliases, dict) and "introspection_endpoint" in aliases:
            members = aliases
        url = endpoint(members, "introspection_endpoint")
        if not url.startswith("https://"):
            raise ValueError("the introspection endpoint is not https")
        return Loaded(url, fresh_for=3600, usable_for=24 * 3600)

    def _client(self) -> "httpx2.Client":
        import httpx2  # noqa: PLC0415  # 65 ms of start-up that those who verify signatures save

        changed = tuple(path.stat().st_mtime for path in self._files)
        with self._lock:
            if self._http is None or self._http[1] != changed:
                tls = strict(ssl.create_default_context())
                if self._ca_file is not None:
                    tls.load_verify_locations(self._ca_file)
                tls.load_cert_chain(*self._files)
                # The one before is closed when the last thread that uses it lets go of it.
                self._http = httpx2.Client(verify=tls, timeout=TIME_LIMIT, trust_env=False), changed
            return self._http[0]

    def _require_active(self, members: Members) -> None:
        if members.get("active") is not True:
            verdict = members.get("certificate_verdict")
            reason = _OF_VERDICT.get(verdict if isinstance(verdict, str) else "")
            check = "token status" if reason is None else "binding"
            raise _refused(check, "not active", reason or Reason.REQUEST_MALFORMED)
        if members.get("iss", self._issuer) != self._issuer:
            raise _refused("token iss", "another issuer")
        if members.get("aud") != self._audience:
            raise _refused("token aud", "another audience")
        jwt.check_dates(jwt.VerifiedClaims("", members), self._now(), self._leeway)


def _refusal(status: int, body: bytes) -> str:
    """What the resource's operator reads; of the answer, only what looks like one of ours."""
    try:
        members = parse_object(body, at_most=MAX_ANSWER)
    except ValueError:
        members = {}
    error, ref = members.get("error"), members.get("error_ref")
    said = f" {error}" if isinstance(error, str) and re.fullmatch("[a-z_]{1,40}", error) else ""
    look = ""
    if isinstance(ref, str) and re.fullmatch("[0-9a-z]{8,64}", ref):
        look = f": certbound explain {ref}"
    return f"introspection was refused, {status}{said}{look}"


_OF_VERDICT = {
    "other_certificate": Reason.BINDING_MISMATCH,
    "no_certificate": Reason.NO_CERTIFICATE,
}


def _refused(check: str, seen: str, reason: Reason = Reason.REQUEST_MALFORMED) -> jwt.InvalidToken:
    return jwt.InvalidToken(Finding(check, seen, "", "", reason))
