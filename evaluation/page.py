"""A report for people: one HTML file that needs nothing else."""

from collections.abc import Iterable, Sequence
from html import escape

import numpy as np

from evaluation import plots
from evaluation.report import (
    Bin,
    Cell,
    ClusteringRow,
    Confusion,
    Figure,
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

_STYLE = """
:root{color-scheme:light dark;--ink:#1c2126;--soft:#5b6670;--paper:#fff;--card:#f5f7f9;
--line:#c9d0d6;--accent:#2a78c8;--warn:#fff4dd;--warn-ink:#7a4d00}
@media(prefers-color-scheme:dark){:root{--ink:#e4e8eb;--soft:#9aa5af;--paper:#15191d;
--card:#1e242a;--line:#46505a;--accent:#6fb0f0;--warn:#3a2f14;--warn-ink:#f1cf86}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
main,header,nav{max-width:1080px;margin:0 auto;padding:0 24px}
header{padding-top:40px}h1{font-size:28px;line-height:1.2;margin:0 0 4px}
h2{font-size:20px;margin:52px 0 4px;padding-top:12px;border-top:1px solid var(--line)}
h3{font-size:15px;margin:28px 0 6px}p{max-width:74ch;margin:6px 0 12px}
.soft,.few,figcaption,td.who{color:var(--soft)}.soft{font-size:14px}
nav{padding-top:14px;font-size:14px}nav a{color:var(--accent);text-decoration:none;
margin-right:14px;white-space:nowrap}nav a:hover{text-decoration:underline}
.warn{background:var(--warn);color:var(--warn-ink);border-radius:8px;padding:10px 16px;
margin:18px 0;max-width:none;list-style-position:inside}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(190px,1fr));gap:12px;
margin:22px 0}
.card{background:var(--card);border-radius:10px;padding:12px 16px}
.card b{display:block;font-size:24px;font-weight:600;line-height:1.3}
.card span{display:block;font-size:13px;color:var(--soft)}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(340px,1fr));gap:18px;align-items:start}
figure{margin:14px 0}figure svg{width:100%;height:auto;display:block}
svg text{font-family:inherit!important}figcaption{font-size:13px}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:14px;margin:10px 0;
font-variant-numeric:tabular-nums}th,td{text-align:left;padding:5px 18px 5px 0;
border-bottom:1px solid var(--line);vertical-align:top}
th{font-weight:600;white-space:nowrap}td.n{white-space:nowrap}
td.who{font-size:13px}tr.ours td.n{font-weight:600}
.tall small{display:block}.few{font-style:italic}
td small{color:var(--soft);font-weight:400}
details{margin:10px 0}summary{cursor:pointer;color:var(--accent);font-size:14px}
.pairs{display:grid;grid-template-columns:repeat(auto-fill,minmax(230px,1fr));gap:12px}
.pair{background:var(--card);border-radius:10px;padding:10px 12px;font-size:13px;
overflow-wrap:anywhere}.pair .soft{font-size:12px}.pair div{display:flex;gap:8px;margin-bottom:6px}
.pair img{width:96px;height:96px;object-fit:contain;background:#fff;border-radius:6px}
footer{max-width:1080px;margin:56px auto 40px;padding:0 24px;color:var(--soft);font-size:13px}
@media print{details{display:block}nav{display:none}}
"""


def page(report: Report) -> str:
    """Return the report as HTML; what users named is shown as it is and never run."""
    sections = [
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
    written = [(anchor, title, "".join(parts)) for anchor, title, parts in sections]
    written = [each for each in written if each[2]]
    links = "".join(f'<a href="#{anchor}">{title}</a>' for anchor, title, _ in written)
    body = "".join(
        f'<section id="{anchor}"><h2>{title}</h2>{parts}</section>'
        for anchor, title, parts in written
    )
    about = report.about
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none';img-src data:;style-src 'unsafe-inline'\">"
        f"<title>{_text(about.title)}</title><style>{_STYLE}</style></head><body>"
        f"<header><h1>{_text(about.title)}</h1><p class=soft>{_subtitle(report)}</p>"
        f"{_cards(report)}{_warnings(report)}</header><nav>{links}</nav><main>{body}</main>"
        f"<footer>Intervals cover 95 % and draw identities anew. Seed {about.seed}. "
        f"Report schema {report.schema_version}.</footer></body></html>\n"
    )


def _subtitle(report: Report) -> str:
    about = report.about
    model = f"{about.bundle} · " if about.bundle else ""
    return _text(
        f"{model}{about.samples:,} samples of {about.identities:,} identities · "
        f"{about.metric} distance"
    )


def _cards(report: Report) -> str:
    served = [
        row for row in report.open_set.rows if row.decision == "served" and row.asked == 0.05
    ]
    sides: tuple[Side | None, ...] = (None,) if report.about.sides is None else ("a", "b")
    largest = [
        max(rows, key=lambda row: row.identities)
        for side in sides
        if (rows := [row for row in served if row.samples == 1 and row.probes == side])
    ]
    cards = [("Equal error rate of pairs", report.pairs.eer)]
    cards += [
        (f"Genuine pairs refused at FMR {point.fmr:.1%}", point.fnmr)
        for point in report.pairs.operating_points[:1]
    ]
    if report.retrieval:
        cards += [
            (f"Found first among {row.identities}{_by(row.probes)}", row.found)
            for row in report.retrieval.rows
            if (row.rank, row.references) == (1, "one of each")
        ]
    for row in largest:
        among = f"among {row.identities}, 5 % asked{_by(row.probes)}"
        cards += [
            (f"Strangers named {among}", row.fpir),
            (f"Enrolled missed {among}", row.fnir),
        ]
    cards += [
        (f"{row.ways}-way {row.shots}-shot right", row.right)
        for row in report.one_shot
        if (row.ways, row.shots, row.within_groups) == (20, 1, False)
    ]
    cards += [
        ("Clusters agree with identities (ARI)", row.agreement.ari)
        for row in report.clustering[:1]
    ]
    tiles = "".join(
        f"<div class=card><span>{_text(name)}</span><b>{_big(figure)}</b>"
        f"<span>{_percents(figure) or _text(figure.too_few or '')}</span></div>"
        for name, figure in cards
    )
    return f"<div class=cards>{tiles}</div>"


def _by(probes: Side | None) -> str:
    return f", asked by side {probes}" if probes else ""


def _warnings(report: Report) -> str:
    rows = "".join(f"<li>{_text(warning)}</li>" for warning in report.about.warnings)
    return f"<ul class=warn>{rows}</ul>" if rows else ""


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
    cells = "".join(f"<tr><th>{_text(k)}</th><td>{_text(v)}</td></tr>" for k, v in rows)
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
    yield _said(
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
    yield _table(
        ("figure", "value and 95 %", "counted"),
        [(_text(name), _number(f), _who(f)) for name, f in figures],
    )
    drawn = []
    if pairs.histogram:
        drawn.append(_plot("scores", plots.histograms(pairs.histogram), "Scores of all pairs"))
    if pairs.det:
        drawn.append(_plot("det", plots.det(pairs.det, pairs.eer.value), "DET"))
        drawn.append(_plot("roc", plots.roc(pairs.det, pairs.auc.value), "ROC"))
    if pairs.reliability:
        curve = plots.reliability([("score", pairs.reliability)])
        drawn.append(_plot("pair-reliability", curve, "Reliability of the score at even odds"))
    yield _side_by_side(drawn)


def _retrieval(report: Report) -> Iterable[str]:
    section = report.retrieval
    if section is None:
        return
    yield _said(
        "How often a probe’s own identity is among the first few of the other side, where nobody "
        f"is a stranger: {section.protocol}."
    )
    yield _table(
        ("probes", "references", "among", "first", "found", "by chance", "counted"),
        [
            (
                f"side {row.probes}",
                _text(row.references),
                str(row.identities),
                str(row.rank),
                _number(row.found),
                f"{row.chance:.1%}",
                _who(row.found),
            )
            for row in section.rows
        ],
    )


def _open_set(report: Report) -> Iterable[str]:
    section = report.open_set
    yield _said(
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
        told = f"{_STRANGERS[strangers]}; {samples} enrolled of each{_by(probes)}"
        yield f"<h3>{_text(told)}</h3>"
        name = f"open-{strangers}-{samples}{probes or ''}"
        yield _plot(name, plots.by_size(rows, strangers, samples), "", width=9.2, height=3.3)
        ours = [row for row in rows if row.decision == "served"]
        yield _open_set_table(ours)
        if len(ours) < len(rows):
            yield (
                f"<details><summary>beside all that one might do instead</summary>"
                f"{_open_set_table(rows)}</details>"
            )
    yield _notes(section.too_few)


def _in_order(setting: tuple[Side | None, Strangers, int]) -> tuple[str, int, int]:
    probes, strangers, samples = setting
    return probes or "", list(_STRANGERS).index(strangers), samples


def _open_set_table(rows: Sequence[OpenSetRow]) -> str:
    return _table(
        ("N", "decision", "asked", "FPIR", "FNIR", "FNIR expected", "× oracle’s", "counted"),
        [
            (
                str(row.identities),
                _text(row.decision),
                "" if row.asked is None else f"{row.asked:.0%}",
                _number(row.fpir),
                _number(row.fnir),
                "" if row.expected_fnir is None else f"{row.expected_fnir:.1%}",
                "" if row.price is None else f"{row.price:.2f}",
                _who(row.fpir),
            )
            for row in rows
        ],
        ours=[row.decision == "served" for row in rows],
    )


def _posterior(report: Report) -> Iterable[str]:
    section = report.posterior
    yield _said(
        "What is stated with the first candidate against how often that is right, half of the "
        "probes being by strangers. The raw sigmoid, a control, is right for a pair and wrong "
        "for a gallery."
    )
    single = [row for row in section.rows if row.samples == min(r.samples for r in section.rows)]
    first = [row for row in single if row.strangers == single[0].strangers]
    drawn = [
        _plot(
            f"posterior-{stated.replace(' ', '-')}{probes or ''}",
            plots.reliability(_curves(first, stated, probes)),
            stated + _by(probes),
        )
        for probes in sorted({row.probes for row in first}, key=str)
        for stated in ("posterior", "raw sigmoid")
    ]
    yield _side_by_side(drawn)
    if section.rows:
        yield _table(
            ("strangers", "N × samples", "stated", "ECE", "right of ≥ 90 %", "answers ≥ 90 %"),
            [
                (
                    row.strangers + _by(row.probes),
                    f"{row.identities} × {row.samples}",
                    row.stated,
                    _number(row.ece),
                    _number(row.sure),
                    "" if row.sure_share is None else f"{row.sure_share:.1%}",
                )
                for row in section.rows
            ],
            ours=[row.stated == "posterior" for row in section.rows],
        )
    yield _notes(section.too_few)


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
        yield _notes((reason,))
        return
    yield _said(
        "Labelled k-NN without a cohort: whose are the nearest samples, of those identities whose "
        f"mean score is at least .5? {section.protocol[:1].upper()}{section.protocol[1:]}."
    )
    if section.too_few:
        yield _notes((section.too_few,))
        return
    yield _table(
        ("rule", "enrolled named rightly", "strangers left unknown", "all", "counted"),
        [
            (
                _text(each.rule),
                _number(each.known),
                _number(each.unknown),
                _number(each.both),
                _who(each.both),
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
    yield _plot("confusion", draw, caption, width=size, height=size * 0.95)


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
        yield _notes((reason,))
        return
    yield _said(
        "A probe is compared with K samples of each of N identities, one of which is its own; "
        "the best mean score wins. Chance is right once in N."
    )
    yield _table(
        ("N-way", "K-shot", "identities", "right", "counted"),
        [
            (
                str(row.ways),
                str(row.shots),
                "of one group" if row.within_groups else "of any group",
                _number(row.right),
                _who(row.right),
            )
            for row in report.one_shot
        ],
    )


def _clustering(report: Report) -> Iterable[str]:
    yield _said(
        "Clusters found without labels against identities. Half of the identities choose where "
        "to cut, others are clustered. Linkage does not depend on the order of the input; the "
        "leader procedure does, and its spread over orders is told."
    )
    if report.clustering_too_few:
        yield _notes((report.clustering_too_few,))
    if not report.clustering:
        return
    yield _table(
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
        f"{row.cut:.3f} <small>{_text(row.cut_from)}</small>",
        _number(a.ari),
        f"{a.spread[0]:.3f}–{a.spread[1]:.3f}",
        *(_number(measure) for measure in measures),
        f"{row.clusters} <small>of {row.identities} × {row.samples / row.identities:.3g}</small>",
    )


def _groups(report: Report) -> Iterable[str]:
    if report.groups_too_few:
        yield _notes((report.groups_too_few,))
        return
    yield _said(
        "One threshold for everybody, that of FMR 1 % over all pairs, and what it does to each "
        "group; and the galleries of the open-set section, by whose samples were probed."
    )
    yield _table(
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
                _text(row.group),
                str(row.identities),
                *(_number(figure) for figure in (row.fmr, row.fnmr, row.fpir, row.fnir)),
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
        yield f"<div class=pairs>{pairs}</div>" if some else _notes(("there are none",))


def _mistake(each: Confusion) -> str:
    pictures = "".join(
        f'<img src="{escape(picture)}" alt="{_text(identity)}">'
        for picture, identity in zip(each.pictures, each.identities, strict=True)
        if picture
    )
    names = " · ".join(_text(name) for name in each.names if name)
    rows = f"rows {each.rows[0]} and {each.rows[1]}"
    who = " / ".join(_text(name) for name in dict.fromkeys(each.identities))
    return (
        f"<div class=pair>{f'<div>{pictures}</div>' if pictures else ''}<b>{each.score:.4f}</b> "
        f"{who}<br><span class=soft>{names or rows}</span></div>"
    )


def _map(report: Report) -> Iterable[str]:
    if report.similarity:
        size = 4.0 + 0.1 * len(report.similarity.identities)
        draw = plots.similarity(report.similarity, across=report.about.sides is not None)
        caption = "Mean score of the samples of two identities, alike ones side by side"
        yield _plot("similarity", draw, caption, width=size, height=size * 0.95)
    if report.places:
        names = len({place.identity for place in report.places})
        caption = (
            f"{names} identities in the plane (t-SNE): near ones are alike, distances between "
            "far ones mean little. A query is a sample left out of its centroid"
        )
        yield _plot("map", plots.embedding_map(report.places), caption, width=8, height=5.6)
    if reason := report.absent.get("places"):
        yield _notes((reason,))
    elif not report.places and not report.similarity:
        yield _notes(("too few samples to draw",))


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
        yield f"<tr><th>{word}</th><td>{_text(meaning)}</td></tr>"
    yield "</table>"


def _plot(
    name: str, draw: plots.Draw, caption: str, width: float = 5.0, height: float = 3.4
) -> str:
    told = f"<figcaption>{_text(caption)}</figcaption>" if caption else ""
    widest = f' style="max-width:{int(width * 105)}px"'
    return f"<figure{widest}>{plots.svg(name, draw, width, height)}{told}</figure>"


def _side_by_side(figures: Sequence[str]) -> str:
    return f"<div class=plots>{''.join(figures)}</div>" if figures else ""


def _table(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    ours: Sequence[bool] | None = None,
    *,
    tall: bool = False,
) -> str:
    head = "".join(f"<th>{name}</th>" for name in heads)
    marked = ours or [False] * len(rows)
    # Where all rows are ours, none stands out.
    marked = [each and not all(marked) for each in marked]
    body = "".join(
        f"<tr{' class=ours' if mark else ''}>"
        + "".join(
            f"<td{' class=who' if name == 'counted' else ' class=n'}>{cell}</td>"
            for name, cell in zip(heads, row, strict=True)
        )
        + "</tr>"
        for row, mark in zip(rows, marked, strict=True)
    )
    kind = "wide tall" if tall else "wide"
    return f'<div class="{kind}"><table><tr>{head}</tr>{body}</table></div>'


def _number(figure: Figure) -> str:
    if figure.value is None:
        return f'<span class=few title="{_text(figure.too_few or "")}">too few to say</span>'
    return f"{figure.value:.4f} <small>{_span(figure)}</small>"


def _big(figure: Figure) -> str:
    return (
        "<span class=few>too few to say</span>" if figure.value is None else f"{figure.value:.1%}"
    )


def _span(figure: Figure) -> str:
    return "{:.4f}–{:.4f}".format(*figure.interval) if figure.interval else ""


def _percents(figure: Figure) -> str:
    return "{:.1%} to {:.1%}".format(*figure.interval) if figure.interval else ""


def _who(figure: Figure) -> str:
    return _text(f"{figure.counted}; {figure.too_few}" if figure.too_few else figure.counted)


def _said(text: str) -> str:
    return f"<p>{_text(text)}</p>"


def _notes(notes: Sequence[str]) -> str:
    rows = "".join(f"<li>{_text(note)}</li>" for note in notes)
    return f'<ul class="few">{rows}</ul>' if rows else ""


def _text(given: str) -> str:
    """Return a text for HTML, characters that cannot be shown replaced."""
    return escape("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in given))
