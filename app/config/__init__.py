"""Every setting: name, type, default, meaning. The settings reference is generated from here."""

from app.config.layers import (
    ENVIRONMENT_PREFIX,
    FILE_NAME,
    ConfigError,
    Loaded,
    find_home,
    load,
)
from app.config.settings import SECRETS, Settings, names

__all__ = [
    "ENVIRONMENT_PREFIX",
    "FILE_NAME",
    "SECRETS",
    "ConfigError",
    "Loaded",
    "Settings",
    "find_home",
    "load",
    "names",
]
