"""What a target takes and costs in a gallery, and whom its threshold divides by the least."""

from time import perf_counter

from index import TARGETS
from service.use_cases.recogniser import Recogniser
from service.use_cases.results import Division, Operation


async def operating_curve(recogniser: Recogniser, gallery: str) -> Operation:
    """Say what each target would take and cost: the gallery's own, and the usual ones."""
    replica = recogniser.answering(gallery)
    target = replica.state.settings.target_fpir or recogniser.target_fpir
    started, version = perf_counter(), replica.version
    index = replica.index
    curve = await recogniser.in_thread(lambda: index.operating_curve([target, *TARGETS]))
    timings = {"search": perf_counter() - started}
    return Operation(replica, version, index.identities, target, curve, timings)


async def boundary(
    recogniser: Recogniser, gallery: str, target_fpir: float | None, most: int
) -> Division:
    """Say who comes nearest to a target's threshold, `most` on either side of it.

    Without a target it is the gallery's own. Raises TargetUnresolvable.
    """
    replica = recogniser.answering(gallery)
    target = target_fpir or replica.state.settings.target_fpir or recogniser.target_fpir
    started, version = perf_counter(), replica.version
    index = replica.index
    found = await recogniser.in_thread(lambda: index.boundary(target, most))
    return Division(replica, version, found, {"search": perf_counter() - started})
