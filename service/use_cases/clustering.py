"""Which samples belong together: those sent, or those enrolled."""

from collections.abc import Sequence
from time import perf_counter

from index import leader, linkage
from models_store import Given, Side
from service.parameters import InvalidParameter
from service.replicas.calibrations import pair_threshold, purity_law
from service.use_cases.recogniser import Recogniser
from service.use_cases.results import Method, Partition


async def cluster(
    recogniser: Recogniser,
    files: Sequence[Given],
    *,
    gallery: str | None = None,
    comparator: str | None = None,
    threshold: float | None = None,
    target_fmr: float | None = None,
    target_purity: float | None = None,
    method: Method = "linkage",
    side: Side | None = None,
) -> Partition:
    """Say which samples belong together: those sent, or those enrolled in a gallery.

    Of a comparator with two encoders they are all of one `side`, unsaid a, and cut as was
    measured of that side's samples among each other.
    """
    if bool(files) == (gallery is not None):
        raise InvalidParameter("files", "expected files or a gallery, and not both")
    if gallery is not None:
        replica = recogniser.answering(gallery)
        if comparator and recogniser.comparator(comparator) is not replica.comparator:
            raise InvalidParameter("comparator", "expected that of the gallery, or none")
        model, timings = replica.comparator, {}
        references_of = replica.state.settings.references
        if side not in (None, references_of) and not model.manifest.tied:
            raise InvalidParameter("side", f"expected {references_of}, as the gallery has it")
        side = references_of
        references, embeddings = await recogniser.in_thread(replica.index.enrolled)
        names: list[int] | list[str] = [str(reference.key) for reference in references]
        failures: dict[int, Exception] = {}
    else:
        model, side = recogniser.comparator(comparator), side or "a"
        embedded = await recogniser.embedder.embed(model, side, files)
        embedded.demand_some()
        embeddings, timings = embedded.embeddings, embedded.timings
        names, failures = embedded.indices, embedded.failures
    law = None
    if target_purity is not None:
        if method != "linkage" or (threshold, target_fmr) != (None, None):
            raise InvalidParameter(
                "target_purity", "expected method linkage, and no threshold or target_fmr"
            )
        law = purity_law(model, side, target_purity)
    elif threshold is None and target_fmr is None:
        threshold = model.manifest.calibration_of(side).cluster_threshold
    elif target_fmr is not None and not model.manifest.tied:
        raise InvalidParameter(
            "target_fmr",
            f"{model.title} knows it of pairs of a with b: expected a threshold",
        )
    at, _, _ = pair_threshold(model, target_fmr, threshold)
    metric, score = model.manifest.distance, model.score
    started = perf_counter()
    clustering = await recogniser.in_thread(
        lambda: (
            linkage(embeddings, score, law or at, metric=metric)
            if method == "linkage"
            else leader(embeddings, score, at, metric=metric)
        )
    )
    return Partition(
        comparator=model,
        method=method,
        purity=law.purity if law else None,
        clustering=clustering,
        names=names,
        failures=failures,
        timings=timings | {"decide": perf_counter() - started},
    )
