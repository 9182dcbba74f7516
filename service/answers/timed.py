"""Where the time of an answer went."""

from pydantic import BaseModel

from service.embedding.embedder import Timings


class Timed(BaseModel):
    """An answer that tells where its time went, in milliseconds by stage."""

    timings_ms: dict[str, float]


def milliseconds(timings: Timings) -> dict[str, float]:
    """Return what each stage took, as clients read it."""
    return {stage: round(seconds * 1000, 3) for stage, seconds in timings.items()}
