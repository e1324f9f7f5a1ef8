"""The documentation does what it says: its commands run, its references are current, its links lead somewhere.

`tests/kit/documents.py` says how a block is written. Each document is followed from its first
block to its last by one reader in a fresh home, against a real server. The ports in the text are
the defaults, 8443 and 9443; while reading, free ones take their place, in commands and in outputs.
``scripts/serve`` is not run here (it would install into this very checkout): the server is started
by the two commands it consists of, and their output is compared with the one shown.
"""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer

from app import upkeep
from app.admin import sprawl
from app.cli import build
from app.config import load
from app.endpoints import jwks
from app.errors import Reason
from app.jose.jwt import LEEWAY, MOST_LEEWAY, unverified
from app.keys import schedule
from app.pki import crl, ocsp, path
from app.resource import introspection, verifier
from app.resource import keys as issuer_keys
from app.store.tokens import KEPT_AFTER
from app.tls.limits import Limits
from tests.kit.documents import DOCUMENTS, ROOT, Block, blocks, compare
from tests.kit.reader import reading

RUN = ("console", "python")
QUOTED = {
    "javascript": ROOT / "tests" / "clients" / "node" / "token.mjs",
    "go": ROOT / "tests" / "clients" / "go" / "token.go",
    "java": ROOT / "tests" / "clients" / "java" / "Token.java",
    "nginx": ROOT / "tests" / "clients" / "nginx" / "forward-auth.conf",
}
"""Language to the one file that blocks in it quote; `tests/flows/` runs these files."""
NOT_RUN = {
    ("README.md", "scripts/test"): "runs this very test",
    (
        "README.md",
        "rm -f certbound.db* && git clean -fdxq certs",
    ): "would end the trial it is about",
    (
        "docs/libraries.md",
        "npm ci --prefix tests/clients/node",
    ): "needs a package registry; tests/flows/test_clients_node.py does the same in a copy",
    (
        "docs/production.md",
        "[Service]",
    ): "systemd is no part of a test machine",
    (
        "docs/deploy.md",
        "docker build --tag certbound:local .",
    ): "no container engine is at hand; the page says so",
    (
        "docs/deploy.md",
        "docker run --rm certbound:local --help",
    ): "no container engine is at hand; the page says so",
    (
        "docs/deploy.md",
        "docker compose up --build --detach --wait",
    ): "no container engine is at hand; the page says so",
    (
        "docs/deploy.md",
        "docker compose exec node-1 certbound client list",
    ): "no container engine is at hand; the page says so",
    (
        "docs/deploy.md",
        "useradd --system --home-dir /var/lib/certbound --shell /usr/sbin/nologin certbound",
    ): "systemd is no part of a test machine; the page says so",
    (
        "docs/deploy.md",
        'certbound() { systemd-run --quiet --wait --pipe --collect --uid=certbound --property=EnvironmentFile=-/etc/certbound/environment --setenv=CERTBOUND_HOME=/var/lib/certbound /opt/certbound/.venv/bin/certbound "$@"; }',
    ): "systemd is no part of a test machine; the page says so",
    (
        "docs/deploy.md",
        'certbound db backup "/var/lib/certbound/before-$(date +%F).db"',
    ): "systemd is no part of a test machine; the page says so",
    (
        "docs/deploy.md",
        "kubectl create secret generic certbound --from-file=database-url=database-url --from-literal=sealing-key=\"$(openssl rand -base64 32 | tr '+/' '-_' | tr -d '=')\"",
    ): "no cluster is at hand; the page says so",
    ("docs/production.md", "scrape_configs:"): "needs Prometheus; tests/ops compares the names",
    ("docs/production.md", "groups:"): "needs Prometheus; tests/ops compares the names",
    (
        "docs/resources.md",
        "python -m pip install /path/to/the/clone",
    ): "needs a package registry; scripts/test installs the same",
    ("docs/proxies.md", "http_filters:"): "needs Envoy, which has no package here",
    ("docs/proxies.md", "tcp:"): "needs Traefik, which has no package here",
    ("docs/tls.md", "frontend oauth"): "needs HAProxy and a second machine",
    ("docs/tls.md", "stream {"): "needs nginx and a second machine",
    (
        "tests/README.md",
        (
            "scripts/test                          # everything: format, lint, types, import "
            "contracts, tests"
        ),
    ): "runs this very test",
}
"""Document and first line of each block that is neither run nor compared, and why not."""


