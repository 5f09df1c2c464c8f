"""The report tells what the log holds, escaped, in one file that loads nothing."""

from __future__ import annotations

import html.parser
import io
import json
from pathlib import Path

import pytest

from service import report as report_module
from service.patches import Patch, PatchEvidence
from service.report import RunReport, histogram_bars, percent, shorten, write_report
from service.storage.table_file import RowIssue
from service.table_run import RunSummary

EVIL = "<script>alert('x')</script>&\"'"


class _Page(html.parser.HTMLParser):
    """Collects the tags, their attributes and the text of table cells."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.rows: list[list[str]] = []
        self._in_cell = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [name for name, _ in attrs if name in ("src", "href", "srcset")]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self._in_cell = True
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._in_cell = self._in_cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.rows[-1][-1] += data


def _report(tmp_path: Path, patches: list[Patch], issues: int = 0) -> RunReport:
    log = tmp_path / "log.jsonl"
    log.write_bytes(b"".join(patch.line() for patch in patches))
    summary = RunSummary(rows=10, cells=20, parts=1, seconds=1.5, damaged_rows=issues)
    summary.issues = [RowIssue(3, 5, f"column {EVIL!r} is odd")] * issues
    for patch in patches:
        summary.count_patch(patch, patch.column)
    return RunReport(EVIL, summary, {"encoding": "utf-8"}, {"min confidence": 0.5}, {"name": "small"}, log)


def _page(report: RunReport) -> tuple[_Page, str]:
    sink = io.BytesIO()
    write_report(report, sink, ".html")
    page = _Page()
    page.feed(sink.getvalue().decode())
    return page, sink.getvalue().decode()


def _patch(row: int, **more: object) -> Patch:
    fields = {"row": row, "column": EVIL, "column_index": 1, "old": EVIL, "new": "b", "outcome": "repaired"}
    return Patch.model_validate(fields | {"confidence": 0.93} | more)


def test_html_lists_flagged_cells_with_everything_escaped(tmp_path: Path) -> None:
    evidence = PatchEvidence(source="model", rows=(1, 2), detail=EVIL)
    second = {"old": None, "new": None, "outcome": "abstained", "confidence": None}
    page, text = _page(_report(tmp_path, [_patch(4, evidence=evidence), _patch(6, **second)], issues=1))
    assert "script" not in page.tags and page.links == []
    assert "http" not in text.replace("http-equiv", "")
    assert ["4", EVIL, EVIL, "b", "repaired", "93%", f"model: {EVIL} (rows 1, 2)"] in page.rows
    assert ["6", EVIL, "∅", "", "abstained", "–", ""] in page.rows
    assert [EVIL, "2", "1", "1", "0"] in page.rows
    assert ["3", "5", f"column {EVIL!r} is odd"] in page.rows


def test_histogram_draws_a_bar_for_each_bin(tmp_path: Path) -> None:
    page, text = _page(_report(tmp_path, [_patch(1), _patch(2), _patch(3, confidence=0.52)]))
    assert page.tags.count("rect") == 20
    assert "90% to 95%: 2" in text and "50% to 55%: 1" in text
    bars = list(histogram_bars([0, 1, 4, 2]))
    assert [bar.height for bar in bars] == [0, 25, 100, 50]
    assert [bar.y for bar in bars] == [100, 75, 0, 50]


def test_a_clean_table_says_so(tmp_path: Path) -> None:
    page, text = _page(_report(tmp_path, []))
    assert "No cell was flagged" in text
    assert page.rows == []


def test_a_run_in_parts_says_that_it_is_approximate(tmp_path: Path) -> None:
    report = _report(tmp_path, [_patch(1)])
    assert "Approximate" not in _page(report)[1]
    report.summary.parts = 3
    assert "judged in 3 parts" in _page(report)[1]


def test_a_long_list_is_cut_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_module, "HTML_ROWS", 2)
    page, text = _page(_report(tmp_path, [_patch(row) for row in range(5)]))
    assert "2 of 5 are listed" in text
    assert [row[0] for row in page.rows if row[1:2] == [EVIL]] == ["0", "1"]


def test_json_holds_summary_and_every_cell(tmp_path: Path) -> None:
    patches = [_patch(1), _patch(2, outcome="abstained")]
    sink = io.BytesIO()
    write_report(_report(tmp_path, patches, issues=1), sink, ".JSON")
    told = json.loads(sink.getvalue())
    assert told["source"] == EVIL
    assert told["summary"]["total"] == {"flagged": 2, "repaired": 1, "abstained": 1, "errors": 0}
    assert told["summary"]["issues"] == [{"row": 3, "line": 5, "message": f"column {EVIL!r} is odd"}]
    assert told["cells"] == [json.loads(patch.line()) for patch in patches]


def test_json_of_a_run_without_a_log_is_still_json(tmp_path: Path) -> None:
    report = RunReport("t", RunSummary(), {}, {}, {}, None)
    sink = io.BytesIO()
    write_report(report, sink, ".json")
    assert json.loads(sink.getvalue())["cells"] == []


def test_shown_values_are_cut_and_null_is_marked() -> None:
    assert shorten("x" * 400) == "x" * 400
    assert shorten("x" * 401) == "x" * 400 + "… (401 characters)"
    assert (shorten(None), percent(None), percent(0.456)) == ("∅", "–", "46%")
