"""Pages for people: the console, and the calls to try out. Files, served compressed."""

import asyncio
import gzip
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
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
    "Vary": "Accept-Encoding",
}
LEFT_OUT = re.compile(
    r"^ *//.*\n"  # lines of comment
    r"|^ */\*(?:[^*]|\*(?!/))*\*/\n"
    r"|(?<=[;,{(\[]) // .*$"  # comments at the end of a line
    r"|^ +",
    re.M,
)
TAKES_GZIP = re.compile(r"\bgzip\b(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))", re.I)

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Page:
    """A file as it goes out; a vendored one has its version in its name, and so never changes.

    The tag is a weak one: it stands for the content, however that is encoded.
    """

    content: bytes
    media_type: str
    etag: str
    cache: str

    @classmethod
    def of(cls, path: Path, *, vendored: bool) -> "Page":
        """Read a file; our scripts go out without what only their authors need."""
        content = path.read_bytes()
        if path.suffix == ".js" and not vendored:
            content = LEFT_OUT.sub("", content.decode()).encode()
        return cls(
            content,
            MEDIA_TYPES[path.suffix],
            f'W/"{hashlib.sha256(content).hexdigest()[:32]}"',
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


@cache
def compressed(name: str) -> bytes | None:
    """Return a page as gzip, or None where that is no smaller: worked out when first asked for."""
    packed = gzip.compress(PAGES[name].content, mtime=0)
    return packed if len(packed) < len(PAGES[name].content) else None


@router.get("/console")
async def add_slash() -> Response:
    """Lead to where the page's own links hold."""
    return RedirectResponse("console/", status_code=308)


@router.api_route("/console/{name:path}", methods=["GET", "HEAD"])
async def console(name: str, request: Request) -> Response:
    """Give a file of the console."""
    return await _answer(request, name or "index.html", POLICY)


@router.api_route("/docs", methods=["GET", "HEAD"])
async def reference(request: Request) -> Response:
    """Show every call, to be read and tried."""
    return await _answer(request, "reference.html", REFERENCE_POLICY)


async def _answer(request: Request, name: str, policy: str) -> Response:
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
    content = page.content
    if TAKES_GZIP.search(request.headers.get("accept-encoding", "")):
        packed = await asyncio.to_thread(compressed, name)
        if packed is not None:
            content = packed
            headers["Content-Encoding"] = "gzip"
    return Response(content, headers=headers, media_type=page.media_type)
