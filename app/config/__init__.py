"""Every setting: name, type, default, meaning. The settings reference is generated from here."""

from app.config.layers import ConfigError, Loaded, find_home, load
from app.config.settings import SECRETS, Settings, names

__all__ = ["SECRETS", "ConfigError", "Loaded", "Settings", "find_home", "load", "names"]
