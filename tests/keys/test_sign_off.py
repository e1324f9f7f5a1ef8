"""`app.keys.sign_off` in one process: the end of a server meets the last round of its upkeep."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from app.keys import sign_off as room
from app.store.engine import Database, StoreUnavailable
from tests.kit.trail import grown, refusal


def test_two_threads_of_one_process_sign_one_after_the_other(db: Database, tmp_path: Path) -> None:
    """Neither takes the other's half-read checkpoints for an alteration, and no entry stays unsigned."""
    trail = grown(db, tmp_path)
    for _ in range(30):
        trail.append("a", refusal())
        trail.now += 60
        ours, gate = trail.signer(), Barrier(2)

        def at_once(act: Callable[[int], object], gate: Barrier = gate) -> None:
            gate.wait()
            act(trail.now)

        with ThreadPoolExecutor(2) as threads:
            both = [threads.submit(at_once, each) for each in (ours.due, ours.write)]
        for each in both:
            each.result()  # raises what the thread raised
    verdict = trail.verify()
    assert (verdict.faults, verdict.unsigned) == ([], 0)


def test_a_thread_that_never_comes_back_holds_up_no_end(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits for its turn too long says that the database does not answer, and signs nothing."""
    monkeypatch.setattr(room, "LONGEST_TURN", 0.05)
    trail = grown(db, tmp_path)
    ours = trail.signer()
    with ours._alone(), pytest.raises(StoreUnavailable):
        ours.write(trail.now + 60)
    assert ours.write(trail.now + 60) is not None
