"""What is evaluated: labelled embeddings with names, and the comparator that compares them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from evaluation.calibration import score_of
from evaluation.pairs import Embedded
from index.gallery import BadEmbeddings, Embeddings, checked
from index.miss_rate import GenuineScores
from index.posterior import PosteriorModel
from index.roster import Rule, Score
from models_store.bundle import COHORT, read_cohort, read_cohort_groups
from models_store.folder import read_bundle
from models_store.manifest import BundleRefused, Calibration, Distance, Head, Manifest, Side

Names = tuple[str, ...]


class NotEvaluable(ValueError):
    """The input cannot be evaluated; the message says what was expected and what came."""


@dataclass(frozen=True, slots=True)
class Served:
    """A comparator as the service uses it: how distances score, and what it was calibrated to.

    `cohort` (m, d) are its strangers, none where there is no bundle, in `cohort_groups` (m,) if
    some are unlike others. Of two encoders all of it is of probes of side a, and `of_b` is of
    probes of side b.
    """

    title: str
    metric: Distance
    score: Score
    cohort: Embeddings
    cohort_groups: npt.NDArray[np.int64] | None = None
    digest: str | None = None
    rule: Rule = "max"
    cluster_threshold: float | None = None
    posterior: PosteriorModel | None = None
    genuine: GenuineScores | None = None
    of_b: "Served | None" = None

    def probed_by(self, side: Side | None) -> "Served":
        """Return what holds for probes of a side; None: both have one encoder."""
        return self.of_b if side == "b" and self.of_b is not None else self


@dataclass(frozen=True, slots=True)
class Samples:
    """Embeddings of labelled samples, row by row, with the names that labels stand for.

    `identities[label]` and `groups[group]` are names; `groups` is None where none were given, and
    `names` are files' names. `picture` gives a row's thumbnail as PNG, or None.
    """

    title: str
    embedded: Embedded
    identities: Names
    served: Served
    groups: Names | None = None
    drawn: bool = False  # whether drawers were given
    names: Names | None = None
    picture: Callable[[int], bytes | None] = field(default=lambda _: None)

    def of_side(self, side: Side) -> "Samples":
        """Return the samples of one of two encoders, to be compared with each other."""
        e = self.embedded
        if e.of_b is None:
            raise ValueError("samples of one encoder have no sides")
        rows = e.of_b == (side == "b")
        return replace(
            self,
            embedded=replace(e.only(rows), of_b=None),
            identities=tuple(self.identities[i] for i in np.unique(e.labels[rows])),
            served=self.served.probed_by(side),
            groups=None,
            names=None,
            picture=lambda _: None,
        )


class HeadRequest(BaseModel):
    """`sigmoid(bias - weight * distance)`."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    weight: Annotated[float, Field(gt=0)]
    bias: float


class Request(BaseModel):
    """`request.json`."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    bundle: Path | None = None
    metric: Distance | None = None
    head: HeadRequest | None = None
    title: str = "Evaluation"
    seed: Annotated[int, Field(ge=0)] = 0
    calibrate: bool = False
    warnings: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _can_compare(self) -> Self:
        if self.bundle is None and (self.metric is None or self.head is None):
            raise ValueError("expected a bundle, or a metric and a head")
        return self


def read_request(folder: Path) -> Request:
    """Return the request in a folder, or raise NotEvaluable."""
    try:
        return Request.model_validate_json((folder / "request.json").read_bytes())
    except OSError as error:
        raise NotEvaluable(f"request.json cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "document"
        raise NotEvaluable(f"request.json: {where}: {first['msg']}") from error


def read_samples(folder: Path, request: Request) -> Samples:
    """Return the samples in a folder, or raise NotEvaluable."""
    served = _served(request)
    arrays = _arrays(folder / "samples.npz")
    for name in ("embeddings", "identities"):
        if name not in arrays:
            raise NotEvaluable(f"samples.npz: expected an array `{name}`, got {sorted(arrays)}")
    embeddings = _embeddings(arrays["embeddings"], served)
    count = len(embeddings)
    columns = {
        name: _strings(arrays, name, count)
        for name in ("identities", "groups", "drawers", "names", "sides")
    }
    _check_sides(columns["sides"], request, served)
    pictures = folder / "pictures"

    def picture(row: int) -> bytes | None:
        file = pictures / f"{row}.png"
        return file.read_bytes() if file.is_file() else None

    return labelled(
        embeddings,
        columns["identities"],  # type: ignore[arg-type]  # checked above: it is there
        served,
        groups=columns["groups"],
        drawers=columns["drawers"],
        names=columns["names"],
        sides=columns["sides"],
        title=request.title,
        picture=picture,
    )


def labelled(
    embeddings: Embeddings,
    identities: npt.ArrayLike,
    served: Served,
    *,
    groups: npt.ArrayLike | None = None,
    drawers: npt.ArrayLike | None = None,
    names: npt.ArrayLike | None = None,
    sides: npt.ArrayLike | None = None,
    title: str = "Evaluation",
    picture: Callable[[int], bytes | None] = lambda _: None,
) -> Samples:
    """Return samples from embeddings (n, d) and a name for each: identity, group, drawer, file.

    `sides` are `a` or `b`, by whose encoder a sample was embedded, where there are two.
    """
    whose, labels = np.unique(np.asarray(identities, str), return_inverse=True)
    zeros = np.zeros(len(labels), np.int64)
    kinds, group = (
        (None, zeros)
        if groups is None
        else np.unique(np.asarray(groups, str), return_inverse=True)
    )
    embedded = Embedded(
        embeddings,
        labels.astype(np.int64),
        group.astype(np.int64),
        zeros.astype(str) if drawers is None else np.asarray(drawers, str),
        served.metric,
        served.score,
        of_b=None if sides is None else np.asarray(sides, str) == "b",
    )
    return Samples(
        title,
        embedded,
        tuple(whose.tolist()),
        served,
        groups=None if kinds is None else tuple(kinds.tolist()),
        drawn=drawers is not None,
        names=None if names is None else tuple(np.asarray(names, str).tolist()),
        picture=picture,
    )


def as_served(
    manifest: Manifest,
    digest: str,
    cohorts: Mapping[Side, Embeddings],
    cohort_groups: npt.NDArray[np.int64] | None,
) -> Served:
    """Return how a bundle's comparator is served; `cohorts` are its strangers by side."""

    def of(side: Side) -> Served:
        chosen = manifest.calibration_of(side)
        return Served(
            title=manifest.title,
            digest=digest,
            metric=manifest.distance,
            score=score_of(manifest.head),
            cohort=cohorts[side],
            cohort_groups=cohort_groups,
            rule=chosen.rule,
            cluster_threshold=chosen.cluster_threshold,
            posterior=(
                PosteriorModel(**chosen.posterior.model_dump()) if chosen.posterior else None
            ),
            genuine=_genuine(chosen),
        )

    return of("a") if manifest.tied else replace(of("a"), of_b=of("b"))


