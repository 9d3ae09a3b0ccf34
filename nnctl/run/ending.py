"""What follows the last epoch: measure the result on the test images, and make it ready to read pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from nnctl import checkpoint
from nnctl.checkpoint import Checkpoint
from nnctl.config import Config
from nnctl.data.catalog import CATALOG
from nnctl.data.datasets import Dataset
from nnctl.judge import train_judge
from nnctl.model import Model
from nnctl.nn.calibration import fit_temperature
from nnctl.nn.metrics import Evaluation
from nnctl.nn.network import Network
from nnctl.run.resuming import no_best
from nnctl.rundir import RunDir
from nnctl.train import Trainer, evaluate


def conclude(
    run: RunDir, trainer: Trainer, config: Config, dataset: Dataset, *, on_judge: Callable[[], None]
) -> Evaluation:
    """Measure the best epoch's network on the test images; without validation, the last one's.

    The checkpoint of a network of digits then gets what reading pictures needs: a temperature, fitted to the validation
    images, by which probabilities are calibrated, and a judge that has learned from the training images, if the
    configuration asks for one.

    Args:
        run: where it was trained.
        trainer: at its end.
        config: of the run.
        dataset: of the run.
        on_judge: is called before a judge is trained.

    Raises:
        CheckpointError: the best checkpoint is missing, damaged or not of this run.
        StorageError: the file system refused.
    """
    path, saved, network = _result(run, trainer)
    test = evaluate(network, dataset.test, trainer.criterion)
    calibrated = len(dataset.validation) > 0 and config.network.output != "linear"  # which gives no probabilities
    wanted = CATALOG[dataset.name].of_digits and (calibrated or config.judge)
    if wanted and not (saved.reading and bool(saved.judge) == config.judge):  # a finished run that is resumed has both
        temperature = 1.0
        if calibrated:
            held_out = evaluate(network, dataset.validation, trainer.criterion)
            temperature = fit_temperature(held_out.probs, held_out.labels)
        if config.judge:
            on_judge()
        judge = train_judge(dataset.train, config.seed).params() if config.judge else {}
        checkpoint.save(path, dataclasses.replace(saved, reading={"temperature": temperature}, judge=judge))
    return test


def _result(run: RunDir, trainer: Trainer) -> tuple[Path, Checkpoint, Network]:
    """The checkpoint that stands for the run, what it holds, and its network."""
    if trainer.best is None:
        return run.last, checkpoint.load(run.last), trainer.network
    best = checkpoint.load(run.best)
    if best.state.best != trainer.best:
        raise no_best(run, trainer, "is not the best of this run")
    return run.best, best, Model.from_checkpoint(best, run.best).network
