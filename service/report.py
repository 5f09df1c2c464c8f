"""The report of a cleaning run: one self-contained HTML file for people, or JSON for programs.

The one idea: the patch log is the record and the report is a view of it, streamed, so a report of a large run needs
no more memory than one of a small one. Everything that comes from the table is escaped by the template engine; the
HTML file loads nothing from anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from jinja2 import Environment, StrictUndefined

from service.patches import Patch, read_patches
from service.table_run import RunSummary

HTML_ROWS = 2_000
_LONG = 400


@dataclass(frozen=True, slots=True)
class RunReport:
    """A run as it is told.

    Attributes:
        source: name of the table.
        details: what was detected in the file: encoding, delimiter …
        options: the options of the run.
        model: name, version and hash of the model.
        patch_log: where the flagged cells are; None when the log went nowhere.
    """

    source: str
    summary: RunSummary
    details: Mapping[str, str]
    options: Mapping[str, object]
    model: Mapping[str, str]
    patch_log: Path | None

    def patches(self) -> Iterator[Patch]:
        """All flagged cells, from the log."""
        return read_patches(self.patch_log) if self.patch_log is not None else iter(())


def write_report(report: RunReport, sink: BinaryIO, suffix: str) -> None:
    """Write `.json`, or HTML for every other suffix."""
    for piece in json_report(report) if suffix.lower() == ".json" else html_report(report):
        sink.write(piece.encode("utf-8", errors="replace"))


def json_report(report: RunReport) -> Iterator[str]:
    """The report as one JSON object, its `cells` being the patch log's lines, in pieces."""
    head = {
        "source": report.source,
        "summary": report.summary.to_dict(),
        "details": dict(report.details),
        "options": dict(report.options),
        "model": dict(report.model),
    }
    yield json.dumps(head, ensure_ascii=False)[:-1] + ', "cells": ['
    for index, patch in enumerate(report.patches()):
        yield ("," if index else "") + "\n" + patch.line().decode().rstrip("\n")
    yield "\n]}\n"


def html_report(report: RunReport) -> Iterator[str]:
    """The report as one HTML page, in pieces; at most `HTML_ROWS` cells are listed."""
    summary = report.summary
    listed = min(summary.total.flagged, HTML_ROWS) if report.patch_log is not None else 0
    stream = _TEMPLATE.stream(
        report=report,
        summary=summary,
        columns=sorted(summary.by_column.items(), key=lambda item: (-item[1].flagged, item[0])),
        bars=list(histogram_bars(summary.histogram)),
        cells=islice(report.patches(), HTML_ROWS),
        listed=listed,
        shorten=shorten,
        percent=percent,
    )
    stream.enable_buffering(64)
    return iter(stream)


def shorten(text: str | None) -> str:
    """A cell's text as a page can show it; null and very long values are marked as such."""
    if text is None:
        return "∅"
    return text if len(text) <= _LONG else f"{text[:_LONG]}… ({len(text)} characters)"


def percent(share: float | None) -> str:
    """A probability in whole percent, a dash where there is none."""
    return "–" if share is None else f"{share:.0%}"


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of the histogram, in the picture's own units (0 to 100 high)."""

    x: float
    y: float
    width: float
    height: float
    label: str


