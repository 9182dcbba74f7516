"""JSON documents → frozen answers, by their annotations."""

import dataclasses
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from kindred.problems import Problem, UnexpectedAnswer, problem_of

T = TypeVar("T")
Reader = Callable[[Any], Any]

_PLAIN: Mapping[Any, tuple[type, ...]] = {
    str: (str,),
    bool: (bool,),
    int: (int,),
    float: (float, int),
}


def read(hint: type[T], document: Any) -> T:
    """Return what a JSON document says, as a value of this type.

    Fields that the type has not are passed over, and those that may be None are that where they
    are missing: a service may be newer or older. Raises UnexpectedAnswer where another is missing,
    or one is of another kind.
    """
    try:
        value: T = _reader(cast(Any, hint))(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        name = getattr(hint, "__name__", str(hint))
        why = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise UnexpectedAnswer(f"it is no {name}: {why}") from error
    return value


@cache
def _reader(hint: Any) -> Reader:
    origin, inner = get_origin(hint), get_args(hint)
    if dataclasses.is_dataclass(hint):
        return _object(cast(type, hint))
    if hint is Problem:
        return problem_of
    if hint is datetime:
        return datetime.fromisoformat
    if hint in _PLAIN:
        return _plain(_PLAIN[hint])
    if origin is tuple:
        return _array(inner)
    if origin in (Union, UnionType):
        return _either([_reader(one) for one in inner if one is not NoneType], NoneType in inner)
    if origin is Literal:
        return _plain(tuple({type(word) for word in inner}))  # a newer service may have more words
    if origin is Mapping or hint is Mapping:
        return _plain((dict,))
    return lambda value: value


def _plain(kinds: tuple[type, ...]) -> Reader:
    def take(value: Any) -> Any:
        if not isinstance(value, kinds):
            raise TypeError(f"{type(value).__name__} instead of {kinds[0].__name__}")
        return value

    return take


def _array(inner: tuple[Any, ...]) -> Reader:
    if len(set(inner)) > 1 and inner[-1] is not Ellipsis:  # a row of different things
        each = [_reader(hint) for hint in inner]
        return lambda values: tuple(
            one(value) for one, value in zip(each, _plain((list,))(values), strict=True)
        )
    one = _reader(inner[0])
    if inner[0] is float:  # embeddings: thousands of rows of hundreds
        return tuple
    return lambda values: tuple(one(value) for value in _plain((list,))(values))


def _either(readers: list[Reader], nullable: bool) -> Reader:  # noqa: FBT001 - of a type
    def take(value: Any) -> Any:
        if value is None and nullable:
            return None
        for reader in readers[:-1]:
            try:
                return reader(value)
            except (KeyError, TypeError, ValueError, AttributeError):
                continue
        return readers[-1](value)

    return take


def _object(cls: type) -> Reader:
    hints = get_type_hints(cls)
    fields = [
        (name, _reader(hint), NoneType in get_args(hint))
        for name, hint in ((field.name, hints[field.name]) for field in dataclasses.fields(cls))
    ]

    def take(document: Any) -> Any:
        return cls(
            **{
                name: None if nullable and name not in document else reader(document[name])
                for name, reader, nullable in fields
            }
        )

    return take


def write(answer: Any) -> Any:
    """Return an answer as the JSON document that it was read from."""
    if isinstance(answer, Problem):
        return answer.document()
    if dataclasses.is_dataclass(answer):
        return {f.name: write(getattr(answer, f.name)) for f in dataclasses.fields(answer)}
    if isinstance(answer, tuple):
        return [write(one) for one in answer]
    if isinstance(answer, datetime):
        return answer.isoformat()
    return answer
