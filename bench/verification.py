"""What the resource kit costs per request, in processor time of one thread, with warm keys.

Run it from the repository: ``python -m bench.verification``. Each row is the median of rounds; the
machine's noise shows as the range between the first and the last tenth. The token is bound
and on a status list, as certbound issues it.
"""

import statistics
import time
from collections.abc import Callable, Sequence

from app.resource import Presented, Rejected, Sent, Verifier
from app.resource.decision import Decision
from app.resource.testing import Issuer
from app.resource.tokens import SignedTokens

ROUNDS = 400
TARGET_US = 150.0
"""Microseconds that a request with a token seen for the first time may cost."""


def _quiet(_decision: Decision) -> None:
    """Tells nobody."""


def _microseconds(act: Callable[[], object]) -> list[float]:
    costs = []
    for _ in range(ROUNDS):
        started = time.thread_time_ns()
        act()
        costs.append((time.thread_time_ns() - started) / 1000)
    return sorted(costs)


def _forget(verifier: Verifier) -> None:
    tokens = verifier._tokens  # noqa: SLF001  # nobody else wants a verifier that forgets
    if isinstance(tokens, SignedTokens):
        tokens._remembered.clear()  # noqa: SLF001  # as above


def measured(algorithms: Sequence[str]) -> list[tuple[str, list[float]]]:
    """What is verified, and microseconds of each round, sorted."""
    rows = []
    for algorithm in algorithms:
        issuer = Issuer(algorithm=algorithm)
        verifier = issuer.verifier(on_decision=_quiet, algorithm=algorithm)
        holder = issuer.certificate()
        token = issuer.token(holder, scope="files:read")
        sent = Sent((f"Bearer {token}".encode(),))
        presented = Presented.of(holder.der)
        other = Presented.of(issuer.certificate("thief").der)

        def accepted(
            verifier: Verifier = verifier, sent: Sent = sent, presented: Presented = presented
        ) -> None:
            verifier.verify(sent, presented, ("files:read",))

        def first(verifier: Verifier = verifier, accept: Callable[[], None] = accepted) -> None:
            _forget(verifier)
            accept()

        def refused(
            verifier: Verifier = verifier, sent: Sent = sent, presented: Presented = other
        ) -> None:
            try:
                verifier.verify(sent, presented, ("files:read",))
            except Rejected:
                return

        accepted()  # fetches keys and list
        rows.append((f"{algorithm}, token seen for the first time", _microseconds(first)))
        rows.append((f"{algorithm}, token seen before", _microseconds(accepted)))
        rows.append((f"{algorithm}, somebody else's certificate", _microseconds(refused)))
    return rows


def main() -> None:
    """Print the table."""
    print(f"{'per request, µs of processor time':48} {'median':>8} {'10 %':>8} {'90 %':>8}")
    for name, costs in measured(("ES256", "EdDSA", "PS256", "RS256")):
        low, high = costs[ROUNDS // 10], costs[-ROUNDS // 10]
        print(f"{name:48} {statistics.median(costs):8.1f} {low:8.1f} {high:8.1f}")
    print(f"target: under {TARGET_US:g} with ES256, whether or not the token was seen before")


if __name__ == "__main__":
    main()
