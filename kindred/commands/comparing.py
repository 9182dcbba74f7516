"""`kindred verify`, `identify` and `cluster`."""

from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from kindred.answers import ClusterAnswer, Failure, Result, VerifyAnswer
from kindred.cli import DIFFERENT, ERROR, SAME, Misused
from kindred.client import Client
from kindred.commands.files import expand, files_in, portions, sample_of
from kindred.commands.terminal import (
    client_of,
    coloured,
    progress,
    say,
    say_json,
    warn,
)
from kindred.problems import Problem
from kindred.reading import write
from kindred.samples import Sample

SHADES = {"match": "green", "possible": "yellow", "unknown": "red"}
OF_A_SAMPLE = (413, 422)


def verify(asked: Namespace) -> int:
    """Say whether two samples are the same."""
    with client_of(asked) as client:
        answer = client.verify(
            sample_of(asked.a),
            sample_of(asked.b),
            comparator=asked.comparator,
            target_fmr=asked.target_fmr,
            threshold=asked.threshold,
        )
    if asked.json:
        say_json({"a": asked.a, "b": asked.b} | write(answer))
    else:
        say(_verdict(answer))
    return SAME if answer.match else DIFFERENT


def _verdict(answer: VerifyAnswer) -> str:
    word = coloured("same", "green") if answer.match else coloured("different", "red")
    score = "" if answer.score is None else f"score {answer.score:.3f}, "
    rate = "" if answer.fmr is None else f" for {answer.fmr:.2g} false matches"
    return f"{word}  {score}needs {answer.threshold:.3f}{rate} ({answer.comparator})"


def identify(asked: Namespace) -> int:
    """Say whose samples are, or that they are nobody's."""
    words = expand(asked.files)
    status = SAME

    def unread(word: str, error: OSError) -> None:
        nonlocal status
        status = ERROR
        _tell_unread(word, error)

    with client_of(asked) as client, progress("identify", len(words), unit="files") as advance:
        for word, found in _identified(client, words, asked, unread):
            advance(1)
            if isinstance(found, Problem):
                _tell_problem(word, found, json=asked.json)
                status = ERROR
                continue
            if asked.json:
                say_json({"file": word} | write(found))
            else:
                say(f"{word}: {_decision(found)}")
            status = max(status, SAME if found.outcome == "match" else DIFFERENT)
    return status


def _identified(
    client: Client,
    words: list[str],
    asked: Namespace,
    unread: Callable[[str, OSError], None],
) -> Iterator[tuple[str, Result | Problem]]:
    for names, samples in portions(words, unread):
        try:
            answer = client.identify(
                samples,
                gallery=asked.gallery,
                target_fpir=asked.target_fpir,
                threshold=asked.threshold,
                rule=asked.rule,
                top=asked.top,
            )
        except Problem as problem:
            if len(names) > 1 or problem.status not in OF_A_SAMPLE:
                raise
            yield names[0], problem
            continue
        yield from _by_name(names, answer.results, answer.failures)


def _by_name(
    names: list[str], results: tuple[Result, ...], failures: tuple[Failure, ...]
) -> Iterator[tuple[str, Result | Problem]]:
    told: dict[int, Result | Problem] = {failure.index: failure.problem for failure in failures}
    told |= {result.index: result for result in results}
    for index, name in enumerate(names):
        yield name, told[index]


def _decision(result: Result) -> str:
    words = [coloured(result.outcome, SHADES[result.outcome])]
    if result.identity is not None:
        words.append(result.identity)
    elif result.candidates:
        words.append(f"(nearest is {result.candidates[0].identity})")
    if result.score is not None and result.threshold is not None:
        words.append(f"score {result.score:.3f}, needs {result.threshold:.3f}")
    if result.outcome != "match":
        words.append(result.reason.replace("-", " "))
    return "  ".join(words)


@dataclass(slots=True)
class Embedded:
    """The files of a folder that could be embedded, and by what."""

    names: list[str] = field(default_factory=list)
    vectors: list[tuple[float, ...]] = field(default_factory=list)
    comparator: str | None = None
    failed: bool = False


def cluster(asked: Namespace) -> int:
    """Say which files of a folder, or which samples of a gallery, belong together."""
    if (asked.folder is None) == (asked.gallery is None):
        raise Misused("cluster: expected a FOLDER or --gallery, and not both")
    terms = {
        "threshold": asked.threshold,
        "target_fmr": asked.target_fmr,
        "target_purity": asked.target_purity,
        "method": asked.method,
    }
    with client_of(asked) as client:
        if asked.gallery is not None:
            _show_clusters(client.cluster(gallery=asked.gallery, **terms), None, json=asked.json)
            return SAME
        found = _embedded(client, asked)
        if not found.names:
            raise Misused(f"{asked.folder}: expected files that can be compared")
        answer = client.cluster(found.vectors, comparator=found.comparator, **terms)
    _show_clusters(answer, found.names, json=asked.json)
    return ERROR if found.failed else SAME


def _embedded(client: Client, asked: Namespace) -> Embedded:
    """Embed a folder's files: a request to cluster takes more embeddings than files."""
    words = [str(path) for path in files_in(asked.folder)]
    found = Embedded(comparator=asked.comparator)

    def unread(word: str, error: OSError) -> None:
        found.failed = True
        _tell_unread(word, error)

    with progress("embed", len(words), unit="files") as advance:
        for names, samples in portions(words, unread):
            for name, vector in zip(names, _vectors(client, found, samples), strict=True):
                if isinstance(vector, Problem):
                    _tell_problem(name, vector, json=asked.json)
                    found.failed = True
                else:
                    found.names.append(name)
                    found.vectors.append(vector)
            advance(len(names))
    return found


def _vectors(
    client: Client, found: Embedded, samples: list[Sample]
) -> list[tuple[float, ...] | Problem]:
    """Return the embedding of each sample, all by the same version, or why there is none."""
    try:
        answer = client.embed(samples, comparator=found.comparator)
    except Problem as problem:
        if len(samples) > 1 or problem.status not in OF_A_SAMPLE:
            raise
        return [problem]
    found.comparator = answer.comparator
    problems = {failure.index: failure.problem for failure in answer.failures}
    return [
        problems[index] if vector is None else vector
        for index, vector in enumerate(answer.embeddings)
    ]


def _show_clusters(answer: ClusterAnswer, names: list[str] | None, *, json: bool) -> None:
    def named(member: Any) -> str:
        return str(member) if names is None else names[member]

    for found in sorted(answer.clusters, key=lambda one: -one.size):
        members = [named(member) for member in found.members]
        if json:
            say_json(write(found) | {"members": members, "medoid": named(found.medoid)})
        else:
            say(f"{found.id} ({found.size}): {' '.join(members)}")


def _tell_unread(word: str, error: OSError) -> None:
    folder = isinstance(error, IsADirectoryError)
    warn(f"kindred: {word}: {'no files in it' if folder else error.strerror}")


def _tell_problem(word: str, problem: Problem, *, json: bool) -> None:
    if json:
        say_json({"file": word, "problem": problem.document()})
    warn(f"kindred: {word}: {problem.slug}: {problem.detail}")
