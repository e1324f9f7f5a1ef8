"""Places on status lists: given once, spread, and never on a list that ends too soon."""

import itertools

from app.jose.jwt import MOST_LEEWAY
from app.tokens.status import OPEN_FOR, SIZE, StatusLists

NOW = 1_800_000_000
LIFE = 300


def lists() -> StatusLists:
    """Of one process."""
    return StatusLists(lambda list_id: f"https://as.example/status-lists/{list_id}", LIFE)


def test_a_full_list_gave_every_place_once_and_another_follows() -> None:
    """A million tokens fill one list without a hole; the next token opens another."""
    ours = lists()
    first = ours.place(NOW)
    given = {first.index} | {ours.place(NOW).index for _ in range(SIZE - 1)}
    assert given == set(range(SIZE))
    assert ours.place(NOW).list.id != first.list.id


def test_places_do_not_follow_each_other() -> None:
    """Neighbours in time are not neighbours on the list, and no two lists have the same order."""
    ours, theirs = lists(), lists()
    mine = [ours.place(NOW).index for _ in range(200)]
    assert mine != [theirs.place(NOW).index for _ in range(200)]
    steps = {after - before for before, after in itertools.pairwise(mine)}
    assert len(steps) > 190


def test_no_token_outlives_its_list() -> None:
    """A list is left after its hours, early enough that its last token ends before it does."""
    ours = lists()
    first = ours.place(NOW)
    last = ours.place(NOW + OPEN_FOR - 1)
    assert last.list == first.list
    assert first.list.ends_at > NOW + OPEN_FOR - 1 + LIFE + 2 * MOST_LEEWAY
    assert ours.place(NOW + OPEN_FOR).list != first.list


def test_a_clock_that_goes_back_opens_another_list() -> None:
    """Whatever the clock does, a token ends before its list."""
    ours = lists()
    first = ours.place(NOW)
    earlier = ours.place(NOW - 10)
    assert earlier.list != first.list
    assert earlier.list.opened_at == NOW - 10


def test_the_uri_names_the_list() -> None:
    """What stands in the token is where the list is fetched."""
    place = lists().place(NOW)
    assert place.uri == f"https://as.example/status-lists/{place.list.id}"
