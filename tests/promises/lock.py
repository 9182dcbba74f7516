"""`python -m tests.promises.lock`: write requirements/serving.lock, what an image is made of.

Every distribution that the service and its `cpu` extra take, at the version that pip chooses now,
with the SHA-256 of its file for each platform of PLATFORMS. It asks whatever index pip is set up
with, and names none. `pip install --require-hashes -r requirements/serving.lock` takes no other.
"""

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections import defaultdict

from packaging.requirements import Requirement

from tests.services import ROOT

PATH = ROOT / "requirements" / "serving.lock"
PYTHON = "3.11"
PLATFORMS = ("x86_64", "aarch64")
TAGS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014", "manylinux_2_5")
HEADER = """\
# Written by `python -m tests.promises.lock`: what the service takes, version and file.
# Python {python} on Linux, {platforms}.
"""


def requirements(platform: str = PLATFORMS[0]) -> list[str]:
    """Return what pyproject.toml asks for to serve on a processor of a platform."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    everything = [*project["dependencies"], *extras["service"], *without_ourselves(extras["cpu"])]
    asked = [(each.partition(";")[0].strip(), Requirement(each).marker) for each in everything]
    here = {"platform_machine": platform}
    return [name for name, marker in asked if marker is None or marker.evaluate(here)]


def without_ourselves(extra: list[str]) -> list[str]:
    """Return what an extra asks for beside another extra of this project."""
    return [asked for asked in extra if not asked.startswith("kindred[")]


def chosen(platform: str) -> dict[tuple[str, str], str]:
    """Return the SHA-256 of each file that pip would install, by name and version."""
    with tempfile.TemporaryDirectory() as nowhere:
        words = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed"]
        words += ["--quiet", "--report", "-", "--only-binary=:all:", "--target", nowhere]
        words += ["--python-version", PYTHON, "--implementation", "cp"]
        words += [f"--platform={tag}_{platform}" for tag in TAGS]
        report = subprocess.run(
            [*words, *requirements(platform)], stdout=subprocess.PIPE, check=True
        )
    found = {}
    for one in json.loads(report.stdout)["install"]:
        name = re.sub(r"[-_.]+", "-", one["metadata"]["name"]).lower()
        digest = one["download_info"]["archive_info"]["hashes"]["sha256"]
        found[name, one["metadata"]["version"]] = digest
    return found


def main() -> None:
    """Ask pip for each platform, and write what they agree on."""
    digests: dict[tuple[str, str], set[str]] = defaultdict(set)
    takers: dict[tuple[str, str], list[str]] = defaultdict(list)
    done = []
    for platform in PLATFORMS:
        try:
            found = chosen(platform)
        except subprocess.CalledProcessError:
            print(f"{platform}: the index does not have everything; left out", file=sys.stderr)
            continue
        done.append(platform)
        for named, digest in found.items():
            digests[named].add(digest)
            takers[named].append(platform)
    text = HEADER.format(python=PYTHON, platforms=" and ".join(done))
    for (name, version), files in sorted(digests.items()):
        text += f"{name}=={version}"
        if takers[name, version] != done:
            [only] = takers[name, version]
            text += f" ; platform_machine == '{only}'"
        text += "".join(f" \\\n    --hash=sha256:{digest}" for digest in sorted(files)) + "\n"
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text(text)


if __name__ == "__main__":
    main()