def name_of(document: Path) -> str:
    """As a test's id."""
    return str(document.relative_to(ROOT))


IN_ONE_HOME = (
    "README.md",
    "docs/tokens.md",
    "docs/clients.md",
    "docs/rotate.md",
    "docs/revoke.md",
    "docs/refused.md",
    "docs/trust.md",
    "docs/boundaries.md",
)
"""Pages that a newcomer follows one after the other, in the order in which the README names them."""


@pytest.mark.timeout(900)
def test_a_reader_follows_page_after_page_in_one_home(tmp_path: Path) -> None:
    """Nothing that one page leaves behind makes the next one do otherwise than it shows."""
    complaints = []
    with reading(tmp_path, path_is_set=False, limit=860) as reader:
        for name in IN_ONE_HOME:
            reader.real.clear()  # each page has samples of its own
            for block in blocks(texts()[name]):
                if block.language in RUN and all(map(shutil.which, block.needs)):
                    complaints += [f"{name}, {each}" for each in reader.follow(block)]
    assert not complaints, "\n\n".join(complaints)


def test_pages_stand_alone_and_beside_each_other() -> None:
    """A file in certs/ that a page uses is its own or quickstart's, and no two pages make the same."""
    made_by: dict[str, str] = {}
    for name in IN_ONE_HOME:
        steps = [
            step.command
            for block in blocks(texts()[name])
            if block.language == "console"
            for step in block.steps()
        ]
        made = {each.rstrip(";") for command in steps for each in _made(command)}
        for file in sorted(made):
            assert made_by.setdefault(file, name) == name, f"{name} and {made_by[file]}: {file}"
        for command in steps:
            for file in re.findall(r"certs/[\w.-]+", command):
                assert file in made | QUICKSTART or file.endswith(".srl"), f"{name}: {file}"


QUICKSTART = frozenset(
    f"certs/{who}{end}" for who in ("ca", "bot", "server") for end in (".crt", ".key")
)


def _made(command: str) -> list[str]:
    """The files in certs/ that a command writes."""
    issued = re.findall(r"certbound ca issue ([\w-]+)", command)
    found = [f"certs/{name}{end}" for name in issued for end in (".crt", ".key")]
    return found + re.findall(r"(?:-out|-keyout|>)\s*(certs/[\w.-]+)", command)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "document", [each for each in DOCUMENTS if name_of(each) not in IN_ONE_HOME], ids=name_of
)
def test_a_reader_sees_what_the_document_shows(document: Path, tmp_path: Path) -> None:
    """Every command succeeds and prints what stands under it, in the order of the document."""
    every = [block for block in blocks(document.read_text()) if block.language in RUN]
    if not every:
        return
    wanting = {tool for block in every for tool in block.needs if shutil.which(tool) is None}
    with reading(
        tmp_path,
        path_is_set=document.name != "README.md",
        server_is_up=document.name != "production.md",  # it starts one of its own
        more={"status_list_ttl": "5"}
        if document.name == "README.md"
        else {},  # it waits for its end
    ) as reader:
        complaints = [
            complaint
            for block in every
            if not wanting.intersection(block.needs)
            for complaint in reader.follow(block)
        ]
    assert not complaints, "\n\n".join(complaints)
    if wanting:
        pytest.skip(f"some blocks need what is not here: {', '.join(sorted(wanting))}")


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        (("one",), "two\n"),
        (("one",), "one\ntwo\n"),
        (("one", "…"), "zero\none\n"),
        (("one … three",), "one\ntwo three\n"),
        (("a{} b{}",), f"a {'x' * 43} b {'y' * 43}\n"),
        (("a{}",), f"a {'x' * 42}\n"),
        ((), "anything\n"),
    ],
)
def test_a_difference_is_seen(shown: tuple[str, ...], printed: str) -> None:
    """A line too many, in another place, or another value where the same one is shown twice."""
    assert (
        compare(tuple(each.replace("{}", f" {'s' * 43}") for each in shown), printed, _NONE) is None
    )


_NONE: frozenset[str] = frozenset()


