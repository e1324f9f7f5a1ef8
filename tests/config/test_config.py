"""Settings: precedence, refusal of the unknown, and values that would be unsafe."""

from pathlib import Path

import pytest

from app import config
from app.config import ConfigError


def test_a_flag_beats_the_environment_beats_the_file_beats_the_default(tmp_path: Path) -> None:
    """The order of contract section 2, with the origin of each value."""
    (tmp_path / "certbound.toml").write_text('port = 1001\nmtls_port = 1002\nhost = "127.0.0.2"\n')
    loaded = config.load(
        tmp_path,
        {"port": 3001, "host": None},
        {"CERTBOUND_PORT": "2001", "CERTBOUND_MTLS_PORT": "2002"},
    )
    settings, origins = loaded.settings, loaded.origins
    assert (settings.port, settings.mtls_port, settings.host) == (3001, 2002, "127.0.0.2")
    assert settings.access_token_lifetime == 300
    assert (origins["port"], origins["mtls_port"]) == ("flag", "environment")
    assert (origins["host"], origins["access_token_lifetime"]) == ("file", "default")


def test_urls_follow_the_ports_unless_they_are_set(tmp_path: Path) -> None:
    """A newcomer who moves a port gets an issuer and aliases that work."""
    settings = config.load(tmp_path, {"port": 1, "mtls_port": 2}, {}).settings
    assert settings.issuer == "https://localhost:1"
    assert settings.mtls_base_url == "https://localhost:2"
    assert settings.database_url == f"sqlite:///{tmp_path}/certbound.db"


def test_an_issuer_is_kept_verbatim(tmp_path: Path) -> None:
    """Clients compare the issuer character by character, so nothing is normalised."""
    for issuer in ("https://Auth.Example.com:443/", "https://auth.example.com/tenant"):
        assert config.load(tmp_path, {"issuer": issuer}, {}).settings.issuer == issuer


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("prot = 1", "port"),
        ("mtls_prot = 1", "mtls_port"),
        ('isuer = "https://x"', "issuer"),
        ("[server]\nport = 1", "certbound.toml"),
    ],
)
def test_an_unknown_name_in_the_file_is_refused_with_the_nearest(
    tmp_path: Path, content: str, named: str
) -> None:
    """A misspelt setting must never be ignored in silence."""
    (tmp_path / "certbound.toml").write_text(content)
    with pytest.raises(ConfigError, match=named):
        config.load(tmp_path, {}, {})


def test_an_unknown_environment_variable_is_refused_with_the_nearest(tmp_path: Path) -> None:
    """CERTBOUND_ISUER does not quietly leave the default issuer in place."""
    with pytest.raises(ConfigError, match="CERTBOUND_ISSUER"):
        config.load(tmp_path, {}, {"CERTBOUND_ISUER": "https://x"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("issuer", "http://localhost"),
        ("issuer", "https://user@host"),
        ("issuer", "https://host?x"),
        ("issuer", "https://host#"),
        ("issuer", "https://"),
        ("issuer", "https://host:port"),
        ("issuer", "https://host/a//b"),
        ("issuer", "https://host\n"),
        ("mtls_base_url", "https://host/path"),
        ("default_resource", "relative"),
        ("default_resource", "https://x#frag"),
        ("port", "70000"),
        ("access_token_lifetime", "0"),
        ("access_token_lifetime", "forever"),
        ("signing_algorithm", "none"),
        ("signing_algorithm", "HS256"),
        ("workers", "0"),
        ("workers", "65"),
        ("idle_timeout", "0"),
    ],
)
def test_values_that_cannot_work_are_refused_by_name(tmp_path: Path, name: str, value: str) -> None:
    """The message names the setting, so that its owner knows where to look."""
    with pytest.raises(ConfigError, match=f"^{name} = "):
        config.load(tmp_path, {}, {f"CERTBOUND_{name.upper()}": value})


def test_a_secret_never_stands_in_an_error(tmp_path: Path) -> None:
    """A bad sealing key is reported without its value."""
    with pytest.raises(ConfigError) as refused:
        config.load(tmp_path, {"sealing_key": ["hunter2"]}, {})
    assert "hunter2" not in str(refused.value)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    """Not TOML: the path and the place are in the message."""
    (tmp_path / "certbound.toml").write_text("port = = 1")
    with pytest.raises(ConfigError, match=r"certbound\.toml"):
        config.load(tmp_path, {}, {})


def test_every_setting_is_described() -> None:
    """The reference is generated from these descriptions."""
    for name in config.names():
        assert config.Settings.model_fields[name].description, name


def test_a_relative_path_in_the_file_starts_at_the_file(tmp_path: Path) -> None:
    """Under a service manager the current directory is nobody's choice."""
    (tmp_path / "certbound.toml").write_text('tls_key_file = "tls/server.key"\n')
    settings = config.load(tmp_path, {"tls_certificate_file": "here.crt"}, {}).settings
    assert settings.tls_key_file == tmp_path / "tls" / "server.key"
    assert settings.tls_certificate_file == Path("here.crt")
