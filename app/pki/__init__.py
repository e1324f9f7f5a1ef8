"""Certificates: what they say, whether a path or a registration vouches for them, whose name they bear."""
