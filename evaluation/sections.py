"""The sections of a report's page."""

from collections.abc import Iterable, Sequence
from html import escape

import numpy as np

from evaluation import plots
from evaluation.markup import (
    asked_by,
    escaped,
    notes,
    number,
    paragraph,
    plot,
    side_by_side,
    table,
    who,
)
from evaluation.report import (
    Bin,
    Cell,
    ClusteringRow,
    Confusion,
    OpenSetRow,
    PosteriorRow,
    Report,
    Side,
    Strangers,
)

_CONFUSED = 30  # identities of the confusion matrix that are drawn
_NUMBERED = 16  # identities up to which its cells have numbers
_STRANGERS: dict[Strangers, str] = {
    "as-served": "Strangers from these samples, judged by the comparator’s own cohort",
    "like-cohort": "Strangers like the cohort, which is a third of these identities",
    "kin": "Kin strangers: of the groups of the enrolled, the cohort of other groups",
    "one-group": "One group: enrolled and strangers of it, and a share of the cohort",
}
_UNKNOWN = "unknown"


def sections(report: Report) -> list[tuple[str, str, str]]:
    """Return the anchor, title and HTML of each section that has anything to tell."""
    found = [
        ("whom", "Measured on whom", _whom(report)),
        ("pairs", "Pairs", _pairs(report)),
        ("retrieval", "Retrieval", _retrieval(report)),
        ("open-set", "Open set", _open_set(report)),
        ("posterior", "Probabilities", _posterior(report)),
        ("recognition", "Recognition", _recognition(report)),
        ("one-shot", "One-shot", _one_shot(report)),
        ("clustering", "Clustering", _clustering(report)),
        ("groups", "Groups", _groups(report)),
        ("mistakes", "Likeliest mistakes", _mistakes(report)),
        ("map", "Who looks like whom", _map(report)),
        ("words", "Words", _words()),
    ]
    written = [(anchor, title, "".join(parts)) for anchor, title, parts in found]
    return [each for each in written if each[2]]


def _whom(report: Report) -> Iterable[str]:
    about = report.about
    fewest, median, most = about.samples_each
    rows = [
        ("samples", f"{about.samples:,}"),
        ("identities", f"{about.identities:,}"),
        ("samples of each", f"{fewest} to {most}, median {median:g}"),
        ("groups", "none given" if about.groups is None else str(about.groups)),
        ("who made a sample", "not given" if about.drawers is None else f"{about.drawers} makers"),
        *_sides(report),
        ("comparator", about.bundle or "a head without a bundle"),
        ("its digest", about.digest or "–"),
        ("distance, rule", f"{about.metric}, {about.rule}"),
        ("pairs", f"{report.pairs.genuine:,} genuine, {report.pairs.impostor:,} impostor"),
        ("resolution", report.pairs.resolution),
    ]
    cells = "".join(f"<tr><th>{escaped(k)}</th><td>{escaped(v)}</td></tr>" for k, v in rows)
    yield f"<table>{cells}</table>"


def _sides(report: Report) -> Iterable[tuple[str, str]]:
    sides = report.about.sides
    if sides is None:
        return
    for i, side in enumerate("ab"):
        told = f"{sides.samples[i]:,} samples of {sides.identities[i]:,} identities"
        yield f"side {side}", told
    yield "on both sides", f"{sides.on_both:,} identities"


def _pairs(report: Report) -> Iterable[str]:
    pairs = report.pairs
    compared = (
        "Every two samples compared once."
        if report.about.sides is None
        else "Every sample of side a compared with every one of side b."
    )
    yield paragraph(
        f"{compared} A genuine pair is of one identity, an impostor pair "
        "of two; a score is meant as the probability that a pair is genuine at even odds."
    )
    figures = [
        ("EER", pairs.eer),
        ("AUC", pairs.auc),
        ("ECE of the score at even odds", pairs.ece),
        ("Cllr, bits", pairs.cllr),
        ("least Cllr by recalibration, bits", pairs.min_cllr),
        *(
            (
                f"FNMR at FMR {p.fmr:g}"
                + (f" (threshold {p.threshold:.4f})" if p.threshold is not None else ""),
                p.fnmr,
            )
            for p in pairs.operating_points
        ),
    ]
    yield table(
        ("figure", "value and 95 %", "counted"),
        [(escaped(name), number(f), who(f)) for name, f in figures],
    )
    drawn = []
    if pairs.histogram:
        drawn.append(plot("scores", plots.histograms(pairs.histogram), "Scores of all pairs"))
    if pairs.det:
        drawn.append(plot("det", plots.det(pairs.det, pairs.eer.value), "DET"))
        drawn.append(plot("roc", plots.roc(pairs.det, pairs.auc.value), "ROC"))
    if pairs.reliability:
        curve = plots.reliability([("score", pairs.reliability)])
        drawn.append(plot("pair-reliability", curve, "Reliability of the score at even odds"))
    yield side_by_side(drawn)


