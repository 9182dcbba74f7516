"""A recipe: everything that decides what a fit learns, in one short TOML file."""

import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models_store.manifest import Distance, Input, Name

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Part):
    """Where the samples lie: a folder of folders or a zip of one, and which groups train.

    `files` and `splits` are relative to the folder that `--data` names; `splits` is a table, or
    each group's split; a group without one is left out. `held_back` lists
    identities that nothing is calibrated on and that are in no cohort, such as the demo's.
    `validation_samples` of each validation identity are used, the first ones; else all.
    """

    name: str
    licence: str
    url: str
    root: Path
    files: Path
    splits: Path | dict[str, str]
    held_back: tuple[str, ...] = ()
    validation_samples: Count | None = None


class ResidualNetwork(_Part):
    """Of images: a stem of stride 2, then one residual block that halves the picture per width."""

    kind: Literal["residual"] = "residual"
    stem: Count
    widths: tuple[Count, ...]
    dimension: Count
    dropout: Share = 0.0


Network = ResidualNetwork
"""What embeds, by its kind."""


class Batches(_Part):
    """P labels × K samples, labels of one group in runs of `kin`.

    `quarter_turns` makes each identity three further labels, on its sides and on its head.
    """

    labels: Count
    samples: Count
    kin: Count = 1
    quarter_turns: bool = True


class Augmentation(_Part):
    """How far one drawing is moved before each step; everything is drawn uniformly.

    Degrees for `rotation` and `shear`, shares of the picture for `translation` and `elastic`
    (largest local displacement), `scale` as a log-range, `stroke` the largest share of a
    one-pixel dilation or erosion, `mirror` how many are drawn from right to left.
    """

    rotation: float = 0.0
    shear: float = 0.0
    scale: float = 0.0
    translation: float = 0.0
    elastic: float = 0.0
    stroke: Share = 0.0
    mirror: Share = 0.0


LossKind = Literal[
    # over pairs of a batch
    "bce",
    "bce-elementwise",
    "contrastive",
    "contrastive-balanced",
    "contrastive-hard",
    "cosine-embedding",
    "multi-similarity",
    "supcon",
    # over triplets
    "triplet",
    "triplet-all",
    "triplet-hardest",
    "triplet-random-hard",
    "triplet-semi-hard",
    # against centroids of the batch
    "ge2e-softmax",
    "ge2e-contrast",
    # against vectors learnt for each label
    "softmax-classifier",
    "cosface",
    "subcenter-arcface",
    "proxy-anchor",
    # between two encoders
    "info-nce",
]


class Loss(_Part):
    """A loss by our name, with its own parameters; see training/losses.py.

    `distance` is for the kinds that could do with several: heads, contrastive and triplet
    losses; unsaid, each takes its own. `proxy_learning_rate` moves whatever a loss itself
    learns, such as a head's weight, GE2E's scale or a vector for each label.
    """

    kind: LossKind
    parameters: dict[str, float] = {}
    distance: Distance | None = None
    weight: float = 1.0

    @model_validator(mode="after")
    def _has_that_distance(self) -> Self:
        fits = self.kind.startswith(("bce", "contrastive", "triplet"))
        if self.distance == "cosine" and self.kind == "bce-elementwise":
            fits = False  # it sums over dimensions, of which a cosine has none
        if self.distance and not fits:
            raise ValueError(f"{self.kind} cannot be given the distance {self.distance!r}")
        return self


class Optimisation(_Part):
    """AdamW on a one-cycle cosine schedule; the weights that count are their moving average."""

    epochs: Count
    learning_rate: float
    proxy_learning_rate: float = 0.0
    weight_decay: float = 0.0
    warm_up: Share = 0.1
    average_decay: Share = 0.99
    validate_every: Count = 5


class Export(_Part):
    """How the encoder leaves: averaged over views that show these shares of the picture."""

    views: tuple[float, ...] = ()


class Card(_Part):
    """What the bundle's card says in words: Markdown. `notice` is the data's licence text."""

    use: str = ""
    limits: str = ""
    commands: str = ""
    notice: str = ""


class Recipe(_Part):
    """What is trained, on what, and how it is called once it is exported."""

    name: Name
    version: Name
    description: str
    licence: str
    seed: int
    data: Source
    input: Input
    network: Network
    batches: Batches
    augmentation: Augmentation
    label_augmentation: Augmentation = Augmentation()
    losses: Annotated[tuple[Loss, ...], Field(min_length=1)]
    optimisation: Optimisation
    export: Export = Export()
    card: Card = Card()

    @model_validator(mode="before")
    @classmethod
    def _kinds(cls, given: object) -> object:
        """Take an input or a network that does not tell its kind for one of images."""
        if not isinstance(given, dict):
            return given
        kinds = {"input": "image", "network": "residual"}
        parts = {name: given[name] for name in kinds if isinstance(given.get(name), dict)}
        return given | {name: {"kind": kinds[name]} | part for name, part in parts.items()}


def read_recipe(path: Path) -> Recipe:
    """Return the recipe in a TOML file; raises pydantic's ValidationError on any stray field."""
    return Recipe.model_validate(tomllib.loads(path.read_text()))
