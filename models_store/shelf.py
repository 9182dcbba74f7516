"""Every bundle under a folder: which are served, which were refused and why."""

from dataclasses import dataclass
from pathlib import Path

from models_store.bundle import open_bundle
from models_store.comparator import Comparator, Device
from models_store.manifest import BundleRefused
from models_store.sample import SampleLimits


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
    """The comparators that can be served, by `name@version`, and the bundles that cannot."""

    comparators: dict[str, Comparator]
    refusals: tuple[Refusal, ...]


def open_shelf(
    root: Path,
    device: Device = "cpu",
    threads: int = 0,
    limits: SampleLimits = SampleLimits(),  # noqa: B008 - frozen
) -> Shelf:
    """Open every `<name>/<version>/` under a folder; one that is refused leaves the others be."""
    comparators: dict[str, Comparator] = {}
    refusals = []
    for folder in sorted(path for path in root.glob("*/*") if path.is_dir()):
        label = f"{folder.parent.name}/{folder.name}"
        try:
            comparator = open_bundle(folder, device, threads, limits)
        except BundleRefused as refused:
            refusals.append(Refusal(label, str(refused)))
            continue
        if comparator.title == label.replace("/", "@"):
            comparators[comparator.title] = comparator
        else:
            refusals.append(Refusal(label, f"the manifest calls itself {comparator.title}"))
    return Shelf(comparators, tuple(refusals))


def newest(comparators: dict[str, Comparator], name: str) -> Comparator | None:
    """Return the comparator of a `name@version`, or the newest version of a bare name."""
    if "@" in name:
        return comparators.get(name)
    versions = [c for c in comparators.values() if c.manifest.name == name]
    return max(versions, key=lambda c: _version_key(c.manifest.version), default=None)


def _version_key(version: str) -> list[tuple[int, int, str]]:
    """Sort 10 after 9, and words after numbers."""
    return [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in version.split(".")]
