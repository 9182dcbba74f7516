"""`kindred demo`: a demonstration on real handwriting, with its pictures in the terminal."""

import io
import random
import secrets
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from rich.columns import Columns
from rich.console import Console
from rich.panel import Panel
from rich.rule import Rule
from rich.text import Text

from kindred.answers import Result
from kindred.cli import SAME
from kindred.client import Client
from kindred.commands.terminal import client_of

DRAWINGS = Path(__file__).parent.parent / "drawings"
ENROLLED = 8  # identities; the rest of the drawings are strangers to the gallery
SAMPLES = 3  # drawings enrolled of each; the rest are probes
PICTURE = 24  # columns of a picture, and twice as many rows in half blocks
COLOURS = {"match": "green", "possible": "yellow", "unknown": "red"}


@dataclass(frozen=True, slots=True)
class Drawing:
    """One picture of a character by one drawer."""

    character: str
    content: bytes


def demo(asked: Namespace) -> int:
    """Walk through the service's calls, and say what came back."""
    console = Console()
    with client_of(asked) as client:
        characters = _drawings()
        known = dict(list(characters.items())[:ENROLLED])
        strangers = list(characters.values())[ENROLLED:]
        gallery = f"demo-{secrets.token_hex(3)}"
        client.create_gallery(gallery)
        try:
            _enroll(console, client, gallery, known)
            _identify(console, client, gallery, known, strangers)
            _verify(console, client, known)
            _cluster(console, client, known)
        finally:
            client.delete_gallery(gallery)
    console.print(f"\nThe gallery {gallery} was deleted again. Every call is in {client.url}/docs")
    return SAME


def _enroll(
    console: Console, client: Client, gallery: str, known: dict[str, list[Drawing]]
) -> None:
    console.print(Rule(f"enroll: {len(known)} characters, {SAMPLES} drawings of each"))
    for character, drawings in known.items():
        answer = client.enroll(character, _contents(drawings[:SAMPLES]), gallery=gallery)
    console.print(
        Columns([_picture(drawings[0], name) for name, drawings in known.items()]),
        f"The gallery is at version {answer.version}: each of these is on disk.",
    )


def _identify(
    console: Console,
    client: Client,
    gallery: str,
    known: dict[str, list[Drawing]],
    strangers: list[list[Drawing]],
) -> None:
    console.print(Rule("identify: whose is this, or nobody's we know?"))
    name, drawings = next(iter(known.items()))
    shown = {f"another {name}": drawings[SAMPLES], "a stranger": strangers[0][0]}
    answer = client.identify(_contents(list(shown.values())), gallery=gallery, target_fpir=0.05)
    for (title, drawing), result in zip(shown.items(), answer.results, strict=True):
        console.print(Columns([_picture(drawing, title), _said(result)]))

    probes = [probe for drawings in known.values() for probe in drawings[SAMPLES:]]
    unseen = [probe for drawings in strangers for probe in drawings]
    contents = _contents(probes + unseen)
    results = client.identify(contents, gallery=gallery, target_fpir=0.05).results
    right = sum(r.identity == p.character for r, p in zip(results, probes, strict=False))
    named = sum(r.outcome == "match" for r in results[len(probes) :])
    console.print(
        f"Of {len(probes)} more drawings of the enrolled, {right} were named rightly; of "
        f"{len(unseen)} drawings of strangers, {named} were named. Asked for: 5 % of strangers."
    )


def _said(result: Result) -> Panel:
    lines = Text()
    shade = f"bold {COLOURS[result.outcome]}"
    lines.append(f"{result.outcome.upper()}  {result.identity or ''}\n\n", shade)
    lines.append(f"score {result.score:.3f}, needed {result.threshold:.3f}\n")
    lines.append(f"p-value {result.p_value:.3f}, asked {result.target_fpir}\n")
    lines.append(f"nearest: {result.candidates[0].identity}\n")
    lines.append(f"threshold from {result.evidence.cohort_identities} strangers")
    return Panel(lines, width=48)


def _verify(console: Console, client: Client, known: dict[str, list[Drawing]]) -> None:
    console.print(Rule("verify: are these two the same?"))
    one, other = list(known.values())[:2]
    for a, b in ((one[0], one[1]), (one[0], other[0])):
        answer = client.verify(a.content, b.content, target_fmr=0.01)
        verdict = Text("SAME" if answer.match else "DIFFERENT", style="bold")
        verdict.append(f"\n\nscore {answer.score:.3f}\nneeded {answer.threshold:.3f}")
        verdict.append(f"\nat {answer.fmr:.1%} false matches")
        console.print(
            Columns([_picture(a, a.character), _picture(b, b.character), Panel(verdict, width=32)])
        )


def _cluster(console: Console, client: Client, known: dict[str, list[Drawing]]) -> None:
    console.print(Rule("cluster: which belong together?"))
    pile = [drawing for drawings in known.values() for drawing in drawings]
    random.Random(0).shuffle(pile)  # noqa: S311 - no secret
    answer = client.cluster(_contents(pile))
    console.print(f"{len(pile)} drawings fall into {len(answer.clusters)} clusters:")
    for cluster in sorted(answer.clusters, key=lambda c: -c.size):
        members = sorted(pile[int(i)].character for i in cluster.members)
        counts = {name: members.count(name) for name in dict.fromkeys(members)}
        console.print("  " + ", ".join(f"{count} × {name}" for name, count in counts.items()))


def _drawings() -> dict[str, list[Drawing]]:
    return {
        folder.name: [Drawing(folder.name, path.read_bytes()) for path in sorted(folder.iterdir())]
        for folder in sorted(DRAWINGS.iterdir())
        if folder.is_dir()
    }


def _contents(drawings: list[Drawing]) -> list[bytes]:
    return [drawing.content for drawing in drawings]


def _picture(drawing: Drawing, title: str) -> Panel:
    """Return a drawing in half blocks: two pixels a character, dark ink shown bright."""
    image = Image.open(io.BytesIO(drawing.content)).convert("L")
    shades = image.resize((PICTURE, PICTURE), Image.Resampling.BOX).tobytes()
    ink = [shade < 215 for shade in shades]  # strokes are thin
    rows = [ink[start : start + PICTURE] for start in range(0, len(ink), PICTURE)]
    blocks = {(True, True): "█", (True, False): "▀", (False, True): "▄", (False, False): " "}
    lines = [
        "".join(blocks[pair] for pair in zip(top, bottom, strict=True))
        for top, bottom in zip(rows[::2], rows[1::2], strict=True)
    ]
    return Panel("\n".join(lines), title=title, width=PICTURE + 4)
