"""What an evaluation says: the schema of `report.json`, version 1."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Side = Literal["a", "b"]
Strangers = Literal["as-served", "like-cohort", "kin", "one-group"]
Decision = Literal[
    "served",  # what the service does: cohort and the gallery's own trials, by the bundle's rule
    "cohort alone",  # the same without own trials; with like-cohort strangers: an uploaded cohort
    "fixed pair threshold",  # FMR 1 % over all pairs of these samples, by the bundle's rule
    "raw sigmoid",  # score >= .5, by the bundle's rule
    "seed rule",  # evaluation.seed_rule.seed_rule
    "tied vote",  # evaluation.seed_rule.tied_vote
    "oracle",  # the lowest threshold that keeps these very strangers to the rate asked for
]


class Part(BaseModel):
    """A piece of a report: unknown fields and numbers that are none are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Figure(Part):
    """A number with its 95 % interval over identities drawn anew, and who was counted.

    Where there are too few to say, `value` is null and `too_few` says why. The interval is null
    where the value is, or where the figure says of itself that it has none.
    """

    value: float | None = None
    interval: tuple[float, float] | None = None
    counted: str
    too_few: str | None = None


class Bin(Part):
    """One bin of a reliability curve: mean stated probability, share that was right, weight."""

    stated: float
    right: float
    weight: float


class Sides(Part):
    """How many samples and identities there are of side a and of side b, and on both."""

    samples: tuple[int, int]
    identities: tuple[int, int]
    on_both: int


class About(Part):
    """What was evaluated, and what to know before reading on."""

    title: str
    bundle: str | None = None
    digest: str | None = None
    metric: Literal["cosine", "l2", "l1"]
    rule: str
    seed: int
    samples: int
    identities: int
    samples_each: tuple[int, float, int] = Field(description="fewest, median, most")
    groups: int | None = Field(description="null where no groups were given")
    drawers: int | None = Field(description="null where no drawers were given")
    warnings: tuple[str, ...] = ()
    sides: Sides | None = Field(None, description="null where both sides have one encoder")


class OperatingPoint(Part):
    """The lowest threshold that accepts at most `fmr` of the impostor pairs, and its price."""

    fmr: float
    threshold: float | None
    fnmr: Figure


class Curve(Part):
    """FMR and FNMR at thresholds that rise."""

    threshold: tuple[float, ...]
    fmr: tuple[float, ...]
    fnmr: tuple[float, ...]


class Histogram(Part):
    """The share of genuine and of impostor pairs in each bin between `edges`."""

    edges: tuple[float, ...]
    genuine: tuple[float, ...]
    impostor: tuple[float, ...]


class PairSection(Part):
    """Every unordered pair of samples, none with itself.

    Of two encoders it is every pair of a sample of side a with one of side b.
    """

    genuine: int
    impostor: int
    resolution: str
    eer: Figure
    auc: Figure
    ece: Figure
    cllr: Figure
    min_cllr: Figure
    operating_points: tuple[OperatingPoint, ...]
    det: Curve | None
    histogram: Histogram | None
    reliability: tuple[Bin, ...]


class OpenSetRow(Part):
    """One way of deciding in galleries of `identities` with `samples` each.

    `asked` is the FPIR asked for, null for a decision that cannot be asked. `price` is FNIR over
    the oracle's, `expected_fnir` what the service would have said. Of two encoders `probes` is the
    side that asks; the other is enrolled.
    """

    strangers: Strangers
    identities: int
    samples: int
    decision: Decision
    asked: float | None
    galleries: int
    fpir: Figure
    fnir: Figure
    price: float | None = None
    expected_fnir: float | None = None
    probes: Side | None = None


class OpenSetSection(Part):
    """Strangers named (FPIR) and enrolled not named rightly (FNIR), by size of gallery."""

    rows: tuple[OpenSetRow, ...]
    too_few: tuple[str, ...]


class PosteriorRow(Part):
    """Whether stated probabilities come true, half of the probes by strangers.

    `stated` is `posterior` or, as a control, `raw sigmoid`: the first candidate's score. `sure`
    is the share right of answers stated at 90 % or more, and `sure_share` how many these are.
    `probes` is as in `OpenSetRow`.
    """

    strangers: Strangers
    identities: int
    samples: int
    stated: Literal["posterior", "raw sigmoid"]
    ece: Figure
    sure: Figure
    sure_share: float | None
    reliability: tuple[Bin, ...]
    probes: Side | None = None