def _retrieval(report: Report) -> Iterable[str]:
    section = report.retrieval
    if section is None:
        return
    yield paragraph(
        "How often a probe’s own identity is among the first few of the other side, where nobody "
        f"is a stranger: {section.protocol}."
    )
    yield table(
        ("probes", "references", "among", "first", "found", "by chance", "counted"),
        [
            (
                f"side {row.probes}",
                escaped(row.references),
                str(row.identities),
                str(row.rank),
                number(row.found),
                f"{row.chance:.1%}",
                who(row.found),
            )
            for row in section.rows
        ],
    )


def _open_set(report: Report) -> Iterable[str]:
    section = report.open_set
    yield paragraph(
        "Some identities are enrolled, others come as strangers. FPIR is the share of strangers "
        "who are named, FNIR the share of the enrolled who are not named rightly. “Served” is "
        "what the service does when asked for a rate; the others are what one might do instead. "
        "The oracle is the lowest threshold that keeps these very strangers to the rate."
    )
    settings = {(row.probes, row.strangers, row.samples) for row in section.rows}
    for probes, strangers, samples in sorted(settings, key=_in_order):
        rows = [
            r
            for r in section.rows
            if (r.probes, r.strangers, r.samples) == (probes, strangers, samples)
        ]
        told = f"{_STRANGERS[strangers]}; {samples} enrolled of each{asked_by(probes)}"
        yield f"<h3>{escaped(told)}</h3>"
        name = f"open-{strangers}-{samples}{probes or ''}"
        yield plot(name, plots.by_size(rows, strangers, samples), "", width=9.2, height=3.3)
        ours = [row for row in rows if row.decision == "served"]
        yield _open_set_table(ours)
        if len(ours) < len(rows):
            yield (
                f"<details><summary>beside all that one might do instead</summary>"
                f"{_open_set_table(rows)}</details>"
            )
    yield notes(section.too_few)


def _in_order(setting: tuple[Side | None, Strangers, int]) -> tuple[str, int, int]:
    probes, strangers, samples = setting
    return probes or "", list(_STRANGERS).index(strangers), samples


def _open_set_table(rows: Sequence[OpenSetRow]) -> str:
    return table(
        ("N", "decision", "asked", "FPIR", "FNIR", "FNIR expected", "× oracle’s", "counted"),
        [
            (
                str(row.identities),
                escaped(row.decision),
                "" if row.asked is None else f"{row.asked:.0%}",
                number(row.fpir),
                number(row.fnir),
                "" if row.expected_fnir is None else f"{row.expected_fnir:.1%}",
                "" if row.price is None else f"{row.price:.2f}",
                who(row.fpir),
            )
            for row in rows
        ],
        ours=[row.decision == "served" for row in rows],
    )


def _posterior(report: Report) -> Iterable[str]:
    section = report.posterior
    yield paragraph(
        "What is stated with the first candidate against how often that is right, half of the "
        "probes being by strangers. The raw sigmoid, a control, is right for a pair and wrong "
        "for a gallery."
    )
    single = [row for row in section.rows if row.samples == min(r.samples for r in section.rows)]
    first = [row for row in single if row.strangers == single[0].strangers]
    drawn = [
        plot(
            f"posterior-{stated.replace(' ', '-')}{probes or ''}",
            plots.reliability(_curves(first, stated, probes)),
            stated + asked_by(probes),
        )
        for probes in sorted({row.probes for row in first}, key=str)
        for stated in ("posterior", "raw sigmoid")
    ]
    yield side_by_side(drawn)
    if section.rows:
        yield table(
            ("strangers", "N × samples", "stated", "ECE", "right of ≥ 90 %", "answers ≥ 90 %"),
            [
                (
                    row.strangers + asked_by(row.probes),
                    f"{row.identities} × {row.samples}",
                    row.stated,
                    number(row.ece),
                    number(row.sure),
                    "" if row.sure_share is None else f"{row.sure_share:.1%}",
                )
                for row in section.rows
            ],
            ours=[row.stated == "posterior" for row in section.rows],
        )
    yield notes(section.too_few)


