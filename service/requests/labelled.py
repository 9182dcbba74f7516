"""Labelled samples: whose each is, by lists, by the names of files, or by folders in a zip."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from models_store import Given, Sample
from service.parameters import InvalidParameter
from service.requests.archives import unpack
from service.requests.fields import EvaluateFields, identity_name
from service.requests.upload import Upload, UploadLimits

_Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Label:
    """Whose a sample is.

    `identity` is one in the whole upload, `person` what its own folder calls it: they differ
    where folders of groups have folders of the same name.
    """

    name: str  # of the file, or its place in the request
    identity: str
    person: str
    group: str | None


def read_labelled(
    upload: Upload, asked: EvaluateFields, limits: UploadLimits
) -> tuple[list[Given], list[Label]]:
    """Return the samples of a request and whose each is; the upload is empty afterwards.

    The files of `archive`, or `files`; each one's folder is its identity, and the folder around
    that its group, unless `identities` and `groups` say it. Folders that all files share tell
    nothing and do not count. Raises as `unpack` does, or InvalidParameter.
    """
    archives, files = upload.samples.pop("archive", []), upload.samples.pop("files", [])
    if archives:
        archive = archives.pop()
        if archives or files or not isinstance(archive, Sample):
            raise InvalidParameter("archive", "expected one archive, and no files beside it")
        if asked.identities is not None or asked.groups is not None:
            raise InvalidParameter("identities", "expected the archive's folders to tell")
        unpacked = unpack(
            archive.content, entries=limits.files, largest=limits.file, unpacked=limits.body
        )
        paths = _below_what_all_share(list(unpacked))
        samples: list[Given] = [
            Sample(content)
            for content, path in zip(unpacked.values(), paths, strict=True)
            if len(path) > 1  # else it lies beside the folders: a licence, a note
        ]
        if not samples:
            raise InvalidParameter("archive", "expected files in folders in it")
        return samples, _by_folder([path for path in paths if len(path) > 1], "archive")
    if not files:
        raise InvalidParameter("files", "expected at least one sample")
    if asked.identities is not None:
        return files, _by_lists(len(files), asked.identities, asked.groups)
    if asked.groups is not None:
        raise InvalidParameter("groups", "expected identities beside them")
    names = upload.filenames.get("files") or [None] * len(files)
    paths = _below_what_all_share([name or "" for name in names])
    return files, _by_folder(paths, "files")


def _by_lists(count: int, identities: Sequence[str], groups: Sequence[str] | None) -> list[Label]:
    for field, given in (("identities", identities), ("groups", groups)):
        if given is not None and len(given) != count:
            raise InvalidParameter(
                field, f"expected one for each of {count} files, got {len(given)}"
            )
    labels = []
    for i, identity in enumerate(identities):
        name = _named(identity, f"identities[{i}]")
        group = _named(groups[i], f"groups[{i}]") if groups else None
        labels.append(Label(str(i), name, name, group))
    return labels


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
