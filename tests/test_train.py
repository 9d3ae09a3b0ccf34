"""Training: it learns, it repeats itself to the bit, goes on from anywhere, and says when it goes astray."""

import dataclasses
import inspect
import math
import random
import re
import tracemalloc
from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nnctl import checkpoint
from nnctl.checkpoint import Checkpoint
from nnctl.data.augment import Augmentation
from nnctl.data.examples import Examples
from nnctl.errors import ArgumentError, DivergedError
from nnctl.nn import SGD, Adam, Constant, Linear, Network, ReLU, SquaredError
from nnctl.nn.losses import SoftmaxCrossEntropy
from nnctl.nn.metrics import count_correct
from nnctl.nn.streams import Purpose, stream
from nnctl.nn.workspace import Workspace
from nnctl.train import EpochReport, Step, Totals, Trainer, TrainerState, evaluate
from tests.support.trainings import (
    DAMAGES,
    NONE,
    STEPS,
    TRAIN,
    VALIDATION,
    digits,
    finish,
    from_checkpoint,
    snapshot,
    train_until,
    trainer_of,
)

# learning


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["optimizer.momentum=0", "schedule.name=constant"],
        ["optimizer.nesterov=true"],
        ["optimizer.name=adam", "optimizer.learning_rate=0.01"],
        ["optimizer.name=adamw", "optimizer.learning_rate=0.01"],
        ["loss=mse", "network.activation=sigmoid", "optimizer.learning_rate=0.5", "schedule.name=constant"],
        ["network.activation=tanh", "network.dropout=0.1", "network.hidden=[16]"],
        ["network.hidden=[]", "data.augment.name=affine", "data.augment.shift=0.5"],
    ],
    ids=str,
)
def test_trainer_learns(overrides):
    overrides = ["train.epochs=15", *overrides]
    reports = finish(trainer_of(*overrides), *overrides)
    assert reports[-1].loss < 0.7 * reports[0].loss
    assert reports[-1].accuracy > max(0.5, reports[0].accuracy)
    assert reports[-1].validation_accuracy is not None
    assert reports[-1].validation_accuracy > 0.5


# the same bits


VARIANTS = {
    "sgd": ["optimizer.momentum=0", "schedule.name=constant"],
    "momentum": ["optimizer.momentum=0.9", "schedule.name=one_cycle", "data.augment.name=affine"],
    "nesterov": ["optimizer.nesterov=true", "schedule.name=cosine", "schedule.warmup_epochs=0.5"],
    "adam": ["optimizer.name=adam", "schedule.name=step", "schedule.every_epochs=0.5"],
    "adamw": ["optimizer.name=adamw", "schedule.name=one_cycle", "loss=mse", "data.augment.name=elastic"],
}
each_variant = pytest.mark.parametrize("overrides", VARIANTS.values(), ids=VARIANTS)
with_and_without_dropout = pytest.mark.parametrize("dropout", ["0", "0.3"])


@each_variant
@with_and_without_dropout
def test_trainer_gives_the_same_bits_for_a_seed_and_others_for_another(overrides, dropout):
    digests = []
    for seed in ("seed=1", "seed=1", "seed=2"):
        settings = [seed, f"network.dropout={dropout}", *overrides]
        trainer = trainer_of(*settings)
        finish(trainer)
        digests.append(snapshot(trainer, *settings).digest())
    assert digests[0] == digests[1] != digests[2]


@each_variant
@with_and_without_dropout
def test_trainer_restored_anywhere_gives_the_bits_of_one_that_never_stopped(tmp_path, overrides, dropout):
    overrides = [f"network.dropout={dropout}", *overrides]
    whole = trainer_of(*overrides)
    finish(whole)
    expected = snapshot(whole, *overrides).digest()
    ends_of_epochs = [STEPS, 2 * STEPS]
    within_epochs = [step for step in range(1, 3 * STEPS) if step % STEPS]
    for step in [*ends_of_epochs, *random.Random(dropout).sample(within_epochs, 8)]:
        path = tmp_path / f"{step}.npz"
        stopped = trainer_of(*overrides)
        train_until(stopped, step)
        checkpoint.save(path, snapshot(stopped, *overrides))
        trainer = from_checkpoint(path, *overrides)
        assert trainer.steps == step
        finish(trainer)
        assert snapshot(trainer, *overrides).digest() == expected, f"after {step} steps"
        assert trainer.history == whole.history


