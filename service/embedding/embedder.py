"""Samples → embeddings: decoded apart, embedded in batches, each on its own."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from time import perf_counter

import numpy as np

from models_store import (
    Comparator,
    Degenerate,
    Given,
    ReadyEmbedding,
    Sample,
    Side,
    Windows,
    WrongDimension,
)
from models_store.comparator import Array
from service.embedding.batching import Batcher, Embedded, Overloaded
from service.embedding.decoding import Budget, Decoders

Timings = dict[str, float]


@dataclass(frozen=True, slots=True)
class EmbeddedSamples:
    """What became of n samples: those at `indices` have a row in `embeddings`, the rest a reason.

    `timings` are seconds by stage.
    """

    indices: list[int]
    embeddings: Array  # (len(indices), d)
    failures: dict[int, Exception]
    timings: Timings

    @classmethod
    def joined(
        cls, parts: Sequence["EmbeddedSamples"], starts: Sequence[int]
    ) -> "EmbeddedSamples":
        """Return parts as one, of which each one's samples begin at a place."""
        if len(parts) == 1:
            return parts[0]
        placed = list(zip(starts, parts, strict=True))
        return cls(
            [start + i for start, part in placed for i in part.indices],
            np.concatenate([part.embeddings for part in parts]),
            {start + i: why for start, part in placed for i, why in part.failures.items()},
            {stage: took for part in parts for stage, took in part.timings.items()},
        )

    def without(self, refused: Mapping[int, Exception]) -> "EmbeddedSamples":
        """Return the same without the samples of these indices, for these reasons."""
        kept = [row for row, index in enumerate(self.indices) if index not in refused]
        return EmbeddedSamples(
            [self.indices[row] for row in kept],
            self.embeddings[kept],
            self.failures | dict(refused),
            self.timings,
        )

    def demand_some(self) -> None:
        """Raise the first failure if no sample is left."""
        if not self.indices and self.failures:
            raise self.failures[min(self.failures)]


class Embedder:
    """Every encoder of every comparator, each behind its own queue."""

    def __init__(
        self,
        comparators: Mapping[str, Comparator],
        decoders: Decoders,
        encoders: Executor,
        *,
        max_batch: int,
        queue_length: int,
        on_batch: Callable[[str, int], None] = lambda _comparator, _size: None,
        on_refusal: Callable[[str], None] = lambda _comparator: None,
    ) -> None:
        self._decoders = decoders
        self._on_refusal = on_refusal
        self._batchers: dict[tuple[str, Side], Batcher] = {}
        for title, comparator in comparators.items():
            for side in comparator.manifest.encoders:
                shared = self._batchers.get((title, "a")) if comparator.manifest.tied else None
                self._batchers[title, side] = shared or Batcher(
                    partial(comparator.embed, side=side),
                    encoders,
                    max_batch=max_batch,
                    queue_length=queue_length,
                    on_batch=partial(on_batch, title),
                )

    def queue_depths(self) -> dict[str, int]:
        """Return how many samples wait for each comparator."""
        depths: dict[str, int] = {}
        for title in {title for title, _ in self._batchers}:
            queues = {self._batchers[title, side] for side in ("a", "b")}
            depths[title] = sum(batcher.depth for batcher in queues)
        return depths

    def budget(self, requests: int = 1) -> Budget:
        """Return what decoding may take of a request whose samples are not embedded at a time."""
        return self._decoders.budget(requests)

    async def embed(
        self,
        comparator: Comparator,
        side: Side,
        given: Sequence[Given],
        budget: Budget | None = None,
    ) -> EmbeddedSamples:
        """Embed samples on one side of a comparator; raise Overloaded if they cannot wait."""
        started = perf_counter()
        prepared = await self._prepare(comparator, side, given, budget)
        timings: Timings = {"decode": perf_counter() - started}
        inputs = {i: one for i, one in enumerate(prepared) if isinstance(one, tuple)}
        found: list[Embedded | Degenerate] = []
        if inputs:
            batcher = self._batchers[comparator.title, side]
            try:
                found = await batcher.embed(list(inputs.values()))
            except Overloaded:
                self._on_refusal(comparator.title)
                raise
        rows = list(prepared)
        for i, result in zip(inputs, found, strict=True):
            rows[i] = result.embedding if isinstance(result, Embedded) else result
        done = [result for result in found if isinstance(result, Embedded)]
        if done:
            timings |= {
                "queue": max(result.queue for result in done),
                "encode": max(result.encode for result in done),
            }
        indices = [i for i, row in enumerate(rows) if not isinstance(row, Exception)]
        failures = {i: row for i, row in enumerate(rows) if isinstance(row, Exception)}
        embeddings = np.array([rows[i] for i in indices], np.float32)
        return EmbeddedSamples(
            indices, embeddings.reshape(-1, comparator.manifest.dimension), failures, timings
        )

    async def pictures(
        self,
        comparator: Comparator,
        side: Side,
        given: Mapping[int, Given],
        budget: Budget | None = None,
    ) -> dict[int, bytes]:
        """Return a thumbnail of each sample that is an image of a side, as PNG, by its place."""
        samples = {i: one for i, one in given.items() if isinstance(one, Sample)}
        found = await self._decoders.pictures(comparator, side, list(samples.values()), budget)
        pairs = zip(samples, found, strict=True)
        return {i: picture for i, picture in pairs if picture is not None}

    async def preview(self, comparator: Comparator, side: Side, sample: Sample) -> bytes:
        """Return a picture of an image or a sound of a side, as PNG of at most 160 pixels."""
        return await self._decoders.preview(comparator, side, sample)

    async def _prepare(
        self,
        comparator: Comparator,
        side: Side,
        given: Sequence[Given],
        budget: Budget | None,
    ) -> list[Windows | Array | Exception]:
        """Return for each sample its encoder input, or the embedding that came, or the reason."""
        samples = [one for one in given if isinstance(one, Sample)]
        ready = [one for one in given if isinstance(one, ReadyEmbedding)]
        prepared = iter(await self._decoders.prepare(comparator, side, samples, budget))
        accepted = iter(await asyncio.to_thread(_accept, comparator, ready) if ready else [])
        return [next(prepared if isinstance(one, Sample) else accepted) for one in given]


def _accept(
    comparator: Comparator, given: Sequence[ReadyEmbedding]
) -> list[Windows | Array | Exception]:
    rows = [one.values for one in given]
    surely = comparator.surely_accepts(rows)
    accepted: list[Windows | Array | Exception] = []
    for row, sure in zip(rows, surely, strict=True):
        try:
            accepted.append(row if sure else comparator.accept(row))
        except (Degenerate, WrongDimension) as error:
            accepted.append(error)
    return accepted
