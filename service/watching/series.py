"""Prometheus series with closed labels: all there from the start, and none that comes later."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import product
from types import MappingProxyType
from typing import Generic, TypeVar

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics import MetricWrapperBase

OTHER = "_other"  # what a label says of a value that is in no closed list

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

_Metric = TypeVar("_Metric", bound=MetricWrapperBase)
Labels = Mapping[str, Collection[str]]  # each label with the values that it takes
NONE: Labels = MappingProxyType({})


class Closed(Generic[_Metric]):
    """A metric whose labels take listed values, or `_other`; all of `found` are there at once."""

    def __init__(
        self, metric: _Metric, labels: Labels, found: Iterable[tuple[str, ...]] | None = None
    ) -> None:
        self._metric = metric
        self._known = [frozenset(values) for values in labels.values()]
        self._found: dict[tuple[str, ...], _Metric] = {}
        for values in product(*labels.values()) if found is None else found:
            self(*values)

    def __call__(self, *values: str) -> _Metric:
        """Return the series of these labels, the ones that are not known being `_other`."""
        if not values:
            return self._metric
        if (found := self._found.get(values)) is None:
            pairs = zip(values, self._known, strict=True)
            listed = tuple(v if v in known else OTHER for v, known in pairs)
            found = self._found[listed] = self._metric.labels(*listed)
        return found


class Series:
    """Declares `kindred_…` series in a registry of its own."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library left it untyped
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)

    def exposition(self) -> tuple[bytes, str]:
        """Return all series as text, and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST

    def counter(
        self,
        name: str,
        meaning: str,
        labels: Labels = NONE,
        found: Iterable[tuple[str, ...]] | None = None,
    ) -> Closed[Counter]:
        """Declare a counter of these labels; there from the start are all, or `found`."""
        metric = Counter(f"kindred_{name}", meaning, [*labels], registry=self.registry)
        return Closed(metric, labels, found)

    def gauge(self, name: str, meaning: str, labels: Labels = NONE) -> Closed[Gauge]:
        """Declare a gauge."""
        return Closed(self.facts(name, meaning, *labels), labels)

    def histogram(
        self, name: str, meaning: str, labels: Labels, buckets: Sequence[float] = SECONDS
    ) -> Closed[Histogram]:
        """Declare a histogram whose buckets end at these values."""
        metric = Histogram(
            f"kindred_{name}", meaning, [*labels], registry=self.registry, buckets=buckets
        )
        return Closed(metric, labels)

    def facts(self, name: str, meaning: str, *labels: str) -> Gauge:
        """Declare a gauge for what exists now: none at the start, and gone with what it told."""
        return Gauge(f"kindred_{name}", meaning, labels, registry=self.registry)
