"""The only place that wires everything: settings in, an open house out."""

import ssl
from collections.abc import Awaitable, Callable, Mapping
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
from app.admin import seen
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
from app.tokens.genuine import OwnTokens
from app.tokens.published import Now, PublishedLists
from app.tokens.status import StatusLists
from app.traces import Traces
from app.upkeep import Upkeep, deliver
from app.web.errors import render

Endpoint = Callable[[Request], Awaitable[Response]]


def create_app(door: Door) -> ASGIApp:
    """The endpoints as one ASGI application."""
    places = [
        (route.path if route.at_root else door.issuer.path + route.path, route) for route in ROUTES
    ]
    places += [(path, WELL_KNOWN) for path in door.issuer.well_known_paths]
    app = Starlette(
        routes=[
            HttpRoute(path, endpoint(door, route), methods=list(route.methods))
            for path, route in places
        ],
        exception_handlers={HTTPException: _http_error},
    )
    app.router.redirect_slashes = False
    table = {
        (method, path): endpoint(door, route) for path, route in places for method in route.methods
    }
    return partial(_by_table, table, partial(_one_spelling, app))


async def _by_table(
    table: Mapping[tuple[str, str], Endpoint],
    otherwise: ASGIApp,
    scope: Scope,
    receive: Receive,
    send: Send,
) -> None:
    """A request for a row of the table goes straight there; the framework takes the rest.

    Its middleware and router find the same handler, 30 µs later.
    """
    if scope["type"] == "http" and b"%" not in scope["raw_path"]:
        handler = table.get((scope["method"], scope["path"]))
        if handler is not None:
            response = await handler(Request(scope, receive, send))
            await response(scope, receive, send)
            return
    await otherwise(scope, receive, send)


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


def open_house(
    settings: Settings, counts: Counts | None = None, traces: Traces | None = None
) -> House:
    """Open the database and everything that stands on it; raises as `_open_on`.

    Nothing stays open where that fails.
    """
    database = Database(settings.database_url)
    try:
        return _open_on(database, settings, counts or Counts(), traces)
    except BaseException:
        database.dispose()
        raise


def _open_on(
    database: Database, settings: Settings, counts: Counts, traces: Traces | None
) -> House:
    """Open the database and everything that stands on it.

    Raises:
        ConfigError: a file of CAs that the settings name cannot be used.
        SchemaMismatch: this release cannot use the database's schema; nothing was changed.
        Problem: it is an older copy of the database that this home has seen.
        StoreUnavailable: the database cannot be reached.
        SealingError: the signing keys cannot be unsealed.

    """
    for setting in ("trust_ca_file", "jwks_uri_ca_file"):
        _require_ca_file(setting, getattr(settings, setting))
    schema.ensure_served(database)
    seen.require_not_older(settings, database)
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
    journal: Journal[Registry, Decision] = Journal(
        database, snapshots, tell=counts.batch, traces=traces
    )
    lookups: Lookups[Registry] = Lookups(database, snapshots, traces=traces)
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
        traces=traces,
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
