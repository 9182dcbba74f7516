"""For how long something forgotten is still somewhere."""

import time

from service.replicas.erasure import Pending


def test_the_place_that_has_held_it_longest_tells_how_late_an_erasure_is() -> None:
    pending = Pending()
    pending.tell("snapshots", True)
    time.sleep(0.02)
    pending.tell("append-only file", True)
    pending.tell("snapshots", True)

    oldest = pending.seconds
    pending.tell("snapshots", False)
    next_oldest = pending.seconds
    pending.tell("append-only file", False)

    assert oldest >= 0.02 > 0
    assert oldest > next_oldest > 0
    assert pending.seconds == 0
