"""Labelled samples: whose each is, by lists, by the names of files, or by folders in a zip."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from models_store import Given, Sample, Side
from service.parameters import InvalidParameter
from service.requests.archives import unpack
from service.requests.fields import EvaluateFields, identity_name
from service.requests.upload import Upload, UploadLimits

_Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Label:
    """Whose a sample is.

    `identity` is one in the whole upload, `person` what its own folder calls it: they differ
    where folders of groups have folders of the same name. `side` is whose encoder embeds it, where
    there are two.
    """

    name: str  # of the file, or its place in the request
    identity: str
    person: str
    group: str | None
    side: Side = "a"


def read_labelled(
    upload: Upload, asked: EvaluateFields, limits: UploadLimits, *, two_sided: bool = False
) -> tuple[list[Given], list[Label]]:
    """Return the samples of a request and whose each is; the upload is empty afterwards.

    The files of `archive`, or `files`; each one's folder is its identity, and the folder around
    that its group, unless `identities` and `groups` say it. Folders that all files share tell
    nothing and do not count. Of a `two_sided` comparator folders `a` and `b` around all of that
    are the side, or `sides` say it. Raises as `unpack` does, or InvalidParameter.
    """
    archives, files = upload.samples.pop("archive", []), upload.samples.pop("files", [])
    if archives:
        archive = archives.pop()
        if archives or files or not isinstance(archive, Sample):
            raise InvalidParameter("archive", "expected one archive, and no files beside it")
        if (asked.identities, asked.groups, asked.sides) != (None, None, None):
            raise InvalidParameter("identities", "expected the archive's folders to tell")
        unpacked = unpack(
            archive.content, entries=limits.files, largest=limits.file, unpacked=limits.body
        )
        paths = _below_what_all_share(list(unpacked))
        deep = 2 if two_sided else 1
        samples: list[Given] = [
            Sample(content)
            for content, path in zip(unpacked.values(), paths, strict=True)
            if len(path) > deep  # else it lies beside the folders: a licence, a note
        ]
        if not samples:
            raise InvalidParameter("archive", "expected files in folders in it")
        read = _by_side if two_sided else _by_folder
        return samples, read([path for path in paths if len(path) > deep], "archive")
    if not files:
        raise InvalidParameter("files", "expected at least one sample")
    if asked.sides is not None and not two_sided:
        raise InvalidParameter("sides", "expected none of a comparator of one encoder")
    if asked.identities is not None:
        return files, _by_lists(len(files), asked, two_sided=two_sided)
    for field, given in (("groups", asked.groups), ("sides", asked.sides)):
        if given is not None:
            raise InvalidParameter(field, "expected identities beside them")
    names = upload.filenames.get("files") or [None] * len(files)
    paths = _below_what_all_share([name or "" for name in names])
    return files, (_by_side if two_sided else _by_folder)(paths, "files")


def _by_lists(count: int, asked: EvaluateFields, *, two_sided: bool) -> list[Label]:
    identities, groups, sides = asked.identities or [], asked.groups, asked.sides
    if two_sided and sides is None:
        raise InvalidParameter(
            "sides", "expected a or b for each file: the comparator has two encoders"
        )
    for field, given in (("identities", identities), ("groups", groups), ("sides", sides)):
        if given is not None and len(given) != count:
            raise InvalidParameter(
                field, f"expected one for each of {count} files, got {len(given)}"
            )
    labels = []
    for i, identity in enumerate(identities):
        name = _named(identity, f"identities[{i}]")
        group = _named(groups[i], f"groups[{i}]") if groups else None
        labels.append(Label(str(i), name, name, group, sides[i] if sides else "a"))
    return labels


def _by_side(paths: Sequence[_Path], field: str) -> list[Label]:
    sides: list[Side] = []
    for path in paths:
        if path[0] not in ("a", "b"):
            raise InvalidParameter(
                field,
                "expected a folder `a` and a folder `b`, for what each of the comparator's two "
                "encoders embeds, around the folders of identities",
            )
        sides.append("b" if path[0] == "b" else "a")
    labels = _by_folder([path[1:] for path in paths], field)
    return [
        replace(label, name=f"{side}/{label.name}", side=side)
        for label, side in zip(labels, sides, strict=True)
    ]


def _by_folder(paths: Sequence[_Path], field: str) -> list[Label]:
    if {len(path) - 1 for path in paths} not in ({1}, {2}):
        raise InvalidParameter(
            field,
            "expected identities, or every file in the folder of its identity, as in ada/1.png, "
            "and at most one folder of a group around each of these",
        )
    labels = []
    for i, path in enumerate(paths):
        *around, person = [_named(part, f"{field}[{i}]") for part in path[:-1]]
        identity, group = "/".join([*around, person]), around[0] if around else None
        labels.append(Label("/".join(path), identity, person, group))
    return labels


def _below_what_all_share(names: Sequence[str]) -> list[_Path]:
    """Return the parts of each name, without the folders that all of them begin with."""
    paths = [PurePosixPath(name.replace("\\", "/")).parts or ("",) for name in names]
    while len({path[0] for path in paths}) == 1:
        lengths = {len(path) for path in paths}
        if min(lengths) == 1 or max(lengths) == 2:  # a file, or the folder of an identity
            break
        paths = [path[1:] for path in paths]
    return paths


def _named(name: str, where: str) -> str:
    try:
        return identity_name(name)
    except ValueError as error:
        raise InvalidParameter(where, str(error)) from None
