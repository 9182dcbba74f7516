"""The service itself: its comparators, and whether it is ready."""

from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel

from models_store import Comparator


class OperatingPoint(BaseModel):
    """A false-match rate, the threshold that keeps to at most it, and the misses it costs."""

    fmr: float
    threshold: float
    fnmr: float


class ComparatorAnswer(BaseModel):
    """A comparator in service; `created` is when its bundle was made, null if it does not tell."""

    name: str
    version: str
    digest: str
    description: str
    modalities: dict[str, str]
    dimension: int
    distance: str
    normalised: bool
    rule: str
    cluster_threshold: float
    cohort_identities: int
    operating_points: list[OperatingPoint]
    metrics: list[dict[str, Any]]
    licence: str
    provider: str
    created: datetime | None

    @classmethod
    def of(cls, comparator: Comparator) -> Self:
        """Return what a comparator's manifest and session say."""
        manifest = comparator.manifest
        return cls(
            name=manifest.name,
            version=manifest.version,
            digest=comparator.digest,
            description=manifest.description,
            modalities={side: encoder.modality for side, encoder in manifest.encoders.items()},
            dimension=manifest.dimension,
            distance=manifest.distance,
            normalised=manifest.normalised,
            rule=manifest.calibration.rule,
            cluster_threshold=manifest.calibration.cluster_threshold,
            cohort_identities=len(comparator.cohort),
            operating_points=[
                OperatingPoint(**point.model_dump()) for point in manifest.operating_points
            ],
            metrics=[metric.model_dump() for metric in manifest.metrics],
            licence=manifest.licence,
            provider=comparator.provider,
            created=manifest.provenance.created,
        )


class ComparatorDetail(ComparatorAnswer):
    """The same with its `card`: what the bundle's maker says of it, in Markdown.

    It is anybody's text, to be shown as such and not as markup; of a card longer than 65,536
    characters it is the beginning, ending in an ellipsis.
    """

    card: str

    @classmethod
    def of(cls, comparator: Comparator) -> Self:
        """Return what a comparator's manifest, session and card say."""
        told = ComparatorAnswer.of(comparator)
        return cls(**told.model_dump(), card=comparator.card)


class ComparatorsAnswer(BaseModel):
    """Every comparator in service, and the bundles that were refused."""

    comparators: list[ComparatorAnswer]
    refused: dict[str, str]


class Readiness(BaseModel):
    """Whether requests should come here, and why not."""

    ready: bool
    reasons: list[str]
    details: list[str]
    galleries: int
    comparators: list[str]


class About(BaseModel):
    """What answers here."""

    name: str = "Kindred"
    version: str
    console: str = "/console/"
    docs: str = "/docs"
    openapi: str = "/openapi.json"
    comparators: str = "/comparators"
    health: str = "/health/ready"
    metrics: str = "/metrics"


class Alive(BaseModel):
    """The process answers."""

    alive: bool = True