@each_variant
def test_trainer_restored_again_and_again_ends_with_the_same_bits(tmp_path, overrides):
    overrides = ["network.dropout=0.2", *overrides]
    whole = trainer_of(*overrides)
    finish(whole)
    path = tmp_path / "last.npz"
    checkpoint.save(path, snapshot(trainer_of(*overrides), *overrides))
    while not (trainer := from_checkpoint(path, *overrides)).finished(3):
        if trainer.steps + 4 <= 3 * STEPS:
            train_until(trainer, trainer.steps + 4)
        else:
            finish(trainer)
        checkpoint.save(path, snapshot(trainer, *overrides))
    assert checkpoint.load(path).digest() == snapshot(whole, *overrides).digest()


@with_and_without_dropout
def test_trainer_goes_on_from_the_state_at_the_end_of_an_epoch(tmp_path, dropout):
    overrides = [f"network.dropout={dropout}", "optimizer.name=adam"]
    whole = trainer_of(*overrides)
    finish(whole)
    for epochs in (1, 2):
        path = tmp_path / f"{epochs}.npz"
        killed = trainer_of(*overrides)
        list(killed.fit(TRAIN, VALIDATION, epochs=epochs))
        checkpoint.save(path, snapshot(killed, *overrides))
        trainer = from_checkpoint(path, *overrides)
        assert (trainer.epoch, trainer.batch, trainer.steps) == (epochs, 0, epochs * STEPS)
        finish(trainer)
        assert snapshot(trainer, *overrides).digest() == snapshot(whole, *overrides).digest()


# the state


def a_trainer() -> Trainer:
    """In the middle of its second epoch, and every field of its state says something."""
    trainer = trainer_of("optimizer.name=adam", "network.dropout=0.2", "data.augment.name=affine")
    train_until(trainer, STEPS + 3)
    return trainer


def test_trainer_state_is_frozen_and_every_field_comes_back_from_a_checkpoint(tmp_path):
    state = a_trainer().state()
    checkpoint.save(tmp_path / "last.npz", Checkpoint(state, {}))
    loaded = checkpoint.load(tmp_path / "last.npz").state
    assert type(loaded) is type(state) is TrainerState
    for field in dataclasses.fields(TrainerState):
        before, after = getattr(state, field.name), getattr(loaded, field.name)
        assert before, f"{field.name} says nothing, so that nothing can be lost"
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(state, field.name, after)
        if field.name in ("params", "optimizer"):
            assert after.keys() == before.keys()
            for name, array in before.items():
                np.testing.assert_array_equal(after[name], array, strict=True)
        else:
            assert after == before
            assert type(after) is type(before)


def test_trainer_state_names_every_array_and_every_value_once():
    state = a_trainer().state()
    arrays, values = state.arrays(), state.values()
    assert list(arrays) == sorted(arrays)
    assert arrays.keys() == {f"param/{name}" for name in state.params} | {f"optimizer/{n}" for n in state.optimizer}
    assert values.keys() == {field.name for field in dataclasses.fields(state)} - {"params", "optimizer"}


def test_trainer_restore_takes_over_every_field():
    trainer, other = a_trainer(), trainer_of("optimizer.name=adam", "network.dropout=0.2", "data.augment.name=affine")
    before = everything(other)
    other.restore(trainer.state())
    assert everything(other) == everything(trainer)
    assert all(everything(other)[field] != before[field] for field in before)


def everything(trainer: Trainer) -> dict[str, Any]:
    """What a state can change of a trainer, in values that stay when it trains on."""
    state = trainer.state()
    vectors = {"params": trainer.network.params, **{f"its {name}": v for name, v in trainer.optimizer.state.items()}}
    return {
        **{name: vector.tobytes() for name, vector in vectors.items()},
        **state.values(),
        "history": [dict(entry) for entry in state.history],
        "optimizer steps": trainer.optimizer.steps,
    }


@pytest.mark.parametrize("damage", DAMAGES)
def test_trainer_restore_changes_nothing_when_it_refuses(damage):
    source, trainer = trainer_of("seed=1", "optimizer.momentum=0.9"), trainer_of("optimizer.momentum=0.9")
    train_until(source, STEPS + 3)
    train_until(trainer, 5)
    before = everything(trainer)
    with pytest.raises(ArgumentError, match=r"state of a training|do not fit this network and its optimizer"):
        trainer.restore(damage(source.state()))
    assert everything(trainer) == before
    trainer.restore(source.state())  # what is refused is the damage alone
    assert everything(trainer) == everything(source)


