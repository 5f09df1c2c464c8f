"""One folder holds all that rebuilds a model: config, tokenizer, weights, calibration and card.

config.json          ModelConfig and the format version; sizes of single blocks only where a model was cut
tokenizer.json       the byte-level BPE
weights.safetensors  16-bit weights, and which of them make an expert where there are any; no pickle anywhere
judges.safetensors   trees over column statistics (absent right after pretraining)
words.safetensors    how rare words are in tables at large (absent right after pretraining)
names.safetensors    what values say of the name of their column (absent right after pretraining)
values.safetensors   what columns of tables at large are called that have a value (absent right after pretraining)
adapters/            low-rank changes of the weights for single tasks (`model.adapters`)
calibration.json     calibrators fitted on held-out tables (absent right after pretraining)
card.json            the model card: data, licences, steps, seed, commit, metrics, limits
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from model.architecture import TupleDenoiser
from model.calibration import Calibration
from model.config import BlockSizes, ModelConfig
from model.errors import CheckpointError
from model.judge import Judge, load_judges
from model.known_values import FILE as VALUES_FILE
from model.known_values import KnownValues
from model.naming import FILE as NAMES_FILE
from model.naming import NameModel
from model.rarity import WordRarity
from model.serialization import TupleSerializer
from model.tokenizer import TupleTokenizer

FORMAT_VERSION = 1
JUDGES_FILE = "judges.safetensors"
WORDS_FILE = "words.safetensors"
DEFAULT_PATH = Path(__file__).parent / "checkpoints" / "default"
PRECISIONS = {"bfloat16": torch.bfloat16, "float32": torch.float32}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A loaded model, ready for inference.

    Attributes:
        sha256: hash of the weights file, hex.
        precision: `bfloat16` or `float32`, the type that the weights are computed in.
        judges: trees by name, such as `detection` and `match`; empty where none have been trained.
        rarity: how rare words are in tables at large; None where they have not been counted.
        names: what values say of column names; None where it has not been trained.
        known_values: what columns of known values are called; None where they have not been counted.
        calibration: None where none has been fitted; inference then refuses to give probabilities.
        card: the model card as JSON.
    """

    name: str
    version: str
    sha256: str
    path: Path
    precision: str
    config: ModelConfig
    serializer: TupleSerializer
    denoiser: TupleDenoiser
    judges: Mapping[str, Judge]
    rarity: WordRarity | None
    names: NameModel | None
    known_values: KnownValues | None
    calibration: Calibration | None
    card: dict[str, Any]

    @property
    def parameters(self) -> int:
        """Number of trained numbers, shared embeddings counted once."""
        return sum(parameter.numel() for parameter in self.denoiser.parameters())


def native_precision() -> str:
    """`bfloat16` where this processor multiplies it in hardware, else `float32`."""
    flags = _processor_flags()
    return "bfloat16" if flags & {"avx512_bf16", "amx_bf16", "bf16"} else "float32"


def _processor_flags() -> set[str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return set()
    lines = (line.partition(":")[2] for line in text.splitlines() if line.lower().startswith(("flags", "features")))
    return set(next(lines, "").split())


def save_checkpoint(
    path: str | Path,
    denoiser: TupleDenoiser,
    tokenizer: TupleTokenizer,
    card: dict[str, Any],
    calibration: Calibration | None = None,
) -> None:
    """Write a checkpoint folder with weights in float16, their hash on the card; existing files are replaced."""
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: _stored(tensor) for name, tensor in denoiser.state_dict().items()}
    content = save(weights)
    (folder / "weights.safetensors").write_bytes(content)  # save_file would make it readable by its owner only
    tokenizer.save(folder / "tokenizer.json")
    _write_json(folder / "config.json", {"format": FORMAT_VERSION, "model": _config_record(denoiser.config)})
    _write_json(folder / "card.json", {**card, "sha256": hashlib.sha256(content).hexdigest()})
    if calibration is not None:
        calibration.save(folder / "calibration.json")


