"""Our signing keys: sealed at rest, published before use, rotated by one conditional write."""
