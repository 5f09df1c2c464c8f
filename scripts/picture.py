"""Draw docs/picture.svg: rows of the sample table as the service judged them, nothing made up.

rpt clean examples/clinics_dirty.csv -o cleaned.csv && python scripts/picture.py cleaned.csv.patches.jsonl
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = ("clinic", "city", "state", "zip", "phone", "department", "opened")
WIDTHS = (190, 120, 66, 76, 128, 136, 124)
ROWS = 7
ROW_HEIGHT, TOP, LEFT = 52, 46, 12
COLOURS = {"repaired": ("#e6f4ea", "#137333"), "abstained": ("#fef7e0", "#9a6700")}
FONT = 'font-family="system-ui, -apple-system, Segoe UI, sans-serif"'


def choose_rows(patches: Mapping[int, Mapping[str, dict[str, Any]]]) -> list[int]:
    """Rows that show the most: several flagged cells of the shown columns, spread over the columns."""
    shown = {row: [name for name in cells if name in COLUMNS] for row, cells in patches.items()}
    chosen: list[int] = []
    seen: dict[str, int] = {}
    while len(chosen) < ROWS:
        free = [row for row in shown if row not in chosen and shown[row]]
        if not free:
            break
        best = max(free, key=lambda row: (sum(1 / (1 + seen.get(name, 0)) for name in shown[row]), -row))
        chosen.append(best)
        for name in shown[best]:
            seen[name] = seen.get(name, 0) + 1
    return sorted(chosen)


def cell(x: float, y: float, width: float, value: str, patch: Mapping[str, Any] | None) -> str:
    """One cell; a flagged one is coloured, its old text struck through, with what the service says below."""
    shown = _cut(value or "(empty)", width)
    if patch is None:
        return _text(x + 8, y + 31, shown, 'font-size="13" fill="#3c4043"')
    fill, ink = COLOURS.get(patch["outcome"], COLOURS["abstained"])
    box = f'<rect x="{x + 2}" y="{y + 3}" width="{width - 4}" height="{ROW_HEIGHT - 6}" rx="5" fill="{fill}"/>'
    if patch["outcome"] == "repaired":
        sure = _text(
            x + width - 8, y + 17, f"{patch['confidence']:.2f}", f'font-size="10" text-anchor="end" fill="{ink}"'
        )
        old = _text(x + 8, y + 21, shown, 'font-size="12" fill="#80868b" text-decoration="line-through"')
        new = _cut(patch["new"] or "(empty)", width)
        return box + sure + old + _text(x + 8, y + 40, new, f'font-size="13" font-weight="600" fill="{ink}"')
    note = f"wrong? {patch['error_probability'] or 0:.2f}"
    kept = _text(x + 8, y + 21, shown, 'font-size="13" fill="#3c4043"')
    return box + kept + _text(x + 8, y + 40, note, f'font-size="12" fill="{ink}"')


def _text(x: float, y: float, text: str, style: str) -> str:
    return f'<text x="{x}" y="{y}" {style}>{escape(text)}</text>'


def _cut(text: str, width: float) -> str:
    most = int((width - 14) / 6.9)
    return text if len(text) <= most else text[: most - 1] + "…"


def draw(columns: Sequence[str], rows: Mapping[int, Sequence[str]], patches: Mapping[int, Mapping[str, Any]]) -> str:
    """The whole picture."""
    width, height = sum(WIDTHS) + 2 * LEFT, TOP + ROW_HEIGHT * len(rows) + 40
    parts = [f'<rect width="{width}" height="{height}" rx="8" fill="#ffffff" stroke="#dadce0"/>']
    x = float(LEFT)
    for name, wide in zip(COLUMNS, WIDTHS, strict=True):
        parts.append(f'<text x="{x + 8}" y="30" font-size="13" font-weight="600" fill="#202124">{name}</text>')
        x += wide
    for line, (number, values) in enumerate(rows.items()):
        y = float(TOP + line * ROW_HEIGHT)
        parts.append(f'<line x1="{LEFT}" x2="{width - LEFT}" y1="{y}" y2="{y}" stroke="#e8eaed"/>')
        x = float(LEFT)
        for name, wide in zip(COLUMNS, WIDTHS, strict=True):
            parts.append(cell(x, y, wide, values[columns.index(name)], patches.get(number, {}).get(name)))
            x += wide
    foot = "green: repaired, with its confidence; yellow: held to be wrong, but left as it is; every other byte stays"
    parts.append(f'<text x="{LEFT + 8}" y="{height - 15}" font-size="12" fill="#5f6368">{foot}</text>')
    body = "\n".join(parts)
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {FONT}>\n{body}\n</svg>\n'


def main(arguments: Sequence[str]) -> int:
    """Command line; gives the exit code."""
    if len(arguments) != 1:
        print("usage: python scripts/picture.py PATCHES.jsonl", file=sys.stderr)
        return 2
    patches: dict[int, dict[str, dict[str, Any]]] = {}
    for line in Path(arguments[0]).read_text(encoding="utf-8").splitlines():
        patch = json.loads(line)
        patches.setdefault(patch["row"], {})[patch["column"]] = patch
    with (ROOT / "examples" / "clinics_dirty.csv").open(encoding="utf-8", newline="") as file:
        columns, *rows = csv.reader(file)
    picture = draw(columns, {row: rows[row] for row in choose_rows(patches)}, patches)
    (ROOT / "docs" / "picture.svg").write_text(picture, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
