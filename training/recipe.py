"""A recipe: everything that decides what a fit learns, in one short TOML file."""

import tomllib
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from models_store.manifest import Distance, ImageInput, Input, Name, TrainingSource
from training.shapes import Count, Network, Part, ResidualNetwork, Share


class Columns(Part):
    """What the columns of a table of files are called.

    `identity` may be left out where it is "identity", "label" or "speaker". Of rows that have a
    split only those of `splits` are read, or all where it is empty.
    """

    path: str = "path"
    identity: str | None = None
    group: str | None = None
    drawer: str | None = None
    split: str = "split"
    splits: tuple[str, ...] = ()


class Table(Columns):
    """One of several tables of files that are read side by side; its folder names its group."""

    file: Path


class JudgedPairs(Part):
    """Tables of pairs of texts that people judged: scores, or whether they are the same.

    A pair that is in `val` too trains nothing. From the score `same_from` on, of 0 to 1 from the
    lowest in a table to the highest, two texts count as the same where that is asked.
    """

    train: tuple[Path, ...]
    val: tuple[Path, ...]
    same_from: Share = 0.8


class Source(Part):
    """Where the samples lie: a folder of folders or a zip of one, or `tables`; and which train.

    `files`, `tables` and `splits` are relative to the folder that `--data` names; `splits` is a
    table, or the split of each group or identity; what it does not name has the split that its
    table gives, and is left out without one. `held_back` lists identities that nothing is
    calibrated on and that are in no cohort, such as the demo's. `validation_samples` of each
    validation identity are used, the first ones; else all. Recordings longer than `pieces` seconds
    are cut into samples of that length where they are held out. `further` are the data sets that
    the tables hold besides the one that is named.
    """

    name: str
    licence: str
    url: str
    root: Path
    files: Path = Path()
    tables: tuple[Table, ...] = ()
    further: tuple[TrainingSource, ...] = ()
    splits: Path | dict[str, str] = Field(default_factory=dict[str, str])
    pieces: Annotated[float, Field(gt=0)] | None = None
    pairs: JudgedPairs | None = None
    held_back: tuple[str, ...] = ()
    validation_samples: Count | None = None


class Batches(Part):
    """P labels × K samples, labels of one group in runs of `kin`.

    `quarter_turns` makes each identity three further labels, on its sides and on its head.
    """

    labels: Count
    samples: Count
    kin: Count = 1
    quarter_turns: bool = True


class Augmentation(Part):
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


class Composition(Part):
    """Further labels, each made of two of a batch; see training/composition.py.

    They take the places of a `share` of the batch's labels, as far as it goes by fours. A part is
    `smallest` to `largest` of the picture's side, by up to e^±`aspect` wider than high.
    """

    share: Share = 0.0
    smallest: Annotated[float, Field(gt=0, le=1)] = 0.5
    largest: Annotated[float, Field(gt=0, le=1)] = 0.95
    aspect: Annotated[float, Field(ge=0)] = 0.25


class SoundAugmentation(Part):
    """How else a clip could have been recorded; see training/audio_augmentation.py.

    Each speed other than 1 makes every identity another one, as a quarter turn does of pictures.
    Clips are cut to one length for each batch, drawn from `seconds`; the share `joined` of them
    is first made longer by others of their identity. Decibels: `equaliser` how far bands are
    raised or lowered, `noise` how far below the sound it lies (a share `noisy` has some);
    `narrow` is the share that goes through a telephone's band.
    """

    speeds: tuple[Annotated[float, Field(gt=0.5, lt=2)], ...] = (1.0,)
    seconds: tuple[float, float] = (1.0, 2.0)
    joined: Share = 0.0
    equaliser: float = 0.0
    noise: tuple[float, float] = (10.0, 40.0)
    noisy: Share = 0.0
    narrow: Share = 0.0


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
    # over pairs that people judged
    "cosent",
]


