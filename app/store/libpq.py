"""A database's URL as PostgreSQL's own programs take it.

Guarantees that no password is in it: a command line can be read by every process. Where one is
needed, libpq finds it itself, in ``~/.pgpass`` or in the file that ``passfile`` names.
"""

from sqlalchemy import URL


def without_password(url: URL) -> str:
    """The same database; what only certbound understands is left out, too."""
    ours = [name for name in url.query if name == "password" or name.startswith("certbound_")]
    return URL.create(
        "postgresql",
        username=url.username,
        host=url.host,
        port=url.port,
        database=url.database,
        query=url.difference_update_query(ours).query,
    ).render_as_string(hide_password=False)
