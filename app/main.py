"""The only place that wires everything: settings in, a serving process out."""

import asyncio
import ssl
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as HttpRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from app import clock
from app.clients import deny_list
from app.clients.bundles import Bundles
from app.clients.key_holders import KeyHolders
from app.clients.registry import Registry
from app.config import ConfigError, Settings
from app.counts import Counts
from app.endpoints import ROUTES, WELL_KNOWN
from app.endpoints.door import Decision, Door, Lifecycle, endpoint
from app.endpoints.gathering import Refusals
from app.endpoints.often import RequestLimits
from app.errors import MethodNotAllowed, NotFound
from app.grants.request import Policy
from app.issuers import Issuer
from app.jose.document import RemoteDocuments
from app.jose.fetch import RemoteKeys
from app.keys import rotate
from app.keys.ring import KeyRing
from app.keys.seal import SealingKey
from app.keys.sign_off import SignOff
from app.ops import listener as ops_listener
from app.ops.face import Face
from app.ops.figures import LastFigures
from app.pki.crl_fetch import CrlFetcher
from app.pki.crl_store import Revocation
from app.pki.ocsp_cache import OcspCache
from app.rates import Rates
from app.store import crls, schema
from app.store.engine import Database
from app.store.journal import Journal
from app.store.lookup import Lookups
from app.store.ocsp import OcspMemory
from app.store.registry import RegistryRows, Snapshots
from app.telemetry import configure, log
from app.tls import listener
from app.tls.limits import Limits
from app.tokens.genuine import OwnTokens
from app.tokens.published import Now, PublishedLists
from app.tokens.status import StatusLists
from app.upkeep import Upkeep, deliver
from app.web.errors import render


def create_app(door: Door) -> ASGIApp:
    """The endpoints as one ASGI application."""
    prefix = door.issuer.path
    routes = [
        HttpRoute(
            route.path if route.at_root else prefix + route.path,
            endpoint(door, route),
            methods=list(route.methods),
        )
        for route in ROUTES
    ]
    routes += [
        HttpRoute(path, endpoint(door, WELL_KNOWN), methods=list(WELL_KNOWN.methods))
        for path in door.issuer.well_known_paths
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _http_error})
    app.router.redirect_slashes = False
    return partial(_one_spelling, app)


async def _http_error(_request: Request, error: Exception) -> Response:
    """JSON for what the router refuses: no such path, or not with this method."""
    if isinstance(error, HTTPException) and error.status_code == 405:  # noqa: PLR2004 - its name
        response = render(MethodNotAllowed())
        response.headers.update(error.headers or {})
        return response
    return render(NotFound())


