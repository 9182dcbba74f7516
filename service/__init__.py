"""The HTTP edge. Only here: HTTP, Redis, Prometheus, the environment."""
