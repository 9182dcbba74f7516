"""Maps of galleries: their samples on a plane, and what would become of each."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from time import monotonic
from typing import Literal

import numpy as np
import structlog

from index import (
    FEWEST,
    Embeddings,
    LeftOut,
    Link,
    Reference,
    UnknownKey,
    chosen,
    links,
    principal_plane,
)
from service.children.layouts import Layout, NoLayout, ToLayOut, lay_out
from service.parameters import InvalidParameter
from service.replicas.galleries import Galleries
from service.replicas.replica import Replica
from service.store.kept import Position
from service.use_cases.recogniser import Recogniser

MOST_LINKS = 2000
MOST_KEPT = 8  # maps; whose was not asked for the longest gives way
SLICE = 64  # samples judged at a time, so that other searches get their turn between
JUDGED = 0.3  # the share of the work that is done when all samples are
ALMOST = 0.99  # the share that is done as long as the layout is not here
AGAIN = 60.0  # seconds after which a layout that failed is tried anew
EVERY = 1.0  # seconds between two looks for maps of what is no more so
TRIES = 3  # times that a gallery is read again because it changed meanwhile

log = structlog.get_logger("kindred.mapping")


@dataclass(frozen=True, slots=True)
class GalleryMap:
    """Samples of a gallery by rising id, where each lies, and what would become of it.

    `progress` is the share of the work on it that is done: at 1 it stays as it is until the
    gallery changes. Until then `clusters`, `outcomes` and `links` may be None, and after that
    where they cannot be told. `links` are the best of `linked` pairs of different identities.
    `reason` is why the layout stays that of the principal plane.
    """

    gallery: str
    comparator: str
    version: int
    rule: str
    target_fpir: float
    threshold: float | None
    identities: int
    samples: int
    references: Sequence[Reference]
    x: Sequence[float]
    y: Sequence[float]
    layout: Literal["pca", "tsne"] = "pca"
    progress: float = 0.0
    reason: str | None = None
    clusters: Sequence[int] | None = None
    outcomes: Sequence[LeftOut] | None = None
    links: Sequence[Link] | None = None
    linked: int | None = None

    def laid_out(self, layout: Layout) -> "GalleryMap":
        """Return the same with its samples there."""
        return replace(
            self, x=layout.x, y=layout.y, clusters=layout.clusters, layout="tsne", reason=None
        )


@dataclass(slots=True)
class _Kept:
    """A map as far as it is done, of a gallery as it was at a position."""

    digest: str
    at: Position
    map: GalleryMap
    work: "asyncio.Task[None] | None" = None
    layout: Layout | None = None
    failed: float | None = None  # when, of `monotonic`

    def is_of(self, replica: Replica) -> bool:
        """Whether it shows what the gallery holds now."""
        return (self.digest, self.at) == (replica.comparator.digest, replica.position)

    def may_stay(self, replica: Replica) -> bool:
        """Whether nothing was taken out of the gallery since."""
        return (
            self.digest == replica.comparator.digest
            and self.at.lineage == replica.position.lineage
            and replica.erased <= self.at.version
        )


class Maps:
    """Makes maps, one at a time, and keeps the last few.

    A map is of `most` samples at most. Its first state is there at once; the rest is worked out
    in the background, the layout in a process of `memory` bytes for `seconds` at most. What
    becomes of a layout is told to `on_layout`, with the seconds that it took; a map is worked out
    within `working`.
    """

    def __init__(
        self,
        galleries: Galleries,
        *,
        most: int,
        memory: int,
        seconds: float,
        on_layout: Callable[[str, float], None] = lambda _outcome, _seconds: None,
        working: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self.most = most
        self._galleries = galleries
        self._memory = memory
        self._seconds = seconds
        self._on_layout = on_layout
        self._working = working
        self._kept: OrderedDict[tuple[str, int], _Kept] = OrderedDict()
        self._begin_turn = asyncio.Lock()
        self._turn = asyncio.Lock()

    async def of(self, recogniser: Recogniser, gallery: str, limit: int | None) -> GalleryMap:
        """Return the map of a gallery as far as it is done, and see that it gets done.

        Raises InvalidParameter for more samples than may be, or as `Recogniser.gallery` does.
        """
        if limit is not None and limit > self.most:
            raise InvalidParameter("limit", f"expected at most {self.most}")
        limit = limit or self.most
        replica = recogniser.gallery(gallery)
        self._galleries.demand_level(replica)
        if kept := self._current(replica, limit):
            return kept.map
        async with self._begin_turn:
            if kept := self._current(replica, limit):
                return kept.map
            return (await self._begin(replica, limit, recogniser.target_fpir)).map

    async def follow(self) -> None:
        """Let go of maps of what is no more so, until cancelled."""
        while True:
            await asyncio.sleep(EVERY)
            replicas = {replica.name: replica for replica in self._galleries.replicas}
            for key, kept in list(self._kept.items()):
                replica = replicas.get(key[0])
                if replica is None or not kept.may_stay(replica):
                    del self._kept[key]
                if (replica is None or not kept.is_of(replica)) and kept.work:
                    kept.work.cancel()

    async def close(self) -> None:
        """End what is under way, processes included."""
        works = [kept.work for kept in self._kept.values() if kept.work]
        self._kept.clear()
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)

    def _current(self, replica: Replica, limit: int) -> _Kept | None:
        kept = self._kept.get((replica.name, limit))
        if kept is None or not kept.is_of(replica):
            return None
        if kept.failed is not None and monotonic() - kept.failed > AGAIN:
            return None
        self._kept.move_to_end((replica.name, limit))
        return kept

    async def _begin(self, replica: Replica, limit: int, usual_target: float) -> _Kept:
        """Show the gallery on its principal plane, or as it lay before, and go on from there."""
        for _ in range(TRIES):
            at = replica.position
            first, embeddings = await asyncio.to_thread(_first, replica, limit, usual_target)
            if at == replica.position:
                break
        kept = _Kept(replica.comparator.digest, at, first)
        before = self._kept.pop((replica.name, limit), None)
        if before and before.work:
            before.work.cancel()
        if before and before.layout and before.may_stay(replica) and _alike(before.map, first):
            kept.layout = before.layout
            kept.map = first.laid_out(before.layout)
        self._kept[replica.name, limit] = kept
        while len(self._kept) > MOST_KEPT:
            _, oldest = self._kept.popitem(last=False)
            if oldest.work:
                oldest.work.cancel()
        kept.work = asyncio.create_task(self._finish(kept, replica, embeddings))
        return kept

    async def _finish(self, kept: _Kept, replica: Replica, embeddings: Embeddings) -> None:
        """Work out what is missing, in its turn."""
        try:
            with self._working():
                async with self._turn:
                    await self._judge(kept, replica, embeddings)
                    await self._lay_out(kept, replica, embeddings)
        except UnknownKey:
            return  # the gallery is another by now, and so is its map
        except NoLayout as error:
            kept.failed = monotonic()
            kept.map = replace(kept.map, reason=str(error))
        except Exception:
            log.exception("a map could not be made")
            kept.failed = monotonic()
            kept.map = replace(kept.map, reason="a defect of the service, which its log tells")
        kept.work = None
        kept.map = replace(kept.map, progress=1.0)

    async def _judge(self, kept: _Kept, replica: Replica, embeddings: Embeddings) -> None:
        """Tell what each sample would be named as, and which are too much alike."""
        found, threshold = kept.map, kept.map.threshold
        if threshold is None or not replica.comparator.manifest.tied:
            return
        keys = [reference.key for reference in found.references]
        outcomes: list[LeftOut] = []
        for start in range(0, len(keys), SLICE):
            some = keys[start : start + SLICE]
            judged = await asyncio.to_thread(replica.index.left_out, some, threshold)
            outcomes += judged if judged is not None else []
            kept.map = replace(found, progress=round(JUDGED * len(outcomes) / len(keys), 3))
        linked, best = await asyncio.to_thread(_links, found, replica, embeddings, threshold)
        kept.map = replace(found, outcomes=outcomes, links=best, linked=linked, progress=JUDGED)

    async def _lay_out(self, kept: _Kept, replica: Replica, embeddings: Embeddings) -> None:
        """Let neighbours be neighbours."""
        if kept.layout:
            return
        if len(embeddings) < FEWEST:
            few = f"fewer than {FEWEST} samples have no neighbourhoods to keep"
            kept.map = replace(kept.map, reason=few)
            return

        def on_share(share: float) -> None:
            done = min(JUDGED + (1 - JUDGED) * share, ALMOST)
            kept.map = replace(kept.map, progress=round(done, 3))

        manifest, side = replica.comparator.manifest, replica.state.settings.references
        with self._told():
            kept.layout = await lay_out(
                ToLayOut(
                    embeddings=embeddings,
                    start=np.stack([kept.map.x, kept.map.y], axis=1),
                    metric=manifest.distance,
                    head=(manifest.head.weight, manifest.head.bias),
                    cluster_threshold=manifest.calibration_of(side).cluster_threshold,
                ),
                memory=self._memory,
                seconds=self._seconds,
                on_share=on_share,
            )
        kept.map = kept.map.laid_out(kept.layout)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Tell what becomes of a layout, and how long it took."""
        outcome, started = "failed", monotonic()
        try:
            yield
            outcome = "done"
        except NoLayout as error:
            outcome = error.outcome
            raise
        except asyncio.CancelledError:
            outcome = "abandoned"
            raise
        finally:
            self._on_layout(outcome, monotonic() - started)