# the events


def test_trainer_run_tells_every_step_and_every_epoch_in_turn():
    trainer = trainer_of()
    told = []
    for event in trainer.run(TRAIN, VALIDATION, 2):
        told.append(event)
        assert trainer.steps == sum(isinstance(each, Step) for each in told)
        if isinstance(event, Step):
            assert event.number == trainer.steps
        else:
            assert (event.epoch, trainer.batch) == (trainer.epoch, 0)
    epoch = [Step] * STEPS + [EpochReport]
    assert [type(event) for event in told] == epoch * 2


def test_trainer_run_moves_only_as_far_as_it_is_asked():
    trainer = trainer_of("network.dropout=0.2")
    events = trainer.run(TRAIN, VALIDATION, 3)
    assert inspect.isgenerator(events)
    assert everything(trainer) == everything(trainer_of("network.dropout=0.2"))  # nothing before the first is asked for
    next(events)
    assert trainer.steps == 1
    next(events)
    assert trainer.steps == 2


def test_trainer_run_that_has_finished_does_nothing_more():
    trainer = trainer_of()
    finish(trainer)
    before = everything(trainer)
    assert trainer.finished(3)
    assert list(trainer.run(TRAIN, VALIDATION, 3)) == []
    assert finish(trainer) == []
    assert everything(trainer) == before


def test_trainer_fit_counts_epochs_from_the_first_ever():
    trainer = trainer_of("schedule.name=constant")
    assert [report.epoch for report in trainer.fit(TRAIN, epochs=2)] == [1, 2]
    assert [report.epoch for report in trainer.fit(TRAIN, epochs=2)] == []
    assert [report.epoch for report in trainer.fit(TRAIN, epochs=4)] == [3, 4]
    at_once = trainer_of("schedule.name=constant")
    list(at_once.fit(TRAIN, epochs=4))
    assert snapshot(at_once).digest() == snapshot(trainer).digest()


# as a library


def library_trainer(network: Network | None = None, **options: Any) -> Trainer:
    network = network or Network([Linear(784, 16), ReLU(), Linear(16, 10)], seed=0)
    return Trainer(network, SGD(network.params, momentum=0.9), Constant(0.1), **{"batch_size": 32} | options)


class Waving:
    """A schedule from outside nnctl, which computes in NumPy."""

    spans_training = False

    def __call__(self, step: int) -> Any:
        return np.float64(0.01) * (1 + np.cos(step / 3) / 2)


@pytest.mark.parametrize("validation", [{}, {"validation": None}, {"validation": NONE}], ids=["out", "None", "empty"])
def test_trainer_fit_needs_no_validation(validation):
    trainer = library_trainer(patience=1)
    reports = list(trainer.fit(TRAIN, epochs=8, **validation))
    assert len(reports) == 8
    assert reports[-1].loss < 0.5 * reports[0].loss
    assert {(r.validation_loss, r.validation_accuracy, r.best) for r in reports} == {(None, None, False)}
    assert trainer.best is None
    assert str(reports[1]) == f"epoch 2: loss {reports[1].loss:.4f}, accuracy {100 * reports[1].accuracy:.2f} %"


def test_trainer_fit_validates_after_each_epoch():
    (report,) = library_trainer().fit(TRAIN, VALIDATION, epochs=1)
    shown = re.fullmatch(
        r"epoch 1: loss \d\.\d{4}, accuracy \d+\.\d\d %; validation loss (\S+), accuracy (\S+) %", str(report)
    )
    assert shown is not None
    assert report.validation_loss is not None
    assert report.validation_accuracy is not None
    assert shown.groups() == (f"{report.validation_loss:.4f}", f"{100 * report.validation_accuracy:.2f}")


def test_trainer_fit_trains_with_other_parts_too():
    network = Network([Linear(784, 10)], seed=1)
    trainer = Trainer(
        network,
        Adam(network.params),
        Waving(),
        SquaredError(),
        augmentation=Augmentation(rotation=2, scale=0, shear=0, shift=0.2),
        threads=None,
    )
    reports = list(trainer.fit(TRAIN, VALIDATION, epochs=10))
    assert reports[-1].loss < 0.7 * reports[0].loss


