"""One training loop for pretraining and every fine-tuning task: they differ in the batches they bring.

A run lives in one folder and goes on from it: weights, AdamW's moments and the place in the data, as
safetensors and JSON. Dropout is seeded per step and a chunk of data by its number, so a run that was
interrupted at a resume point makes the same weights as one that was not.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import DataLoader

from model.architecture import TupleDenoiser
from model.config import TrainingConfig
from model.dataset import TASKS, ChunkDataset, ExampleFactory, TrainingBatch

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Losses:
    """Losses of one batch: `total` has a gradient; the others are for the log."""

    total: Tensor
    detection: float
    tasks: dict[str, float]


@dataclass(slots=True)
class Position:
    """Where a run stands: optimizer steps done, and the next chunk of data."""

    step: int = 0
    chunk: int = 0
    encoder_tokens: int = 0
    seconds: float = 0.0


def batch_losses(denoiser: TupleDenoiser, batch: TrainingBatch, config: TrainingConfig) -> Losses:
    """Cross-entropy of the answers plus weighted detection loss, both means over their labels."""
    states = denoiser.encode(batch.encoder)
    logits = denoiser.detect(states, batch.cell_example, batch.cell_index)
    detection = torch.nn.functional.binary_cross_entropy_with_logits(logits, batch.cell_wrong)
    if len(batch.target_id) == 0:
        return Losses(config.detection_weight * detection, float(detection.detach()), {})
    hidden = denoiser.decode(states, batch.encoder, batch.answers)
    copying = denoiser.copying(hidden, denoiser.copy_keys(states, batch.encoder), batch.encoder)
    negative = -denoiser.token_log_probabilities(
        hidden, copying, batch.encoder, batch.target_example, batch.target_index, batch.target_id
    )
    with torch.no_grad():
        tasks = {
            task: float(negative[batch.target_task == number].mean())
            for number, task in enumerate(TASKS)
            if bool((batch.target_task == number).any())
        }
    total = negative.mean() + config.detection_weight * detection
    return Losses(total, float(detection.detach()), tasks)


def learning_rate(step: int, config: TrainingConfig) -> float:
    """Linear warm-up, then a cosine to a twentieth of the peak at the last step."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.learning_rate * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


def train_step(
    denoiser: TupleDenoiser, optimizer: torch.optim.Optimizer, batch: TrainingBatch, step: int, config: TrainingConfig
) -> Losses:
    """One optimizer step on a batch that lies on the denoiser's device; seeded by the number of the step."""
    torch.manual_seed(config.seed * 1_000_003 + step)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(step, config)
    with torch.autocast(batch.encoder.ids.device.type, torch.bfloat16):
        losses = batch_losses(denoiser, batch, config)
    optimizer.zero_grad(set_to_none=True)
    losses.total.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(denoiser.parameters(), config.clip_norm)
    optimizer.step()
    return losses


