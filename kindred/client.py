"""The client that waits for its answers."""

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

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


def _waiting(call: Callable[P, Call[T]]) -> "Callable[Concatenate[Client, P], T]":
    def method(client: "Client", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return client._send(call(*args, **kwargs))

    return as_method(call, method)


class Client(Connection):
    """A client of a Kindred service, for one thread or several.

    Each method is a call of openapi.yaml, under its name there, and raises KindredError: of each
    problem that the service tells there is a class in `kindred.problems`. What was written is
    seen by what is asked afterwards, whichever replica answers.

    >>> with Client("http://127.0.0.1:8000") as client:  # doctest: +SKIP
    ...     client.enroll("alpha", ["alpha-1.png", "alpha-2.png"])
    ...     client.identify("whose.png", target_fpir=0.05).results[0].identity
    """

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
        self._http = httpx.Client(**self._options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def _send(self, call: Call[T]) -> T:
        exchange = self._exchange(call)
        while (pause := self._try(exchange)) is not None:
            time.sleep(pause)
        return exchange.answer

    def _try(self, exchange: Exchange[Any]) -> float | None:
        try:
            response = self._http.send(exchange.request(self._http, iter))
        except httpx.RequestError as error:
            return exchange.failed(error)
        return exchange.came(response)

    verify = _waiting(calls.verify)
    embed = _waiting(calls.embed)
    enroll = _waiting(calls.enroll)
    identify = _waiting(calls.identify)
    cluster = _waiting(calls.cluster)
    evaluate = _waiting(calls.evaluate)
    create_gallery = _waiting(calls.create_gallery)
    list_galleries = _waiting(calls.list_galleries)
    get_gallery = _waiting(calls.get_gallery)
    delete_gallery = _waiting(calls.delete_gallery)
    import_gallery = _waiting(calls.import_gallery)
    put_cohort = _waiting(calls.put_cohort)
    get_operating_curve = _waiting(calls.get_operating_curve)
    get_boundary = _waiting(calls.get_boundary)
    map_gallery = _waiting(calls.map_gallery)
    check_gallery = _waiting(calls.check_gallery)
    list_identities = _waiting(calls.list_identities)
    get_identity = _waiting(calls.get_identity)
    update_identity = _waiting(calls.update_identity)
    forget_identity = _waiting(calls.forget_identity)
    forget_sample = _waiting(calls.forget_sample)
    get_receipt = _waiting(calls.get_receipt)
    update_gallery = _waiting(calls.update_gallery)
    merge_identities = _waiting(calls.merge_identities)
    split_identity = _waiting(calls.split_identity)
    undo_edit = _waiting(calls.undo_edit)
    list_edits = _waiting(calls.list_edits)
    similar_identities = _waiting(calls.similar_identities)
    get_preview = _waiting(calls.get_preview)
    get_decision = _waiting(calls.get_decision)
    give_feedback = _waiting(calls.give_feedback)
    list_rejections = _waiting(calls.list_rejections)
    take_rejection_back = _waiting(calls.take_rejection_back)
    migrate_gallery = _waiting(calls.migrate_gallery)
    get_migration = _waiting(calls.get_migration)
    switch_comparator = _waiting(calls.switch_comparator)
    roll_back_comparator = _waiting(calls.roll_back_comparator)
    finish_migration = _waiting(calls.finish_migration)
    end_migration = _waiting(calls.end_migration)
    about = _waiting(calls.about)
    list_comparators = _waiting(calls.list_comparators)
    get_comparator = _waiting(calls.get_comparator)
    live = _waiting(calls.live)
    ready = _waiting(calls.ready)
    metrics = _waiting(calls.metrics)

    def identities(self, gallery: str) -> Iterator[answers.IdentityAnswer]:
        """Yield everybody who is enrolled, page by page."""
        after: str | None = "0"
        while after is not None:
            page = self.list_identities(gallery, limit=PAGE, after=after)
            yield from page.items
            after = page.next

    def enroll_many(
        self, items: Iterable[Item], *, gallery: str = "default"
    ) -> Iterator[answers.EnrolledLine]:
        """Yield what became of each of many samples, in order, as they are kept.

        `items` are pairs of identity and sample, or with the identity's metadata after them, and
        any number of them: they are read as they are sent, 4 MiB at a time. Nothing is sent before
        the first answer is asked for. A sample that cannot be used is told as `failed`; what
        concerns all of them is raised, and what was yielded before is kept.
        """
        batches = Batches()
        for item in items:
            if batch := batches.add(item):
                yield from self._enroll_batch(batch, gallery)
        if batch := batches.rest():
            yield from self._enroll_batch(batch, gallery)

    def _enroll_batch(self, batch: Batch, gallery: str) -> Iterator[answers.EnrolledLine]:
        together = self._send(batch.call(gallery)).lines
        for line in batch.lines:
            yield together.get(line.index) or self._enroll_line(line, gallery)

    def _enroll_line(self, line: Line, gallery: str) -> answers.EnrolledLine:
        try:
            return line.done(self._send(line.alone(gallery)))
        except Problem as problem:
            return line.refused(problem)

    def evaluate_folder(self, source: str | Path, **terms: Any) -> answers.EvaluateAnswer:
        """Measure a comparator on a folder of a folder for each identity, or on a zip of one.

        `terms` are those of `evaluate`.
        """
        with zipped(Path(source)) as archive:
            return self.evaluate(archive=archive, **terms)

    def export_gallery(self, gallery: str, target: str | Path, *, on_bytes: Told = untold) -> None:
        """Write all that is kept of a gallery to a file, which is there once it is whole.

        Raises Incomplete if the service ends first.
        """
        request = self._exchange(calls.export_gallery(gallery)).request(self._http, iter)
        with reached(), Export(Path(target)) as export:
            response = self._http.send(request, stream=True)
            try:
                if response.is_error:
                    response.read()
                    raise problem_in(response)
                for piece in response.iter_bytes(PIECE):
                    export.take(piece)
                    on_bytes(len(piece))
            finally:
                response.close()
