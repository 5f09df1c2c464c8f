"""One training loop for pretraining and every fine-tuning task: they differ in the batches they bring.

A run lives in one folder and goes on from it: weights, AdamW's moments and the place in the data, as
safetensors and JSON. Dropout is seeded per step and a chunk of data by its number, so a run that was
interrupted at a resume point makes the same weights as one that was not (but for recorded steps, see `fixed_shapes`).
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
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from torch.utils.data import DataLoader

from model.architecture import TupleDenoiser
from model.config import TrainingConfig
from model.dataset import TASKS, ChunkDataset, ExampleSource, TrainingBatch
from model.errors import InputError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Losses:
    """Losses of one batch: `total` has a gradient; the others are for the log.

    The parts stay on their device until somebody reads them, as a GPU that is asked for a number first ends its work.

    Attributes:
        total: the mean over next tokens plus the weighted means of the other losses.
        parts: sum and count of each loss, by name, (2,) float32: of the detection labels, the match labels, the
            ends of spans, and the next tokens of each task.
    """

    total: Tensor
    parts: dict[str, Tensor]

    def means(self) -> dict[str, float]:
        """The mean of each loss that has a label."""
        sums = {name: part.tolist() for name, part in self.parts.items()}
        return {name: total / count for name, (total, count) in sums.items() if count}


@dataclass(slots=True)
class Position:
    """Where a run stands: optimizer steps done, and the next chunk of data."""

    step: int = 0
    chunk: int = 0
    encoder_tokens: int = 0
    seconds: float = 0.0


def batch_losses(denoiser: TupleDenoiser, batch: TrainingBatch, config: TrainingConfig) -> Losses:
    """Cross-entropy of answers and spans, weighted with the detection and match losses, each a mean over its labels."""
    states = denoiser.encode(batch.encoder)
    parts: dict[str, Tensor] = {}
    total = states.new_zeros((), dtype=torch.float32)
    if config.detection_weight:
        wrong = denoiser.detect(states, batch.cell_example, batch.cell_index)
        detection = binary_cross_entropy_with_logits(wrong, batch.cell_wrong, reduction="none")
        parts["detection"] = _sum_and_count(detection, batch.cell_weight)
        total = total + config.detection_weight * _mean(parts["detection"])
    if config.match_weight:
        same = denoiser.match_logits(states, batch.pair_example, batch.pair_index)
        match = binary_cross_entropy_with_logits(same, batch.pair_same, reduction="none")
        parts["match"] = _sum_and_count(match, batch.pair_weight)
        total = total + config.match_weight * _mean(parts["match"])
    if len(batch.span_question):
        scores = denoiser.span_logits(states, batch.encoder, batch.span_example, batch.span_question)
        ends = torch.stack([batch.span_start, batch.span_end], dim=1)  # (questions, 2)
        span = cross_entropy(scores, ends, reduction="none").mean(1)
        parts["span"] = _sum_and_count(span, batch.span_weight)
        total = total + _mean(parts["span"])
    if not config.answer_weight or len(batch.target_id) == 0:
        return Losses(total, _detached(parts))
    hidden = denoiser.decode(states, batch.encoder, batch.answers)
    copying = denoiser.copying(hidden, denoiser.copy_keys(states, batch.encoder), batch.encoder)
    negative = -denoiser.token_log_probabilities(
        hidden, copying, batch.encoder, batch.target_example, batch.target_index, batch.target_id
    )
    total = total + config.answer_weight * _mean(_sum_and_count(negative, batch.target_weight))
    counts = negative.new_zeros(2, len(TASKS))
    counts.index_add_(1, batch.target_task, torch.stack([negative.detach() * batch.target_weight, batch.target_weight]))
    parts |= {task: counts[:, number] for number, task in enumerate(TASKS)}
    return Losses(total, _detached(parts))


def _sum_and_count(losses: Tensor, weights: Tensor) -> Tensor:
    return torch.stack([(losses * weights).sum(), weights.sum()])


def _mean(part: Tensor) -> Tensor:
    """The mean of a sum and a count; 0 of none."""
    return part[0] / part[1].clamp(min=1)


def _detached(parts: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: part.detach() for name, part in parts.items()}


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
    set_learning_rate(optimizer, learning_rate(step, config))
    return optimize(denoiser, optimizer, batch, config)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set it for all parameters; where it is a tensor, so that a recorded step sees it."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def optimize(
    denoiser: TupleDenoiser, optimizer: torch.optim.Optimizer, batch: TrainingBatch, config: TrainingConfig
) -> Losses:
    """Forward, backward, clip and step."""
    with torch.autocast(batch.encoder.ids.device.type, torch.bfloat16):
        losses = batch_losses(denoiser, batch, config)
    optimizer.zero_grad(set_to_none=True)
    losses.total.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(denoiser.parameters(), config.clip_norm)
    optimizer.step()
    return losses


class RecordedSteps:
    """One CUDA graph for each shape of batch: a step is then one launch, not some thousands of small ones.

    Where launching costs 0.1 ms, as on a virtual machine, the eager step of this small network waits for its launches
    six times as long as for the arithmetic. Dropout must be off, as a graph draws no new numbers.
    """

    def __init__(self, denoiser: TupleDenoiser, optimizer: torch.optim.Optimizer, config: TrainingConfig) -> None:
        if denoiser.config.dropout:
            raise ValueError("a step that is recorded draws no dropout: set it to 0, or fixed_shapes to 0")
        self._denoiser = denoiser
        self._optimizer = optimizer
        self._config = config
        self._pool = torch.cuda.graph_pool_handle()
        self._graphs: dict[tuple[int, ...], tuple[torch.cuda.CUDAGraph, TrainingBatch, Losses]] = {}

    def step(self, batch: TrainingBatch) -> Losses:
        """One optimizer step on a batch that lies on the CPU."""
        shape = tuple(batch.encoder.ids.shape)
        if shape not in self._graphs:
            return self._record(shape, batch.to(torch.device("cuda")))
        graph, place, losses = self._graphs[shape]
        for tensor, new in zip(place.tensors(), batch.tensors(), strict=True):
            tensor.copy_(new)
        graph.replay()
        return Losses(losses.total.clone(), {name: part.clone() for name, part in losses.parts.items()})

    def _record(self, shape: tuple[int, ...], batch: TrainingBatch) -> Losses:
        """Two steps as they come, on a stream of their own, then the recording, which runs nothing."""
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(2):
                first = optimize(self._denoiser, self._optimizer, batch, self._config)
        torch.cuda.current_stream().wait_stream(stream)
        losses = Losses(first.total.detach().clone(), {name: part.clone() for name, part in first.parts.items()})
        del first
        self._optimizer.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            recorded = optimize(self._denoiser, self._optimizer, batch, self._config)
        self._graphs[shape] = graph, batch, Losses(recorded.total.detach(), recorded.parts)
        return losses


class Trainer:
    """A denoiser, its optimizer and its folder. `run` trains to the last step or until time is up."""

    def __init__(
        self, denoiser: TupleDenoiser, factory: ExampleSource, folder: Path, device: torch.device, workers: int = 1
    ) -> None:
        self.denoiser = denoiser.to(device)
        self.factory = factory
        self.config = factory.training
        self.folder = folder
        self.device = device
        self.workers = workers
        self.position = Position()
        recorded = device.type == "cuda" and bool(self.config.fixed_shapes)
        self.optimizer = make_optimizer(self.denoiser, self.config, recorded)
        self._recorded = RecordedSteps(self.denoiser, self.optimizer, self.config) if recorded else None
        folder.mkdir(parents=True, exist_ok=True)

    def run(
        self,
        max_seconds: float | None = None,
        on_log: Callable[[dict[str, object]], None] | None = None,
        on_step: Callable[[int], None] | None = None,
    ) -> None:
        """Train; saves a resume point every `save_seconds` and at the end. `on_step` is told the steps done."""
        if self.position.step >= self.config.steps:
            return
        self.denoiser.train()
        began, saved, logged = time.monotonic(), time.monotonic(), _Log()
        before = self.position.seconds
        for batches in self._chunks():
            if not batches:
                raise InputError(
                    "a chunk fills no batch: it needs more episodes, or smaller batches", field="batch_tokens"
                )
            for batch in batches:
                if self.position.step < self.config.steps:
                    losses = self._step(batch)
                    if on_log is not None:
                        logged.add(losses)
                    self.position.encoder_tokens += int(batch.encoder.keep.sum())
                    if on_step is not None:
                        on_step(self.position.step)
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
        step, self.position.step = self.position.step, self.position.step + 1
        if self._recorded is None:
            return train_step(self.denoiser, self.optimizer, batch.to(self.device), step, self.config)
        set_learning_rate(self.optimizer, learning_rate(step, self.config))
        return self._recorded.step(batch)

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


def make_optimizer(denoiser: TupleDenoiser, config: TrainingConfig, recorded: bool = False) -> torch.optim.AdamW:
    """AdamW over what is not frozen; only matrices of linear maps decay. `recorded` is for steps that a GPU repeats."""
    decayed: list[Tensor] = []
    others: list[Tensor] = []
    for name, parameter in denoiser.named_parameters():
        if not parameter.requires_grad:
            continue
        is_embedding = name.startswith("encoder.") and ".blocks." not in name
        (decayed if parameter.ndim == 2 and not is_embedding else others).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    rate: float | Tensor = config.learning_rate
    if recorded:
        rate = torch.tensor(rate, device=next(denoiser.parameters()).device)
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), eps=1e-8, fused=True, capturable=recorded)


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    temporary = path.with_name(path.name + ".new")
    write(temporary)
    temporary.replace(path)


class _Log:
    """Means of the losses since the last line, over all their labels."""

    def __init__(self) -> None:
        self.count = 0
        self._losses: list[Losses] = []

    def add(self, losses: Losses) -> None:
        self.count += 1
        self._losses.append(Losses(losses.total.detach(), losses.parts))

    def means(self) -> dict[str, object]:
        total = torch.stack([losses.total for losses in self._losses]).mean()
        sums: dict[str, Tensor] = {}
        for losses in self._losses:
            for name, part in losses.parts.items():
                sums[name] = sums[name] + part if name in sums else part
        means = {"loss": float(total), **Losses(total, sums).means()}
        return {name: round(value, 4) for name, value in means.items()}
