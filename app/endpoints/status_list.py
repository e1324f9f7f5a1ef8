"""Status lists: which tokens are revoked, for resources that ask nobody about each (GET, public).

Guarantees that the list given is of this moment: a token whose revocation returned is set in it,
whichever process answers. Nobody has to say who asks, so nothing here is written down, and a
stranger's flood costs the database one transaction at a time. Specification and version:
`app.tokens.status_document`.
"""

import re

from starlette.requests import Request
from starlette.responses import Response

from app import clock
from app.endpoints.door import Door
from app.errors import NotAcceptable, NotFound, NotSupported
from app.tokens.status_document import MEDIA_TYPE
from app.web.accept import accepts
from app.web.errors import render
from app.web.respond import Document

LIST_ID = re.compile(r"[A-Za-z0-9_-]{16}")


async def status_list(door: Door, request: Request) -> Response:
    """The list of this id as a Status List Token (Token Status List, section 8)."""
    list_id = request.path_params["list_id"]
    if LIST_ID.fullmatch(list_id) is None:
        return render(NotFound())
    if "time" in request.query_params:  # section 8.4: the past is not kept
        return render(NotSupported())
    if not accepts(request.headers.getlist("accept"), MEDIA_TYPE):
        return render(NotAcceptable())
    document = await door.published_lists.fetch(list_id)
    if document is None:
        return render(NotFound())
    return Document.of(
        document.body,
        etag=document.etag,
        max_age=max(document.ends_at - clock.now(), 0),
        media_type=MEDIA_TYPE,
    ).answer(request.headers.get("if-none-match"))
