"""How often one client, or one address, may come.

Guarantees that nobody is refused for what a neighbour does: a client's bucket is touched after it
has authenticated, and an address that is refused too often gets 429 in place of its refusals only.
"""

from dataclasses import dataclass, field
from functools import partial

from app.errors import Finding, OAuthError, RateLimited, Reason
from app.rates import Rates


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """How often one client, or one address, may come: in each process."""

    clients: Rates = field(default_factory=partial(Rates, 0))
    """By client_id: requests of authenticated clients."""
    addresses: Rates = field(default_factory=partial(Rates, 0))
    """By address: requests refused before a client was authenticated."""
    hints: Rates = field(default_factory=partial(Rates, 1))
    """By client_id: log lines that its requests cause and that say the same again and again."""

    def too_often(self, source: str, error: OAuthError) -> OAuthError:
        """The refusal of a stranger: `error`, or that the address had too many of them."""
        if self.addresses.take(source):
            return error
        return RateLimited(
            Finding(
                "rate",
                f"many refused requests from one address; this one would be {error.error}",
                f"at most {self.addresses.per_second} a second (rate_per_address)",
                "Correct what sends them. certbound audit tail shows the ones before.",
                Reason.RATE_LIMITED,
            )
        )
