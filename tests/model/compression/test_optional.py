"""Without this package everything else works, and a model that was cut is served."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from torch import Tensor

from model.checkpoint import Checkpoint
from model.compression.cutting import cut, save_cut

ROOT = Path(__file__).resolve().parents[3]

SCRIPT = """
import importlib, sys
from pathlib import Path

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name == "model.compression" or name.startswith("model.compression."):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Blocked())
try:
    importlib.import_module("model.compression")
except ModuleNotFoundError:
    pass
else:
    raise SystemExit("not blocked")
count = 0
for package in ("api_schemas", "model", "service"):
    for path in sorted(Path(package).rglob("*.py")):
        if "compression" not in path.parts and path.stem != "__main__":
            importlib.import_module(".".join(path.with_suffix("").parts).removesuffix(".__init__"))
            count += 1

from model.checkpoint import load_checkpoint
from model.inference.batching import run_task
from model.inference.cleaning import clean
from model.tuples import Relation

checkpoint = load_checkpoint(sys.argv[1], precision="float32")
rows = [["Boston", "MA"], ["Bostn", "MA"], ["Denver", "CO"]] * 4
repairs = run_task(checkpoint, clean(checkpoint, Relation.of(["city", "state"], rows))).repairs
print(count, checkpoint.config.encoder_sizes[0].feed_forward, len(repairs))
"""


def test_the_rest_imports_and_serves_a_cut_model_without_this_package(
    checkpoint: Checkpoint, masks: dict[str, Tensor], tmp_path: Path
) -> None:
    save_cut(tmp_path / "cut", cut(checkpoint.denoiser, masks), checkpoint, {"method": "atp"})
    finished = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, str(tmp_path / "cut")], capture_output=True, text=True, cwd=ROOT
    )
    assert finished.returncode == 0, finished.stderr
    count, feed_forward, repairs = map(int, finished.stdout.split())
    assert count > 100
    assert feed_forward == int(masks["encoder.blocks.0.feed_forward"].sum())
    assert repairs > 0
