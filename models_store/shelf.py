"""Every bundle under a folder: which are served, which were refused and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from models_store.bundle import load_bundle
from models_store.comparator import Comparator, Device
from models_store.folder import MOST_BYTES, BundleFiles, read_bundle, shown
from models_store.manifest import BundleRefused
from models_store.sample import SampleLimits
from models_store.trials import TrialLimits, try_bundles


@dataclass(frozen=True, slots=True)
class Refusal:
    """A bundle that is not served, as `name/version`, and the reason."""

    bundle: str
    reason: str

    def __str__(self) -> str:
        """`name/version: reason`."""
        return f"{self.bundle}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Shelf:
    """The comparators that can be served, by `name@version`, and the bundles that cannot.

    `warnings` tell of bundles that are served what is odd about their folders.
    """

    comparators: dict[str, Comparator]
    refusals: tuple[Refusal, ...]
    warnings: tuple[Refusal, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """The bundles under a folder, by `name/version`, and those that are refused by now.

    `tried` tells whether each was in a process of its own.
    """

    bundles: Mapping[str, BundleFiles]
    refusals: tuple[Refusal, ...]
    tried: bool


def open_shelf(
    root: Path,
    device: Device = "cpu",
    threads: int = 0,
    limits: SampleLimits = SampleLimits(),  # noqa: B008 - frozen
    *,
    most: int = MOST_BYTES,
    trial: TrialLimits | None = None,
) -> Shelf:
    """Open every `<name>/<version>/` under a folder; one that is refused leaves the others be.

    A bundle may have at most so many bytes. With a `trial`, each is tried in a process that may
    be lost before any of it is loaded here.
    """
    return shelve(find_bundles(root, most=most, trial=trial), device, threads, limits)


def find_bundles(root: Path, *, most: int = MOST_BYTES, trial: TrialLimits | None = None) -> Found:
    """Read every bundle under a folder and try it, as `open_shelf` does before it loads any."""
    read: dict[str, BundleFiles] = {}
    refusals = []
    for folder in sorted(path for path in root.glob("*/*") if path.is_dir()):
        label = shown(f"{folder.parent.name}/{folder.name}")
        try:
            given = read_bundle(folder, most)
        except BundleRefused as refused:
            refusals.append(Refusal(label, shown(str(refused))))
            continue
        if given.manifest.title == label.replace("/", "@"):
            read[label] = given
        else:
            refusals.append(Refusal(label, f"the manifest calls itself {given.manifest.title}"))
    reasons = try_bundles(list(read.values()), trial) if trial else [None] * len(read)
    for (label, _), reason in zip(list(read.items()), reasons, strict=True):
        if reason is not None:
            refusals.append(Refusal(label, reason))
            del read[label]
    return Found(read, tuple(refusals), tried=trial is not None)


def shelve(
    found: Found,
    device: Device = "cpu",
    threads: int = 0,
    limits: SampleLimits = SampleLimits(),  # noqa: B008 - frozen
) -> Shelf:
    """Load the bundles that were found; one that is refused leaves the others be."""
    comparators: dict[str, Comparator] = {}
    refusals = [*found.refusals]
    for label, given in found.bundles.items():
        try:
            comparators[given.manifest.title] = load_bundle(
                given, device, threads, limits, tried=found.tried
            )
        except BundleRefused as refused:
            refusals.append(Refusal(label, shown(str(refused))))
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one, others are served
            refusals.append(Refusal(label, f"it cannot be loaded: {type(error).__name__}"))
    warnings = [
        Refusal(label, warning)
        for label, given in found.bundles.items()
        for warning in given.warnings
        if given.manifest.title in comparators
    ]
    return Shelf(comparators, tuple(sorted(refusals, key=str)), tuple(warnings))


def newest(comparators: dict[str, Comparator], name: str) -> Comparator | None:
    """Return the comparator of a `name@version`, or the newest version of a bare name."""
    if "@" in name:
        return comparators.get(name)
    versions = [c for c in comparators.values() if c.manifest.name == name]
    return max(versions, key=lambda c: _version_key(c.manifest.version), default=None)


def _version_key(version: str) -> list[tuple[int, int, str]]:
    """Sort 10 after 9, and words after numbers."""
    return [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in version.split(".")]