def _first(replica: Replica, limit: int, usual_target: float) -> tuple[GalleryMap, Embeddings]:
    """Return what can be told of a gallery at once, and the embeddings of what is shown (n, d)."""
    version, index = replica.version, replica.index
    target = replica.state.settings.target_fpir or usual_target
    references, embeddings = index.enrolled()
    places = chosen(references, limit)
    shown = embeddings[places]
    x, y = principal_plane(shown).T.tolist()
    first = GalleryMap(
        gallery=replica.name,
        comparator=replica.comparator.title,
        version=version,
        rule=index.deciding(),
        target_fpir=target,
        threshold=index.threshold(target) if references else None,
        identities=len({reference.identity for reference in references}),
        samples=len(references),
        references=[references[place] for place in places],
        x=x,
        y=y,
    )
    return first, shown


def _alike(before: GalleryMap, now: GalleryMap) -> bool:
    """Whether two maps show the same samples, which lie where they lay whosever they are now."""
    return [each.key for each in before.references] == [each.key for each in now.references]


def _links(
    found: GalleryMap, replica: Replica, embeddings: Embeddings, threshold: float
) -> tuple[int, list[Link]]:
    names = [reference.identity for reference in found.references]
    numbers = np.unique(names, return_inverse=True)[1].astype(np.int64)
    comparator = replica.comparator
    metric = comparator.manifest.distance
    return links(embeddings, numbers, comparator.score, threshold, metric, MOST_LINKS)
