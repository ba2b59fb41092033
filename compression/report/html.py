"""A report as one HTML file: the plots with names and numbers under the pointer, and the tables; nothing is loaded."""

from __future__ import annotations

import html
from collections.abc import Iterable

from compression.report.content import Report
from compression.report.plot import MARK, Drawing
from compression.report.table import Table, about_peers, summary, tables

STYLE = f"""
:root {{ color: #222; background: #fff; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; }}
svg {{ width: 100%; height: auto; }}
svg .{MARK}:hover use {{ stroke: #000 !important; stroke-width: 3 !important; }}
.scroll {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-size: 0.85rem; white-space: nowrap; }}
th, td {{ padding: 0.2rem 0.6rem; border-bottom: 1px solid #ddd; text-align: right; }}
th:first-child, td:first-child {{ text-align: left; }}
"""


def page(report: Report, drawings: Iterable[Drawing]) -> str:
    """The whole file."""
    body = ["<h1>What compression costs and keeps</h1>", *(_paragraph(line) for line in summary(report))]
    body.append(_paragraph("Point at a mark to see its name and its numbers."))
    for drawing in drawings:
        body += [f"<h2>{_text(drawing.picture.title)}</h2>", "<figure>", drawing.svg(), "</figure>"]
    body.append(_paragraph(about_peers(report)))
    for table in tables(report):
        body += _table(table)
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            '<head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
            f"<title>Quietwire: compression</title><style>{STYLE}</style></head>",
            "<body>",
            *body,
            "</body></html>",
            "",
        ]
    )


def _table(table: Table) -> Iterable[str]:
    yield f'<h2>{_text(table.title)}</h2><div class="scroll"><table>'
    yield f"<thead>{_row(table.header, 'th')}</thead><tbody>"
    yield from (_row(row, "td") for row in table.rows)
    yield "</tbody></table></div>"
    yield from (_paragraph(note) for note in table.notes)


def _row(cells: Iterable[str], kind: str) -> str:
    return f"<tr>{''.join(f'<{kind}>{_text(cell)}</{kind}>' for cell in cells)}</tr>"


def _paragraph(line: str) -> str:
    return f"<p>{_text(line)}</p>"


def _text(words: str) -> str:
    return html.escape(words.replace("`", "").replace("**", ""))
