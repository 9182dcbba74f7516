"""Strangers of one's own, by whom a gallery is judged from then on."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from index import OddStrangers, odd_strangers
from models_store import Given
from service.parameters import InvalidParameter
from service.store.kept import StoredCohort
from service.use_cases.recogniser import Recogniser
from service.use_cases.results import NewCohort

TOO_NEAR = (
    "where that is too many, some are enrolled, who must not be among the strangers, or all are "
    "of another kind than the strangers until now"
)


async def put_cohort(
    recogniser: Recogniser,
    gallery: str,
    files: Sequence[Given],
    identities: Sequence[str] | None,
) -> NewCohort:
    """Judge a gallery by these strangers from now on: each its own, unless grouped.

    What is odd about them is judged before that, by the evidence until then.
    """
    replica = recogniser.gallery(gallery)
    if identities is not None and len(identities) != len(files):
        raise InvalidParameter("identities", f"expected one for each of {len(files)} files")
    embedded = await recogniser.embedder.embed(
        replica.comparator, replica.state.settings.probes, files
    )
    embedded.demand_some()
    groups = [identities[i] if identities else str(i) for i in embedded.indices]
    _, firsts, inverse = np.unique(groups, return_index=True, return_inverse=True)
    numbers: NDArray[np.int64] = inverse.astype(np.int64)
    firsts.sort()
    target = replica.state.settings.target_fpir or recogniser.target_fpir
    odd = await recogniser.in_thread(
        lambda: odd_strangers(replica.index, embedded.embeddings[firsts], target)
    )
    cohort = StoredCohort(embedded.embeddings, numbers)
    change = await recogniser.judge_by(cohort, gallery, replica.comparator.digest)
    warnings = _warnings(odd, len(firsts), target)
    return NewCohort(change, embedded, firsts.tolist(), odd, warnings)


def _warnings(odd: OddStrangers, strangers: int, target_fpir: float) -> list[str]:
    warnings = []
    if odd.look_alikes is None:
        warnings.append(
            f"whether these are strangers is not known: the evidence until now does not resolve "
            f"the target FPIR of {target_fpir:g}"
        )
    elif odd.look_alikes:
        warnings.append(
            f"{len(odd.look_alikes)} of {strangers} strangers would be named as somebody enrolled "
            f"at the target FPIR of {target_fpir:g}; of true strangers about "
            f"{target_fpir * strangers:.3g} would be, and as many with probability "
            f"{odd.chance:.2g}; {TOO_NEAR}"
        )
    if odd.repeats:
        warnings.append(
            f"{len(odd.repeats)} of {strangers} strangers are there twice, as others; each counts"
        )
    finest = 1 / (strangers + 1)
    refused = [f"{rate:g}" for rate in (0.01, 0.05, target_fpir) if rate < finest]
    if refused:
        warnings.append(
            f"{strangers} strangers resolve a target FPIR of {finest:.3g} at least: "
            f"{' and '.join(dict.fromkeys(refused))} will be refused"
        )
    return warnings
