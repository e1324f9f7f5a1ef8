"""The kit by itself: what a protected API loads, and what it does not."""

import subprocess
import sys

SERVER = (
    "sqlalchemy",
    "alembic",
    "structlog",
    "pydantic",
    "authlib",
    "typer",
    "uvicorn",
    "fastapi",
    "mcp",
    "pytest",
    "app.store",
    "app.config",
    "app.tokens",
    "app.endpoints",
)


def test_the_kit_loads_nothing_of_the_server() -> None:
    """In a fresh process the guard is there without database, settings or command line."""
    code = (
        "import sys; from app.resource import Guard, Verifier; "
        "Guard(None, Verifier('https://a.test', 'https://b.test')); print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    loaded = done.stdout.split()
    assert "app.resource.verifier" in loaded
    assert not [name for name in loaded if name.startswith(SERVER)]
