"""Sender constraints: what ties a token to its holder. One row per confirmation method."""

from app.binding import mtls

BINDINGS = {mtls.CONFIRMATION: mtls}
