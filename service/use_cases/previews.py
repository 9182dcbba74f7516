"""What of an enrolled sample is shown again: a picture made anew, or its text."""

from dataclasses import dataclass

from service.embedding.embedder import Embedder
from service.store.errors import UnknownSample
from service.store.identities import IdentityStore
from service.use_cases.recogniser import Recogniser


class SampleNotKept(LookupError):
    """Of a sample nothing is kept but its embedding."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What a browser is given, and as what."""

    content: bytes
    media_type: str


async def preview_of(
    recogniser: Recogniser,
    store: IdentityStore,
    embedder: Embedder,
    gallery: str,
    identity: str,
    sample: int,
) -> Preview:
    """Return a PNG of at most 160 pixels each way, or the text; raise SampleNotKept.

    Raises also UnknownIdentity, UnknownSample, or why the sample can be decoded no more.
    """
    replica = recogniser.gallery(gallery)
    stored = await store.identity(gallery, identity)
    if sample not in {each.id for each in stored.samples}:
        raise UnknownSample("the identity has no such sample")
    [kept] = await store.originals(gallery, stored.number, [sample])
    if kept is None:
        raise SampleNotKept("expected a sample of a gallery that keeps what is uploaded")
    side = replica.state.settings.references
    if replica.comparator.manifest.encoders[side].modality == "text":
        text = kept.content.decode("utf-8", "replace")
        return Preview(text.encode(), "text/plain; charset=utf-8")
    return Preview(await embedder.preview(replica.comparator, side, kept), "image/png")
