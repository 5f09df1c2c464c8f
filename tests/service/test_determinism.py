"""Order of columns and rows, company, batch and padding change no decision: the same bits of every answer over REST."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from model.checkpoint import Checkpoint
from service.engine import Engine
from service.main import create_app
from service.settings import Settings
from tests.conftest import people_rows
from tests.service.conftest import serving

COLUMNS = ["id", "name", "zip", "city", "state", "phone"]
ROWS = [list(values) for values in people_rows(500, 11)]


@pytest.fixture(scope="module")
def http(checkpoint: Checkpoint) -> Iterator[httpx.Client]:
    """A service with the tiny model."""
    engine = Engine(checkpoint.path, precision="float32", threads=1)
    with serving(create_app(Settings(_env_file=None, adapt_max_steps=4), engine)) as address:
        engine.wait_ready()
        with httpx.Client(base_url=address, timeout=300) as client:
            yield client


def ask(
    http: httpx.Client, path: str, columns: list[str], rows: list[list[str | None]], **options: Any
) -> dict[str, Any]:
    response = http.post(path, json={"table": {"columns": columns, "rows": rows}, **options})
    assert response.status_code == 200
    answer: dict[str, Any] = response.json()
    return answer


def decisions(cells: list[dict[str, Any]], row_of: list[int]) -> set[str]:
    """Cells with the row numbers of the original table; equal texts are equal bits of every figure."""
    return {
        json.dumps(
            {
                **cell,
                "row": row_of[cell["row"]],
                "evidence": {**cell["evidence"], "rows": [row_of[row] for row in cell["evidence"]["rows"]]},
            },
            sort_keys=True,
        )
        for cell in cells
    }


@pytest.fixture(scope="module")
def plain(http: httpx.Client) -> set[str]:
    """The decisions about the table as it stands, asked alone."""
    cells = ask(http, "/v1/clean", COLUMNS, ROWS)["cells"]
    assert len(cells) > 100
    assert {cell["outcome"] for cell in cells} == {"repaired", "abstained"}
    return decisions(cells, list(range(500)))


def test_the_same_request_gets_the_same_bytes(http: httpx.Client) -> None:
    first, second = (ask(http, "/v1/clean", COLUMNS, ROWS[:100]) for _ in range(2))
    for answer in (first, second):
        del answer["usage"]["seconds"]
    assert json.dumps(first) == json.dumps(second)


def test_order_of_rows_and_columns_changes_no_decision(http: httpx.Client, plain: set[str]) -> None:
    rng = random.Random(3)
    order, places = list(range(500)), list(range(len(COLUMNS)))
    rng.shuffle(order)
    rng.shuffle(places)
    rows = [[ROWS[row][place] for place in places] for row in order]
    cells = ask(http, "/v1/clean", [COLUMNS[place] for place in places], rows)["cells"]
    assert decisions(cells, order) == plain


def test_company_changes_no_decision(http: httpx.Client, plain: set[str]) -> None:
    """Other requests at the same time, of other sizes, fill the same batches."""
    others = [[list(values) for values in people_rows(size, size)] for size in (3, 40, 90, 1, 60)]
    with ThreadPoolExecutor(6) as threads:
        asked = [threads.submit(ask, http, "/v1/clean", COLUMNS, rows) for rows in others]
        cells = threads.submit(ask, http, "/v1/clean", COLUMNS, ROWS).result()["cells"]
        together = [one.result()["cells"] for one in asked]
    assert decisions(cells, list(range(500))) == plain
    alone = [ask(http, "/v1/clean", COLUMNS, rows)["cells"] for rows in others]
    assert together == alone


def test_completions_hold_for_every_order_too(http: httpx.Client) -> None:
    order = list(range(120))
    random.Random(5).shuffle(order)
    straight = ask(http, "/v1/complete", COLUMNS, ROWS[:120])["completions"]
    shuffled = ask(http, "/v1/complete", COLUMNS, [ROWS[row] for row in order])["completions"]
    assert len(straight) > 10
    assert decisions(shuffled, order) == decisions(straight, list(range(120)))


def test_a_bound_on_errors_keeps_the_same_repairs_in_every_order(http: httpx.Client) -> None:
    order = list(range(200))
    random.Random(8).shuffle(order)
    unbound = ask(http, "/v1/clean", COLUMNS, ROWS[:200])["cells"]
    doubts = sorted(1 - cell["confidence"] for cell in unbound if cell["outcome"] == "repaired")
    surest = doubts[: len(doubts) // 2]
    rate = sum(surest) / len(surest)  # about half of the repairs keep this bound
    kept = ask(http, "/v1/clean", COLUMNS, ROWS[:200], max_error_rate=rate)["cells"]
    shuffled = ask(http, "/v1/clean", COLUMNS, [ROWS[row] for row in order], max_error_rate=rate)["cells"]
    repaired = [sum(cell["outcome"] == "repaired" for cell in cells) for cells in (kept, unbound)]
    assert 0 < repaired[0] < repaired[1]
    assert decisions(shuffled, order) == decisions(kept, list(range(200)))


def test_an_adapted_answer_is_the_same_in_every_order_and_company(http: httpx.Client) -> None:
    rng = random.Random(4)
    order, places = list(range(12)), list(range(len(COLUMNS)))
    rng.shuffle(order)
    rng.shuffle(places)
    shuffled = [[ROWS[row][place] for place in places] for row in order]
    with ThreadPoolExecutor(3) as threads:
        first = threads.submit(ask, http, "/v1/clean", COLUMNS, ROWS[:12], adapt=True)
        second = threads.submit(ask, http, "/v1/clean", [COLUMNS[place] for place in places], shuffled, adapt=True)
        plain = threads.submit(ask, http, "/v1/clean", COLUMNS, ROWS[:12])
    straight, other = first.result(), second.result()
    assert straight["usage"]["adaptation"]["steps"] == 4
    assert straight["usage"]["adaptation"]["sha256"] == other["usage"]["adaptation"]["sha256"]
    assert decisions(other["cells"], order) == decisions(straight["cells"], list(range(12)))
    assert plain.result()["usage"]["adaptation"] is None
    assert plain.result()["cells"] != straight["cells"]