def _genuine(chosen: Calibration) -> GenuineScores | None:
    recorded = chosen.genuine
    if recorded is None:
        return None
    return GenuineScores(
        recorded.rule, {count: np.array(scores) for count, scores in recorded.by_samples.items()}
    )


def _check_sides(sides: npt.NDArray[np.str_] | None, request: Request, served: Served) -> None:
    """Refuse sides of one encoder, samples of two that do not tell theirs, and one side alone."""
    if sides is None:
        if served.of_b is not None:
            raise NotEvaluable(f"{served.title} has two encoders: expected `sides` of a and b")
        return
    if request.bundle is not None and served.of_b is None:
        raise NotEvaluable(f"{served.title} has one encoder: expected no `sides`")
    if strange := sorted(set(sides.tolist()) - {"a", "b"}):
        raise NotEvaluable(f"samples.npz: expected `sides` of a and b, got {strange[0]}")
    if missing := {"a", "b"} - set(sides.tolist()):
        raise NotEvaluable(f"expected samples of both sides, got none of side {missing.pop()}")


def _served(request: Request) -> Served:
    if request.bundle is None:
        if request.metric is None or request.head is None:  # the request's own check says so
            raise NotEvaluable("expected a bundle, or a metric and a head")
        head = Head(weight=request.head.weight, bias=request.head.bias)
        return Served("no bundle", request.metric, score_of(head), np.empty((0, 0), np.float32))
    try:
        bundle = read_bundle(request.bundle)
        manifest = bundle.manifest
    except BundleRefused as error:
        raise NotEvaluable(f"bundle {request.bundle}: {error}") from error
    if request.metric not in (None, manifest.distance):
        raise NotEvaluable(
            f"{manifest.title} compares by {manifest.distance}, asked was {request.metric}"
        )
    try:
        content = bundle.contents[COHORT]
        cohorts = {side: read_cohort(content, manifest, side) for side in manifest.encoders}
        groups = read_cohort_groups(content)
    except (KeyError, BundleRefused) as error:
        raise NotEvaluable(f"bundle {request.bundle}: {error}") from error
    return as_served(manifest, bundle.digest, cohorts, groups)


def _embeddings(given: npt.NDArray[np.generic], served: Served) -> Embeddings:
    if given.ndim != 2 or given.dtype.kind != "f" or not len(given):
        raise NotEvaluable(
            f"samples.npz: expected float32 embeddings (n, d), got {given.dtype} {given.shape}"
        )
    dimension = served.cohort.shape[1] or given.shape[1]
    try:
        return checked(given.astype(np.float32), dimension, served.metric)
    except BadEmbeddings as error:
        raise NotEvaluable(f"samples.npz: {error}") from error


def _arrays(file: Path) -> Mapping[str, npt.NDArray[np.generic]]:
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise NotEvaluable(f"{file.name} cannot be read: {error}") from error


def _strings(
    arrays: Mapping[str, npt.NDArray[np.generic]], name: str, count: int
) -> npt.NDArray[np.str_] | None:
    if name not in arrays:
        return None
    column = arrays[name]
    if column.shape != (count,) or column.dtype.kind not in "US":
        raise NotEvaluable(
            f"samples.npz: expected {count} strings as `{name}`, got {column.dtype} {column.shape}"
        )
    return column.astype(str)
