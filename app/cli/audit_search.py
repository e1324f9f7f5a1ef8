"""``certbound audit search``: entries by what they concern."""

import re
from typing import Annotated

import typer

from app import clock
from app.admin.audit_search import search as search_trail
from app.admin.thumbprints import thumbprint_of
from app.audit import EVENTS
from app.cli.dates import duration, moment
from app.cli.desk import desk_of
from app.cli.entries import add_entry, members
from app.cli.meter import Meter
from app.cli.page import Page
from app.cli.session import Session
from app.cli.verb import verb
from app.errors import Reason as Reasons
from app.store.audit import Wanted

DECISIONS = ("issued", "refused", "accepted", "done")
_SERIAL = re.compile(r"[0-9A-Fa-f:]{1,80}")

Client = Annotated[str | None, typer.Option(metavar="ID", help="The client.", show_default=False)]
Thumbprint = Annotated[
    str | None,
    typer.Option(
        metavar="THUMBPRINT|FILE",
        help="The certificate, as x5t#S256, hex or its file.",
        show_default=False,
    ),
]
Serial = Annotated[
    str | None,
    typer.Option(
        metavar="HEX",
        help="The certificate's serial number. Reads every entry: bound it with --since.",
        show_default=False,
    ),
]
Jti = Annotated[str | None, typer.Option(metavar="JTI", help="The token.", show_default=False)]
Resource = Annotated[
    str | None, typer.Option(metavar="URL", help="The resource.", show_default=False)
]
Decision = Annotated[
    str | None,
    typer.Option(metavar="D", help="issued, refused, accepted or done.", show_default=False),
]
Reason = Annotated[
    str | None, typer.Option(metavar="R", help="Why it was refused.", show_default=False)
]
EventName = Annotated[
    str | None, typer.Option("--event", metavar="E", help="Its name.", show_default=False)
]
Since = Annotated[
    str | None,
    typer.Option(
        metavar="T", help="Not older than a time, or than a duration: 2h, 7d.", show_default=False
    ),
]
Until = Annotated[
    str | None,
    typer.Option(metavar="T", help="Older than a time or duration.", show_default=False),
]
Count = Annotated[
    int, typer.Option("--count", "-n", metavar="N", min=1, max=10_000, help="At most so many.")
]


def register(commands: typer.Typer) -> None:
    """Put the command into the noun."""
    verb(commands, "search")(search)


def search(
    session: Session,
    *,
    client: Client = None,
    thumbprint: Thumbprint = None,
    serial: Serial = None,
    jti: Jti = None,
    resource: Resource = None,
    decision: Decision = None,
    reason: Reason = None,
    event: EventName = None,
    since: Since = None,
    until: Until = None,
    count: Count = 100,
) -> Page:
    """Show the last entries that match everything given, oldest first."""
    wanted = Wanted(
        client_id=client,
        thumbprint=thumbprint_of(thumbprint) if thumbprint is not None else None,
        jti=jti,
        resource=resource,
        decision=_one_of(decision, DECISIONS, "--decision"),
        reason=_one_of(reason, tuple(Reasons), "--reason"),
        event=_one_of(event, tuple(EVENTS), "--event"),
        since_ms=when(since, "--since"),
        until_ms=when(until, "--until"),
    )
    meter = Meter("entries")
    with desk_of(session) as desk:
        found = search_trail(
            desk,
            wanted,
            count,
            serial=_serial(serial),
            progress=lambda seen: meter.show(seen, None),
        )
    meter.clear()
    page = Page({"entries": [members(row) for row in found.rows], "more": found.more})
    for row in found.rows:
        add_entry(page, row)
    if not found.rows:
        page.fact("no entries match")
    if found.more:
        page.warn("older ones match too", f"{_last(count)} shown; --count shows more")
    return page


def when(text: str | None, option: str) -> int | None:
    """Milliseconds since the epoch of a time, or of so long ago.

    Raises:
        typer.BadParameter: it is neither.

    """
    if text is None:
        return None
    if re.fullmatch(r"(?:[0-9]+[wdhms])+", text):
        return (clock.now() - duration(text, option)) * 1000
    try:
        return moment(text, option) * 1000
    except typer.BadParameter as error:
        raise typer.BadParameter(
            f"{error.message}, or how long ago, such as 2h, 7d or 1w", param_hint=option
        ) from error


def _one_of(value: str | None, known: tuple[str, ...], option: str) -> str | None:
    if value is None or value in known:
        return value
    near = [each for each in known if value.replace("_", "") in each.replace("_", "")]
    raise typer.BadParameter(f"is one of {', '.join(near or known)}", param_hint=option)


def _serial(text: str | None) -> str | None:
    """As the audit spells it: hexadecimal without colons and without zero octets in front."""
    if text is None:
        return None
    digits = text.replace(":", "").lower()
    if _SERIAL.fullmatch(text) is None or not digits:
        raise typer.BadParameter("must be hexadecimal, colons or not", param_hint="--serial")
    octets = bytes.fromhex(digits.zfill(len(digits) + len(digits) % 2))
    return octets.lstrip(b"\0").hex()


def _last(count: int) -> str:
    return "the last one is" if count == 1 else f"the last {count} are"
