"""The stage these tests play on."""

from tests.kit.stages import stage

__all__ = ["stage"]