def histogram_bars(counts: Iterable[int], picture_width: float = 400.0) -> Iterator[Bar]:
    """Bars of equal width over confidences from 0 to 1, the highest as high as the picture."""
    heights = list(counts)
    highest = max(heights, default=0) or 1
    step = picture_width / max(len(heights), 1)
    for index, count in enumerate(heights):
        height = 100.0 * count / highest
        low, high = index / len(heights), (index + 1) / len(heights)
        yield Bar(index * step + 1, 100 - height, step - 2, height, f"{low:.0%} to {high:.0%}: {count}")


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Cleaning report: {{ report.source }}</title>
<style>
:root { color-scheme: light dark; --line: #8886; --bar: #2a78d6; --old: #b3261e; --new: #1b7f4b; }
@media (prefers-color-scheme: dark) { :root { --bar: #6aa9f4; --old: #f2b8b5; --new: #7fd8a6; } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 2rem; }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .6rem; text-align: left; vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.text { white-space: pre-wrap; overflow-wrap: anywhere; font-family: ui-monospace, monospace; font-size: .92em; }
.old { color: var(--old); } .new { color: var(--new); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.5rem; }
dt { opacity: .75; } dd { margin: 0; overflow-wrap: anywhere; }
svg rect { fill: var(--bar); } svg text { fill: currentColor; font: 11px system-ui, sans-serif; }
</style>
</head>
<body>
<h1>Cleaning report: {{ report.source }}</h1>
<dl>
<dt>Rows judged</dt><dd>{{ summary.rows }}{% if summary.damaged_rows %}, {{ summary.damaged_rows }} damaged rows passed
through untouched{% endif %}</dd>
<dt>Cells</dt><dd>{{ summary.cells }}</dd>
<dt>Flagged</dt><dd>{{ summary.total.flagged }}</dd>
<dt>Repaired</dt><dd>{{ summary.total.repaired }}</dd>
<dt>Abstained</dt><dd>{{ summary.total.abstained }}</dd>
<dt>Errors</dt><dd>{{ summary.total.errors }}</dd>
<dt>Time</dt><dd>{{ "%.1f"|format(summary.seconds) }} s</dd>
{% if summary.adaptation %}<dt>Adapted</dt><dd>{{ summary.adaptation.steps }} steps over \
{{ summary.adaptation.encoder_tokens }} tokens in {{ "%.1f"|format(summary.adaptation.seconds) }} s, on \
{{ summary.adaptation.parts }} of {{ summary.parts }} parts</dd>
{% endif %}{% for name, value in report.details.items() %}<dt>{{ name|capitalize }}</dt><dd>{{ value }}</dd>
{% endfor %}{% for name, value in report.options.items() %}<dt>Option {{ name }}</dt><dd>{{ value }}</dd>
{% endfor %}{% for name, value in report.model.items() %}<dt>Model {{ name }}</dt><dd>{{ value }}</dd>
{% endfor %}</dl>
{% if summary.approximate %}<p><strong>Approximate:</strong> the table was judged in {{ summary.parts }} parts, each
with evidence from its own rows only.</p>{% endif %}
{% if not summary.total.flagged %}<p>No cell was flagged: the table came back as it was.</p>{% else %}
<h2>By column</h2>
<table>
<thead><tr><th>Column</th><th class="number">Flagged</th><th class="number">Repaired</th>
<th class="number">Abstained</th><th class="number">Errors</th></tr></thead>
<tbody>{% for name, counts in columns %}
<tr><td>{{ name }}</td><td class="number">{{ counts.flagged }}</td><td class="number">{{ counts.repaired }}</td>
<td class="number">{{ counts.abstained }}</td><td class="number">{{ counts.errors }}</td></tr>{% endfor %}
</tbody></table>
<h2>Confidence of the changes</h2>
<svg role="img" aria-label="Histogram of the confidence of all changed cells" viewBox="0 0 400 118" width="100%"
 style="max-width: 40rem">{% for bar in bars %}
<rect x="{{ bar.x }}" y="{{ bar.y }}" width="{{ bar.width }}" height="{{ bar.height }}"><title>{{ bar.label }}</title>\
</rect>{% endfor %}
<text x="0" y="114">0 %</text><text x="200" y="114" text-anchor="middle">50 %</text>
<text x="400" y="114" text-anchor="end">100 %</text></svg>
<h2>Flagged cells</h2>
{% if listed < summary.total.flagged %}<p>{{ listed }} of {{ summary.total.flagged }} are listed; the patch log has
all.</p>{% endif %}
<table>
<thead><tr><th class="number">Row</th><th>Column</th><th>Old</th><th>New</th><th>Outcome</th>
<th class="number">Confidence</th><th>Evidence</th></tr></thead>
<tbody>{% for cell in cells %}
<tr><td class="number">{{ cell.row }}</td><td>{{ cell.column }}</td><td class="text old">{{ shorten(cell.old) }}</td>
<td class="text new">{% if cell.new is not none %}{{ shorten(cell.new) }}{% endif %}</td><td>{{ cell.outcome }}</td>
<td class="number">{{ percent(cell.confidence) }}</td><td>{% if cell.message %}{{ cell.message }} {% endif %}\
{% if cell.evidence %}{{ cell.evidence.source }}{% if cell.evidence.detail %}: {{ cell.evidence.detail }}{% endif %}\
{% if cell.evidence.rows %} (rows {{ cell.evidence.rows|join(", ") }}){% endif %}{% endif %}</td></tr>{% endfor %}
</tbody></table>{% endif %}
{% if summary.issues %}<h2>Damaged rows</h2>
<table><thead><tr><th class="number">Row</th><th class="number">Line</th><th>Problem</th></tr></thead>
<tbody>{% for issue in summary.issues %}
<tr><td class="number">{{ issue.row }}</td><td class="number">{{ issue.line if issue.line is not none else "–" }}</td>
<td>{{ issue.message }}</td></tr>{% endfor %}
</tbody></table>{% endif %}
</body>
</html>
"""
_TEMPLATE = Environment(autoescape=True, undefined=StrictUndefined).from_string(_PAGE)
