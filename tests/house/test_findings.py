"""Advice is pasted by operators: nothing that a stranger presented may ever stand in it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.errors import Examination, Finding, Refused
from app.pki import check, names
from tests.kit import ca
from tests.kit.asgi import FORM, Stage
from tests.kit.ca import client_draft, name, san
from tests.kit.hostile_cases import hostile_cases
from tests.kit.stages import standing
from tests.kit.world import KitClient, World
from tests.pki.judging import log_in

__all__ = ["standing"]

MARKER = "certbound client enable victim"
SENTENCE = f"not this one. Instead do this: {MARKER}"
WORLD = World()
CASES = {case.name: case for case in hostile_cases(WORLD)}
_REGISTERED = r"[A-Za-z0-9._-]*"
"""What a hole in advice may hold: a name that an operator chose, in the characters they have."""


def _literals() -> Iterator[str]:
    """Every string that stands in the source, as a pattern; holes take registered names only."""
    for path in Path(check.__file__).parents[1].rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Constant(value=str(text)):
                    yield re.escape(text)
                case ast.JoinedStr(values=parts):
                    texts = (p.value if isinstance(p, ast.Constant) else None for p in parts)
                    yield "".join(
                        re.escape(t) if isinstance(t, str) else _REGISTERED for t in texts
                    )


WRITTEN = [re.compile(pattern) for pattern in set(_literals())]


def findings(client: KitClient, chain: tuple[bytes, ...]) -> list[Finding]:
    """What the doctor would say, the name included wherever it can be read at all."""
    exam = Examination(thorough=True)
    try:
        log_in(WORLD, client, chain, exam)
    except Refused:
        if client.match is not None and exam.findings[0].passed:
            examined = check.describe(chain[0]).names
            names.examine_name(exam, examined, names.register(*client.match))
    return exam.findings


@pytest.mark.parametrize("case", sorted(CASES))
def test_advice_on_a_hostile_certificate_is_written_in_the_source(case: str) -> None:
    """Word for word: whatever a certificate holds, it adds nothing to what to do."""
    client = WORLD.clients[CASES[case].client_id]
    for finding in findings(client, CASES[case].chain):
        written = [each for each in WRITTEN if each.fullmatch(finding.action)]
        assert written, finding.action


def _speaking() -> dict[str, tuple[bytes, ...]]:
    """Certificates that give advice themselves, in every name they have."""
    key, now = ca.key(label="attacker"), WORLD.now
    bot = (("C", "US"), ("O", "Kit"), ("CN", "bot"))
    subject = name(*bot, ("OU", SENTENCE))
    said = san(
        dns=[SENTENCE],
        uri=[SENTENCE],
        email=[f"{SENTENCE}@kit"],
        directory=[name(("CN", SENTENCE))],
    )
    speaker = ca.root(name(("CN", SENTENCE)), ca.key(label="evil"), now)
    twin = ca.root(WORLD.root.subject, ca.key(label="evil"), now, said)
    leaf = client_draft(subject, key, now, said)
    other = client_draft(name(("CN", SENTENCE)), key, now, said)
    return {
        "trusted": (WORLD.root.sign(leaf),),
        "trusted, CN": (WORLD.root.sign(other),),
        "trusted, in place of a value": (
            WORLD.root.sign(client_draft(name(*bot[:2], ("CN", SENTENCE)), key, now)),
        ),
        "speaking issuer": (speaker.sign(leaf), speaker.certificate),
        "speaking issuer, missing": (speaker.sign(other),),
        "twin": (twin.sign(leaf), twin.certificate),
        "self-signed": (ca.sign(leaf, subject, key),),
        "registered key, other issuer": (
            ca.sign(
                client_draft(subject, ca.key(label="self-key"), now, said), speaker.subject, key
            ),
        ),
        "expired": (WORLD.root.sign(leaf.with_(not_before=now - 99, not_after=now - 9)),),
        "a CA": (WORLD.root.sign(ca.ca_draft(subject, key, now, said)),),
        "issued by a client": (
            ca.sign(leaf, subject, key),
            WORLD.root.sign(client_draft(subject, key, now)),
        ),
        "ill-formed": (WORLD.root.sign(client_draft(name(("CN", SENTENCE + "\0")), key, now)),),
    }


@pytest.mark.parametrize("client_id", sorted(WORLD.clients))
def test_a_certificate_gives_no_advice(client_id: str) -> None:
    """Its words may be shown as what was seen, never as what to do."""
    quoted = 0
    for label, chain in _speaking().items():
        for finding in findings(WORLD.clients[client_id], chain):
            assert MARKER not in finding.action, label
            quoted += MARKER in finding.seen
    assert quoted  # else the marker got nowhere, and nothing was tested


@pytest.mark.parametrize(
    "parameters",
    [
        {where: SENTENCE}
        for where in (
            "client_id",
            "grant_type",
            "scope",
            "resource",
            "client_secret",
            "client_assertion",
            SENTENCE,
        )
    ]
    + [{"scope": MARKER.replace(" ", '" ')}, {"client_id": "", SENTENCE: SENTENCE}],
    ids=lambda parameters: " ".join(parameters)[:20],
)
def test_a_request_gives_no_advice(standing: Stage, parameters: dict[str, str]) -> None:
    """Nor do the parameters of a request, whatever they are refused for."""
    for peer in (standing.bot, None):
        answer = standing.token(peer, **parameters)
        if answer.status != 200:
            _no_advice(standing, answer.json()["error_ref"])


@pytest.mark.parametrize(
    "headers",
    [
        (("content-type", SENTENCE),),
        (FORM, ("content-type", SENTENCE)),
        (FORM, ("authorization", SENTENCE)),
    ],
)
def test_a_header_gives_no_advice(standing: Stage, headers: tuple[tuple[str, str], ...]) -> None:
    """Nor does a header."""
    body = b"grant_type=client_credentials&client_id=bot&client_id=" + SENTENCE.encode()
    for content in (body, body.rpartition(b"&")[0]):
        answer = standing.ask("POST", "/token", peer=standing.bot, headers=headers, body=content)
        _no_advice(standing, answer.json()["error_ref"])


def _no_advice(stage: Stage, ref: str) -> None:
    for finding in stage.explained(ref)["findings"]:
        assert MARKER not in finding.get("action", "")
