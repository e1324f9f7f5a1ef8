"""``certbound serve``: the server in the foreground, with a flag for each setting."""

import asyncio
import inspect
import socket
from collections.abc import Iterable, Iterator
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from app import clock
from app.admin import trust
from app.admin.authority import directory
from app.admin.database import shown_url
from app.admin.desk import at_desk, database, require_file
from app.admin.keys import unsealed
from app.admin.problem import Kind, Problem
from app.admin.quickstart import CLIENT_ID
from app.admin.server_files import unusable
from app.admin.server_names import left_local
from app.cli.first_token import curl
from app.cli.page import Page
from app.cli.session import Session
from app.cli.verb import verb
from app.config import SECRETS, ConfigError, Settings, names
from app.issuers import Issuer
from app.keys.seal import SealingError
from app.ops.listener import CannotListen, bound
from app.ops.whole import one_replaced
from app.serving import Announce
from app.serving import serve as serve_forever
from app.store.schema import SchemaMismatch
from app.telemetry import configure, log
from app.tls.context import CertificateFileError
from app.tls.sockets import bind
from app.workers.place import Place, taken
from app.workers.supervisor import Supervisor
from app.workers.worker import Sockets


def serve(session: Session, **flags: str | None) -> Page:
    """Serve until SIGTERM or Ctrl-C. Each flag overrides the setting of the same name."""
    session.flags = flags
    place = _place()
    settings = session.settings  # after that: a spare is to have those of the moment it is wanted

    def announce(addresses: list[tuple[str, int]]) -> None:
        _announce(session, settings, _announcement(session, settings, addresses))

    require_file(database(settings))
    try:
        if place is not None:
            raise typer.Exit(serve_forever(settings, place=place))
        if settings.workers > 1:
            code = _supervised(session, settings, announce)
        else:
            code = serve_forever(settings, announce)
    except SchemaMismatch as error:
        raise Problem(
            "the server cannot start",
            seen=error.seen,
            expected="a database with this release's schema",
            action=error.action,
            kind=Kind.ENVIRONMENT,
        ) from error
    except CertificateFileError as error:
        raise unusable(error, settings) from error
    except SealingError as error:
        raise unsealed(error, settings) from error
    except CannotListen as error:
        raise Problem(
            "the operations listener cannot listen",
            seen=str(error),
            expected="an address of this machine, and a port that nobody else listens on, not "
            "another home's server either",
            action="Each server needs --port, --mtls-port and --ops-port of its own. For every "
            "start: ops_port = … in certbound.toml; 0 does without metrics.",
            kind=Kind.ENVIRONMENT,
        ) from error
    except OSError as error:
        raise Problem(
            "the server cannot listen",
            seen=f"{settings.host} ports {settings.port} and {settings.mtls_port}: {error}",
            expected="an address of this machine, and ports that nobody else listens on",
            action="Name others with --port and --mtls-port or, so that every command knows them, "
            "with port = … and mtls_port = … in certbound.toml.",
            kind=Kind.ENVIRONMENT,
        ) from error
    return _stopped(session, settings, code)


def _place() -> Place | None:
    """Of a worker, a spare's once it has one; None: this is none."""
    place = taken()
    if place is not None and not place.until_wanted():
        raise typer.Exit(0)
    return place


def _supervised(session: Session, settings: Settings, announce: Announce) -> int:
    """Serve with several processes. What this one was told on the command line, all are told."""
    configure(settings.log_format, settings.log_level)
    sockets = bind(settings.host, (settings.port, settings.mtls_port))
    try:
        operations = bound(settings.ops_host, settings.ops_port)
    except CannotListen:
        _close(sockets)
        raise

    def reload() -> int | None:
        try:
            return session.loaded().settings.workers
        except (ConfigError, Problem) as error:
            log().error("reload.failed", cause=str(error))
            return None

    told = [word for flag in _flags(session) for word in flag]
    supervisor = Supervisor(
        arguments=("serve", "--home", str(session.home), *told),
        sockets=Sockets(sockets, operations),
        count=settings.workers,
        patience=settings.shutdown_timeout,
        reload=reload,
        announce=lambda: announce([each.getsockname()[:2] for each in sockets]),
        replaced=one_replaced,
    )
    try:
        return asyncio.run(supervisor.run())
    finally:
        _close((*sockets, *operations))