_PROXIES: tuple[LossKind, ...] = (
    "softmax-classifier",
    "cosface",
    "subcenter-arcface",
    "proxy-anchor",
)
_LEARN_TOO: tuple[LossKind, ...] = (
    "bce",
    "bce-elementwise",
    "ge2e-softmax",
    "ge2e-contrast",
    *_PROXIES,
    "info-nce",
)


class Loss(Part):
    """A loss by our name, with its own parameters; see training/losses.py.

    `distance` is for the kinds that could do with several: heads, contrastive and triplet
    losses; unsaid, it is l1 for an element-wise head and l2 for the others.
    `proxy_learning_rate` moves whatever a loss itself learns, such as a head's weight, GE2E's
    scale or a vector for each label.
    """

    kind: LossKind
    parameters: dict[str, float] = Field(default_factory=dict[str, float])
    distance: Distance | None = None
    weight: float = 1.0

    @property
    def works_on(self) -> Distance | None:
        """The distance of this loss; None where it is nothing but the cosine."""
        if not self.kind.startswith(("bce", "contrastive", "triplet")):
            return None
        return self.distance or ("l1" if self.folds else "l2")

    @property
    def folds(self) -> bool:
        """Whether it learns a weight for each dimension, to be folded into the embeddings."""
        return self.kind == "bce-elementwise"

    @model_validator(mode="after")
    def _has_that_distance(self) -> Self:
        fits = self.works_on is not None
        if self.distance == "cosine" and self.folds:
            fits = False  # it sums over dimensions, of which a cosine has none
        if self.distance and not fits:
            raise ValueError(f"{self.kind} cannot be given the distance {self.distance!r}")
        return self


class Optimisation(Part):
    """AdamW on a one-cycle cosine schedule; the weights that count are their moving average."""

    epochs: Count
    learning_rate: float
    proxy_learning_rate: float = 0.0
    weight_decay: float = 0.0
    warm_up: Share = 0.1
    average_decay: Share = 0.99
    validate_every: Count = 5


class Export(Part):
    """How the encoder leaves: averaged over views that show these shares of the picture.

    Of sound, with so many numbers more, that a linear map makes of its `statistics`; see
    training/audio_statistics.py. `by_group` says that groups are unlike each other, as data sets
    are, and that a gallery will mostly be of one: thresholds then keep to any of them.
    """

    views: tuple[float, ...] = ()
    by_group: bool = False
    statistics: Annotated[int, Field(ge=0)] = 0


class Captions(Part):
    """A table of things that have texts and pictures, a line each: what two encoders learn from.

    `identity` and `group` name columns, as `texts` do: in those of `keywords` a "|" separates
    words of which each could be said alone. `pictures` are paths with columns in braces, in a zip
    where they go on behind its name: "drawings.zip/{id}.png". So many `strangers` of the
    identities to learn from are kept back, to be calibrated on with those of validation.
    """

    identity: str
    group: str
    texts: Annotated[tuple[str, ...], Field(min_length=1)]
    keywords: tuple[str, ...] = ()
    pictures: Annotated[tuple[str, ...], Field(min_length=1)]
    strangers: Annotated[int, Field(ge=0)] = 0

    @property
    def sentences(self) -> tuple[str, ...]:
        """The columns of texts that are no keywords."""
        return tuple(name for name in self.texts if name not in self.keywords)

    @property
    def styles(self) -> tuple[str, ...]:
        """What each picture's folder is called."""
        return tuple(PurePosixPath(path).parent.name for path in self.pictures)


class Wording(Part):
    """How else a thing could have been called: shares of what is said of it in a batch.

    `keywords`: some of its keywords instead of a text; `more`: a text and some keywords;
    `dropped`: without one of its words.
    """

    keywords: Share = 0.0
    more: Share = 0.0
    dropped: Share = 0.0


class Other(Part):
    """The other of two encoders, side b: without one, both sides are of the same (siamese)."""

    input: Input
    network: Network

    @model_validator(mode="before")
    @classmethod
    def _kinds(cls, given: object) -> object:
        return _of_images(given)


