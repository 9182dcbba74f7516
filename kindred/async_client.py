"""The client whose answers are awaited, for asyncio and trio."""

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import anyio
import anyio.to_thread
import httpx

from kindred import answers, calls
from kindred.archives import Export, zipped
from kindred.calls import PIECE, Call
from kindred.connection import (
    PAGE,
    PATIENCE,
    TIMEOUT,
    Connection,
    Told,
    as_method,
    reached,
    untold,
)
from kindred.exchange import Exchange, problem_in
from kindred.many import Batch, Batches, Item, Line
from kindred.problems import Problem

P = ParamSpec("P")
T = TypeVar("T")


def _awaited(call: Callable[P, Call[T]]) -> "Callable[Concatenate[AsyncClient, P], Awaitable[T]]":
    async def method(client: "AsyncClient", /, *args: P.args, **kwargs: P.kwargs) -> T:
        # Files are read in a thread, while others go on.
        made = await anyio.to_thread.run_sync(partial(call, *args, **kwargs))
        return await client._send(made)

    return as_method(call, method)


class AsyncClient(Connection):
    """The same for asyncio and trio: each method of `Client`, to be awaited."""

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        timeout: float = TIMEOUT,
        patience: float = PATIENCE,
        **options: Any,
    ) -> None:
        super().__init__(url, api_key, timeout=timeout, patience=patience, **options)
        self._http = httpx.AsyncClient(**self._options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def _send(self, call: Call[T]) -> T:
        exchange = self._exchange(call)
        while (pause := await self._try(exchange)) is not None:  # noqa: ASYNC110 - nothing tells
            await anyio.sleep(pause)
        return exchange.answer

    async def _try(self, exchange: Exchange[Any]) -> float | None:
        try:
            response = await self._http.send(exchange.request(self._http, _alternating))
        except httpx.RequestError as error:
            return exchange.failed(error)
        return exchange.came(response)

    verify = _awaited(calls.verify)
    embed = _awaited(calls.embed)
    enroll = _awaited(calls.enroll)
    identify = _awaited(calls.identify)
    cluster = _awaited(calls.cluster)
    evaluate = _awaited(calls.evaluate)
    create_gallery = _awaited(calls.create_gallery)
    list_galleries = _awaited(calls.list_galleries)
    get_gallery = _awaited(calls.get_gallery)
    delete_gallery = _awaited(calls.delete_gallery)
    import_gallery = _awaited(calls.import_gallery)
    put_cohort = _awaited(calls.put_cohort)
    get_operating_curve = _awaited(calls.get_operating_curve)
    get_boundary = _awaited(calls.get_boundary)
    map_gallery = _awaited(calls.map_gallery)
    check_gallery = _awaited(calls.check_gallery)
    list_identities = _awaited(calls.list_identities)
    get_identity = _awaited(calls.get_identity)
    update_identity = _awaited(calls.update_identity)
    forget_identity = _awaited(calls.forget_identity)
    forget_sample = _awaited(calls.forget_sample)
    get_receipt = _awaited(calls.get_receipt)
    update_gallery = _awaited(calls.update_gallery)
    merge_identities = _awaited(calls.merge_identities)
    split_identity = _awaited(calls.split_identity)
    undo_edit = _awaited(calls.undo_edit)
    list_edits = _awaited(calls.list_edits)
    similar_identities = _awaited(calls.similar_identities)
    get_preview = _awaited(calls.get_preview)
    get_decision = _awaited(calls.get_decision)
    give_feedback = _awaited(calls.give_feedback)
    list_rejections = _awaited(calls.list_rejections)
    take_rejection_back = _awaited(calls.take_rejection_back)
    migrate_gallery = _awaited(calls.migrate_gallery)
    get_migration = _awaited(calls.get_migration)
    switch_comparator = _awaited(calls.switch_comparator)
    roll_back_comparator = _awaited(calls.roll_back_comparator)
    finish_migration = _awaited(calls.finish_migration)
    end_migration = _awaited(calls.end_migration)
    about = _awaited(calls.about)
    list_comparators = _awaited(calls.list_comparators)
    get_comparator = _awaited(calls.get_comparator)
    live = _awaited(calls.live)
    ready = _awaited(calls.ready)
    metrics = _awaited(calls.metrics)

    async def identities(self, gallery: str) -> AsyncIterator[answers.IdentityAnswer]:
        """Yield everybody who is enrolled, page by page."""
        after: str | None = "0"
        while after is not None:
            page = await self.list_identities(gallery, limit=PAGE, after=after)
            for identity in page.items:
                yield identity
            after = page.next

    async def enroll_many(
        self, items: Iterable[Item] | AsyncIterable[Item], *, gallery: str = "default"
    ) -> AsyncIterator[answers.EnrolledLine]:
        """Yield what became of each of many samples, as `Client.enroll_many` does."""
        batches = Batches()
        async for item in _each(items):
            if batch := batches.add(item):
                async for line in self._enroll_batch(batch, gallery):
                    yield line
        if batch := batches.rest():
            async for line in self._enroll_batch(batch, gallery):
                yield line

    async def _enroll_batch(
        self, batch: Batch, gallery: str
    ) -> AsyncIterator[answers.EnrolledLine]:
        together = (await self._send(batch.call(gallery))).lines
        for line in batch.lines:
            yield together.get(line.index) or await self._enroll_line(line, gallery)

    async def _enroll_line(self, line: Line, gallery: str) -> answers.EnrolledLine:
        try:
            return line.done(await self._send(line.alone(gallery)))
        except Problem as problem:
            return line.refused(problem)

    async def evaluate_folder(self, source: str | Path, **terms: Any) -> answers.EvaluateAnswer:
        """Measure a comparator on a folder of folders or a zip, as `Client.evaluate_folder`."""
        with zipped(Path(source)) as archive:
            return await self.evaluate(archive=archive, **terms)

    async def export_gallery(
        self, gallery: str, target: str | Path, *, on_bytes: Told = untold
    ) -> None:
        """Write all that is kept of a gallery to a file, as `Client.export_gallery` does."""
        request = self._exchange(calls.export_gallery(gallery)).request(self._http, iter)
        with reached(), Export(Path(target)) as export:
            response = await self._http.send(request, stream=True)
            try:
                if response.is_error:
                    await response.aread()
                    raise problem_in(response)
                async for piece in response.aiter_bytes(PIECE):
                    export.take(piece)
                    on_bytes(len(piece))
            finally:
                await response.aclose()


async def _alternating(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def _each(items: Iterable[Item] | AsyncIterable[Item]) -> AsyncIterator[Item]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item
