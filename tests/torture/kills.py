"""Kills of service and store in turn, under clients that write."""

import time
from collections.abc import Callable

from tests.torture.clients import Mix
from tests.torture.scene import TURNS, Scene

PAUSE = (0.1, 0.6)  # seconds that all is well between two kills


def torment(
    scene: Scene,
    *,
    kills: int,
    kills_in_a_gallery: int,
    clients: int,
    mix: Mix,
    pause: tuple[float, float] = PAUSE,
    until: float = float("inf"),
    on_judged: Callable[[str], None] = lambda _gallery: None,
) -> None:
    """Kill until there were so many kills, or until that time of `monotonic`.

    A gallery is judged after so many kills, and deleted after the next one was judged: then it
    has lived through the kills of that one too. The last one stays.
    """
    done, before = 0, None
    while done < kills and time.monotonic() < until:
        gallery = f"g{done}"
        scene.make_gallery(gallery)
        with scene.clients(gallery, clients, mix) as callers:
            for _ in range(min(kills_in_a_gallery, kills - done)):
                time.sleep(scene.rng.uniform(*pause))
                scene.kill(TURNS[done % len(TURNS)])
                done += 1
            time.sleep(scene.rng.uniform(*pause))
        scene.judge(gallery, callers)
        on_judged(gallery)
        if before is not None:
            scene.judge_again(before)
            scene.drop_gallery(before)
        before = gallery