def test_a_shown_output_is_recognised() -> None:
    """``…`` stands for what varies; a sample takes the real value, which must then stand again."""
    shown = ("…", f"made: {'s' * 43} (in … days)", "…", "end")
    printed = f"first\nsecond\nmade: {'r' * 43} (in 3 days)\nend\n"
    assert compare(shown, printed, _NONE) == {"s" * 43: "r" * 43}
    assert compare((f"it is {'r' * 43}",), f"it is {'r' * 43}", frozenset({"r" * 43})) == {}
    assert compare((f"it is {'r' * 43}",), f"it is {'q' * 43}", frozenset({"r" * 43})) is None


def texts() -> dict[str, str]:
    """Every document by its name."""
    return {name_of(each): each.read_text(encoding="utf-8") for each in DOCUMENTS}


def every_block() -> list[tuple[str, Block]]:
    """Every fenced block with its document's name."""
    return [(name, block) for name, text in texts().items() for block in blocks(text)]


def test_every_block_is_run_or_accounted_for() -> None:
    """What is not run, quoted or read is in NOT_RUN with a reason, and nothing else is there."""
    left = {
        (name, block.first_line)
        for name, block in every_block()
        if block.language not in {*RUN, *QUOTED, "toml"} or (name, block.first_line) in NOT_RUN
    }
    assert left == set(NOT_RUN)


def test_no_block_hides_from_the_reader() -> None:
    """Each fence stands at the start of its line and is closed: what looks like a block is one."""
    for name, text in texts().items():
        assert len(re.findall(r"^\s*(?:```|~~~)", text, re.MULTILINE)) == 2 * len(blocks(text)), (
            name
        )


def test_quoted_files_are_quoted_as_they_are() -> None:
    """What a reader copies from a document is, to the letter, the program that the tests run."""
    quoted = [
        (block.language, block.text)
        for name, block in every_block()
        if block.language in QUOTED and (name, block.first_line) not in NOT_RUN
    ]
    assert {language for language, _ in quoted} == set(QUOTED)
    for language, text in quoted:
        assert text == QUOTED[language].read_text(encoding="utf-8")


@pytest.mark.timeout(400)
def test_python_snippets_print_a_bound_token(tmp_path: Path) -> None:
    """Each prints a bound token, all whose parts docs/tokens.md names, or the `error_ref` of a refusal."""
    snippets = [b for b in blocks(texts()["docs/libraries.md"]) if b.language == "python"]
    assert len(snippets) == 3
    documented = _first_column("## What is in it")
    with reading(tmp_path) as reader:
        for number, block in enumerate(snippets):
            script = tmp_path / f"snippet{number}.py"
            script.write_text(reader.as_typed(block.text))
            token, code = reader.run(f"{sys.executable} {script.name}")
            assert code == 0, token
            header, claims = unverified(token.strip())
            assert (set(header), set(claims)) == documented
            told, code = reader.run(f"certbound token inspect {token.strip()} --cert certs/bot.crt")
            assert code == 0, told
            assert "✔ binding: bound to this certificate" in told
        reader.run("certbound client disable bot")
        for number in range(len(snippets)):
            told, code = reader.run(f"{sys.executable} snippet{number}.py")
            assert (code, '"error_ref":"' in told) == (1, True), told


def _first_column(heading: str) -> tuple[set[str], set[str]]:
    """What the two tables under a heading of docs/tokens.md list."""
    section = texts()["docs/tokens.md"].partition(f"{heading}\n")[2].partition("\n## ")[0]
    header, claims = section.split("Its claims:")
    found = [set(re.findall(r"^\| `(\w+)`", part, re.MULTILINE)) for part in (header, claims)]
    return found[0], found[1]


def test_generated_parts_are_current() -> None:
    """What is taken from the code says what the code says."""
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "generate-docs", "--check"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_examples_of_the_settings_file_can_be_used(tmp_path: Path) -> None:
    """Each TOML block loads as a certbound.toml, every name known and every value allowed."""
    found = [block for _, block in every_block() if block.language == "toml"]
    assert found
    for block in found:
        (tmp_path / "certbound.toml").write_text(block.text)
        loaded = load(tmp_path, environ={})
        assert {n for n, origin in loaded.origins.items() if origin == "file"} == set(
            tomllib.loads(block.text)
        )


