"""Embeddings in, decisions out. NumPy and FAISS, nothing else."""

from index.approximate_gallery import ApproximateGallery
from index.boundary import Boundary, EnrolledTrial, Sides, StrangerTrial
from index.calibration import calibrate
from index.clustering import Cluster, Clustering, PurityLaw, Resemblance, leader, linkage
from index.cohort import (
    Cohort,
    Crowd,
    Promised,
    Source,
    TargetUnresolvable,
    strangers_needed,
)
from index.decision import (
    CandidateIdentity,
    Evidence,
    Identification,
    Outcome,
    Reason,
)
from index.device_gallery import DeviceGallery, gpus
from index.duplicates import LIKELY, Duplicate
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
from index.health import Goat, Health, Hub, Mislabelled, examine, unjudged
from index.identification import Identifier
from index.miss_rate import GenuineScores, MissReason
from index.mistakable import LeftOut, Link, links
from index.numpy_gallery import NumpyGallery
from index.operating_curve import TARGETS, CurvePoint, OperatingCurve
from index.plane import EACH, FEWEST, Plane, chosen, principal_plane
from index.posterior import PosteriorModel, PosteriorReason, Strangers, Trials, fit_posterior
from index.roster import Rule, Score, Scores
from index.strangers import LookAlike, OddStrangers, as_many_by_chance, odd_strangers

__all__ = [
    "EACH",
    "FEWEST",
    "LIKELY",
    "TARGETS",
    "ApproximateGallery",
    "BadEmbeddings",
    "Boundary",
    "CandidateIdentity",
    "Cluster",
    "Clustering",
    "Cohort",
    "Crowd",
    "CurvePoint",
    "DeviceGallery",
    "DimensionMismatch",
    "Duplicate",
    "DuplicateKey",
    "Embeddings",
    "EnrolledTrial",
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
    "LeftOut",
    "Link",
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
    "Plane",
    "PosteriorModel",
    "PosteriorReason",
    "Promised",
    "PurityLaw",
    "Reason",
    "Reference",
    "Resemblance",
    "Rule",
    "Score",
    "Scores",
    "Sides",
    "Source",
    "StrangerTrial",
    "Strangers",
    "TargetUnresolvable",
    "Trials",
    "UnknownKey",
    "as_many_by_chance",
    "calibrate",
    "chosen",
    "distances",
    "examine",
    "fit_posterior",
    "gpus",
    "leader",
    "linkage",
    "links",
    "odd_strangers",
    "principal_plane",
    "strangers_needed",
    "unjudged",
]
