"""The stage these tests play on."""

from tests.kit.stages import opened, stage, standing

__all__ = ["opened", "stage", "standing"]