def _curves(
    rows: Sequence[PosteriorRow], stated: str, probes: Side | None
) -> list[tuple[str, Sequence[Bin]]]:
    return [
        (f"N = {row.identities}", row.reliability)
        for row in rows
        if (row.stated, row.probes) == (stated, probes)
    ]


def _recognition(report: Report) -> Iterable[str]:
    section = report.recognition
    if reason := report.absent.get("recognition"):
        yield notes((reason,))
        return
    yield paragraph(
        "Labelled k-NN without a cohort: whose are the nearest samples, of those identities whose "
        f"mean score is at least .5? {section.protocol[:1].upper()}{section.protocol[1:]}."
    )
    if section.too_few:
        yield notes((section.too_few,))
        return
    yield table(
        ("rule", "enrolled named rightly", "strangers left unknown", "all", "counted"),
        [
            (
                escaped(each.rule),
                number(each.known),
                number(each.unknown),
                number(each.both),
                who(each.both),
            )
            for each in section.accuracy
        ],
        ours=[each.rule == "knn" for each in section.accuracy],
    )
    names, shares, left_out = _confusion(section.confusion)
    numbers = len(names) <= _NUMBERED
    size = 4.2 + 0.12 * len(names)
    caption = "Share of a row’s probes, in per cent where there are numbers"
    if left_out:
        caption += f"; the {len(names) - 2} identities most often confused, and {left_out} others"
    draw = plots.matrix(names, shares, rows="truth", columns="named", numbers=numbers)
    yield plot("confusion", draw, caption, width=size, height=size * 0.95)


def _confusion(cells: Sequence[Cell]) -> tuple[list[str], np.ndarray, int]:
    """Return the names of a matrix that can be read, the share of each row, who is left out."""
    wrong: dict[str, int] = {}
    for cell in cells:
        for name in (cell.truth, cell.named):
            if name is not None:
                wrong[name] = wrong.get(name, 0) + (cell.count if cell.truth != cell.named else 0)
    chosen = sorted(sorted(wrong, key=lambda name: (-wrong[name], name))[:_CONFUSED])
    left_out = len(wrong) - len(chosen)
    place = {name: i for i, name in enumerate(chosen)}
    names = [*chosen, *(["others"] if left_out else []), _UNKNOWN]
    counts = np.zeros((len(names), len(names)))
    for cell in cells:
        row, column = (
            len(names) - 1 if name is None else place.get(name, len(chosen))
            for name in (cell.truth, cell.named)
        )
        counts[row, column] += cell.count
    return names, counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), left_out


def _one_shot(report: Report) -> Iterable[str]:
    if reason := report.absent.get("one_shot"):
        yield notes((reason,))
        return
    yield paragraph(
        "A probe is compared with K samples of each of N identities, one of which is its own; "
        "the best mean score wins. Chance is right once in N."
    )
    yield table(
        ("N-way", "K-shot", "identities", "right", "counted"),
        [
            (
                str(row.ways),
                str(row.shots),
                "of one group" if row.within_groups else "of any group",
                number(row.right),
                who(row.right),
            )
            for row in report.one_shot
        ],
    )


def _clustering(report: Report) -> Iterable[str]:
    yield paragraph(
        "Clusters found without labels against identities. Half of the identities choose where "
        "to cut, others are clustered. Linkage does not depend on the order of the input; the "
        "leader procedure does, and its spread over orders is told."
    )
    if report.clustering_too_few:
        yield notes((report.clustering_too_few,))
    if not report.clustering:
        return
    yield table(
        (
            *("method", "cut", "ARI", "ARI by order", "AMI", "V-measure"),
            *("B³ precision", "B³ recall", "B³ F", "clusters"),
        ),
        [_clustered(row) for row in report.clustering],
        ours=[row.method == "linkage" for row in report.clustering],
        tall=True,
    )


