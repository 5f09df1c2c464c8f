"""Named models come and go while the service runs, and a request that names one is answered by it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from model.checkpoint import Checkpoint
from service.engine import Engine
from service.main import create_app
from service.settings import Settings
from tests.service.conftest import serving

BODY = {"texts": ["a red mug", "a blue lamp"], "attributes": [{"name": "color"}]}


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.fixture
def address(checkpoint: Checkpoint, models: Path) -> Iterator[str]:
    """A served app whose folder of models is empty."""
    engine = Engine(checkpoint.path, precision="float32", threads=1, models=models)
    with serving(create_app(Settings(_env_file=None), engine)) as address:
        engine.wait_ready()
        yield address


def publish(checkpoint: Checkpoint, models: Path, name: str, sha256: str, task: str = "extract") -> None:
    """A copy of the tiny model whose calibrators are less sure."""
    folder = Path(shutil.copytree(checkpoint.path, models / ".new"))
    record = {"task": task, "sha256": sha256, "parameters": checkpoint.parameters}
    (folder / "card.json").write_text(json.dumps({**checkpoint.card, "name": name, "finetuned": record}))
    calibration = json.loads((folder / "calibration.json").read_text())
    text = json.dumps(calibration)
    (folder / "calibration.json").write_text(text.replace("0.9999", "0.8888"))
    shutil.rmtree(models / name, ignore_errors=True)
    folder.rename(models / name)


def test_a_model_is_served_by_its_name_without_a_restart(address: str, checkpoint: Checkpoint, models: Path) -> None:
    with httpx.Client(base_url=address) as client:
        named = {**BODY, "model": "shoes"}
        assert client.post("/v1/extract", json=named).status_code == 404
        own = client.post("/v1/extract", json=BODY).json()
        publish(checkpoint, models, "shoes", "ab" * 32)
        listed = client.get("/v1/models").json()["models"]
        assert [(one["name"], one["sha256"]) for one in listed] == [("tiny", checkpoint.sha256), ("shoes", "ab" * 32)]
        assert client.get("/v1/models/shoes").json()["tasks"] == ["extract"]
        answer = client.post("/v1/extract", json=named).json()
        assert answer["model"] == {"name": "shoes", "version": "1.2.3", "sha256": "ab" * 32}
        assert answer["results"] != own["results"]
        assert client.post("/v1/extract", json=BODY).json()["results"] == own["results"]
        publish(checkpoint, models, "shoes", "cd" * 32)
        assert client.post("/v1/extract", json=named).json()["model"]["sha256"] == "cd" * 32
        shutil.rmtree(models / "shoes")
        assert client.post("/v1/extract", json=named).status_code == 404
        assert len(client.get("/v1/models").json()["models"]) == 1


def test_a_damaged_card_is_no_model(address: str, checkpoint: Checkpoint, models: Path) -> None:
    publish(checkpoint, models, "shoes", "ab" * 32)
    (models / "shoes" / "card.json").write_text("[]")
    with httpx.Client(base_url=address) as client:
        assert len(client.get("/v1/models").json()["models"]) == 1
        assert client.post("/v1/extract", json={**BODY, "model": "shoes"}).status_code == 404


def test_a_model_of_transformation_answers_its_task_alone(address: str, checkpoint: Checkpoint, models: Path) -> None:
    publish(checkpoint, models, "codes", "ab" * 32, "transform")
    body = {"examples": [{"input": "Ada Lovelace", "output": "Lovelace, A."}], "inputs": ["Alan Turing"]}
    with httpx.Client(base_url=address) as client:
        own = client.post("/v1/transform", json=body).json()
        answer = client.post("/v1/transform", json={**body, "model": "codes"}).json()
        assert own["model"]["name"] == "tiny" and answer["model"]["name"] == "codes"
        assert own["outputs"][0]["output"] == answer["outputs"][0]["output"] == "Turing, A."
        refused = client.post("/v1/extract", json={**BODY, "model": "codes"})
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["pointer"] == "/model"
        assert "fine-tuned to transform, not to extract" in refused.json()["detail"]