def test_trainer_state_can_be_saved_though_a_schedule_computes_in_numpy(tmp_path):
    network = Network([Linear(784, 10)], seed=1)
    trainer = Trainer(network, SGD(network.params), Waving())
    list(trainer.fit(TRAIN, epochs=1))
    checkpoint.save(tmp_path / "last.npz", Checkpoint(trainer.state(), {}))
    assert checkpoint.load(tmp_path / "last.npz").state.history == trainer.history


@pytest.mark.parametrize(
    ("examples", "reason"),
    [
        (NONE, "there are no examples"),
        (Examples(TRAIN.images, TRAIN.labels + 1), r"the labels go from 1 to 10, but the network has 10 outputs"),
        (Examples(TRAIN.images, TRAIN.labels - 1), r"the labels go from -1 to 8"),
    ],
    ids=["none", "a class too many", "a class below zero"],
)
def test_trainer_fit_refuses_wrong_examples_before_anything_moves(examples, reason):
    trainer = library_trainer()
    before = everything(trainer)
    with pytest.raises(ArgumentError, match=reason):
        list(trainer.fit(examples, VALIDATION, epochs=1))
    if len(examples):
        with pytest.raises(ArgumentError, match=reason):
            list(trainer.fit(TRAIN, examples, epochs=1))
    assert everything(trainer) == before


def test_trainer_fit_refuses_images_of_another_size():
    small = Examples(np.zeros((4, 8, 8), np.uint8), np.zeros(4, np.int64))
    with pytest.raises(ArgumentError, match="the network takes images of 784 pixels, not of 8x8"):
        list(library_trainer().fit(small, epochs=1))


@pytest.mark.parametrize("steps", [STEPS + 3, 2 * STEPS])
@pytest.mark.parametrize("amount", [150, 330, 600])
def test_trainer_fit_refuses_to_go_on_with_another_number_of_images(amount, steps):
    trainer = library_trainer()
    train_until(trainer, steps)
    if steps == 2 * STEPS:
        list(trainer.fit(TRAIN, VALIDATION, epochs=2))
    before = everything(trainer)
    with pytest.raises(ArgumentError, match="begun with another number of images"):
        list(trainer.fit(digits(amount), VALIDATION, epochs=4))
    assert everything(trainer) == before


def test_totals_add_counts_losses_hits_and_images():
    totals = Totals()
    probs = np.eye(3, dtype=np.float32)
    totals.add(0.5, count_correct(probs, np.array([0, 1, 1])), 3)
    totals.add(2.0, count_correct(probs[:1], np.array([0])), 1)
    assert totals == Totals(loss=0.5 * 3 + 2.0, correct=3, images=4)


# choosing the best


def scripted(monkeypatch: pytest.MonkeyPatch, scores: Iterable[tuple[float, float]]) -> None:
    """Let validation give these accuracies and losses, one after the other."""
    results = iter([SimpleNamespace(accuracy=accuracy, loss=loss) for accuracy, loss in scores])
    monkeypatch.setattr("nnctl.train.trainer.evaluate", lambda *_: next(results))


def test_trainer_finds_the_best_epoch_by_the_highest_accuracy_and_of_equals_the_lowest_loss(monkeypatch):
    scripted(monkeypatch, [(0.5, 2.0), (0.7, 1.0), (0.7, 1.0), (0.6, 0.1), (0.7, 0.9), (0.7, 0.95)])
    trainer = trainer_of("train.epochs=6")
    reports = finish(trainer, "train.epochs=6")
    assert [report.best for report in reports] == [True, True, False, False, True, False]
    assert trainer.best == {"epoch": 5, "loss": 0.9, "accuracy": 0.7}
    assert [entry["validation_loss"] for entry in trainer.history] == [2.0, 1.0, 1.0, 0.1, 0.9, 0.95]


def test_trainer_restored_remembers_the_best_so_far(monkeypatch, tmp_path):
    scripted(monkeypatch, [(0.9, 1.0), (0.8, 1.0), (0.85, 1.0)])
    first = trainer_of()
    next(first.fit(TRAIN, VALIDATION, epochs=3))
    checkpoint.save(tmp_path / "last.npz", snapshot(first))
    trainer = from_checkpoint(tmp_path / "last.npz")
    assert trainer.best == {"epoch": 1, "loss": 1.0, "accuracy": 0.9}
    assert [report.best for report in finish(trainer)] == [False, False]


