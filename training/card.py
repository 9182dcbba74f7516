"""The bundle's card: what people read before they trust it."""

import json
from collections.abc import Iterable

from models_store.manifest import AudioInput, ImageInput, Input, Manifest, Metric
from training.recipe import Card


def card(manifest: Manifest, cohort: int, words: Card) -> str:
    """Return the card in Markdown, headed by the YAML that Hugging Face reads."""
    m = manifest
    sources = m.provenance.sources
    sides = {"": m.encoders["a"]} if m.tied else {f" {side}": e for side, e in m.encoders.items()}
    norm = "norm 1, " if m.normalised else ""
    head = {
        "license": m.licence.lower(),
        "library_name": "kindred",
        "tags": ["onnx", "comparator", *sorted({e.modality for e in m.encoders.values()})],
        "datasets": [source.name for source in sources],
        "metrics": [metric.name for metric in m.metrics],
    }
    return "\n".join(
        [
            "---",
            *(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in head.items()),
            "---",
            "",
            f"# {m.title}",
            "",
            m.description,
            "",
            *(f"- input{side}: {_taken(encoder.input)}" for side, encoder in sides.items()),
            f"- embedding: {m.dimension} numbers, {norm}{m.distance} distance",
            f"- score: sigmoid({m.head.bias:.4g} - {m.head.weight:.4g} × distance)",
            f"- cohort: {cohort} strangers",
            "",
            *_section("Intended use", [words.use]),
            *_section("Limits", [words.limits]),
            *_section("Figures", _table(m.metrics)),
            *_section(
                "Operating points",
                [
                    "| FMR asked | threshold | FNMR |",
                    "|---|---|---|",
                    *(
                        f"| {p.fmr:g} | {p.threshold:.4f} | {p.fnmr:.4f} |"
                        for p in m.operating_points
                    ),
                ],
            ),
            *_section("How it was made", [words.commands]),
            *_section(
                "Data and licences",
                [
                    f"The weights are licensed under {m.licence}.",
                    *(f"Trained on {s.name} ({s.licence}), {s.source}" for s in sources),
                    "",
                    words.notice,
                ],
            ),
        ]
    )


def _section(title: str, lines: Iterable[str]) -> list[str]:
    body = [line.strip() for line in lines]
    return [f"## {title}", "", *body, ""] if any(body) else []


def _table(metrics: tuple[Metric, ...]) -> list[str]:
    if not metrics:
        return []
    rows = [f"| {m.name} | {m.value:.4f} | {_span(m)} | {m.protocol} |" for m in metrics]
    return [
        "Intervals are 95 %, over identities drawn anew, unless the protocol says otherwise.",
        "",
        "| figure | value | interval | who was counted |",
        "|---|---|---|---|",
        *rows,
    ]


def _span(metric: Metric) -> str:
    return "–".join(f"{end:.4f}" for end in metric.interval) if metric.interval else ""


def _taken(spec: Input) -> str:
    match spec:
        case ImageInput():
            return f"image, {spec.width} × {spec.height}, {spec.mode}"
        case AudioInput():
            return f"audio at {spec.sample_rate} Hz, windows of {spec.window:g} s"
        case _:
            return f"text, windows of {spec.max_tokens} tokens"
