"""URLs among the settings: what the server could not serve or print verbatim is refused."""

from pathlib import Path

import pytest

from app import config
from app.config import ConfigError


@pytest.mark.parametrize(
    "issuer",
    [
        "http://as.example",
        "https://",
        "as.example",
        "https://as.example?x=1",
        "https://as.example?",
        "https://as.example#",
        "https://user@as.example",
        "https://as.example:port",
        "https://as.example:99999",
        "https://as.example/a b",
        "https://as.example/ä",
        "https://as.example/a\x7f",
        "https://as.example//",
        "https://as.example/a//b",
        "https://as.example/{tenant}",
        "https://as.example/%74enant",
        "https://as.example/a/../b",
        "https://as.example/./a",
        "https://as.example/a;b=1",
        "https://as.example/a\\b",
    ],
)
def test_an_issuer_that_cannot_be_served_is_refused(tmp_path: Path, issuer: str) -> None:
    """RFC 8414 section 2: https, no query, no fragment; and a path that has one spelling."""
    with pytest.raises(ConfigError, match="issuer"):
        config.load(tmp_path, flags={"issuer": issuer}, environ={})


@pytest.mark.parametrize(
    "url",
    [
        "https://x.example#a",
        "x.example",
        "https:",
        "urn:a b",
        "urn:\x7f",
        "https://me@x.example",
        "https://x.example:port",
    ],
)
def test_a_default_resource_is_an_absolute_uri(tmp_path: Path, url: str) -> None:
    """RFC 8707 section 2: absolute and without fragment, since it becomes `aud`."""
    with pytest.raises(ConfigError, match="default_resource"):
        config.load(tmp_path, flags={"default_resource": url}, environ={})


@pytest.mark.parametrize(
    "url", ["https://m.example/path", "http://m.example", "https://m.example?x"]
)
def test_the_mtls_base_is_an_origin(tmp_path: Path, url: str) -> None:
    """The issuer's path is added to it, so it has none of its own."""
    with pytest.raises(ConfigError, match="mtls_base_url"):
        config.load(tmp_path, flags={"mtls_base_url": url}, environ={})


@pytest.mark.parametrize("name", ["issuer", "mtls_base_url", "default_resource"])
@pytest.mark.parametrize(
    "password",
    [
        "geheim",
        "geh/eim",
        "geh:eim",
        "geh@eim",
        "\N{DEGREE CELSIUS}geheim",
        "\N{FULLWIDTH COLON}geheim",
    ],
)
def test_a_password_in_a_url_is_refused_and_not_repeated(
    tmp_path: Path, name: str, password: str
) -> None:
    """Nobody reads in a log what stands before the host; whose setting it is, and where, is said."""
    (tmp_path / config.FILE_NAME).write_text(f'{name} = "https://me:{password}@as.example"\n')
    with pytest.raises(
        ConfigError, match=rf"{name} = 'https://\(hidden\)@as.example' \(file\)"
    ) as e:
        config.load(tmp_path, environ={})
    assert "geh" not in str(e.value)
