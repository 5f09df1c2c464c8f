"""The report as one HTML file that loads nothing from anywhere; pictures are part of it."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from model.evaluation.figures import HOW_TO_READ, EvaluationRow, EvaluationTable, cells_of

if TYPE_CHECKING:
    from model.evaluation.report import EvaluationReport

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: .8rem 0; font-variant-numeric: tabular-nums; }
table { display: block; overflow-x: auto; }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
img { max-width: 100%; height: auto; }
.note { color: #555; margin: .3rem 0; }
"""


def html_report(report: EvaluationReport, pictures: Mapping[str, bytes]) -> str:
    """The whole page.

    Args:
        pictures: PNGs by file name, in the order of the tables' non-empty reliabilities.
    """
    return "\n".join(_page(report, iter(pictures.items()))) + "\n"


def _page(report: EvaluationReport, pictures: Iterator[tuple[str, bytes]]) -> Iterator[str]:
    title = escape(f"Evaluation of {report.name} {report.version}")
    yield f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
    yield f"<style>{_STYLE}</style></head><body><h1>{title}</h1>"
    yield from (f'<p class="note">{escape(line)}</p>' for line in report.head())
    for table in report.tables:
        yield from _section(table, pictures)
    yield "</body></html>"


def _section(table: EvaluationTable, pictures: Iterator[tuple[str, bytes]]) -> Iterator[str]:
    yield f"<h2>{escape(table.task)}: {escape(table.title)}</h2>"
    yield from _table(table.rows, "system")
    yield from (f'<p class="note">{escape(note)}</p>' for note in table.notes)
    if not table.reliabilities:
        return
    yield from _table([one.row() for one in table.reliabilities], "probabilities")
    yield f'<p class="note">{escape(HOW_TO_READ)}</p>'
    for one in table.reliabilities:
        if len(one):
            _, content = next(pictures)
            source = base64.b64encode(content).decode()
            yield f'<p><img src="data:image/png;base64,{source}" alt="{escape(one.name)}"></p>'


def _table(rows: Sequence[EvaluationRow], first: str) -> Iterator[str]:
    header, body = cells_of(rows, first)
    yield f"<table><thead><tr>{''.join(f'<th>{escape(name)}</th>' for name in header)}</tr></thead><tbody>"
    yield from (f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in body)
    yield "</tbody></table>"
