"""Train a network: batches -> forward -> loss -> backward -> update, epoch after epoch."""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import numpy as np

from nnctl import blas
from nnctl.data.augment import SIDE, Augmentation, Augmenter
from nnctl.data.examples import Examples, batches, check_examples
from nnctl.errors import ArgumentError, DivergedError
from nnctl.nn.arrays import Array, Labels
from nnctl.nn.checks import copy_arrays
from nnctl.nn.losses import Loss, SoftmaxCrossEntropy
from nnctl.nn.metrics import count_correct
from nnctl.nn.network import Network
from nnctl.nn.optimizers import Optimizer
from nnctl.nn.schedules import Schedule
from nnctl.nn.streams import Purpose, stream
from nnctl.nn.workspace import Workspace
from nnctl.train.evaluation import check_loss, evaluate
from nnctl.train.events import EpochReport, Step
from nnctl.train.state import Totals, TrainerState

STREAMS = ("dropout", "deformation")
"""The names of the random streams in a state; the second is older than the field's own word, augmentation."""


class Trainer:
    """Lets a network learn.

    Args:
        network: what learns; its parameters are changed.
        optimizer: moves the parameters of this very network.
        schedule: the learning rate by step.
        criterion: the loss, whose output the network predicts from now on; the cross-entropy of a softmax by default.
        batch_size: images in each step.
        augmentation: how training images are varied each time; None leaves them as they are.
        patience: epochs to wait for a better validation before training ends; None waits without end.
        seed: of the shuffling, dropout and augmentation.
        threads: for matrix products; "auto" finds out how many pay, None leaves BLAS as it is.

    Attributes:
        epoch: epochs completed; batch: batches done of the next; steps: batches done since the start.
        best: epoch, loss and accuracy of the best validation; None before the first.
        history: for each epoch completed, what its report says that does not depend on the clock.

    Raises:
        ArgumentError: the parts do not fit each other.
    """

    def __init__(
        self,
        network: Network,
        optimizer: Optimizer,
        schedule: Schedule,
        criterion: Loss | None = None,
        *,
        batch_size: int = 64,
        augmentation: Augmentation | None = None,
        patience: int | None = None,
        seed: int = 0,
        threads: int | Literal["auto"] | None = "auto",
    ) -> None:
        criterion = SoftmaxCrossEntropy() if criterion is None else criterion
        _check_parts(network, optimizer, schedule, criterion)
        _check_whole("batch_size", batch_size, 1)
        if patience is not None:
            _check_whole("patience", patience, 1)
        if threads not in ("auto", None):
            _check_whole("threads", threads, 1)
        self.network = network
        self.optimizer = optimizer
        self.schedule = schedule
        self.criterion = criterion
        network.predict_by(criterion.output)
        self.batch_size = batch_size
        self.patience = patience
        self.seed = seed
        self.threads = threads
        self.work = Workspace(network, batch_size)
        if not isinstance(augmentation, Augmentation | None):
            raise ArgumentError(f"augmentation is an Augmentation or None, not {augmentation!r:.40}")
        self.augmenter = None if augmentation is None else Augmenter(augmentation, batch_size, network.dtype)
        self.epoch = self.batch = self.steps = 0
        self.totals = Totals()
        self.best: Mapping[str, Any] | None = None
        self.history: list[Mapping[str, Any]] = []
        self._start_streams()
        self._began = 0.0, 0

    def _start_streams(self) -> None:
        self.dropout = stream(self.seed, Purpose.DROPOUT, self.epoch)
        self.augmenting = stream(self.seed, Purpose.AUGMENTATION, self.epoch)

    def fit(self, train: Examples, validation: Examples | None = None, epochs: int = 1) -> Iterator[EpochReport]:
        """Train until `epochs` epochs are completed, and report on each of those that remain; see `run`."""
        events = self.run(train, validation, epochs)
        while True:
            with np.errstate(all="ignore"):  # what overflows ends in a loss that is not finite, and is reported there
                report = next((event for event in events if isinstance(event, EpochReport)), None)
            if report is None:
                return
            yield report

    def run(self, train: Examples, validation: Examples | None = None, epochs: int = 1) -> Iterator[Step | EpochReport]:
        """Train, and tell after every step and every epoch: whoever listens may save, stop, draw a bar, log.

        Args:
            train: to learn from.
            validation: to choose the best epoch by; may be left out, or empty.
            epochs: how many are to be completed in all.

        Threads are limited from the first event to the last: run one training after the other, not two in turn.

        Raises:
            ArgumentError: the examples are not those of this network, or of the training that was restored.
            DivergedError: the loss is no longer finite; nothing has been moved since.
        """
        _check_whole("epochs", epochs, 0)
        self.check_examples(train, validation)
        with blas.limit(self.chosen_threads()):
            while not self.finished(epochs):
                for x, labels in self.batches(train):
                    self.totals.add(*self.step(x, labels), len(labels))
                    yield Step(self.steps)
                yield self.close_epoch(validation)

    def step(self, x: Array, labels: Labels) -> tuple[float, int]:
        """Learn from one batch; return its loss, and how many predictions were right, both from before."""
        logits = self.network.forward(x, self.work, self.dropout)
        loss, probs = self.criterion.forward(logits, labels, out=self.work.probs[: len(x)])
        if not math.isfinite(loss):
            raise self.diverged(f"the loss is {loss}")  # before anything is moved
        correct = count_correct(probs, labels)
        dlogits = self.criterion.backward(probs, labels, out=self.work.dlogits[: len(x)])
        self.network.backward(dlogits, self.work)
        self.optimizer.step(self.network.params, self.network.grads, lr=self.schedule(self.steps))
        self.steps += 1
        self.batch += 1
        return loss, correct

    def batches(self, train: Examples) -> Iterator[tuple[Array, Labels]]:
        """What is left of this epoch: every image once, shuffled anew each epoch, from the batch it has come to."""
        if self.batch == 0:
            self._start_streams()
        distort = None
        if self.augmenter is not None:
            self.augmenter.rng = self.augmenting
            distort = self.augmenter.distort
        shuffled = stream(self.seed, Purpose.SHUFFLE, self.epoch).permutation(len(train))
        rest = shuffled[self.batch * self.batch_size :]
        self._began = time.perf_counter(), self.totals.images
        return batches(train, rest, self.batch_size, self.network.dtype, distort)

    def close_epoch(self, validation: Examples | None) -> EpochReport:
        """Validate, get ready for the next epoch, and report on this one."""
        began, images_before = self._began
        trained = time.perf_counter() - began
        entry: dict[str, Any] = {
            "epoch": self.epoch + 1,
            "learning_rate": float(self.schedule(max(0, self.steps - 1))),  # a schedule may compute in NumPy
            "loss": self.totals.loss / self.totals.images,
            "accuracy": self.totals.correct / self.totals.images,
            "validation_loss": None,
            "validation_accuracy": None,
        }
        rate = (self.totals.images - images_before) / trained if trained > 0 else 0.0
        best = False
        if validation is not None and len(validation):
            result = evaluate(self.network, validation, self.criterion)
            if not math.isfinite(result.loss):
                raise self.diverged(f"the validation loss is {result.loss}")
            entry |= {"validation_loss": result.loss, "validation_accuracy": result.accuracy}
            score = (result.accuracy, -result.loss)
            best = self.best is None or score > (self.best["accuracy"], -self.best["loss"])
            if best:
                self.best = {"epoch": self.epoch + 1, "loss": result.loss, "accuracy": result.accuracy}
        self.history.append(entry)
        self.epoch += 1
        self.batch = 0
        self.totals = Totals()
        return EpochReport(**entry, seconds=time.perf_counter() - began, images_per_second=rate, best=best)

    def finished(self, epochs: int) -> bool:
        """Whether so many epochs are completed, or validation has not improved for `patience` epochs."""
        waited = self.epoch - self.best["epoch"] if self.best else 0
        return self.epoch >= epochs or (self.patience is not None and waited >= self.patience)

    def state(self, *, shared: bool = False) -> TrainerState:
        """The state as it is now.

        Args:
            shared: whether it may share arrays and history with the trainer, for those who are done with it before the
                next step; by default they are copied.

        Raises:
            DivergedError: a number in it is not finite, so that the state is not worth saving.
        """
        vectors = (self.network.params, self.network.state, *self.optimizer.state.values())
        if not all(np.isfinite(vector).all() for vector in vectors):
            raise self.diverged("a weight, or its change, is no longer a finite number")
        state = TrainerState(
            params=self.network.arrays(),
            optimizer=self.optimizer.state,
            epoch=self.epoch,
            batch=self.batch,
            step=self.steps,
            totals=dataclasses.asdict(self.totals),
            generators={
                name: rng.bit_generator.state
                for name, rng in zip(STREAMS, (self.dropout, self.augmenting), strict=True)
            },
            best=self.best,
            history=self.history,
        )
        return state if shared else copy.deepcopy(state)

    def restore(self, state: TrainerState) -> None:
        """Go back to a state, so that training goes on with the same bits.

        Raises:
            ArgumentError: it is not a state of such a network and optimizer; then nothing has changed.
        """
        streams = [np.random.default_rng(0), np.random.default_rng(0)]
        try:
            totals = Totals(**state.totals)
            for rng, name in zip(streams, STREAMS, strict=True):
                rng.bit_generator.state = state.generators[name]
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ArgumentError("this is not a state of a training") from error
        own = TrainerState(self.network.arrays(), self.optimizer.state)
        copy_arrays(state.arrays(), own.arrays(), "this network and its optimizer")
        self.dropout, self.augmenting = streams
        self.totals = totals
        self.epoch, self.batch, self.steps = state.epoch, state.batch, state.step
        self.optimizer.steps = state.step
        self.best, self.history = state.best, list(state.history)

    def check_examples(self, train: Examples, validation: Examples | None) -> None:
        """Raise ArgumentError unless this network can learn from these examples, from the place it has come to."""
        check_examples(train, self.network.pixels, self.network.classes)
        if validation is not None and not (isinstance(validation, Examples) and len(validation) == 0):
            check_examples(validation, self.network.pixels, self.network.classes)
        steps_per_epoch = math.ceil(len(train) / self.batch_size)
        fits = self.batch <= steps_per_epoch and (self.batch == 0) == (self.totals.images == 0)
        if not fits or self.steps != self.epoch * steps_per_epoch + self.batch:
            raise ArgumentError("this training was begun with another number of images, or with steps outside `run`")
        if self.augmenter is not None and train.images.shape[1:] != (SIDE, SIDE):
            raise ArgumentError(f"only images of {SIDE}x{SIDE} pixels can be augmented")

    def diverged(self, what: str) -> DivergedError:
        """The error that says where training went astray, and what to try."""
        return DivergedError(
            f"training diverged: {what} (step {self.steps + 1}, epoch {self.epoch + 1})",
            f"lower optimizer.learning_rate (here it was {self.schedule(self.steps):g}), or warm it up",
        )

    def chosen_threads(self) -> int | None:
        """How many threads matrix products are to use; None to leave BLAS as it is."""
        product = self.network.largest_product(self.batch_size)
        return None if self.threads is None else blas.choose_threads(self.threads, product)


