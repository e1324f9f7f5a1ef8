"""What an operator wrote down about revocation for one trust set.

Guarantees that a policy means something: modes and failures are from the lists, ages are not
negative, URLs are given where they are needed. Knows no CRL and asks nobody. Errors: ValueError.
"""

from dataclasses import dataclass
from typing import Literal, get_args

Mode = Literal["off", "crl", "ocsp"]
Fail = Literal["hard", "soft"]

MAX_URLS = 16  # a hierarchy of five CAs has some ten partitions


@dataclass(frozen=True, slots=True)
class RevocationPolicy:
    """Whether and how the certificates of a path are asked about. Part of the trust set's identity."""

    mode: Mode = "off"
    fail: Fail = "hard"
    """What an unknown status means: hard refuses, soft lets in and notes it each time. A
    certificate known to be revoked is refused in either."""
    max_staleness: int = 0
    """Seconds since an answer was signed after which it does not count; 0: as long as it says."""
    urls: tuple[str, ...] = ()
    """Where CRLs are fetched from (any number), or the one OCSP responder that is asked."""

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            raise ValueError(f"revocation mode {self.mode!r}; one of {', '.join(get_args(Mode))}")
        if self.fail not in get_args(Fail):
            raise ValueError(f"revocation failure {self.fail!r}; hard or soft")
        if self.max_staleness < 0:
            raise ValueError("a maximum staleness is not negative")
        if self.mode == "ocsp" and len(self.urls) != 1:
            raise ValueError("revocation by OCSP needs the URL of one responder")
        if len(self.urls) > MAX_URLS:
            raise ValueError(f"at most {MAX_URLS} URLs per trust set")

    @property
    def identity(self) -> bytes:
        """What two policies share exactly when they are equal."""
        return repr((self.mode, self.fail, self.max_staleness, self.urls)).encode()


OFF = RevocationPolicy()
