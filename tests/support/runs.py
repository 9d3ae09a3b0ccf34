"""What a run directory says of its training."""

import json
from pathlib import Path
from typing import Any

from nnctl import checkpoint


def digest(run: Path) -> str:
    """The digest of the state a run has come to."""
    return checkpoint.load(run / "checkpoints" / "last.npz").digest()


def info(run: Path) -> dict[str, Any]:
    """What its run.json holds."""
    value: dict[str, Any] = json.loads((run / "run.json").read_text("utf-8"))
    return value


def metrics(run: Path) -> list[dict[str, Any]]:
    """The lines of its metrics.jsonl."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
