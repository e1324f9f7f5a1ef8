"""Somebody who follows a document: a home of their own, a server, and one bash session."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from tests.kit.demo import demo_api
from tests.kit.documents import ROOT, Block, Step, compare, samples
from tests.kit.running import STOP_LIMIT, Running, clean_environment, free_ports, wait_ready

SESSION_LIMIT = 540.0
"""Seconds for one document on a loaded machine."""
_MARK = "\x1e certbound step ended "
_PROGRAM = """#!{python}
import sys
sys.path.insert(0, {root!r})
from app.cli import main
sys.exit(main())
"""


@dataclass
class Reader:
    """One bash session in `server.home`; commands are typed one by one."""

    server: Running
    shell: "subprocess.Popen[str]"
    api_port: int
    """Free for an API that a document starts."""
    demo_port: int
    """Free for the demo API; the default resource has it too, as in the documents."""
    announced: str
    """What ``scripts/serve`` prints, from quickstart to the first line of the log."""
    others: ExitStack
    """What was started in other terminals."""
    real: dict[str, str] = field(default_factory=dict)
    """Sample in the document to what the server really gave."""

    def follow(self, block: Block) -> list[str]:
        """Do what the block says; one complaint per command that did otherwise."""
        if block.language == "python":
            script = self.server.home / "snippet.py"
            script.write_text(self.as_typed(block.text))
            steps = [Step(f"{sys.executable} {script.name}", None, block.line)]
        else:
            steps = block.steps()
        return [complaint for step in steps for complaint in self._follow(step)]

    def _follow(self, step: Step) -> Iterator[str]:
        if step.command == "scripts/serve":
            output, code = self.announced, 0
        elif step.command == "certbound demo-api":
            environment = self.server.environment
            demo = demo_api(self.server.home, environment, port=self.demo_port)
            output, code = self.others.enter_context(demo).announced, 0
        else:
            output, code = self.run(step.command)
        where = f"line {step.line}: {step.command}\nexit code {code}, printed:\n{output}"
        if code != 0 and not step.may_fail:
            yield f"{where}\nbut the document expects success"
        if step.shown is None:
            return
        shown = tuple(self.as_typed(line) for line in step.shown)
        found = compare(shown, output, frozenset(self.real.values()))
        if found is None:
            yield f"{where}\nbut the document shows:\n" + "\n".join(shown)
        else:
            self.real |= found

    def run(self, command: str) -> tuple[str, int]:
        """Type one command; its standard output and error together, and its exit code."""
        assert self.shell.stdin is not None
        assert self.shell.stdout is not None
        # Braces: the command runs in this shell, and cannot read what is typed next.
        self.shell.stdin.write(f"{{\n{self.as_typed(command)}\n}} </dev/null\n_ended\n")
        self.shell.stdin.flush()
        output = ""
        for line in self.shell.stdout:
            before, mark, code = line.partition(_MARK)
            output += before
            if mark:
                return output, int(code)
        raise AssertionError(f"the session ended, or took too long, in:\n{command}")

    def as_typed(self, text: str) -> str:
        """The document's text with this session's ports and references."""
        for sample in samples(text):
            text = text.replace(sample, self.real.get(sample, sample))
        ports = {
            "8443": self.server.port,
            "9443": self.server.mtls_port,
            "9464": self.server.environment["CERTBOUND_OPS_PORT"],
            "9444": self.demo_port,
            "9500": self.api_port,
        }
        for default, port in ports.items():
            text = re.sub(rf"(:|--port ){default}\b", rf"\g<1>{port}", text)
        return text


@contextmanager
def reading(
    home: Path,
    *,
    path_is_set: bool = True,
    server_is_up: bool = True,
    limit: float = SESSION_LIMIT,
    more: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Reader]:
    """A home as `scripts/serve` leaves it, its server up, and a shell in it; `more` are settings.

    The repository's ``tests`` folder is there too. `path_is_set`: ``certbound`` is on the PATH.
    `server_is_up`: the server goes on; otherwise it has ended, and its ports are free again.
    `limit`: seconds for the whole session.
    """
    program = home / ".venv" / "bin" / "certbound"
    program.parent.mkdir(parents=True)
    program.write_text(_PROGRAM.format(python=sys.executable, root=str(ROOT)))
    program.chmod(0o755)
    python = program.parent / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    (home / "tests").symlink_to(ROOT / "tests")
    (home / ".curlrc").write_text("silent\nshow-error\n")  # a terminal would show no progress bar
    port, mtls_port, ops_port, api_port, demo_port = free_ports(5)
    settings = {
        "CERTBOUND_PORT": str(port),
        "CERTBOUND_MTLS_PORT": str(mtls_port),
        "CERTBOUND_OPS_PORT": str(ops_port),
        **(
            {"CERTBOUND_DEFAULT_RESOURCE": f"https://localhost:{demo_port}"} if server_is_up else {}
        ),
        **{f"CERTBOUND_{name.upper()}": value for name, value in more.items()},
    }
    environment = {**clean_environment(), **settings, "CURL_HOME": str(home), "NO_COLOR": "1"}
    made = subprocess.run(
        [program, "quickstart", "--home", home],
        cwd=home,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=110,
        check=False,
    )
    log = home / "server.log"
    with log.open("w") as opened:
        serving = subprocess.Popen(
            [program, "serve"], cwd=home, env=environment, stdout=opened, stderr=opened, text=True
        )
    server = Running(home, port, mtls_port, serving, settings)
    try:
        wait_ready(server)
        if not server_is_up:
            _stop(serving)
        paths = environment["PATH"]
        environment["PATH"] = f"{program.parent}:{paths}" if path_is_set else paths
        announced = made.stdout + log.read_text()
        with _shell(home, environment, limit) as shell, ExitStack() as others:
            yield Reader(server, shell, api_port, demo_port, announced, others)
    finally:
        _stop(serving)


def _stop(serving: "subprocess.Popen[str]") -> None:
    serving.send_signal(signal.SIGTERM)
    serving.wait(STOP_LIMIT)


@contextmanager
def _shell(
    home: Path, environment: dict[str, str], limit: float
) -> Iterator["subprocess.Popen[str]"]:
    shell = subprocess.Popen(
        [shutil.which("bash") or "bash", "--norc", "--noprofile"],
        cwd=home,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    watchdog = threading.Timer(limit, _end, (shell,))
    watchdog.start()
    try:
        assert shell.stdin is not None
        # Says how the last command ended, and leaves $? as it was.
        shell.stdin.write(f"_ended() {{ local c=$?; printf '{_MARK}%s\\n' $c; return $c; }}\n")
        yield shell
    finally:
        watchdog.cancel()
        _end(shell)
        shell.communicate()


def _end(shell: "subprocess.Popen[str]") -> None:
    """The shell and whatever it has started."""
    if shell.poll() is None:
        os.killpg(shell.pid, signal.SIGKILL)
