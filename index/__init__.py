"""Embeddings in, decisions out. NumPy and FAISS, nothing else."""

from index.clustering import Cluster, Clustering, leader, linkage
from index.cohort import Cohort, Source, TargetUnresolvable
from index.faiss_gallery import FaissGallery
from index.gallery import Embeddings, Gallery, Metric, Neighbours, Reference
from index.identification import Identification, Identifier
from index.numpy_gallery import NumpyGallery
from index.roster import Rule, Score

__all__ = [
    "Cluster",
    "Clustering",
    "Cohort",
    "Embeddings",
    "FaissGallery",
    "Gallery",
    "Identification",
    "Identifier",
    "Metric",
    "Neighbours",
    "NumpyGallery",
    "Reference",
    "Rule",
    "Score",
    "Source",
    "TargetUnresolvable",
    "leader",
    "linkage",
]
