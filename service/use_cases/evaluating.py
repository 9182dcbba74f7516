"""Evaluate: labelled samples → what the comparator makes of them."""

import asyncio
import copy
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any, Self, TypeVar

import numpy as np

from models_store import Comparator, Given, Side
from models_store.comparator import Array
from service.children.evaluation_runs import EvaluationRuns
from service.embedding.batching import Overloaded
from service.embedding.decoding import Budget
from service.embedding.embedder import EmbeddedSamples, Embedder, Timings
from service.parameters import InvalidParameter
from service.replicas.replica import Replica
from service.requests.labelled import Label
from service.store.kept import StoredCohort
from service.use_cases.cohorts import TOO_NEAR
from service.use_cases.recogniser import Recogniser
from service.use_cases.strangers import Seen, Strangers, choose_strangers, seen_in

T = TypeVar("T")

SLICE = 32  # samples embedded at a time, so that other requests get their turn between
PATIENCE = 0.2  # seconds until a slice that the queue refused is offered again
_UNLIKELY = 0.01  # a chance below which there is more to it


@dataclass(frozen=True, slots=True)
class Recalibration:
    """Whom a gallery is judged by as of `version`; None, and the reason, if as before."""

    found: Strangers
    calibrated: bool
    version: int | None
    reason: str | None

    @property
    def warnings(self) -> list[str]:
        """What whoever applied it must know."""
        found, warnings = self.found, []
        if self.reason:
            warnings.append(f"nothing was applied: {self.reason}")
        if found.chance < _UNLIKELY:
            warnings.append(
                f"{len(found.look_alikes)} of {len(found.rows)} strangers, see look_alikes, would "
                f"have been named at the target FPIR of {found.target_fpir:g}, as many by chance "
                f"with probability {found.chance:.2g}; {TOO_NEAR}"
            )
        return warnings


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A report on labelled samples, as a document and as a page.

    `labels` are of all samples, and `rows` the places of those that were evaluated.
    """

    comparator: Comparator
    gallery: str | None
    labels: Sequence[Label]
    rows: Sequence[int]
    report: Mapping[str, Any]
    page: str
    seen: list[Seen]
    recalibration: Recalibration | None
    failures: dict[int, Exception]
    timings: Timings


@dataclass(frozen=True, slots=True)
class _Usable:
    """The samples that could be embedded, by their place in the upload."""

    rows: list[int] = field(default_factory=list)
    embeddings: list[Array] = field(default_factory=list)
    pictures: dict[int, bytes] = field(default_factory=dict)
    failures: dict[int, Exception] = field(default_factory=dict)


class Evaluator:
    """Evaluates what clients upload; `bundles` is the folder of the bundles that are served."""

    def __init__(
        self,
        recogniser: Recogniser,
        embedder: Embedder,
        runs: EvaluationRuns,
        workers: Executor,
        bundles: Path,
    ) -> None:
        self.runs = runs
        self._recogniser = recogniser
        self._embedder = embedder
        self._workers = workers
        self._bundles = bundles.resolve()

    def over(self, recogniser: Recogniser) -> Self:
        """Return the same over another recogniser: one that sees as a caller does."""
        same = copy.copy(self)
        same._recogniser = recogniser
        return same

    async def evaluate(
        self,
        samples: list[Given],
        labels: Sequence[Label],
        *,
        comparator: str | None = None,
        gallery: str | None = None,
        apply: bool = False,
        seed: int = 0,
    ) -> Evaluation:
        """Measure a comparator on labelled samples, which are let go as they are embedded.

        With a gallery it is that one's, and samples enrolled in it are told; with `apply` it is
        judged by these identities from now on. Of two encoders each sample is embedded by that of
        its label's side. Raises as `EvaluationRuns.run` does, the first
        failure if no sample can be used, or InvalidParameter.
        """
        model, replica = self._judged(comparator, gallery)
        if apply and replica is None:
            raise InvalidParameter("apply", "expected a gallery to apply the evaluation to")
        if apply and not model.manifest.tied:
            raise InvalidParameter(
                "apply",
                "expected a comparator of one encoder: give strangers of the side that asks to "
                "POST /galleries/{gallery}/cohort",
            )
        if apply:
            self._recogniser.galleries.demand_writable()
        arrived = perf_counter()
        async with self.runs.turn() as folder:
            started = perf_counter()
            usable = await self._embed(model, samples, labels)
            embeddings = np.stack(usable.embeddings)
            owners = [labels[row] for row in usable.rows]
            embedded = perf_counter()
            seen = await self._seen(replica, embeddings, owners)
            request = {
                "bundle": str(self._bundles / model.manifest.name / model.manifest.version),
                "title": f"{gallery}: {model.title}" if gallery else model.title,
                "seed": seed,
                "calibrate": apply,
                "warnings": _warnings(len(owners), len(usable.failures), len(seen)),
            }
            pictures = [usable.pictures.get(row) for row in usable.rows]
            await self._in_thread(
                lambda: _write(
                    folder,
                    request,
                    embeddings,
                    owners,
                    pictures,
                    two_sided=not model.manifest.tied,
                )
            )
            await self.runs.run(folder)
            report, page, calibration = await self._in_thread(lambda: _read(folder))
            evaluated = perf_counter()
        recalibration = None
        if replica and apply:
            recalibration = await self._apply(replica, embeddings, owners, seen, calibration)
        return Evaluation(
            comparator=model,
            gallery=gallery,
            labels=labels,
            rows=usable.rows,
            report=report,
            page=page,
            seen=seen,
            recalibration=recalibration,
            failures=usable.failures,
            timings={
                "queue": started - arrived,
                "encode": embedded - started,
                "evaluate": evaluated - embedded,
                "decide": perf_counter() - evaluated,
            },
        )

    def _judged(
        self, comparator: str | None, gallery: str | None
    ) -> tuple[Comparator, Replica | None]:
        if gallery is None:
            model, replica = self._recogniser.comparator(comparator), None
        else:
            replica = self._recogniser.gallery(gallery)
            model = replica.comparator
            if comparator and self._recogniser.comparator(comparator) is not model:
                raise InvalidParameter("comparator", "expected that of the gallery, or none")
        return model, replica

    def is_two_sided(self, comparator: str | None, gallery: str | None) -> bool:
        """Whether the comparator that would be measured has an encoder for each side."""
        return not self._judged(comparator, gallery)[0].manifest.tied

    async def _embed(
        self, model: Comparator, samples: list[Given], labels: Sequence[Label]
    ) -> _Usable:
        """Embed slice by slice, each of which takes its place in the queue anew."""
        usable = _Usable()
        budget = self._embedder.budget()
        done = 0
        while samples:
            given = samples[:SLICE]
            del samples[:SLICE]
            found: dict[int, Array] = {}
            for side, some in _by_side(given, labels[done : done + len(given)]).items():
                places = [done + i for i in some]
                asked = list(some.values())
                embedded = await self._embed_slice(model, side, asked, budget)
                used = {i: asked[i] for i in embedded.indices}
                pictures = await self._embedder.pictures(model, side, used, budget)
                for i, embedding in zip(embedded.indices, embedded.embeddings, strict=True):
                    found[places[i]] = embedding
                usable.failures.update((places[i], why) for i, why in embedded.failures.items())
                usable.pictures.update((places[i], picture) for i, picture in pictures.items())
            usable.rows.extend(sorted(found))
            usable.embeddings.extend(found[place] for place in sorted(found))
            done += len(given)
        if not usable.rows:
            raise usable.failures[min(usable.failures)]
        return usable

    async def _embed_slice(
        self, model: Comparator, side: Side, given: Sequence[Given], budget: Budget
    ) -> EmbeddedSamples:
        while True:
            try:
                return await self._embedder.embed(model, side, given, budget)
            except Overloaded:
                await asyncio.sleep(PATIENCE)

    async def _seen(
        self, replica: Replica | None, embeddings: Array, labels: Sequence[Label]
    ) -> list[Seen]:
        if replica is None:
            return []
        index, comparator = replica.index, replica.comparator
        tied, side = comparator.manifest.tied, replica.state.settings.references
        rows = [row for row, label in enumerate(labels) if tied or label.side == side]
        found = await self._in_thread(lambda: seen_in(index, comparator, embeddings[rows], side))
        return [replace(each, row=rows[each.row]) for each in found]

    async def _apply(
        self,
        replica: Replica,
        embeddings: Array,
        labels: Sequence[Label],
        seen: Sequence[Seen],
        calibration: str | None,
    ) -> Recalibration:
        """Let one embedding of each identity that is a stranger judge the gallery from now on."""
        target = replica.state.settings.target_fpir or self._recogniser.target_fpir
        found = await self._in_thread(
            lambda: choose_strangers(replica.index, embeddings, labels, seen, target)
        )
        count = len(found.rows)
        if (count + 1) * target < 1:
            reason = (
                f"{count} strangers resolve a target FPIR of {1 / (count + 1):.3g} at least, the "
                f"gallery's is {target:g}"
            )
            return Recalibration(found, calibrated=False, version=None, reason=reason)
        cohort = StoredCohort(embeddings[found.rows], np.arange(count), calibration)
        change = await self._recogniser.judge_by(cohort, replica.name, replica.comparator.digest)
        return Recalibration(found, calibration is not None, change.version, None)

    async def _in_thread(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._workers, function)


def _by_side(given: Sequence[Given], labels: Sequence[Label]) -> dict[Side, dict[int, Given]]:
    """Return the samples of each side that has any, by their place."""
    found: dict[Side, dict[int, Given]] = {}
    for place, (one, label) in enumerate(zip(given, labels, strict=True)):
        found.setdefault(label.side, {})[place] = one
    return found


def _warnings(usable: int, failed: int, seen: int) -> list[str]:
    """Return what whoever reads the report must know of the samples that it is about."""
    warnings = []
    if failed:
        warnings.append(f"{failed} of {usable + failed} files could not be used")
    if seen:
        warnings.append(
            f"{seen} of {usable} samples are enrolled in the gallery already: figures on what was "
            "enrolled or learnt from flatter"
        )
    return warnings


def _write(
    folder: Path,
    request: Mapping[str, object],
    embeddings: Array,
    labels: Sequence[Label],
    pictures: Sequence[bytes | None],
    *,
    two_sided: bool,
) -> None:
    """Write what `python -m evaluation` reads of these samples, row by row."""
    groups = [label.group for label in labels]
    columns = {} if None in groups else {"groups": np.array(groups)}
    if two_sided:
        columns["sides"] = np.array([label.side for label in labels])
    np.savez(
        folder / "samples.npz",
        embeddings=embeddings,
        identities=np.array([label.identity for label in labels]),
        names=np.array([label.name for label in labels]),
        **columns,  # type: ignore[arg-type]  # numpy's signature has a flag beside the arrays
    )
    (folder / "request.json").write_text(json.dumps(request))
    (folder / "pictures").mkdir()
    for row, picture in enumerate(pictures):
        if picture is not None:
            (folder / "pictures" / f"{row}.png").write_bytes(picture)


def _read(folder: Path) -> tuple[Mapping[str, Any], str, str | None]:
    """Return what it wrote: the report, the page, and the calibration where one was asked for."""
    calibration = folder / "calibration.json"
    return (
        json.loads((folder / "report.json").read_bytes()),
        (folder / "report.html").read_text("utf-8"),
        calibration.read_text("utf-8") if calibration.exists() else None,
    )
