"""What a user would otherwise write: a FastAPI app that awaits the file and embeds it in a thread.

python -m benchmarks.naive BUNDLES [DEVICE]
"""

import sys
from pathlib import Path
from typing import Annotated

import uvicorn
from fastapi import FastAPI, File, UploadFile
from fastapi.concurrency import run_in_threadpool

from models_store import Comparator, Sample, open_shelf

Files = Annotated[list[UploadFile], File()]


def create_app(comparator: Comparator) -> FastAPI:
    """Return an app that embeds pictures: no limits, no batches, nothing decoded apart."""
    app = FastAPI()

    def embed_all(contents: list[bytes]) -> list[list[float]]:
        inputs = [comparator.prepare(Sample(content)) for content in contents]
        return comparator.embed(inputs).tolist()  # type: ignore[no-any-return]

    @app.post("/embed")
    async def embed(files: Files) -> dict[str, list[list[float]]]:
        contents = [await file.read() for file in files]
        return {"embeddings": await run_in_threadpool(embed_all, contents)}

    return app


def main() -> None:
    """Serve on a free port, which uvicorn prints."""
    bundles, device = (*sys.argv[1:], "cpu")[:2]
    comparator = open_shelf(Path(bundles), device, threads=1).comparators["ink@1"]
    uvicorn.run(create_app(comparator), port=0, access_log=False)


if __name__ == "__main__":
    main()