def test_links_lead_somewhere() -> None:
    """Each relative link names a file of the repository and, if any, a heading in it."""
    for name, text in texts().items():
        for target in re.findall(r"\]\(([^)#\s]*(?:#[^)\s]*)?)\)", _without_blocks(text)):
            link, _, anchor = target.partition("#")
            if link.startswith("https://"):
                continue
            file = ((ROOT / name).parent / link).resolve() if link else ROOT / name
            assert file.exists(), f"{name}: {target}"
            if anchor:
                assert anchor in _anchors(file.read_text(encoding="utf-8")), f"{name}: {target}"


def _without_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def _anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", _without_blocks(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


def test_commands_in_prose_exist() -> None:
    """A command between backticks is one that this version has, with the options it is shown with."""
    root = typer.main.get_command(build())
    for name, text in texts().items():
        for code in re.findall(r"`(certbound [a-z][^`]*)`", _without_blocks(text)):
            _require_command(root, code.split()[1:], f"{name}: {code}")


def _require_command(command: Any, words: list[str], where: str) -> None:
    while (inner := getattr(command, "commands", None)) and words and words[0] in inner:
        command, words = inner[words[0]], words[1:]
    if inner and words:
        raise AssertionError(f"{where}: there is no {words[0]}")
    known = {spelling for parameter in command.params for spelling in parameter.opts}
    for word in words:
        assert not word.startswith("--") or word.partition("=")[0] in known, f"{where}: {word}"


def test_every_reason_is_explained() -> None:
    """The reasons in docs/refused.md are exactly those that this version's code can give."""
    sources = (p for p in (ROOT / "app").rglob("*.py") if p.name != "errors.py")
    used = {r for p in sources for r in re.findall(r"Reason\.([A-Z_]+)\b", p.read_text("utf-8"))}
    shown = re.findall(r"^\| (`[a-z_`, ]+`) \|", texts()["docs/refused.md"], re.MULTILINE)
    listed = set(re.findall(r"`([a-z_]+)`", " ".join(shown))) | {Reason.BINDING_MISMATCH.value}
    assert listed == {Reason[each].value for each in used}


def test_numbers_in_prose_are_those_of_the_code() -> None:
    """A duration or count that stands in a sentence moves with the constant it tells of."""
    found = texts()
    hours = 3600
    limits = Limits()
    for name, sentence in (
        ("docs/keys.md", f"published for {schedule.PUBLISH_BEFORE // hours} hours before it signs"),
        (
            "docs/keys.md",
            (
                f"leaves the set {schedule.LONGEST_TOKEN // hours} hours and "
                f"{schedule.SKEW} seconds after"
            ),
        ),
        ("docs/keys.md", f"cached for {jwks.MAX_AGE} seconds"),
        ("docs/trust.md", f"at most {path.MAX_INTERMEDIATES} intermediates"),
        ("docs/revoke.md", f"A list may have {crl.MAX_BYTES // 2**20} MiB"),
        ("docs/divergences.md", f"counts for {ocsp.WITHOUT_NEXT_UPDATE} seconds"),
        ("docs/proxies.md", f"headers of {limits.max_header_bytes // 1024} KiB"),
        ("docs/boundaries.md", f"more than {sprawl.RESOURCES} resources"),
        ("docs/rotate.md", f"was not used for {upkeep.USES_KEPT // (24 * hours)} days"),
        (
            "docs/rotate.md",
            "{} days, {} days and {} day before".format(
                *(before // (24 * hours) for before in upkeep.NOTICE_BEFORE)
            ),
        ),
        ("docs/resources.md", f"at most once in {issuer_keys.RETRY_AFTER} seconds for a key id"),
        ("docs/resources.md", f"known keys count for {issuer_keys.USABLE_FOR // hours} hours"),
        ("docs/resources.md", f"| `status_grace` | {verifier.STATUS_GRACE} |"),
        (
            "docs/resources.md",
            (
                f"| `leeway` | {LEEWAY} | seconds that clocks may differ, {MOST_LEEWAY} at most: a "
                f"revoked token stays on its status list for {KEPT_AFTER} seconds after its end |"
            ),
        ),
        ("docs/resources.md", f"`keep_for` seconds, {introspection.LONGEST} at most"),
        ("docs/divergences.md", f"uses it {verifier.STATUS_GRACE} seconds more"),
        (
            "docs/trust.md",
            (
                f"at most {limits.max_chain_certificates} certificates of "
                f"{limits.max_chain_bytes // 1024} KiB together"
            ),
        ),
    ):
        assert sentence in found[name], f"{name} does not say: {sentence}"