class PosteriorSection(Part):
    """The probability stated with a first candidate against how often that is right."""

    rows: tuple[PosteriorRow, ...]
    too_few: tuple[str, ...]


class RetrievalRow(Part):
    """How often a probe's own identity is among the first `rank` of the other side.

    `identities` of the other side are searched, with one sample each (drawn, as often as told) or
    with all they have, where the best of them counts. `chance` is what guessing comes to.
    """

    probes: Side
    references: Literal["one of each", "all"]
    identities: int
    rank: int
    found: Figure
    chance: float


class RetrievalSection(Part):
    """How well each of two sides finds the other, where everybody asked for is enrolled."""

    protocol: str
    rows: tuple[RetrievalRow, ...]


class Accuracy(Part):
    """How often one rule names the enrolled rightly, and leaves strangers unknown."""

    rule: Literal["knn", "seed rule", "tied vote"]
    known: Figure
    unknown: Figure
    both: Figure


class Cell(Part):
    """How many probes of `truth` were named `named`; null stands for unknown."""

    truth: str | None
    named: str | None
    count: int


class RecognitionSection(Part):
    """Labelled k-NN as the index serves it, every identity once a stranger.

    `confusion` lists every cell that is not empty, by count and then by name; a null truth is a
    stranger, a null name is the answer "unknown".
    """

    protocol: str
    accuracy: tuple[Accuracy, ...]
    confusion: tuple[Cell, ...]
    too_few: str | None


class OneShotRow(Part):
    """How often a probe is nearest to its own identity among `ways`, with `shots` references."""

    ways: int
    shots: int
    within_groups: bool
    right: Figure


class Agreement(Part):
    """How well clusters agree with identities; `spread` is over orders of the same samples."""

    ari: Figure
    ami: Figure
    v_measure: Figure
    b3_precision: Figure
    b3_recall: Figure
    b3: Figure
    spread: tuple[float, float] = Field(description="least and most ARI over orders")


class ClusteringRow(Part):
    """One method, cut where other identities agreed best or where the bundle says.

    Of two encoders `side` tells whose samples are clustered: with each other, as `/cluster` does.
    """

    method: Literal["linkage", "leader"]
    cut_from: Literal["other identities", "bundle"]
    cut: float
    clusters: int
    identities: int
    samples: int
    orders: int
    agreement: Agreement
    side: Side | None = None


class Confusion(Part):
    """A pair that looks wrong: alike but of two identities, or one identity and not alike.

    `rows` are positions in the input, `pictures` data URIs where pictures came with them.
    """

    score: float
    rows: tuple[int, int]
    identities: tuple[str, str]
    names: tuple[str | None, str | None]
    pictures: tuple[str | None, str | None] = (None, None)


class ConfusionSection(Part):
    """The likeliest mistakes, at most two of the same identities."""

    impostor: tuple[Confusion, ...]
    genuine: tuple[Confusion, ...]


class GroupRow(Part):
    """Error rates of one group at the threshold of FMR 1 % over everybody.

    FMR counts impostor pairs with both sides in the group; FPIR and FNIR count its strangers and
    its enrolled in the galleries of the open-set section.
    """

    group: str
    identities: int
    samples: int
    fmr: Figure
    fnmr: Figure
    fpir: Figure
    fnir: Figure


class Similarity(Part):
    """The mean score of the samples of two identities (m, m), alike ones beside each other.

    Of two encoders rows are of side a and columns of side b.
    """

    identities: tuple[str, ...]
    scores: tuple[tuple[float | None, ...], ...]


class Place(Part):
    """A point of the map of embeddings (t-SNE)."""

    x: float
    y: float
    identity: str
    kind: Literal["sample", "centroid", "query"]


class Report(Part):
    """Everything that was measured; sections are null or empty where they do not apply.

    `absent` maps such a section to why it says nothing of these samples.
    """

    schema_version: Literal[1] = 1
    about: About
    pairs: PairSection
    open_set: OpenSetSection
    posterior: PosteriorSection
    recognition: RecognitionSection
    one_shot: tuple[OneShotRow, ...]
    clustering: tuple[ClusteringRow, ...]
    clustering_too_few: str | None
    groups: tuple[GroupRow, ...]
    groups_too_few: str | None
    confusions: ConfusionSection
    similarity: Similarity | None
    places: tuple[Place, ...]
    retrieval: RetrievalSection | None = None
    absent: dict[str, str] = {}