@pytest.mark.parametrize(("patience", "epochs"), [("null", 8), ("1", 3), ("2", 7), ("3", 8), ("100", 8)])
def test_trainer_bears_as_many_epochs_without_a_better_one_as_patience_says(monkeypatch, patience, epochs):
    scripted(monkeypatch, [(a, 1.0) for a in (0.5, 0.6, 0.6, 0.7, 0.8, 0.7, 0.7, 0.7)])
    overrides = ["train.epochs=8", f"train.patience={patience}"]
    trainer = trainer_of(*overrides)
    assert len(finish(trainer, *overrides)) == epochs
    assert trainer.finished(8)
    assert trainer.finished(9) == (patience in ("1", "2", "3"))


def test_trainer_without_validation_finds_nothing_best_and_its_patience_never_ends():
    trainer = trainer_of("train.patience=1")
    reports = finish(trainer, validation=NONE)
    assert len(reports) == 3
    assert trainer.best is None
    assert {(report.validation_loss, report.validation_accuracy, report.best) for report in reports} == {
        (None, None, False)
    }


# going astray


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_trainer_stops_at_the_next_step_when_a_weight_is_not_finite(value):
    trainer = trainer_of()
    trainer.network.params[-1] = value  # a bias of the output
    before = trainer.network.params.tobytes()
    with pytest.raises(DivergedError, match=r"the loss is (nan|inf) \(step 1, epoch 1\)"):
        finish(trainer)
    assert (trainer.steps, trainer.batch, trainer.optimizer.steps) == (0, 0, 0)
    assert trainer.network.params.tobytes() == before


def test_trainer_state_refuses_a_weight_that_is_not_finite():
    trainer = trainer_of()
    trainer.network.params[3] = np.nan
    with pytest.raises(DivergedError):
        trainer.state()


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_trainer_state_refuses_an_optimizer_that_remembers_no_finite_number(name):
    trainer = trainer_of(f"optimizer.name={name}")
    next(reversed(trainer.optimizer.state.values()))[5] = np.inf
    with pytest.raises(DivergedError):
        trainer.state()


def test_trainer_stops_before_an_epoch_counts_whose_validation_loss_is_not_finite(monkeypatch):
    scripted(monkeypatch, [(0.5, 1.0), (0.5, math.nan)])
    trainer = trainer_of()
    with pytest.raises(DivergedError, match="the validation loss is nan"):
        finish(trainer)
    assert trainer.epoch == len(trainer.history) == 1


# what is fed and what is reported