class Trainer:
    """A denoiser, its optimizer and its folder. `run` trains to the last step or until time is up."""

    def __init__(
        self, denoiser: TupleDenoiser, factory: ExampleFactory, folder: Path, device: torch.device, workers: int = 1
    ) -> None:
        self.denoiser = denoiser.to(device)
        self.factory = factory
        self.config = factory.training
        self.folder = folder
        self.device = device
        self.workers = workers
        self.position = Position()
        self.optimizer = make_optimizer(self.denoiser, self.config)
        folder.mkdir(parents=True, exist_ok=True)

    def run(self, max_seconds: float | None = None, on_log: Callable[[dict[str, object]], None] | None = None) -> None:
        """Train; saves a resume point every `save_seconds` and at the end."""
        if self.position.step >= self.config.steps:
            return
        self.denoiser.train()
        began, saved, logged = time.monotonic(), time.monotonic(), _Log()
        before = self.position.seconds
        for batches in self._chunks():
            for batch in batches:
                if self.position.step < self.config.steps:
                    logged.add(self._step(batch))
                    self.position.encoder_tokens += int(batch.encoder.keep.sum())
            self.position.chunk += 1
            now = time.monotonic()
            self.position.seconds = before + now - began
            if on_log is not None and logged.count >= 20:
                on_log({**logged.means(), **self._progress()})
                logged = _Log()
            finished = self.position.step >= self.config.steps
            if finished or now - saved > self.config.save_seconds or (max_seconds and now - began > max_seconds):
                self.save()
                saved = time.monotonic()
            if finished or (max_seconds and now - began > max_seconds):
                return

    def _chunks(self) -> Iterator[list[TrainingBatch]]:
        dataset = ChunkDataset(self.factory, self.position.chunk, 1_000_000_000)
        loader: DataLoader[list[TrainingBatch]] = DataLoader(
            dataset,
            batch_size=None,
            shuffle=False,
            num_workers=self.workers,
            multiprocessing_context=_context(self.workers),
        )
        return iter(loader)

    def _step(self, batch: TrainingBatch) -> Losses:
        losses = train_step(self.denoiser, self.optimizer, batch.to(self.device), self.position.step, self.config)
        self.position.step += 1
        return losses

    def _progress(self) -> dict[str, object]:
        position = self.position
        return {
            "step": position.step,
            "chunk": position.chunk,
            "encoder_tokens": position.encoder_tokens,
            "seconds": round(position.seconds, 1),
            "learning_rate": learning_rate(position.step, self.config),
        }

    def save(self) -> None:
        """Write the resume point: every file under a new name, then renamed over the old one."""
        moments = {}
        for name, parameter in self.denoiser.named_parameters():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                moments[f"{name}|{key}"] = value if value.ndim else value.reshape(1)
        _replace(self.folder / "resume-weights.safetensors", lambda path: save_file(self._weights(), path))
        _replace(self.folder / "resume-optimizer.safetensors", lambda path: save_file(moments, path))
        record = {name: getattr(self.position, name) for name in Position.__slots__}
        _replace(self.folder / "resume.json", lambda path: path.write_text(json.dumps(record), encoding="utf-8"))

    def _weights(self) -> dict[str, Tensor]:
        return {name: tensor.detach().contiguous() for name, tensor in self.denoiser.state_dict().items()}

    def resume(self) -> bool:
        """Go on from the folder's resume point, where there is one."""
        place = self.folder / "resume.json"
        if not place.exists():
            return False
        self.denoiser.load_state_dict(load_file(self.folder / "resume-weights.safetensors"))
        moments = load_file(self.folder / "resume-optimizer.safetensors")
        for name, parameter in self.denoiser.named_parameters():
            state = {key.rpartition("|")[2]: value for key, value in moments.items() if key.rpartition("|")[0] == name}
            if state:
                state["step"] = state["step"].reshape(())
                self.optimizer.state[parameter] = {key: value.to(self.device) for key, value in state.items()}
        self.position = Position(**json.loads(place.read_text(encoding="utf-8")))
        return True


def _context(workers: int) -> str | None:
    return "fork" if workers else None


def make_optimizer(denoiser: TupleDenoiser, config: TrainingConfig) -> torch.optim.AdamW:
    """AdamW; only matrices of linear maps decay."""
    decayed: list[Tensor] = []
    others: list[Tensor] = []
    for name, parameter in denoiser.named_parameters():
        is_embedding = name.startswith("encoder.") and ".blocks." not in name
        (decayed if parameter.ndim == 2 and not is_embedding else others).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98), eps=1e-8, fused=True)


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    temporary = path.with_name(path.name + ".new")
    write(temporary)
    temporary.replace(path)


class _Log:
    """Means of the losses since the last line."""

    def __init__(self) -> None:
        self.count = 0
        self._sums: dict[str, list[float]] = {}

    def add(self, losses: Losses) -> None:
        self.count += 1
        values = {"loss": float(losses.total.detach()), "detection": losses.detection, **losses.tasks}
        for name, value in values.items():
            self._sums.setdefault(name, []).append(value)

    def means(self) -> dict[str, object]:
        return {name: round(sum(values) / len(values), 4) for name, values in self._sums.items()}
