"""Embeddings in, decisions out. NumPy and FAISS, nothing else."""

from index.calibration import calibrate
from index.clustering import Cluster, Clustering, leader, linkage
from index.cohort import Cohort, Source, TargetUnresolvable
from index.decision import (
    CandidateIdentity,
    Evidence,
    Identification,
    Outcome,
    Reason,
)
from index.faiss_gallery import FaissGallery
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
from index.identification import Identifier
from index.miss_rate import GenuineScores
from index.numpy_gallery import NumpyGallery
from index.posterior import PosteriorModel, Trials, fit_posterior, likeness
from index.roster import Rule, Score, Scores

__all__ = [
    "BadEmbeddings",
    "CandidateIdentity",
    "Cluster",
    "Clustering",
    "Cohort",
    "DimensionMismatch",
    "DuplicateKey",
    "Embeddings",
    "Evidence",
    "FaissGallery",
    "Gallery",
    "GenuineScores",
    "Identification",
    "Identifier",
    "Metric",
    "Neighbours",
    "NotFinite",
    "NotUnit",
    "NumpyGallery",
    "Outcome",
    "PosteriorModel",
    "Reason",
    "Reference",
    "Rule",
    "Score",
    "Scores",
    "Source",
    "TargetUnresolvable",
    "Trials",
    "UnknownKey",
    "calibrate",
    "distances",
    "fit_posterior",
    "leader",
    "likeness",
    "linkage",
]