class Watcher:
    """Keeps a copy of each batch that a trainer learns from."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, trainer: Trainer) -> None:
        self.batches: list[tuple[np.ndarray, np.ndarray]] = []
        really_batches = trainer.batches

        def watched(examples: Examples) -> Iterator[tuple[np.ndarray, np.ndarray]]:
            for x, labels in really_batches(examples):
                self.batches.append((x.copy(), labels.copy()))
                yield x, labels

        monkeypatch.setattr(trainer, "batches", watched)


def watched(monkeypatch: pytest.MonkeyPatch, trainer: Trainer) -> list[tuple[np.ndarray, np.ndarray]]:
    """Finish training; each batch that it learned from."""
    watcher = Watcher(monkeypatch, trainer)
    finish(trainer)
    return watcher.batches


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["optimizer.momentum=0", "network.dropout=0.2"],
        ["optimizer.nesterov=true", "optimizer.weight_decay=0.01", "network.activation=tanh"],
        ["optimizer.name=adam"],
        ["optimizer.name=adamw"],
        ["loss=mse", "network.activation=sigmoid"],
        ["data.augment.name=elastic"],
    ],
    ids=str,
)
def test_trainer_takes_memory_for_arrays_in_no_step_but_the_first(overrides):
    arrays: list[int] = []  # bytes in arrays that live between two steps
    peaks: list[int] = []  # bytes that a step ever held beyond what it began with
    settings = ["network.hidden=[2000]", "train.batch_size=100", "data.augment.name=none", *overrides]
    before = 0
    for event in trainer_of(*settings).run(digits(600), epochs=1):
        if isinstance(event, EpochReport):
            break
        if event.number == 1:
            tracemalloc.start()
        else:
            peaks.append(tracemalloc.get_traced_memory()[1] - before)
            of_arrays = tracemalloc.DomainFilter(inclusive=True, domain=np.lib.tracemalloc_domain)
            arrays.append(sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces([of_arrays]).traces))
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert arrays == [0] * 5
    # what a step makes and lets go is smaller than any matrix: a number for each image, NumPy's buffer for converting
    matrix = 100 * 784 * 4
    assert max(peaks) < (0.6 if "data.augment.name=elastic" in overrides else 0.2) * matrix


def test_trainer_batches_show_every_image_once_in_an_epoch_and_shuffle_anew_in_each(monkeypatch):
    batches = watched(monkeypatch, trainer_of())
    assert [len(x) for x, _ in batches] == 3 * [*(9 * [32]), 12]
    numbers = {image.tobytes(): i for i, image in enumerate(TRAIN.images)}
    shuffles = []
    for epoch in range(3):
        of_epoch = batches[epoch * STEPS : (epoch + 1) * STEPS]
        pixels = np.rint(np.concatenate([x for x, _ in of_epoch]) * 255).astype(np.uint8)
        shuffled = [numbers[image.tobytes()] for image in pixels]
        assert sorted(shuffled) == list(range(300))
        np.testing.assert_array_equal(np.concatenate([labels for _, labels in of_epoch]), TRAIN.labels[shuffled])
        assert shuffled == stream(0, Purpose.SHUFFLE, epoch).permutation(300).tolist()
        shuffles.append(tuple(shuffled))
    assert len(set(shuffles)) == 3


@pytest.mark.parametrize("augment", ["none", "affine", "elastic"])
def test_trainer_batches_after_restoring_show_only_what_was_left_distorted_as_it_would_have_been(
    tmp_path, monkeypatch, augment
):
    override = f"data.augment.name={augment}"
    stopped = trainer_of(override)
    train_until(stopped, STEPS + 3)
    checkpoint.save(tmp_path / "last.npz", snapshot(stopped, override))
    whole = watched(monkeypatch, trainer_of(override))
    rest = watched(monkeypatch, from_checkpoint(tmp_path / "last.npz", override))
    assert len(rest) == 2 * STEPS - 3
    for (x, labels), (x_whole, labels_whole) in zip(rest, whole[STEPS + 3 :], strict=True):
        np.testing.assert_array_equal(x, x_whole)
        np.testing.assert_array_equal(labels, labels_whole)


def test_trainer_batches_distort_the_images_anew_in_each_epoch_and_leave_the_originals_alone(monkeypatch):
    before = TRAIN.images.copy()
    batches = watched(monkeypatch, trainer_of("data.augment.name=affine"))
    seen = [np.concatenate([x for x, _ in batches[epoch * STEPS :][:STEPS]]) for epoch in range(2)]
    for epoch in range(2):
        seen[epoch] = seen[epoch][np.argsort(stream(0, Purpose.SHUFFLE, epoch).permutation(300))]
        assert 0 <= seen[epoch].min() < seen[epoch].max() <= 1
        assert all(
            (image.reshape(28, 28) != original / 255).any()
            for image, original in zip(seen[epoch], TRAIN.images, strict=True)
        )
    assert all((first != second).any() for first, second in zip(*seen, strict=True))
    np.testing.assert_array_equal(TRAIN.images, before)


def test_epoch_report_says_what_a_slow_recount_says():
    overrides = ["network.dropout=0.2", "optimizer.momentum=0.9", "schedule.name=cosine", "train.epochs=2"]
    reports = finish(trainer_of(*overrides), *overrides)
    assert len(reports) == 2
    parts = trainer_of(*overrides)
    network, criterion = parts.network, parts.criterion
    work = Workspace(network, 300)
    for epoch, report in enumerate(reports):
        shuffled = stream(0, Purpose.SHUFFLE, epoch).permutation(300)
        dropout = stream(0, Purpose.DROPOUT, epoch)
        losses, right = [], 0
        for step, begin in enumerate(range(0, 300, 32), start=epoch * STEPS):
            chosen = shuffled[begin : begin + 32]
            x, labels = (TRAIN.images[chosen] / 255).astype(np.float32), TRAIN.labels[chosen]
            _, probs = criterion.forward(network.forward(x, work, dropout).copy(), labels)
            losses += [-math.log(p[label]) for p, label in zip(probs, labels, strict=True)]
            right += sum(int(p.argmax()) == label for p, label in zip(probs, labels, strict=True))
            network.backward(criterion.backward(probs, labels), work)
            rate = parts.schedule(step)
            parts.optimizer.step(network.params, network.grads, rate)
        assert len(losses) == 300
        assert report.loss == pytest.approx(sum(losses) / 300, rel=1e-5)
        assert report.accuracy == right / 300
        assert report.learning_rate == rate
        validated = evaluate(network, VALIDATION, criterion)
        assert report.validation_loss == validated.loss
        assert report.validation_accuracy == validated.accuracy
        assert report.seconds > 0
        assert report.images_per_second >= 300 / report.seconds


def test_epoch_report_after_restoring_counts_all_images_of_the_epoch(tmp_path):
    stopped = trainer_of()
    train_until(stopped, 4)
    checkpoint.save(tmp_path / "last.npz", snapshot(stopped))
    whole, rest = finish(trainer_of()), finish(from_checkpoint(tmp_path / "last.npz"))
    assert [(report.loss, report.accuracy) for report in rest] == [(report.loss, report.accuracy) for report in whole]


def test_epoch_report_of_a_clock_that_stands_still_tells_no_speed(monkeypatch):
    monkeypatch.setattr("nnctl.train.trainer.time.perf_counter", lambda: 12.5)
    reports = finish(trainer_of())
    assert [report.images_per_second for report in reports] == [0.0] * 3
    assert [report.seconds for report in reports] == [0.0] * 3


def test_trainer_history_holds_what_reports_say_but_for_the_clock():
    trainer = trainer_of()
    reports = finish(trainer)
    clock = {"seconds", "images_per_second", "best"}
    assert trainer.history == [
        {key: value for key, value in vars(report).items() if key not in clock} for report in reports
    ]


@pytest.mark.parametrize("amount", [1, 999, 1000, 1001, 2300])
def test_evaluate_gives_what_a_plain_loop_gives(amount):
    examples = digits(amount, seed=3)
    network = trainer_of("network.hidden=[16]").network
    weights = {name: view.astype(np.float64) for name, view in network.named(network.params).items()}
    hidden = examples.images.reshape(amount, 784) / 255 @ weights["hidden1.weight"] + weights["hidden1.bias"]
    logits = np.maximum(hidden, 0) @ weights["output.weight"] + weights["output.bias"]
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    result = evaluate(network, examples, SoftmaxCrossEntropy())
    np.testing.assert_allclose(result.probs, expected, rtol=1e-4, atol=1e-6)
    assert result.loss == pytest.approx(-np.log(expected[np.arange(amount), examples.labels]).mean(), rel=1e-5)
    assert result.accuracy == np.mean(expected.argmax(axis=1) == examples.labels)
    np.testing.assert_array_equal(result.labels, examples.labels)
    by_default = evaluate(network, examples)  # the cross-entropy of a softmax
    assert by_default.loss == result.loss
    np.testing.assert_array_equal(by_default.probs, result.probs)


def test_evaluate_neither_learns_nor_drops():
    network, undropped = (trainer_of(f"network.dropout={rate}").network for rate in (0.9, 0))
    predicted = evaluate(network, VALIDATION, SoftmaxCrossEntropy())
    np.testing.assert_array_equal(predicted.probs, evaluate(undropped, VALIDATION, SoftmaxCrossEntropy()).probs)
    np.testing.assert_array_equal(network.params, undropped.params)


@pytest.mark.parametrize("examples", [NONE, Examples(TRAIN.images, TRAIN.labels + 1)], ids=["none", "other classes"])
def test_evaluate_refuses_wrong_examples(examples):
    with pytest.raises(ArgumentError, match=r"no examples|the network has 10 outputs"):
        evaluate(trainer_of().network, examples)


def test_trainer_learns_the_same_whether_or_not_it_validates():
    digests = set()
    for validation in (VALIDATION, NONE):
        trainer = trainer_of("network.dropout=0.3")
        finish(trainer, validation=validation)
        digests.add(trainer.network.params.tobytes())
    assert len(digests) == 1
