"""The HTTP edge. Only here: HTTP, Redis, Prometheus, the environment."""

import os

# Before NumPy is loaded: its threads would spin for a tenth of a second after each product, and
# take the core from whoever has work. (The exponent of two of the cycles that they do.)
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")  # noqa: TID251 - it is told, not asked