def _clustered(row: ClusteringRow) -> tuple[str, ...]:
    a = row.agreement
    measures = (a.ami, a.v_measure, a.b3_precision, a.b3_recall, a.b3)
    return (
        row.method if row.side is None else f"{row.method}, side {row.side}",
        f"{row.cut:.3f} <small>{escaped(row.cut_from)}</small>",
        number(a.ari),
        f"{a.spread[0]:.3f}–{a.spread[1]:.3f}",
        *(number(measure) for measure in measures),
        f"{row.clusters} <small>of {row.identities} × {row.samples / row.identities:.3g}</small>",
    )


def _groups(report: Report) -> Iterable[str]:
    if report.groups_too_few:
        yield notes((report.groups_too_few,))
        return
    yield paragraph(
        "One threshold for everybody, that of FMR 1 % over all pairs, and what it does to each "
        "group; and the galleries of the open-set section, by whose samples were probed."
    )
    yield table(
        (
            "group",
            "identities",
            "FMR within",
            "FNMR",
            "FPIR of its strangers",
            "FNIR of its enrolled",
        ),
        [
            (
                escaped(row.group),
                str(row.identities),
                *(number(figure) for figure in (row.fmr, row.fnmr, row.fpir, row.fnir)),
            )
            for row in report.groups
        ],
        tall=True,
    )


def _mistakes(report: Report) -> Iterable[str]:
    section = report.confusions
    for told, some in (
        ("Two identities, and yet alike", section.impostor),
        ("One identity, and yet not alike", section.genuine),
    ):
        yield f"<h3>{told}</h3>"
        pairs = "".join(_mistake(each) for each in some)
        yield f"<div class=pairs>{pairs}</div>" if some else notes(("there are none",))


def _mistake(each: Confusion) -> str:
    pictures = "".join(
        f'<img src="{escape(picture)}" alt="{escaped(identity)}">'
        for picture, identity in zip(each.pictures, each.identities, strict=True)
        if picture
    )
    names = " · ".join(escaped(name) for name in each.names if name)
    rows = f"rows {each.rows[0]} and {each.rows[1]}"
    who = " / ".join(escaped(name) for name in dict.fromkeys(each.identities))
    return (
        f"<div class=pair>{f'<div>{pictures}</div>' if pictures else ''}<b>{each.score:.4f}</b> "
        f"{who}<br><span class=soft>{names or rows}</span></div>"
    )


def _map(report: Report) -> Iterable[str]:
    if report.similarity:
        size = 4.0 + 0.1 * len(report.similarity.identities)
        draw = plots.similarity(report.similarity, across=report.about.sides is not None)
        caption = "Mean score of the samples of two identities, alike ones side by side"
        yield plot("similarity", draw, caption, width=size, height=size * 0.95)
    if report.places:
        names = len({place.identity for place in report.places})
        caption = (
            f"{names} identities in the plane (t-SNE): near ones are alike, distances between "
            "far ones mean little. A query is a sample left out of its centroid"
        )
        yield plot("map", plots.embedding_map(report.places), caption, width=8, height=5.6)
    if reason := report.absent.get("places"):
        yield notes((reason,))
    elif not report.places and not report.similarity:
        yield notes(("too few samples to draw",))


def _words() -> Iterable[str]:
    words = {
        "FMR, FNMR": "share of impostor pairs accepted, of genuine pairs refused, at a threshold",
        "EER": "where FMR and FNMR are equal",
        "AUC": "share of genuine and impostor pairs that are ranked right",
        "FPIR": "share of strangers who are named as somebody enrolled",
        "FNIR": "share of the enrolled who are not named, or not rightly",
        "ECE": "mean distance between what is stated and what comes true, over fifteen bins",
        "Cllr": "cost of a score as evidence, in bits: 0 is perfect, 1 says nothing",
        "ARI, AMI": "agreement of clusters and identities beyond chance: by pairs, by information",
        "V-measure": "mean of: clusters hold one identity; identities lie in one cluster",
        "B³": "the same by sample: whose company is it in?",
        "cohort": "strangers who belong to no gallery, searched against it to set its threshold",
    }
    yield "<table>"
    for word, meaning in words.items():
        yield f"<tr><th>{word}</th><td>{escaped(meaning)}</td></tr>"
    yield "</table>"
