"""A report for people: one HTML file that needs nothing else."""

from evaluation.markup import asked_by, big, escaped, percents
from evaluation.report import Report, Side
from evaluation.sections import sections

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
    written = sections(report)
    links = " ".join(f'<a href="#{anchor}">{title}</a>' for anchor, title, _ in written)
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
        f"<title>{escaped(about.title)}</title><style>{_STYLE}</style></head><body>"
        f"<header><h1>{escaped(about.title)}</h1><p class=soft>{_subtitle(report)}</p>"
        f"{_cards(report)}{_warnings(report)}</header><nav>{links}</nav><main>{body}</main>"
        f"<footer>Intervals cover 95 % and draw identities anew. Seed {about.seed}. "
        f"Report schema {report.schema_version}.</footer></body></html>\n"
    )


def _subtitle(report: Report) -> str:
    about = report.about
    model = f"{about.bundle} · " if about.bundle else ""
    return escaped(
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
            (f"Found first among {row.identities}{asked_by(row.probes)}", row.found)
            for row in report.retrieval.rows
            if (row.rank, row.references) == (1, "one of each")
        ]
    for row in largest:
        among = f"among {row.identities}, 5 % asked{asked_by(row.probes)}"
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
        f"<div class=card><span>{escaped(name)}</span><b>{big(figure)}</b>"
        f"<span>{percents(figure) or escaped(figure.too_few or '')}</span></div>"
        for name, figure in cards
    )
    return f"<div class=cards>{tiles}</div>"


def _warnings(report: Report) -> str:
    rows = "".join(f"<li>{escaped(warning)}</li>" for warning in report.about.warnings)
    return f"<ul class=warn>{rows}</ul>" if rows else ""