async def _one_spelling(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """A path has one spelling: ``/%74oken`` is not ``/token``, whatever decoding makes of it."""
    if scope["type"] == "http" and b"%" in scope["raw_path"]:
        await render(NotFound())(scope, receive, send)
        return
    await app(scope, receive, send)


@dataclass(frozen=True, slots=True)
class House:
    """An open server without its listeners: what `serve` runs and tests drive directly."""

    door: Door
    app: ASGIApp
    database: Database
    upkeep: Upkeep


def open_house(settings: Settings) -> House:
    """Open the database and everything that stands on it.

    Raises:
        ConfigError: a file of CAs that the settings name cannot be used.
        SchemaMismatch: the database is not at this version's schema; nothing was changed.
        StoreUnavailable: the database cannot be reached.
        SealingError: the signing keys cannot be unsealed.

    """
    for setting in ("trust_ca_file", "jwks_uri_ca_file"):
        _require_ca_file(setting, getattr(settings, setting))
    database = Database(settings.database_url)
    schema.ensure_current(database)
    sealing_key = SealingKey.load(settings)
    rotate.ensure_keys(
        database, sealing_key, settings.signing_algorithm, clock.now(), actor="server"
    )
    documents = RemoteDocuments(
        allow_private=settings.trust_allow_private, ca_file=settings.trust_ca_file
    )
    ocsp = OcspCache.over(documents, OcspMemory(database))
    revocation = Revocation(partial(_crl_der, database), ocsp)
    snapshots = Snapshots(database, partial(_registry, sealing_key, revocation, ocsp))
    counts = Counts()
    journal: Journal[Registry, Decision] = Journal(database, snapshots, tell=counts.batch)
    lookups: Lookups[Registry] = Lookups(database, snapshots)
    counts.waiting.labels("journal").set_function(lambda: journal.depth)
    counts.waiting.labels("look-ups").set_function(lambda: lookups.depth)
    issuer = Issuer(settings.issuer, settings.mtls_base_url)

    def list_url(list_id: str) -> str:
        return issuer.url(f"/status-lists/{list_id}")

    door = Door(
        issuer=issuer,
        policy=Policy(
            settings.access_token_lifetime,
            settings.default_resource,
            settings.boundary_policy,
            settings.status_list_ttl,
        ),
        snapshots=snapshots,
        status_lists=StatusLists(list_url, settings.access_token_lifetime),
        published_lists=PublishedLists(
            database,
            issuer=issuer.identifier,
            url=list_url,
            ttl=settings.status_list_ttl,
            now=lambda: Now(clock.now(), snapshots.current.keys.current),
            tell=counts.list_signed,
        ),
        journal=journal,
        lookups=lookups,
        own_tokens=OwnTokens(issuer.identifier),
        remote_keys=RemoteKeys(
            allow_private=settings.jwks_uri_allow_private, ca_file=settings.jwks_uri_ca_file
        ),
        key_holders=KeyHolders(database),
        revocation=revocation,
        ocsp=ocsp,
        routes=ROUTES,
        lifecycle=Lifecycle(),
        refusals=Refusals(counts=counts),
        counts=counts,
        limits=RequestLimits(Rates(settings.rate_per_client), Rates(settings.rate_per_address)),
    )
    upkeep = Upkeep(
        door,
        database,
        settings,
        sealing_key,
        Bundles(database, door.bundle_rows, documents),
        CrlFetcher.over(documents, revocation, partial(deliver, database)),
        SignOff(database, sealing_key, settings.issuer, "server"),
    )
    return House(door, create_app(door), database, upkeep)


def _require_ca_file(setting: str, path: Path | None) -> None:
    """Nothing would be fetched with a file that cannot be used: that is told at the start."""
    if path is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError as error:  # OpenSSL's errors are among them
        problem = error.strerror or str(error)
        raise ConfigError(f"{setting} = {str(path)!r}: {problem}") from error


def _crl_der(database: Database, digest: str) -> bytes | None:
    with database.read() as conn:
        return crls.crl_der(conn, digest)


def _registry(
    sealing_key: SealingKey, revocation: Revocation, ocsp: OcspCache, rows: RegistryRows
) -> Registry:
    registry = Registry(rows, KeyRing.from_rows(rows.signing_keys, sealing_key))
    ocsp.bar(registry.version, partial(deny_list.names, registry.denied))
    revocation.follow(registry.version, registry.asked_about("crl"), rows.crls)
    return registry


CRL_LOADING = 60.0
"""Seconds that a start waits at most for CRLs: 50 MB take two."""

Announce = Callable[[list[tuple[str, int]]], None]
"""Gets the bound addresses, host and port."""


def serve(settings: Settings, announce: Announce = lambda _: None) -> int:
    """Serve until SIGTERM or SIGINT; 0 after a graceful stop.

    `announce` is called once, when both listeners accept connections. Raises what `open_house`
    raises, and OSError, CannotListen or CertificateFileError where a listener cannot be opened.
    """
    configure(settings.log_format, settings.log_level)
    house = open_house(settings)
    with asyncio.Runner(loop_factory=listener.loop_factory(settings.event_loop)) as runner:
        runner.run(_serve(house, settings, announce))
    return 0


async def _serve(house: House, settings: Settings, announce: Announce) -> None:
    door = house.door
    face = Face(door, LastFigures(house.database))

    def started(addresses: list[tuple[str, int]]) -> None:
        door.lifecycle.ready = True
        announce(addresses)

    def stopping() -> None:
        door.lifecycle.ready = False
        log().info("server.stopping")

    async with AsyncExitStack() as stack:
        stack.callback(house.database.dispose)
        stack.push_async_callback(face.figures.close)
        await stack.enter_async_context(
            ops_listener.listening(face.app(), settings.ops_host, settings.ops_port)
        )
        stack.callback(house.upkeep.sign_off_last)
        door.journal.start()
        stack.callback(door.journal.close, settings.shutdown_timeout)
        door.lookups.start()
        stack.callback(door.lookups.close, settings.shutdown_timeout)
        stack.push_async_callback(door.remote_keys.close)
        stack.push_async_callback(house.upkeep.close)
        # A large CRL takes seconds to parse; until then a hard policy would refuse everybody.
        await asyncio.to_thread(door.revocation.wait, CRL_LOADING)
        for work in house.upkeep.works():
            task = asyncio.ensure_future(work)
            stack.push_async_callback(_cancelled, task)
        await listener.serve(
            house.app,
            host=settings.host,
            ports=(settings.port, settings.mtls_port),
            certificate_file=settings.tls_certificate_file,
            key_file=settings.tls_key_file,
            limits=_limits(settings),
            on_started=started,
            on_stopping=stopping,
            on_certificate=face.hear_certificate,
            counts=door.counts,
        )


def _limits(settings: Settings) -> Limits:
    return Limits(
        handshake=settings.handshake_timeout,
        headers=settings.header_timeout,
        body=settings.body_timeout,
        idle=settings.idle_timeout,
        shutdown=settings.shutdown_timeout,
        max_connections=settings.max_connections,
        max_connections_per_address=settings.max_connections_per_address,
        handshakes_per_address=settings.handshakes_per_address,
    )


async def _cancelled(task: "asyncio.Future[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
