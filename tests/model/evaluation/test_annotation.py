"""Labels of columns against what people chose."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from model.checkpoint import Checkpoint
from model.errors import InputError
from model.evaluation.annotation import evaluate_annotate, label_figures, read_labelled
from model.evaluation.figures import Resampling

TABLES = [
    {"table": "t1", "split": "train", "rows": [["Boston", "2001-02-03"], ["Denver", "2004-05-06"]]},
    {"table": "t2", "split": "test", "rows": [["2007-08-09", "Denver"], ["2001-01-01", ""]]},
]
LABELS = """table,split,column_index,label
t1,train,0,dbo:City
t1,train,1,dbo:date
t2,test,0,dbo:date;dbo:day
t2,test,1,dbo:City
"""


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    folder = tmp_path / "column_type" / "t2dv2"
    folder.mkdir(parents=True)
    (folder / "tables.jsonl").write_text("\n".join(json.dumps(table) for table in TABLES))
    (folder / "labels.csv").write_text(LABELS)
    return tmp_path


def test_any_of_several_labels_is_accepted_and_none_is_a_miss() -> None:
    truth = [("a", "b"), ("c",), ("d",)]
    figures = label_figures(truth, ["b", "x", None], Resampling(resamples=10))
    assert figures["micro-F1"].value == pytest.approx(2 / 5)


def test_tables_are_read_by_part(bench: Path) -> None:
    (table,) = read_labelled(bench, "test")
    assert (table.name, table.labels) == ("t2", {0: ("dbo:date", "dbo:day"), 1: ("dbo:City",)})
    assert table.relation.attributes == ("column 1", "column 2")
    with pytest.raises(InputError, match="column_type"):
        read_labelled(bench / "nowhere", "test")


def test_the_table_has_the_model_and_the_baselines(bench: Path, checkpoint: Checkpoint) -> None:
    (table,) = evaluate_annotate(bench, checkpoint, Resampling(resamples=10))
    figures = {row.system: row.figures["micro-F1"].value for row in table.rows}
    assert list(figures) == [
        "list of labels alone",
        "the training part as examples",
        "kinds of the values, no label",
        "nearest labelled column by its words",
        "most frequent label of the training part",
    ]
    assert figures["kinds of the values, no label"] == pytest.approx(2 / 3)
    assert figures["nearest labelled column by its words"] == pytest.approx(1 / 2)
    assert figures["the training part as examples"] == 1.0
    assert [len(one) for one in table.reliabilities] == [2, 2]