def load_checkpoint(path: str | Path | None = None, *, precision: str = "auto") -> Checkpoint:
    """Load a checkpoint folder; None loads the weights that ship with the project.

    Args:
        path: a folder, or the name of one that stands beside the weights that ship with the project.
        precision: `bfloat16`, `float32`, or `auto` for what this processor is fast at.

    Raises:
        CheckpointError: the folder, a file of it or its format version does not fit.
    """
    folder = _folder(path)
    if precision == "auto":
        precision = native_precision()
    if precision not in PRECISIONS:
        raise CheckpointError(f"precision is one of auto, {', '.join(PRECISIONS)}; not {precision!r}")
    config = _read_config(folder)
    weights_path = folder / "weights.safetensors"
    card = _read_json(folder / "card.json")
    tokenizer = TupleTokenizer.load(folder / "tokenizer.json")
    if tokenizer.vocabulary_size > config.vocabulary_size:
        raise CheckpointError(
            f"tokenizer.json of checkpoint {folder.name!r} has {tokenizer.vocabulary_size} tokens, "
            f"the model {config.vocabulary_size}"
        )
    denoiser = TupleDenoiser(config)
    try:
        denoiser.load_state_dict(load_file(weights_path), strict=True)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise CheckpointError(f"cannot load {weights_path.name} of checkpoint {folder.name!r}: {error}") from error
    denoiser.to(PRECISIONS[precision]).eval().requires_grad_(False)
    judges_path, words_path, names_path, values_path = (
        folder / name for name in (JUDGES_FILE, WORDS_FILE, NAMES_FILE, VALUES_FILE)
    )
    calibration_path = folder / "calibration.json"
    return Checkpoint(
        name=str(card.get("name", folder.name)),
        version=str(card.get("version", "0")),
        sha256=hashlib.sha256(weights_path.read_bytes()).hexdigest(),
        path=folder,
        precision=precision,
        config=config,
        serializer=TupleSerializer(tokenizer, config),
        denoiser=denoiser,
        judges=load_judges(judges_path) if judges_path.exists() else {},
        rarity=WordRarity.load(words_path) if words_path.exists() else None,
        names=NameModel.load(names_path) if names_path.exists() else None,
        known_values=KnownValues.load(values_path) if values_path.exists() else None,
        calibration=Calibration.load(calibration_path) if calibration_path.exists() else None,
        card=card,
    )


def _folder(path: str | Path | None) -> Path:
    if path is None:
        return DEFAULT_PATH
    folder = Path(path)
    known = DEFAULT_PATH.parent / folder
    return known if len(folder.parts) == 1 and not folder.is_dir() and known.is_dir() else folder


_BLOCKS = {"encoder_sizes", "decoder_sizes"}


def _config_record(config: ModelConfig) -> dict[str, Any]:
    """The config as JSON; an uncut model's names no sizes of blocks, and one without experts none of theirs."""
    record = {name: value for name, value in asdict(config).items() if name not in _BLOCKS or value}
    for block in (block for name in _BLOCKS & record.keys() for block in record[name]):
        if not block["experts"]:
            del block["experts"]
    return record


def _stored(tensor: Tensor) -> Tensor:
    """As it stands in the file: numbers in 16 bits, indices as they are."""
    tensor = tensor.detach().cpu()
    return tensor.half() if tensor.is_floating_point() else tensor


def _read_config(folder: Path) -> ModelConfig:
    if not folder.is_dir():
        raise CheckpointError(f"no checkpoint folder {folder.name!r}")
    record = _read_json(folder / "config.json")
    if record.get("format") != FORMAT_VERSION:
        raise CheckpointError(f"checkpoint format {record.get('format')} is not {FORMAT_VERSION}")
    try:
        fields = dict(record["model"])
        for name in _BLOCKS & fields.keys():
            fields[name] = tuple(
                BlockSizes(**{**sizes, "experts": tuple(sizes.get("experts", ()))}) for sizes in fields[name]
            )
        return ModelConfig(**fields)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"config.json of checkpoint {folder.name!r} does not fit: {error}") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot read {path.name} of checkpoint {path.parent.name!r}: {error}") from error
    if not isinstance(record, dict):
        raise CheckpointError(f"{path.name} of checkpoint {path.parent.name!r} is not a JSON object")
    return record


def _write_json(path: Path, record: dict[str, Any]) -> None:
    path.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
