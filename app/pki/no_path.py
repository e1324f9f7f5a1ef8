"""Why there is no path, in words an operator can act on: from two libraries' answers to one reason."""

from collections.abc import Sequence

from cryptography.x509.verification import VerificationError
from OpenSSL import crypto

from app.errors import Finding, Reason
from app.pki.anchors import Material
from app.pki.leaf import Leaf

# Error numbers of openssl/x509_vfy.h; what is not listed is chain_invalid.
_REASONS = {
    9: Reason.NOT_YET_VALID,
    10: Reason.EXPIRED,
    47: Reason.NAME_CONSTRAINT,  # permitted subtree violation
    48: Reason.NAME_CONSTRAINT,  # excluded subtree violation
    49: Reason.NAME_CONSTRAINT,  # minimum or maximum in a subtree
    51: Reason.NAME_CONSTRAINT,  # constraint on a type of name that cannot be judged
    52: Reason.NAME_CONSTRAINT,  # constraint in a syntax that cannot be judged
    53: Reason.NAME_CONSTRAINT,  # name in a syntax that cannot be judged
    66: Reason.WEAK_KEY,
    67: Reason.WEAK_KEY,
    68: Reason.WEAK_SIGNATURE,
}
# The path ended before an anchor: 2 and 20 no issuer found, 18 self-signed leaf, 19 self-signed
# but not pinned root, 21 one certificate alone, 27 an end that is not trusted.
_ENDED_EARLY = frozenset({2, 18, 19, 20, 21, 27})

_ACTIONS = {
    Reason.EXPIRED: "renew the expired certificate of the chain",
    Reason.NOT_YET_VALID: "check the clocks of the issuing CA and of this server",
    Reason.NAME_CONSTRAINT: "have the certificate issued with names that its CA may certify",
    Reason.WEAK_KEY: "replace the CA's key",
    Reason.WEAK_SIGNATURE: "have the certificate reissued with a SHA-2 signature",
    Reason.CERTIFICATE_MALFORMED: "have the certificate reissued",
    Reason.CHAIN_INVALID: "have the certificate, or the CA that it names, reissued",
}
_PIN = (
    "send the intermediate with the certificate, or pin its issuer, only if you trust it: "
    "certbound trust add NAME CA_FILE"
)

_SELF_SIGNED = (
    "present one that a CA issued, or register this very one, "
    "only if you know this certificate is the client's: certbound client remove ID && "
    "certbound client add ID --method self_signed_tls_client_auth --cert FILE"
)


class NoPath(Exception):
    """No path to an anchor of one trust set, and why."""

    def __init__(self, reason: Reason, seen: str, expected: str = "", action: str = "") -> None:
        super().__init__(reason, seen)
        self.reason = reason
        self.seen = seen
        self.expected = expected
        self.action = action or _ACTIONS.get(reason, "")

    def finding(self) -> Finding:
        """The same for an examination."""
        return Finding("chain", self.seen, self.expected, self.action, self.reason)


def from_openssl(
    problem: crypto.X509StoreContextError,
    leaf: Leaf,
    presented: Sequence[Leaf],
    material: Material,
) -> NoPath:
    """OpenSSL's refusal. `problem.errors` is error number, depth from the leaf, message."""
    number, depth, message = problem.errors
    if number in _ENDED_EARLY:
        return _ended_early(leaf, presented, material)
    reason = _REASONS.get(number, Reason.CHAIN_INVALID)
    where = "the client's certificate" if depth == 0 else f"the CA certificate {depth} above it"
    return NoPath(reason, f"{message} ({where})")


def from_verifier(problem: VerificationError) -> NoPath:
    """Cryptography's refusal of a path that OpenSSL accepted. Its text is for people only."""
    text = str(problem).partition(" (encountered processing")[0]
    constrained = "name constraint" in text or "NameConstraint" in text
    return NoPath(Reason.NAME_CONSTRAINT if constrained else Reason.CHAIN_INVALID, text)


def _ended_early(leaf: Leaf, presented: Sequence[Leaf], material: Material) -> NoPath:
    """Follows issuers by name, as a person would, to say where the path was lost."""
    anchors = ", ".join(each.facts.subject for each in material.anchors[:5])
    if leaf.facts.self_issued:
        seen = "a self-signed certificate that is no anchor"
        return NoPath(Reason.ISSUER_UNKNOWN, seen, f"a path to {anchors}", _SELF_SIGNED)
    pinned = {each.subject for each in material.anchors}
    pool: dict[bytes, list[Leaf]] = {}
    for each in (*presented, *material.intermediates):
        pool.setdefault(each.subject, []).append(each)
    lost: dict[bytes, str] = {}
    open_names, followed = {leaf.issuer: leaf.facts.issuer}, set[bytes]()
    while open_names:
        name, text = open_names.popitem()
        if name in pinned:
            seen = f"names lead to the anchor {text}, signatures or key identifiers do not"
            return NoPath(Reason.CHAIN_INVALID, seen, f"a path to {anchors}")
        followed.add(name)
        if name not in pool:
            lost[name] = text
        for issuer in pool.get(name, ()):
            if issuer.issuer not in followed:
                open_names[issuer.issuer] = issuer.facts.issuer
    if lost and leaf.issuer not in lost:
        seen = f"the issuer {next(iter(lost.values()))} is missing"
        return NoPath(Reason.CHAIN_INCOMPLETE, seen, f"a path to {anchors}", _PIN)
    seen = f"issuer {leaf.facts.issuer} leads to no anchor"
    return NoPath(Reason.ISSUER_UNKNOWN, seen, f"a path to {anchors}", _PIN)