def _close(sockets: Iterable[socket.socket]) -> None:
    for each in sockets:
        each.close()


def _flags(session: Session) -> Iterator[tuple[str, ...]]:
    for name, value in session.flags.items():
        if value is not None:
            yield f"--{name.replace('_', '-')}", value
    if session.as_json:
        yield ("--json",)


def register(app: typer.Typer) -> None:
    """Put the command into the tree, its flags read off the settings."""
    options = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[
                str | None,
                typer.Option(
                    f"--{name.replace('_', '-')}",
                    metavar="VALUE",
                    help=(Settings.model_fields[name].description or "").replace("`", ""),
                ),
            ],
        )
        for name in names()
        if name not in SECRETS  # a secret on a command line can be read by every process
    ]
    serve.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined] # read by verb
    verb(app, "serve")(serve)


def _announce(session: Session, settings: Settings, page: Page) -> None:
    """To people as a page; where the log is for programs, as one line of it."""
    if _logs_alone(session, settings):
        log().info("server.listening", **page.members)
    else:
        session.emit(page)


def _stopped(session: Session, settings: Settings, code: int) -> Page:
    if code != 0:
        raise typer.Exit(code)  # the worker that could not start has said why
    if _logs_alone(session, settings):
        log().info("server.stopped")
        raise typer.Exit(0)
    page = Page({"stopped": True}, code)
    page.ok("stopped")
    return page


def _logs_alone(session: Session, settings: Settings) -> bool:
    return settings.log_format == "json" and not session.as_json


def _announcement(session: Session, settings: Settings, addresses: list[tuple[str, int]]) -> Page:
    """What stands where, printed once both listeners accept connections."""
    issuer = Issuer(settings.issuer, settings.mtls_base_url)
    metadata = f"{_origin(settings.issuer)}{issuer.well_known_paths[0]}"
    members: dict[str, Any] = {
        "issuer": settings.issuer,
        "metadata": metadata,
        "token_endpoint": issuer.url("/token"),
        "mtls_token_endpoint": issuer.mtls_url("/token"),
        "listening": [f"[{h}]:{p}" if ":" in h else f"{h}:{p}" for h, p in addresses],
        "database": shown_url(settings),
        "metrics": _metrics(settings),
    }
    page = Page(members)
    page.ok("listening on", " and ".join(members["listening"]))
    page.ok("issuer", settings.issuer, metadata=metadata)
    page.ok("token endpoint", members["token_endpoint"], mtls_alias=members["mtls_token_endpoint"])
    for name in ("port", "mtls_port", "issuer", "mtls_base_url"):
        if (value := session.flags.get(name)) is not None:
            page.fact(
                f"--{name.replace('_', '-')} {value}",
                "counts for this run alone",
                so_that_every_command_knows=f"{name} = … in certbound.toml",
            )
    if text := left_local(settings):
        page.warn("mtls_base_url", text)
    _trust(page, settings)
    page.ok("database", members["database"])
    if members["metrics"]:
        page.ok("metrics", members["metrics"])
    development = settings.home / "certs" / "ca.key"
    if development.exists():
        page.warn("DEV", "this home has a development CA: not for production")
    if (directory(settings) / f"{CLIENT_ID}.key").exists():
        page.command("ask for a token, in another terminal", *curl(settings))
    page.command("see what it decides", *session.certbound("audit", "tail", "--follow"))
    return page


def _metrics(settings: Settings) -> str | None:
    """Where to scrape; None: nowhere."""
    if settings.ops_port == 0:
        return None
    host = f"[{settings.ops_host}]" if ":" in settings.ops_host else settings.ops_host
    return f"http://{host}:{settings.ops_port}/metrics"


def _trust(page: Page, settings: Settings) -> None:
    with at_desk(settings) as desk:
        sets = trust.listed(desk)
    anchors = [anchor for one in sets for anchor in one.anchors if anchor.role == "anchor"]
    page.members["trust_anchors"] = len(anchors)
    if not anchors:
        page.warn("trust anchors", "none: only self-signed clients can authenticate")
        return
    first = min(anchor.not_after for anchor in anchors)
    value = f"{len(anchors)}, the first ends {clock.iso(first)}"
    (page.ok if first > clock.now() else page.bad)("trust anchors", value)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
