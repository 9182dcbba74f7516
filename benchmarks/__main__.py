"""`python -m benchmarks`: every benchmark, ratios first."""

from benchmarks import index, requests, store

for part in (requests, store, index):
    print(f"== {part.__name__}: {part.__doc__.splitlines()[0]}")
    part.main()
