"""What a user of LitServe would write: an API that decodes a picture and embeds a batch of them.

python -m benchmarks.litserve BUNDLES PORT DEVICE
"""

import sys
from pathlib import Path
from typing import Any

import litserve
import numpy as np
from fastapi import Request

from models_store import Comparator, Sample, open_shelf

MOST = 16  # pictures in a batch: as many as there are connections


class Embedding(litserve.LitAPI):  # type: ignore[misc]  # it is no typed package
    """Pictures → embeddings, in the steps that LitServe has."""

    comparator: Comparator

    def setup(self, device: str) -> None:
        self.comparator = open_shelf(Path(sys.argv[1]), sys.argv[3], threads=1).comparators[
            "ink@1"
        ]

    def decode_request(self, request: Request) -> Any:
        return self.comparator.prepare(Sample(request["files"].file.read()))

    def batch(self, inputs: list[Any]) -> list[Any]:
        return inputs

    def predict(self, batch: list[Any]) -> Any:
        return self.comparator.embed(batch)

    def unbatch(self, output: Any) -> list[Any]:
        return list(output)

    def encode_response(self, output: np.ndarray) -> dict[str, list[list[float]]]:
        return {"embeddings": [output.tolist()]}


def main() -> None:
    """Serve on a port of loopback."""
    api = Embedding(max_batch_size=MOST, batch_timeout=0.0, api_path="/embed")
    server = litserve.LitServer(api, accelerator="cpu", devices=1, workers_per_device=1)
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[2]),
        num_api_servers=1,
        generate_client_file=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