def _check_parts(network: object, optimizer: object, schedule: object, criterion: Loss) -> None:
    if not isinstance(network, Network):
        raise ArgumentError(f"a Trainer trains a Network, not a {type(network).__name__}")
    state = getattr(optimizer, "state", None)
    if not isinstance(state, dict) or any(array.shape != network.params.shape for array in state.values()):
        raise ArgumentError("the optimizer is not one of this network", "write SGD(network.params)")
    if isinstance(schedule, type) or not callable(schedule) or not _is_rate(schedule):
        what = f"a schedule gives the learning rate of a step; {schedule!r:.60} does not"
        raise ArgumentError(what, "write Constant(0.1)")
    check_loss(criterion)
    output = criterion.output
    if type(network.layers[-1]) is type(output):
        raise ArgumentError(f"the loss applies {output!r} itself", "leave out the network's last layer")


def _state_of(rng: np.random.Generator) -> Mapping[str, Any]:
    return rng.bit_generator.state


def _is_rate(schedule: Callable[[int], object]) -> bool:
    try:
        rate = schedule(0)
        return isinstance(rate, int | float | np.number) and 0 <= float(rate) < math.inf
    except (ArithmeticError, TypeError, ValueError):
        return False


def _check_whole(name: str, value: object, least: int) -> None:
    if not isinstance(value, int | np.integer) or value < least:
        raise ArgumentError(f"{name} is a whole number from {least}, not {value!r:.40}")
