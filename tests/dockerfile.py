"""The Dockerfile as its stages and their steps."""

import re
from dataclasses import dataclass

from tests.services import ROOT


@dataclass
class Stage:
    """What lies between one FROM of a Dockerfile and the next."""

    parent: str
    steps: list[tuple[str, str]]

    def all(self, instruction):
        return [words for found, words in self.steps if found == instruction]

    def last(self, instruction):
        return self.all(instruction)[-1]

    @property
    def environment(self):
        words = " ".join(self.all("ENV"))
        return dict(re.findall(r"([A-Z_]+)=(\S+)", words))

    @property
    def arguments(self):
        return {words.partition("=")[0] for words in self.all("ARG")}


def read_dockerfile():
    """Return the stages by name, and the arguments before the first of them."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    stages, arguments, here = {}, {}, None
    for line in text.replace("\\\n", " ").splitlines():
        instruction, _, words = line.strip().partition(" ")
        if instruction == "FROM":
            parent, _, name = words.partition(" AS ")
            here = stages[name] = Stage(parent, [])
        elif here is None and instruction:
            arguments |= [words.split("=")]
        elif instruction:
            here.steps.append((instruction, words.strip()))
    return stages, arguments


STAGES, ARGUMENTS = read_dockerfile()


def made_of(name, variant="cpu"):
    """Return the names of a stage and of all stages that it takes something from."""
    name = name.replace("${VARIANT}", variant)
    if name not in STAGES:
        return set()
    stage = STAGES[name]
    sources = [stage.parent, *re.findall(r"--from=(\S+)", " ".join(stage.all("COPY")))]
    return {name}.union(*(made_of(source, variant) for source in sources))
