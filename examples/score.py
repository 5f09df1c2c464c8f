"""How many errors of the sample table a cleaned copy has repaired, and what it changed that was right.

python examples/score.py cleaned.csv
"""

from __future__ import annotations

import csv
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent


def read(path: Path) -> list[list[str]]:
    """Rows of a CSV file without its header."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))[1:]


def score(cleaned: Sequence[Sequence[str]]) -> list[str]:
    """One line in all, then one for each kind of error."""
    dirty, truth = read(HERE / "clinics_dirty.csv"), read(HERE / "clinics_clean.csv")
    with (HERE / "clinics_errors.csv").open(encoding="utf-8", newline="") as file:
        kinds = {(int(error["row"]), error["column"]): error["kind"] for error in csv.DictReader(file)}
    with (HERE / "clinics_clean.csv").open(encoding="utf-8", newline="") as file:
        columns = next(csv.reader(file))
    right, wrong, found = 0, 0, Counter[str]()
    for row, (before, after, true) in enumerate(zip(dirty, cleaned, truth, strict=True)):
        for column, old, new, value in zip(columns, before, after, true, strict=True):
            if new != old:
                right += new == value
                wrong += new != value
                found[kinds.get((row, column), "no error")] += new == value
    total = Counter(kinds.values())
    lines = [f"{len(kinds)} errors: {right} repaired rightly, {wrong} cells changed wrongly"]
    return lines + [f"  {kind}: {found[kind]} of {total[kind]}" for kind in sorted(total)]


def main(arguments: Sequence[str]) -> int:
    """Command line; gives the exit code."""
    if len(arguments) != 1:
        print("usage: python examples/score.py CLEANED.csv", file=sys.stderr)
        return 2
    print("\n".join(score(read(Path(arguments[0])))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
