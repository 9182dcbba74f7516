"""Pages for people: the console, and the calls to try out. Files, served as they are."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException

FOLDER = Path(__file__).parent.parent / "console"
DRAWINGS = FOLDER.parent.parent / "kindred" / "drawings"  # which the demonstration has, too
VENDORED = "vendor/"
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".md": "text/plain; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".png": "image/png",
}
OWN_ONLY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "form-action 'none'; frame-ancestors 'none'; base-uri 'none'; "
)
POLICY = OWN_ONLY + (
    "img-src 'self' blob: data:; media-src 'self' blob:; "
    "require-trusted-types-for 'script'; trusted-types lit-html"
)
REFERENCE_POLICY = OWN_ONLY + "img-src 'self' data:"  # Swagger UI makes its markup by strings
HEADERS = {
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(self), geolocation=()",
}

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Page:
    """A file as it goes out; a vendored one has its version in its name, and so never changes."""

    content: bytes
    media_type: str
    etag: str
    cache: str

    @classmethod
    def of(cls, path: Path, *, vendored: bool) -> "Page":
        """Read a file."""
        content = path.read_bytes()
        return cls(
            content,
            MEDIA_TYPES[path.suffix],
            f'"{hashlib.sha256(content).hexdigest()[:32]}"',
            "public, max-age=31536000, immutable" if vendored else "no-cache",
        )


def _pages() -> Mapping[str, Page]:
    paths = {path.relative_to(FOLDER).as_posix(): path for path in FOLDER.rglob("*.*")}
    paths |= {
        f"drawings/{path.relative_to(DRAWINGS).as_posix()}": path for path in DRAWINGS.rglob("*.*")
    }
    return {
        name: Page.of(path, vendored=name.startswith(VENDORED)) for name, path in paths.items()
    }


PAGES = _pages()


@router.get("/console")
async def add_slash() -> Response:
    """Lead to where the page's own links hold."""
    return RedirectResponse("console/", status_code=308)


@router.api_route("/console/{name:path}", methods=["GET", "HEAD"])
async def console(name: str, request: Request) -> Response:
    """Give a file of the console."""
    return _answer(request, name or "index.html", POLICY)


@router.api_route("/docs", methods=["GET", "HEAD"])
async def reference(request: Request) -> Response:
    """Show every call, to be read and tried."""
    return _answer(request, "reference.html", REFERENCE_POLICY)


def _answer(request: Request, name: str, policy: str) -> Response:
    page = PAGES.get(name)
    if page is None:
        raise HTTPException(404)
    headers = HEADERS | {
        "Content-Security-Policy": policy,
        "Cache-Control": page.cache,
        "ETag": page.etag,
    }
    if page.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(page.content, headers=headers, media_type=page.media_type)
