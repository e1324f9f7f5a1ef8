"""How fast certbound is, on this machine, and beside what: ``scripts/bench`` and its README."""
