"""A gallery's samples on a plane, column by column."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, WithJsonSchema

from index import LeftOut, Link
from service.use_cases.mapping import GalleryMap

# Tools that read openapi.yaml stumble over tuples within lists.
Triple = Annotated[
    Link,
    WithJsonSchema({"type": "array", "items": {"type": "number"}, "minItems": 3, "maxItems": 3}),
]


class MapAnswer(BaseModel):
    """The samples shown, a column for each thing that is told of them, by rising id.

    `x` and `y` lie between -1 and 1. `outcomes` say what a sample would be named as if it were a
    probe and not enrolled. `links` are places of two samples of different identities that score
    `threshold` or more, and the score, best first: the best of `linked`. Until `progress` is 1,
    `layout` may still be that of the principal plane and the other columns null; after that they
    are null only where they cannot be told, and `reason` says why a layout is missing.
    """

    gallery: str
    comparator: str
    version: int
    rule: str
    target_fpir: float
    threshold: float | None
    enrolled_identities: int
    enrolled_samples: int
    layout: Literal["pca", "tsne"]
    progress: float
    reason: str | None
    samples: list[str]
    identities: list[str]
    x: list[float]
    y: list[float]
    clusters: list[int] | None
    outcomes: list[LeftOut] | None
    links: list[Triple] | None
    linked: int | None

    @classmethod
    def of(cls, found: GalleryMap) -> Self:
        """Shape a map."""
        return cls(
            gallery=found.gallery,
            comparator=found.comparator,
            version=found.version,
            rule=found.rule,
            target_fpir=found.target_fpir,
            threshold=found.threshold,
            enrolled_identities=found.identities,
            enrolled_samples=found.samples,
            layout=found.layout,
            progress=found.progress,
            reason=found.reason,
            samples=[str(reference.key) for reference in found.references],
            identities=[reference.identity for reference in found.references],
            x=list(found.x),
            y=list(found.y),
            clusters=None if found.clusters is None else list(found.clusters),
            outcomes=None if found.outcomes is None else list(found.outcomes),
            links=None if found.links is None else list(found.links),
            linked=found.linked,
        )