class Card(Part):
    """What the bundle's card says in words: Markdown. `notice` is the data's licence text."""

    use: str = ""
    limits: str = ""
    commands: str = ""
    notice: str = ""


class Recipe(Part):
    """What is trained, on what, and how it is called once it is exported."""

    name: Name
    version: Name
    description: str
    licence: str
    seed: int
    data: Source
    input: Input
    network: Network
    b: Other | None = None
    captions: Captions | None = None
    wording: Wording = Wording()
    batches: Batches
    augmentation: Augmentation = Augmentation()
    label_augmentation: Augmentation = Augmentation()
    composition: Composition = Composition()
    sound: SoundAugmentation = SoundAugmentation()
    losses: Annotated[tuple[Loss, ...], Field(min_length=1)]
    optimisation: Optimisation
    export: Export = Export()
    card: Card = Card()

    @property
    def distance(self) -> Distance:
        """What embeddings are compared by: as an element-wise head does, else the first loss."""
        losses = sorted(self.losses, key=lambda loss: not loss.folds)
        return next((found for loss in losses if (found := loss.works_on)), "cosine")

    @property
    def normalised(self) -> bool:
        """Whether embeddings leave with norm 1: not if a head was folded into them, for one."""
        plain = isinstance(self.network, ResidualNetwork) and not self.network.normalised
        return not plain and not any(loss.folds for loss in self.losses)

    def alone(self, loss: Loss) -> Self:
        """Return the same with this loss only; what it compares by the cosine is normalised."""
        by_cosine = loss.works_on in (None, "cosine")
        network = self.network.model_copy(update={"normalised": True} if by_cosine else {})
        return self.model_copy(update={"losses": (loss,), "network": network})

    @model_validator(mode="before")
    @classmethod
    def _kinds(cls, given: object) -> object:
        return _of_images(given)

    @model_validator(mode="after")
    def _two_encoders_learn_from_captions(self) -> Self:
        if (self.b is None) != (self.captions is None):
            raise ValueError("expected `b` and `captions`, or neither")
        if (self.b or self.data.pairs) and self.distance != "cosine":
            raise ValueError(f"expected losses of cosines, got one that works on {self.distance}")
        if self.distance == "cosine" and not self.normalised:
            raise ValueError("cosines are of normalised embeddings: expected a loss of l1 or l2")
        plain = isinstance(self.network, ResidualNetwork) and not self.network.normalised
        if self.export.views and plain:
            raise ValueError("views are averaged on the sphere: expected a normalised network")
        if self.b and self.b.network.dimension != self.network.dimension:
            raise ValueError("both networks must have one dimension")
        return self

    @model_validator(mode="after")
    def _composed_labels_are_of_pictures_and_new(self) -> Self:
        if not self.composition.share:
            return self
        if self.b or not isinstance(self.input, ImageInput):
            raise ValueError("composition is of labelled pictures: expected one image encoder")
        for loss in self.losses:
            if loss.kind in _PROXIES:
                raise ValueError(f"composed labels are new each time: {loss.kind} has no proxy")
        return self

    @model_validator(mode="after")
    def _what_losses_learn_is_moved(self) -> Self:
        learning = [loss.kind for loss in self.losses if loss.kind in _LEARN_TOO]
        if learning and not self.optimisation.proxy_learning_rate:
            raise ValueError(f"{learning[0]} learns too: expected a proxy_learning_rate above 0")
        return self


def _of_images(given: object) -> object:
    """Take an input or a network that does not tell its kind for one of images."""
    if not isinstance(given, dict):
        return given
    kinds = {"input": "image", "network": "residual"}
    parts = {name: given[name] for name in kinds if isinstance(given.get(name), dict)}
    return given | {name: {"kind": kinds[name]} | part for name, part in parts.items()}


def read_recipe(path: Path) -> Recipe:
    """Return the recipe in a TOML file; raises pydantic's ValidationError on any stray field."""
    return Recipe.model_validate(tomllib.loads(path.read_text()))
