"""The HTTP edge. Only here: HTTP, Redis, Prometheus, the environment."""

import os

# Before NumPy is loaded: its products are small or in stretches, and threads of its own for each
# would take the cores from requests and the store. FAISS and ONNX Runtime have their own.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # noqa: TID251 - it is told, not asked
