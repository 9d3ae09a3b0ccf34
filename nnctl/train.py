"""Train a network: batches -> forward -> loss -> backward -> update; and measure what it has learned."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from nnctl import build
from nnctl.build import Plan, Purpose
from nnctl.checkpoint import INCIDENTAL, Checkpoint, Meta, flat
from nnctl.data.augment import Deformer
from nnctl.data.examples import Examples, batches
from nnctl.errors import CheckpointError, ConfigError, DivergedError, StoppedError
from nnctl.nn import Array, Labels
from nnctl.nn.losses import Loss
from nnctl.nn.metrics import Evaluation
from nnctl.nn.network import Network, Workspace

__all__ = ["EpochReport", "Evaluation", "Training", "evaluate", "fit"]

EVALUATION_BATCH = 1000

MAY_CHANGE = INCIDENTAL | {"train.epochs", "train.patience"}
"""Keys that a resumed run may set anew: none of them alters a step that was taken."""


@np.errstate(all="ignore")  # what overflows shows in a loss or in probs that are not finite
def evaluate(network: Network, criterion: Loss, examples: Examples) -> Evaluation:
    """Let the network answer every example; nothing is learned and no neuron is dropped."""
    work = Workspace(network, min(len(examples), EVALUATION_BATCH))
    probs = np.empty((len(examples), build.CLASSES), network.dtype)
    total = 0.0
    done = 0
    for x, labels in batches(examples, np.arange(len(examples)), EVALUATION_BATCH, network.dtype):
        n = len(x)
        loss, _ = criterion.forward(network.forward(x, work), labels, out=probs[done : done + n])
        total += loss * n
        done += n
    return Evaluation(total / done, probs, examples.labels)


@dataclasses.dataclass(frozen=True)
class EpochReport:
    """How one epoch went.

    Attributes:
        epoch: 1 for the first.
        learning_rate: of the epoch's last step.
        loss, accuracy: on the training images as they came by, each before the network learned from it.
        validation_loss, validation_accuracy: after the epoch; None without validation images.
        seconds: for training and validation.
        images_per_second: training alone.
        best: whether the validation accuracy is the best so far.
    """

    epoch: int
    learning_rate: float
    loss: float
    accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    seconds: float
    images_per_second: float
    best: bool


@dataclasses.dataclass
class Totals:
    """Sums over the images of the epoch in progress."""

    loss: float = 0.0
    correct: int = 0
    images: int = 0

    def add(self, loss: float, probs: Array, labels: Labels) -> None:
        """Count one batch."""
        self.loss += loss * len(labels)
        self.correct += int(np.count_nonzero(probs.argmax(axis=1) == labels))
        self.images += len(labels)


class Training:
    """Everything that changes while a network learns.

    Args:
        plan: what to train, and how.

    Attributes:
        epoch: epochs completed; batch: batches done of the next; step: batches done since the start.
        best: epoch, loss and accuracy of the best validation; None before the first.
        generators: the random streams that the epoch in progress draws from.
        history: for each epoch completed, what its report says that does not depend on the clock.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.epoch = self.batch = self.step = 0
        self.totals = Totals()
        self.generators = self._epoch_generators()
        self.best: dict[str, Any] | None = None
        self.history: list[dict[str, Any]] = []

    def _epoch_generators(self) -> dict[str, np.random.Generator]:
        purposes = {"dropout": Purpose.DROPOUT, "deformation": Purpose.DEFORMATION}
        return {name: build.stream(self.plan.seed, purpose, self.epoch) for name, purpose in purposes.items()}

    def begin_epoch(self) -> None:
        """Start the random streams of the epoch, unless it has begun already."""
        if self.batch == 0:
            self.generators = self._epoch_generators()

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or validation has not improved for `train.patience` epochs."""
        patience = self.plan.patience
        waited = self.epoch - self.best["epoch"] if self.best else 0
        return self.epoch >= self.plan.epochs or (patience is not None and waited >= patience)

    def checkpoint(self, about: dict[str, Any]) -> Checkpoint:
        """The state as it is now, sharing its arrays.

        Raises:
            DivergedError: a number in it is not finite, so that the state is not worth keeping.
        """
        vectors = (self.plan.network.params, *self.plan.optimizer.state.values())
        if not all(np.isfinite(vector).all() for vector in vectors):
            raise self.diverged("a weight, or its change, is no longer a finite number")
        meta = Meta(
            config=self.plan.config,
            epoch=self.epoch,
            batch=self.batch,
            step=self.step,
            totals=dataclasses.asdict(self.totals),
            generators={name: rng.bit_generator.state for name, rng in self.generators.items()},
            best=self.best,
            history=self.history,
            about=about,
        )
        return Checkpoint(self.plan.network.named(self.plan.network.params), self.plan.optimizer.state, meta)

    def resume(self, checkpoint: Checkpoint, name: str) -> None:
        """Go back to the state of a checkpoint, so that training goes on with the same bits.

        Raises:
            ConfigError: this configuration would not repeat what the checkpoint `name` has done so far.
            CheckpointError: the checkpoint contradicts its own configuration.
        """
        build.trained_network(checkpoint, name)  # which raises where its arrays are not those of its configuration
        meta = checkpoint.meta
        changed = _changed(self.plan.config, meta.config)
        if meta.epoch > self.plan.epochs:
            raise ConfigError(
                f"train.epochs: {self.plan.epochs}, but {name} has done {meta.epoch} already",
                "ask for more, or start anew",
            )
        if changed:
            raise ConfigError(
                f"{name}: cannot be resumed with another {', '.join(changed)}",
                f"only {', '.join(sorted(MAY_CHANGE))} may change; start a new run for the rest",
            )
        try:
            build.restore(self.plan.network.named(self.plan.network.params), checkpoint.params)
            build.restore(self.plan.optimizer.state, checkpoint.optimizer)
            for purpose, rng in self.generators.items():
                rng.bit_generator.state = meta.generators[purpose]
            self.totals = Totals(**meta.totals)
            if meta.batch > self.plan.steps_per_epoch or (meta.batch == 0) != (self.totals.images == 0):
                raise ValueError("its position lies outside the epoch")
            if meta.step != meta.epoch * self.plan.steps_per_epoch + meta.batch:
                raise ValueError("its counts contradict each other")
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise CheckpointError(f"{name}: is not a checkpoint of this configuration", "start a new run") from error
        self.epoch, self.batch, self.step = meta.epoch, meta.batch, meta.step
        self.plan.optimizer.steps = meta.step
        self.best, self.history = meta.best, list(meta.history)

    def diverged(self, what: str) -> DivergedError:
        """The error that says where training went astray, and what to try."""
        return DivergedError(
            f"training diverged: {what} (step {self.step + 1}, epoch {self.epoch + 1})",
            f"lower optimizer.learning_rate (here it was {self.plan.schedule(self.step):g}), or warm it up",
        )


Progress = Callable[[Iterable[tuple[Array, Labels]]], Iterable[tuple[Array, Labels]]]
"""The batches of an epoch -> the same batches, shown to somebody as they pass."""


def fit(
    training: Training,
    examples: Examples,
    validation: Examples,
    *,
    save: Callable[[Training, bool], None],
    stop: Callable[[], int | None] = lambda: None,
    progress: Progress = iter,
) -> Iterator[EpochReport]:
    """Run the epochs that remain, and report on each.

    Args:
        training: the state to go on from; it is changed.
        examples: to learn from.
        validation: to choose the best epoch by; may be empty.
        save: called with the state, and whether it is the best so far, after each epoch, every
            `train.checkpoint_every` steps, and before stopping.
        stop: asked after each step; the number of a signal means save and stop.
        progress: sees each batch pass.

    Raises:
        DivergedError: the loss is no longer finite; nothing is saved from then on.
        StoppedError: `stop` said so; the state has been saved.
    """
    while not training.finished:
        began = time.perf_counter()
        images = training.totals.images
        with np.errstate(all="ignore"):  # what overflows ends in a loss that is not finite, and is reported there
            _run_epoch(training, examples, save, stop, progress)
            rate = (training.totals.images - images) / (time.perf_counter() - began)
            entry, best = _close_epoch(training, validation)
        save(training, best)
        yield EpochReport(**entry, seconds=time.perf_counter() - began, images_per_second=rate, best=best)
        if (signal := stop()) is not None:
            raise _stopped(training, signal)


def _run_epoch(
    training: Training,
    examples: Examples,
    save: Callable[[Training, bool], None],
    stop: Callable[[], int | None],
    progress: Progress,
) -> None:
    """Show the network every example once, in an order of this epoch's own, from the batch it has come to."""
    plan, network = training.plan, training.plan.network
    training.begin_epoch()
    order = build.stream(plan.seed, Purpose.ORDER, training.epoch).permutation(len(examples))
    deform = None
    if plan.deformation is not None:
        deform = Deformer(plan.deformation, training.generators["deformation"], plan.batch_size, network.dtype)
    remaining = batches(examples, order[training.batch * plan.batch_size :], plan.batch_size, network.dtype, deform)
    work = Workspace(network, plan.batch_size)
    for x, labels in progress(remaining):
        logits = network.forward(x, work, training.generators["dropout"])
        loss, probs = plan.criterion.forward(logits, labels, out=work.probs[: len(x)])
        if not math.isfinite(loss):
            raise training.diverged(f"the loss is {loss}")
        training.totals.add(loss, probs, labels)
        network.backward(plan.criterion.backward(probs, labels, out=probs), work)
        plan.optimizer.step(network.params, network.grads, lr=plan.schedule(training.step))
        training.step += 1
        training.batch += 1
        if (signal := stop()) is not None:
            save(training, False)
            raise _stopped(training, signal)
        if plan.checkpoint_every and training.step % plan.checkpoint_every == 0:
            save(training, False)


