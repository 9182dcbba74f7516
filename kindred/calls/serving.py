"""The service itself, and its comparators put in force."""

from typing import Literal

from kindred import answers
from kindred.calls.call import Call, getting, in_json, path_of, read_as


def about() -> Call[answers.About]:
    """Say what answers there."""
    return getting("/", answers.About)


def list_comparators() -> Call[answers.ComparatorsAnswer]:
    """List the comparators in service, and the bundles that were refused."""
    return getting("/comparators", answers.ComparatorsAnswer)


def get_comparator(name: str) -> Call[answers.ComparatorDetail]:
    """Describe one comparator: `name@version`, or the newest of a name."""
    return getting(path_of("comparators", name), answers.ComparatorDetail)


def live() -> Call[answers.Alive]:
    """Say that the process answers."""
    return getting("/health/live", answers.Alive)


def ready() -> Call[answers.Readiness]:
    """Say whether requests should go there, and why not: that is no error here."""
    return Call(
        "GET",
        "/health/ready",
        read_as(answers.Readiness),
        repeatable=True,
        also=frozenset({503}),
    )


def metrics() -> Call[str]:
    """Show every Prometheus series, as text."""
    return Call("GET", "/metrics", bytes.decode, repeatable=True)


def migrate_gallery(
    gallery: str,
    comparator: str,
    *,
    switch: Literal["asked", "auto"] = "asked",
    leave_behind: bool = False,
) -> Call[answers.MigrationAnswer]:
    """Begin to give a gallery another comparator; it answers by the old one meanwhile."""
    fields = {"comparator": comparator, "switch": switch, "leave_behind": leave_behind}
    path = path_of("galleries", gallery, "migrate")
    return Call("POST", path, read_as(answers.MigrationAnswer), in_json(fields))


def get_migration(gallery: str) -> Call[answers.MigrationAnswer]:
    """Say how far a change of comparator is."""
    return getting(path_of("galleries", gallery, "migration"), answers.MigrationAnswer)


def switch_comparator(
    gallery: str, *, leave_behind: bool = False
) -> Call[answers.MigrationAnswer]:
    """Put the new comparator in force, once all embeddings are made."""
    path = path_of("galleries", gallery, "migration", "switch")
    body = in_json({"leave_behind": leave_behind})
    return Call("POST", path, read_as(answers.MigrationAnswer), body, ends=gallery)


def roll_back_comparator(
    gallery: str, *, leave_behind: bool = False
) -> Call[answers.MigrationAnswer]:
    """Put the comparator in force again that was before."""
    path = path_of("galleries", gallery, "migration", "rollback")
    body = in_json({"leave_behind": leave_behind})
    return Call("POST", path, read_as(answers.MigrationAnswer), body, ends=gallery)


def finish_migration(gallery: str) -> Call[answers.Forgotten]:
    """Forget the embeddings of the comparator that was before."""
    path = path_of("galleries", gallery, "migration", "finish")
    return Call("POST", path, read_as(answers.Forgotten))


def end_migration(gallery: str) -> Call[answers.Forgotten]:
    """Give up a change of comparator."""
    return Call("DELETE", path_of("galleries", gallery, "migration"), read_as(answers.Forgotten))
