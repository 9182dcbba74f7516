"""A gallery as a map: its samples on a plane."""

from typing import Annotated

from annotated_types import Interval
from fastapi import APIRouter, Request, Response

from service import answers
from service.edge.middleware import Facts
from service.requests.fields import DIGITS, GalleryName
from service.routes.parts import Served, in_json

router = APIRouter()


@router.get(
    "/galleries/{gallery}/map", operation_id="map_gallery", response_model=answers.MapAnswer
)
async def map_gallery(
    gallery: GalleryName,
    request: Request,
    parts: Served,
    limit: Annotated[int | None, Interval(ge=1), DIGITS] = None,
) -> Response:
    """Show samples on a plane, at most 20 of an identity: at once, and better when asked again."""
    found = await parts.maps.of(parts.recogniser, gallery, limit)
    request.state.facts = Facts(gallery=gallery)
    return await in_json(lambda: answers.MapAnswer.of(found), len(found.references))
