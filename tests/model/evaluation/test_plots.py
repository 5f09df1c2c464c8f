import re
import sys
from pathlib import Path

import numpy as np
import pytest

from model.checkpoint import Checkpoint
from model.errors import OptionError
from model.evaluation.figures import EvaluationRow, EvaluationTable, Figure, Resampling
from model.evaluation.plots import draw, draw_all, file_name
from model.evaluation.reliability import Reliability
from model.evaluation.report import EvaluationReport, evaluate

PNG = b"\x89PNG\r\n\x1a\n"


def some(name: str = "repair, hospital", seed: int = 0, count: int = 50) -> Reliability:
    rng = np.random.default_rng(seed)
    probabilities = rng.random(count).round(6)
    return Reliability(name, probabilities, rng.random(count) < probabilities, np.arange(count))


def test_a_picture_is_a_png_that_repeats_and_shows_its_predictions() -> None:
    picture = draw(some())
    assert picture.startswith(PNG) and len(picture) > 5000
    assert picture == draw(some()) != draw(some(seed=1))
    width, height = (int.from_bytes(picture[place : place + 4], "big") for place in (16, 20))
    assert (width, height) == (924, 396)


def test_pictures_are_named_and_sets_without_predictions_have_none() -> None:
    drawn = draw_all([some(), some("empty", count=0), some("detection, ST-Bench")])
    assert list(drawn) == ["01-repair-hospital.png", "02-detection-st-bench.png"]
    assert file_name(3, some("a/b: 50 %")) == "03-a-b-50.png"


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(OptionError, match="extra `evaluation`"):
        draw(some())


def test_the_page_holds_everything_and_loads_nothing() -> None:
    rows = (EvaluationRow("a <b>", {"F1": Figure(0.5, 0.4, 0.6)}),)
    with_pictures = EvaluationTable("cleaning", "t & u", rows, ("A note.",), (some(), some("none", count=0)))
    report = EvaluationReport(
        "tiny",
        "1.0",
        "aa",
        7,
        "float32",
        Resampling(),
        (with_pictures, EvaluationTable("other", "v", rows)),
        ("match",),
    )
    page = report.to_html(report.pictures())
    assert "<h2>cleaning: t &amp; u</h2>" in page and "<h2>other: v</h2>" in page
    assert "<td>a &lt;b&gt;</td><td>0.500 [0.400, 0.600]</td>" in page
    assert "not measured: match" in page and "A note." in page and "weights sha256" in page
    assert page.count('<img src="data:image/png;base64,iVBOR') == 1
    assert "http" not in re.sub(r"base64,[A-Za-z0-9+/=]*", "", page)


def test_a_measured_report_has_a_picture_for_each_set_of_probabilities(
    small_bench: Path, checkpoint: Checkpoint
) -> None:
    report = evaluate(["imputation"], small_bench, None, checkpoint)
    pictures = report.pictures()
    assert len(pictures) == 7 and all(picture.startswith(PNG) for picture in pictures.values())
    assert report.to_html(pictures).count("<img ") == 7
