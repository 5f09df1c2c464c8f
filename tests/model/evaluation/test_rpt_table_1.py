from pathlib import Path

import pytest

from model.checkpoint import Checkpoint
from model.errors import InputError
from model.evaluation.figures import Resampling
from model.evaluation.imputation import ModelImputer
from model.evaluation.rpt_table_1 import (
    evaluate_rpt_table_1,
    mask_attribute,
    measure_attribute,
    read_products,
    relative_error,
    token_f1,
)
from model.tuples import Relation

HEADER = "id,title,manufacturer,price\n"
A = [
    "0,stomp inc recover lost data 2005,stomp inc,39.95",
    "1,instant home design ( jewel case ),topics entertainment,9.99",
    "2,photo shop,adobe,499.99",
    "3,typing tutor,,12.00",
]
B = ["0,adobe photo shop,adobe,480.00", "1,quick books,intuit,"]


@pytest.fixture
def products(tmp_path: Path) -> Path:
    folder = tmp_path / "matching" / "Amazon-Google"
    folder.mkdir(parents=True)
    for name, lines in (("tableA.csv", A), ("tableB.csv", B)):
        (folder / name).write_text(HEADER + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    return tmp_path


def test_words_and_prices_are_compared() -> None:
    assert token_f1("Stomp", "stomp inc") == pytest.approx(2 / 3)
    assert token_f1("stomp stomp", "stomp") == pytest.approx(2 / 3)
    assert token_f1("adobe", "intuit") == token_f1(None, "adobe") == 0.0
    assert relative_error("9", "9.99") == pytest.approx(0.99 / 9.99)
    assert relative_error("$1,000.00", "1000") == 0.0
    assert relative_error("Topics", "9.99") == relative_error(None, "9.99") == relative_error("99", "1") == 1.0
    assert relative_error("0", "0") == 0.0


def test_masked_cells_come_from_both_tables_and_hold_the_papers_own(products: Path) -> None:
    relations = read_products(products)
    assert [len(relation) for relation in relations] == [4, 2]
    assert relations[0].attributes == ("title", "manufacturer", "price")
    every = mask_attribute(relations, "manufacturer", 100, 0)
    assert every.truth == ("stomp inc", "topics entertainment", "adobe", "adobe", "intuit")
    assert [relation.column(1) for relation, _ in every.asked] == [[None, None, None, ""], [None, None]]
    assert {place: answer.rpt for place, answer in every.printed.items()} == {0: "stomp"}
    none = mask_attribute(relations, "price", 0, 0)
    assert none.truth == ("9.99",) and none.printed[0].bart == "Topics"
    one = mask_attribute(relations, "title", 2, 3)
    assert len(one.truth) == 2 and one == mask_attribute(relations, "title", 2, 3)
    assert {mask_attribute(relations, "title", 2, seed).truth for seed in range(9)} != {one.truth}


def test_prices_have_an_error_and_manufacturers_are_split_by_their_title(products: Path) -> None:
    relations = read_products(products)
    masked = mask_attribute(relations, "manufacturer", 100, 0)
    table = measure_attribute(masked, {"it": lambda relation, cells: ["adobe"] * len(cells)}, Resampling())
    figures = {name: round(figure.value, 3) for name, figure in table.rows[0].figures.items() if name != "cells/s"}
    # In the title stand `stomp inc` and the second `adobe`.
    assert figures == {"exact match %": 40.0, "token F1": 0.4, "exact % if in title": 50.0, "exact % if not": 33.333}
    priced = mask_attribute(relations, "price", 100, 0)
    table = measure_attribute(priced, {"it": lambda relation, cells: ["10"] * len(cells)}, Resampling())
    errors = [29.95 / 39.95, 0.01 / 9.99, 489.99 / 499.99, 2 / 12, 470 / 480]
    assert table.rows[0].figures["relative error"].value == pytest.approx(sum(errors) / 5)
    assert table.rows[0].figures["median"].value == pytest.approx(29.95 / 39.95)


def test_answers_stand_beside_what_the_paper_prints(products: Path, checkpoint: Checkpoint) -> None:
    tables = evaluate_rpt_table_1(products, checkpoint, 3)
    assert [table.title.split(" (")[0] for table in tables] == [
        "Amazon-Google, title",
        "Amazon-Google, manufacturer",
        "Amazon-Google, price",
    ]
    assert [row.system for row in tables[2].rows][:4] == [
        "model",
        "model alone",
        "model alone, no context",
        "column mode",
    ]
    assert len(tables[2].reliabilities) == 3
    relations = read_products(products)
    masked = mask_attribute(relations, "price", 3, 0)
    relation, cells = masked.asked[0]
    answers = ModelImputer(checkpoint, "")(relation, cells)
    place = next(iter(masked.printed))
    assert f"“9.99”; it prints RPT “9” and BART “Topics”; here: model “{answers[place]}”" in tables[2].notes[-1]


def test_an_absent_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Amazon-Google/tableA\.csv"):
        read_products(tmp_path)
    assert mask_attribute([Relation.of(("title", "manufacturer", "price"), [])], "price", 5, 0).truth == ()