def _changed(config: dict[str, Any], saved: dict[str, Any]) -> list[str]:
    """The dotted paths at which two configurations differ, but for those that may."""
    now, before = flat(config), flat(saved)
    differing = (path for path in now.keys() | before.keys() if now.get(path) != before.get(path))
    return sorted(path for path in differing if path not in MAY_CHANGE)


def _stopped(training: Training, signal: int) -> StoppedError:
    return StoppedError(f"stopped after step {training.step:,}; everything is saved", "go on with --resume", signal)


def _close_epoch(training: Training, validation: Examples) -> tuple[dict[str, Any], bool]:
    """Validate, make the state ready for the next epoch; return its history entry and whether it is the best so far."""
    totals = training.totals
    entry: dict[str, Any] = {
        "epoch": training.epoch + 1,
        "learning_rate": training.plan.schedule(max(0, training.step - 1)),
        "loss": totals.loss / totals.images,
        "accuracy": totals.correct / totals.images,
        "validation_loss": None,
        "validation_accuracy": None,
    }
    best = False
    if len(validation):
        result = evaluate(training.plan.network, training.plan.criterion, validation)
        if not math.isfinite(result.loss):
            raise training.diverged(f"the validation loss is {result.loss}")
        entry |= {"validation_loss": result.loss, "validation_accuracy": result.accuracy}
        score = (result.accuracy, -result.loss)
        best = training.best is None or score > (training.best["accuracy"], -training.best["loss"])
        if best:
            training.best = {"epoch": training.epoch + 1, "loss": result.loss, "accuracy": result.accuracy}
    training.history.append(entry)
    training.epoch += 1
    training.batch = 0
    training.totals = Totals()
    return entry, best
