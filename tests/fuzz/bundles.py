"""`python -m tests.fuzz.bundles --n N --seed S`: a bundle mutated N times, and what comes of each.

Each mutant changes one file of the tiny bundle, most with a manifest that gives the new digest, is
read as the service reads it, tried in a process of its own, and if it passes, loaded here. It must
be refused with a reason, or embed what the original embeds. Prints one line of JSON.
"""

import argparse
import hashlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from models_store import BundleRefused, TrialLimits, open_bundle
from models_store.bundle import load_bundle
from models_store.comparator import runtime
from models_store.confinement import leave_no_core
from models_store.folder import BundleFiles, read_bundle
from models_store.manifest import MANIFEST_NAME
from models_store.trial import start, verdict_of
from models_store.trials import in_memory
from tests.bundles import make_bundle
from tests.fuzz.mutations import mutated

LIMITS = TrialLimits(seconds=10, memory=2**30)
NEAR = 1e-3
"""How far an embedding may be from the original's: more than the self-test's 1e-4, since mutants
of single weights pass that, and less than two drawings of one character are apart."""


def main() -> None:
    """Mutate, and print what came of it; exit 1 if a mutant embeds something else."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    leave_no_core()
    runtime()  # once for all forks
    with tempfile.TemporaryDirectory() as folder:
        told = fuzz(make_bundle(Path(folder)), options.n, options.seed)
    print(json.dumps({"n": options.n, "seed": options.seed} | told))
    raise SystemExit(bool(told["other"]))


def fuzz(bundle: Path, n: int, seed: int) -> dict[str, int]:
    """Return how many mutants were refused, how many of those in a crash, and how many not."""
    contents = {path.name: path.read_bytes() for path in sorted(bundle.iterdir())}
    inputs = [(one,) for one in np.random.default_rng(1).random((8, 1, 12, 12), np.float32)]
    expected = open_bundle(bundle).embed(inputs)
    outcomes: Counter[str] = Counter(refused=0, crashed=0, harmless=0, other=0)
    rng = np.random.default_rng(seed)
    for _ in range(n):
        name = str(rng.choice(list(contents)))
        changed = mutated(contents[name], rng)
        (bundle / name).write_bytes(changed)
        if name != MANIFEST_NAME and rng.random() < 0.9:  # else the digest gives it away
            fields = json.loads(contents[MANIFEST_NAME])
            fields["files"][name] = hashlib.sha256(changed).hexdigest()
            (bundle / MANIFEST_NAME).write_text(json.dumps(fields))
        outcomes[_outcome(bundle, lambda given: _embeds(given, inputs, expected))] += 1
        for changed_name in {name, MANIFEST_NAME}:
            (bundle / changed_name).write_bytes(contents[changed_name])
    return dict(outcomes)


def _outcome(bundle: Path, same: Callable[[BundleFiles], bool]) -> str:
    try:
        given = read_bundle(bundle)
    except BundleRefused:
        return "refused"
    pid, reason = start(in_memory(given), LIMITS)
    _, status = os.waitpid(pid, 0)
    verdict = verdict_of(status, reason, LIMITS.seconds)
    if verdict is not None:
        return "crashed" if os.WIFSIGNALED(status) else "refused"
    return "harmless" if same(given) else "other"


def _embeds(given: BundleFiles, inputs: list, expected: np.ndarray) -> bool:
    try:
        found = load_bundle(given, tried=True).embed(inputs)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
        print(f"passed its trial, and then: {error!r}")
        return False
    return found.shape == expected.shape and bool(np.abs(found - expected).max() <= NEAR)


if __name__ == "__main__":
    main()
