"""The whole table of hostile certificates, each named after its failure class."""

from tests.kit import (
    hostile_bulk,
    hostile_leaves,
    hostile_names,
    hostile_paths,
    hostile_self_signed,
)
from tests.kit.world import Hostile, World

__all__ = ["Hostile", "World", "hostile_cases"]


def hostile_cases(world: World) -> list[Hostile]:
    """Every attempt against the clients of `world`."""
    rooms = (hostile_paths, hostile_leaves, hostile_names, hostile_bulk, hostile_self_signed)
    return [case for room in rooms for case in room.cases(world)]
