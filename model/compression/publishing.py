"""A compressed checkpoint appears only where it has been measured and is good enough."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from model.architecture import TupleDenoiser
from model.checkpoint import Checkpoint, load_checkpoint
from model.compression.certificate import Certificate, Judging, compare, judge_windows
from model.compression.cutting import save_cut
from model.corpus import Table


def publish(
    output: Path,
    smaller: TupleDenoiser,
    dense: Checkpoint,
    valid: Sequence[Table],
    story: dict[str, Any],
    judging: Judging,
    max_loss: float,
) -> Certificate:
    """Write a cut denoiser beside `output`, measure what is loaded from there, and rename it if it is good enough.

    The certificate goes on the card. Whatever fails, nothing is left behind.

    Args:
        valid: tables to judge on, which neither model was trained on.
        max_loss: points of a decisive measure that may be lost.

    Raises:
        RefusedError: more was lost.
        OSError: the folder cannot be written, or `output` exists.
    """
    place = output.with_name(f".{output.name}.unpublished")
    shutil.rmtree(place, ignore_errors=True)
    try:
        save_cut(place, smaller, dense, story)
        stored = load_checkpoint(place, precision="float32")
        before, after = (
            judge_windows(one, valid, dense.serializer, judging) for one in (dense.denoiser, stored.denoiser)
        )
        certificate = compare(before, after, judging)
        _note(place / "card.json", certificate.record() | {"max_loss": max_loss})
        certificate.check(max_loss)
        place.rename(output)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return certificate


def _note(path: Path, certificate: dict[str, object]) -> None:
    card = json.loads(path.read_text(encoding="utf-8"))
    card["compression"]["certificate"] = certificate
    path.write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
