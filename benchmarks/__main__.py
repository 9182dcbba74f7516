"""`python -m benchmarks`: every benchmark, ratios first."""

from benchmarks import index, requests

for part in (requests, index):
    print(f"== {part.__name__}: {part.__doc__.splitlines()[0]}")
    part.main()
