"""`rpt annotate`: what is asked of the model, and what is printed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from service.cli import main
from service.cli.judging import Annotated, NamedRows
from service.table_run import Progress
from tests.service.cli.conftest import UseJudges


class FakeJudges:
    """Labels the first column and abstains from the others."""

    def __init__(self) -> None:
        self.asked: list[tuple[NamedRows, Sequence[str] | None, float]] = []

    def annotation(
        self, table: NamedRows, labels: Sequence[str] | None, min_confidence: float, progress: Progress
    ) -> list[Annotated]:
        """One answer for each column."""
        self.asked.append((table, labels, min_confidence))
        said = (("city", 0.75), ("state", 0.125))
        return [Annotated(name, None if place else "city", said, "by values") for place, name in enumerate(table[0])]


@pytest.fixture
def judges(use_judges: UseJudges) -> FakeJudges:
    fake = FakeJudges()
    use_judges(fake)
    return fake


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "t.csv"
    path.write_text("a,b\nBoston,1\nDenver,\n")
    return path


def test_labels_are_printed_with_their_confidence(
    judges: FakeJudges, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["annotate", str(table)]) == 0
    assert capsys.readouterr().out == "a\tcity\t0.75\nb\t-\t0.75\n"
    assert judges.asked == [((("a", "b"), [("Boston", "1"), ("Denver", "")]), None, 0.5)]


def test_candidates_are_printed_as_json(judges: FakeJudges, table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--labels", "city, state", "--labels", "zip", "--min-confidence", "0.25", "--json"]
    assert main(["annotate", str(table), *options]) == 0
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert first["candidates"] == [{"label": "city", "confidence": 0.75}, {"label": "state", "confidence": 0.125}]
    assert (first["label"], second["label"], second["column"]) == ("city", None, "b")
    assert judges.asked[0][1:] == (["city", "state", "zip"], 0.25)


@pytest.mark.parametrize(("labels", "message"), [("a,,b", "blank"), ("a,a", "twice")])
def test_labels_that_cannot_be_asked_are_said_plainly(
    judges: FakeJudges, table: Path, capsys: pytest.CaptureFixture[str], labels: str, message: str
) -> None:
    assert main(["annotate", str(table), "--labels", labels]) == 1
    assert message in capsys.readouterr().err
    assert judges.asked == []
