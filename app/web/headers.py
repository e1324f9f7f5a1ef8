"""Headers of a request, read as they are wanted: most requests are asked for one or two."""

from starlette.requests import Request


def values(request: Request, name: bytes) -> list[str]:
    """The value of each header line of this name, which is in lower case."""
    return [value.decode("latin-1") for key, value in request.scope["headers"] if key == name]


def first(request: Request, name: bytes) -> str | None:
    """The value of the first of them, or None."""
    found = values(request, name)
    return found[0] if found else None
