"""What a comparator bundle is, and how to run one. No torch."""

from models_store.bundle import broken_promise, open_bundle
from models_store.comparator import Comparator, Device, WrongDimension
from models_store.manifest import BundleRefused, Manifest, Modality, Rule, Side
from models_store.preparation import Windows
from models_store.sample import (
    Degenerate,
    Given,
    ReadyEmbedding,
    Sample,
    SampleLimits,
    SampleOutOfBounds,
    Undecodable,
    WrongModality,
)
from models_store.shelf import Found, Refusal, Shelf, find_bundles, newest, open_shelf, shelve
from models_store.trials import TrialLimits

__all__ = [
    "BundleRefused",
    "Comparator",
    "Degenerate",
    "Device",
    "Found",
    "Given",
    "Manifest",
    "Modality",
    "ReadyEmbedding",
    "Refusal",
    "Rule",
    "Sample",
    "SampleLimits",
    "SampleOutOfBounds",
    "Shelf",
    "Side",
    "TrialLimits",
    "Undecodable",
    "Windows",
    "WrongDimension",
    "WrongModality",
    "broken_promise",
    "find_bundles",
    "newest",
    "open_bundle",
    "open_shelf",
    "shelve",
]
