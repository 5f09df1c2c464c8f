"""The picture is XML whatever the columns are called, and its parts are where their numbers say."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from service.cli.picture import resolution_picture

SVG = "{http://www.w3.org/2000/svg}"


def bars(drawn: str) -> list[tuple[str, float, float]]:
    """Title, left edge and width of each rectangle."""
    found = []
    for one in ElementTree.fromstring(drawn).iter(f"{SVG}rect"):
        title = one.find(f"{SVG}title")
        assert title is not None and title.text
        found.append((title.text, float(one.attrib["x"]), float(one.attrib["width"])))
    return found


@pytest.mark.parametrize("name", ["a & b", "<script>", "\x00\x1b", "é" * 60, '"quoted"'])
def test_any_name_of_a_column_makes_a_document(name: str) -> None:
    drawn = resolution_picture([1, 2], 0.5, (0.3, 0.7), ("a < b", {name: 1.0}))
    assert len(bars(drawn)) == 4


def test_weights_follow_one_another_the_heaviest_first() -> None:
    drawn = resolution_picture([4, 0], 0.5, (0.3, 0.7), ("pair", {"a": 1.0, "b": -2.0}))
    (first, left, width), (second, right, other) = bars(drawn)[-2:]
    assert (first, second) == ("b: -2.00", "a: +1.00")
    assert right == pytest.approx(left, abs=0.2)  # the second bar goes back from where the first ended
    assert width == pytest.approx(2 * other, abs=0.3)


def test_nothing_judged_is_a_picture_too() -> None:
    assert [title for title, _, _ in bars(resolution_picture([0, 0, 0], 0.5, (0.3, 0.7), None))][0] == "for review"
    assert "0 candidate pairs" in resolution_picture([], 0.5, (0.3, 0.7), None)
