import numpy as np
import pytest

from model.evaluation.figures import EvaluationRow, EvaluationTable, Figure, Resampling
from model.evaluation.reliability import BINS, CurvePoint, Reliability, together


def of(
    probabilities: list[float], true: list[bool], units: list[int] | None = None, two_sided: bool = False
) -> Reliability:
    owners = np.arange(len(true)) if units is None else np.array(units)
    return Reliability("it", np.array(probabilities), np.array(true), owners, two_sided)


def test_calibration_error_is_the_weighted_gap_of_the_bins() -> None:
    one = of([0.9] * 10 + [0.2] * 10, [True] * 7 + [False] * 3 + [True] * 1 + [False] * 9)
    assert one.error().value == pytest.approx(0.5 * 0.2 + 0.5 * 0.1)
    low, high = one.bins()
    assert low.count == high.count == 10
    assert (low.probability, low.accuracy) == pytest.approx((0.2, 0.1))
    assert (high.probability, high.accuracy) == pytest.approx((0.9, 0.7))
    assert high.low <= 0.9 < high.high == pytest.approx(high.low + 1 / BINS)


def test_the_interval_of_the_error_holds_it_and_one_unit_has_none() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.random(3000).round(6)
    true = rng.random(3000) < probabilities
    calibrated = Reliability("it", probabilities, true, np.arange(3000))
    error = calibrated.error()
    assert error.low is not None and error.high is not None
    assert 0 < error.low <= error.high < 0.06
    assert error.value < 0.04
    wrong = Reliability("it", probabilities**3, true, np.arange(3000)).error()
    assert wrong.low is not None and wrong.low > 0.15
    assert of([0.5, 0.5], [True, False], [3, 3]).error() == Figure(0.0)


def test_by_chance_few_predictions_err_and_many_hardly_do() -> None:
    rng = np.random.default_rng(0)
    errors = []
    for size in (60, 6000):
        probabilities = rng.random(size)
        observed = [
            Reliability("it", probabilities, rng.random(size) < probabilities, np.arange(size)).error().value
            for _ in range(100)
        ]
        expected = Reliability("it", probabilities, np.zeros(size, dtype=bool), np.arange(size)).error_by_chance()
        assert expected == pytest.approx(np.mean(observed), rel=0.1)  # whatever came true, it speaks of what could
        errors.append(expected)
    assert errors[0] > 0.1 > 0.02 > errors[1]
    assert of([1.0, 0.0], [False, True]).error_by_chance() == 0.0


def test_units_err_together() -> None:
    rng = np.random.default_rng(1)
    units = np.repeat(np.arange(20), 50)
    true = np.repeat(rng.random(20) < 0.5, 50)
    whole = Reliability("it", np.full(1000, 0.5), true, units).error()
    single = Reliability("it", np.full(1000, 0.5), true, np.arange(1000)).error()
    assert None not in (whole.high, single.high) and whole.value == single.value
    assert (whole.high or 0) - (whole.low or 0) > 2 * ((single.high or 0) - (single.low or 0))


def test_the_curve_takes_the_surest_first() -> None:
    one = of([0.9, 0.8, 0.7, 0.6], [True, True, False, False])
    points = {round(point.coverage, 2): point.accuracy for point in one.curve()}
    assert [points[share] for share in (0.25, 0.5, 0.75, 1.0)] == pytest.approx([1.0, 1.0, 2 / 3, 0.5])
    backwards = of([0.6, 0.7, 0.8, 0.9], [True, True, False, False])
    assert [point.accuracy for point in backwards.curve()][4] == 0.0


def test_equally_sure_predictions_count_by_their_mean_whatever_their_order() -> None:
    first, second = of([0.7] * 4, [True, True, False, False]), of([0.7] * 4, [False, True, False, True])
    assert first.curve() == second.curve()
    assert first.curve()[0] == CurvePoint(0.05, 0.5)


def test_a_low_probability_is_a_sure_decision_where_both_sides_count() -> None:
    one = of([0.02, 0.98, 0.6, 0.4], [False, True, False, True], two_sided=True)
    assert one.curve()[9] == CurvePoint(0.5, 1.0)
    assert one.curve()[-1] == CurvePoint(1.0, 0.5)
    precision = one.precision_at(0.9)
    assert precision is not None and (precision[0].value, precision[1]) == (1.0, 2)


def test_precision_is_over_the_predictions_that_are_sure_enough() -> None:
    one = of([0.95, 0.9, 0.89, 0.3], [True, False, True, True])
    precision = one.precision_at(0.9)
    assert precision is not None and (precision[0].value, precision[1]) == (0.5, 2)
    assert one.precision_at(0.99) is None
    figures = one.row().figures
    assert figures["right if ≥ 0.9"].value == 0.5 and figures["share ≥ 0.9"].value == 0.5
    assert figures["right at 100%"].value == 0.75


def test_nothing_predicted_has_no_figures() -> None:
    empty = of([], [])
    assert empty.row() == EvaluationRow("it", {"predictions": Figure(0, digits=0)})
    assert (empty.bins(), empty.to_json()["abstention"]) == ((), [])


def test_what_errs_up_in_one_set_and_down_in_another_evens_out_together() -> None:
    low, high = of([0.4] * 4, [True] * 2 + [False] * 2), of([0.4] * 4, [True] + [False] * 3)
    assert low.error().value == pytest.approx(0.1) and high.error().value == pytest.approx(0.15)
    both = together("both", [low, high])
    assert (both.name, len(both)) == ("both", 8)
    assert both.error().value == pytest.approx(0.025)
    assert len(np.unique(both.units)) == len(np.unique(low.units)) + len(np.unique(high.units))
    with pytest.raises(ValueError):
        together("none", [])


def test_a_table_prints_what_its_probabilities_are_worth() -> None:
    one = of([0.9, 0.8], [True, False])
    table = EvaluationTable("cleaning", "t", (EvaluationRow("a", {"F1": Figure(0.5)}),), (), (one,))
    text = table.to_markdown()
    assert "\n| probabilities | predictions |" in text and "\n| it            |           2 |" in text
    record = one.to_json()
    assert [point["coverage"] for point in record["abstention"]][-1] == 1.0  # type: ignore[attr-defined]
    assert table.to_json()["reliability"] == [record]
    assert one.resampling == Resampling()
