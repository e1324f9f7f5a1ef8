"""What tests measured, told as it comes (with ``-s``) and once more, together, at the end."""

told: list[tuple[str, str]] = []
"""What it is of, and the figures; of this test process."""


def tell(of: str, what: str) -> None:
    """Keep it for the table, and say it now."""
    told.append((of, what))
    print(f"{of}: {what}", flush=True)  # noqa: T201 - for the record
