"""A root with a new key keeps its name: while both are pinned, what either signed is accepted."""

from itertools import permutations

import pytest

from app.errors import Examination, Reason, Refused
from app.pki import check
from app.pki.anchors import TrustSet
from tests.kit import ca
from tests.kit.ca import Authority, name
from tests.kit.stopwatch import cheapest
from tests.kit.world import World
from tests.pki.judging import peer

_WORLD = World()
_NAME = name(("CN", "Rekeyed Root"))
SKI = "2.5.29.14"


def generation(number: int, kind: str = "P-256", *, identified: bool = True) -> Authority:
    """The root with its key of that year, with or without a subject key identifier."""
    key = ca.key(kind, f"rekeyed {number}")
    draft = ca.ca_draft(_NAME, key, _WORLD.now)
    draft = draft if identified else draft.without(SKI)
    return Authority(_NAME, key, ca.sign(draft, _NAME, key))


def ask(chain: tuple[bytes, ...], *anchors: Authority) -> str | None:
    """The subject that these anchors vouch for. Raises Refused."""
    pinned = tuple(each.certificate for each in anchors)
    trust_set = TrustSet("rekeyed", (*pinned, _WORLD.rsa_root.certificate))
    return check.by_path(Examination(), peer(*chain), [trust_set], _WORLD.now).trust_set


def signed(authority: Authority, *, identified: bool, through: bool) -> tuple[bytes, ...]:
    """A leaf below the root, directly or not, with or without authority key identifiers."""
    if not through:
        draft = _WORLD.draft()
        return (
            authority.sign(draft)
            if identified
            else ca.sign(draft, authority.subject, authority.key),
        )
    subject, key = name(("CN", "Between")), ca.key(label="between")
    draft = ca.ca_draft(subject, key, _WORLD.now)
    certificate = (
        authority.sign(draft) if identified else ca.sign(draft, authority.subject, authority.key)
    )
    return (Authority(subject, key, certificate).sign(_WORLD.draft()), certificate)


@pytest.mark.parametrize("through", [False, True], ids=["root", "intermediate"])
@pytest.mark.parametrize("identified", [False, True], ids=["without AKI", "with AKI"])
@pytest.mark.parametrize("roots_identified", [False, True], ids=["without SKI", "with SKI"])
@pytest.mark.parametrize(
    "kinds", [("P-256", "P-256"), ("RSA-2048", "RSA-2048"), ("RSA-2048", "P-256")]
)
def test_either_key_vouches_in_either_order(
    kinds: tuple[str, str],
    roots_identified: bool,  # noqa: FBT001 - a parameter of the test
    identified: bool,  # noqa: FBT001 - a parameter of the test
    through: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """Key identifiers are hints: their absence must not make the order of a file count."""
    roots = [generation(n, kind, identified=roots_identified) for n, kind in enumerate(kinds)]
    for signer in roots:
        chain = signed(signer, identified=identified, through=through)
        for order in permutations(roots):
            assert ask(chain, *order) == "rekeyed"


def test_no_key_of_that_name_is_still_a_refusal() -> None:
    """A third one that took the name is nobody, and being told so stays cheap."""
    forger = Authority(_NAME, ca.key(label="rekeyed forger"), b"")
    chain = signed(forger, identified=False, through=False)
    anchors = [generation(number) for number in range(20)]

    def login() -> None:
        with pytest.raises(Refused) as caught:
            ask(chain, *anchors)
        assert caught.value.finding.reason is Reason.CHAIN_INVALID

    login()  # parses the trust set
    assert cheapest(login) < 0.003


def test_what_a_namesake_may_not_sign_stays_refused() -> None:
    """The other key is asked as strictly as the first: an expired one vouches for nothing."""
    old, new = generation(0), generation(1)
    ended = ca.ca_draft(_NAME, old.key, _WORLD.now).with_(not_after=_WORLD.now - 60)
    gone = Authority(_NAME, old.key, ca.sign(ended, _NAME, old.key))
    chain = signed(old, identified=False, through=False)
    for order in permutations((gone, new)):
        with pytest.raises(Refused):
            ask(chain, *order)
