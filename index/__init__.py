"""Embeddings in, decisions out. NumPy and FAISS, nothing else."""

from index.calibration import calibrate
from index.clustering import Cluster, Clustering, PurityLaw, leader, linkage
from index.cohort import Cohort, Crowd, Source, TargetUnresolvable
from index.decision import (
    CandidateIdentity,
    Evidence,
    Identification,
    Outcome,
    Reason,
)
from index.faiss_gallery import FaissGallery
from index.frozen import Frozen, FrozenBest, FrozenSearch
from index.gallery import (
    BadEmbeddings,
    DimensionMismatch,
    DuplicateKey,
    Embeddings,
    Gallery,
    Metric,
    Neighbours,
    NotFinite,
    NotUnit,
    Reference,
    UnknownKey,
    distances,
)
from index.health import Duplicate, Goat, Health, Hub, Mislabelled, examine, unjudged
from index.identification import Identifier
from index.miss_rate import GenuineScores, MissReason
from index.numpy_gallery import NumpyGallery
from index.operating_curve import TARGETS, CurvePoint, OperatingCurve
from index.posterior import PosteriorModel, PosteriorReason, Strangers, Trials, fit_posterior
from index.roster import Rule, Score, Scores
from index.strangers import LookAlike, OddStrangers, odd_strangers

__all__ = [
    "TARGETS",
    "BadEmbeddings",
    "CandidateIdentity",
    "Cluster",
    "Clustering",
    "Cohort",
    "Crowd",
    "CurvePoint",
    "DimensionMismatch",
    "Duplicate",
    "DuplicateKey",
    "Embeddings",
    "Evidence",
    "FaissGallery",
    "Frozen",
    "FrozenBest",
    "FrozenSearch",
    "Gallery",
    "GenuineScores",
    "Goat",
    "Health",
    "Hub",
    "Identification",
    "Identifier",
    "LookAlike",
    "Metric",
    "Mislabelled",
    "MissReason",
    "Neighbours",
    "NotFinite",
    "NotUnit",
    "NumpyGallery",
    "OddStrangers",
    "OperatingCurve",
    "Outcome",
    "PosteriorModel",
    "PosteriorReason",
    "PurityLaw",
    "Reason",
    "Reference",
    "Rule",
    "Score",
    "Scores",
    "Source",
    "Strangers",
    "TargetUnresolvable",
    "Trials",
    "UnknownKey",
    "calibrate",
    "distances",
    "examine",
    "fit_posterior",
    "leader",
    "linkage",
    "odd_strangers",
    "unjudged",
]
