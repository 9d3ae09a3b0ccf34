"""Training: it learns, it repeats itself to the bit, it can be stopped anywhere, and it says when it goes astray."""

import math
import random
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nnctl import build, checkpoint, config, train
from nnctl.build import Purpose
from nnctl.checkpoint import Checkpoint
from nnctl.data.examples import Examples
from nnctl.errors import CheckpointError, ConfigError, DivergedError, StoppedError
from nnctl.nn.losses import SoftmaxCrossEntropy
from nnctl.nn.network import Workspace
from nnctl.train import EpochReport, Training, evaluate, fit

SMALL = ("network.hidden=[8]", "train.epochs=3", "train.batch_size=32", "data.augment.name=none")
STEPS = 10  # of an epoch: 300 images, 32 at a time, of which the last batch has 12


def digits(amount: int, seed: int = 0) -> Examples:
    """Pictures that are as dark and as hard to tell apart as digits: ten shapes, each a fifth lit, under noise."""
    shapes = np.random.default_rng(28).random((10, 28, 28)) < 0.2
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, amount)
    lit = np.where(rng.random((amount, 28, 28)) < 0.4, shapes[labels], rng.random((amount, 28, 28)) < 0.2)
    return Examples((lit * rng.integers(0, 256, lit.shape)).astype(np.uint8), labels)


TRAIN, VALIDATION, NONE = digits(300), digits(90, seed=1), digits(0)


def training_of(*overrides: str) -> Training:
    settings = config.load(None, [*SMALL, *overrides], environ={}).config
    return Training(build.plan(settings, len(TRAIN)))


def ignore(_: Training, __: bool) -> None:
    """Save nothing."""


def finish(training: Training, validation: Examples = VALIDATION, **options: Any) -> list[EpochReport]:
    return list(fit(training, TRAIN, validation, **{"save": ignore} | options))


def after(steps: int, training: Training, signal: int = 15) -> Callable[[], int | None]:
    """A `stop` that asks for the end once so many steps are done."""
    return lambda: signal if training.step >= steps else None


def saver(path: Path) -> Callable[[Training, bool], None]:
    return lambda training, _: checkpoint.save(path, training.checkpoint({}))


def stopped_after(steps: int, path: Path, training: Training) -> None:
    with pytest.raises(StoppedError):
        finish(training, save=saver(path), stop=after(steps, training))


def resumed(path: Path, *overrides: str) -> Training:
    training = training_of(*overrides)
    training.resume(checkpoint.load(path), str(path))
    return training


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
def test_the_network_learns(overrides):
    reports = finish(training_of("train.epochs=15", *overrides))
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
def test_the_same_seed_gives_the_same_bits_and_another_seed_others(overrides, dropout):
    digests = []
    for seed in ("seed=1", "seed=1", "seed=2"):
        training = training_of(seed, f"network.dropout={dropout}", *overrides)
        finish(training)
        digests.append(training.checkpoint({}).digest())
    assert digests[0] == digests[1] != digests[2]


@each_variant
@with_and_without_dropout
def test_resuming_anywhere_gives_the_bits_of_a_run_that_never_stopped(tmp_path, overrides, dropout):
    overrides = [f"network.dropout={dropout}", *overrides]
    whole = training_of(*overrides)
    finish(whole)
    expected = whole.checkpoint({}).digest()
    ends_of_epochs = [STEPS, 2 * STEPS]
    within_epochs = [step for step in range(1, 3 * STEPS) if step % STEPS]
    for step in [*ends_of_epochs, *random.Random(dropout).sample(within_epochs, 8)]:
        path = tmp_path / f"{step}.npz"
        stopped_after(step, path, training_of(*overrides))
        training = resumed(path, *overrides)
        assert training.step == step
        finish(training)
        assert training.checkpoint({}).digest() == expected, f"after {step} steps"
        assert training.history == whole.history


@each_variant
def test_a_run_stopped_again_and_again_ends_with_the_same_bits(tmp_path, overrides):
    overrides = ["network.dropout=0.2", *overrides]
    whole = training_of(*overrides)
    finish(whole)
    path = tmp_path / "last.npz"
    checkpoint.save(path, training_of(*overrides).checkpoint({}))
    while not (training := resumed(path, *overrides)).finished:
        with suppress(StoppedError):
            finish(training, save=saver(path), stop=after(training.step + 4, training))
    assert checkpoint.load(path).digest() == whole.checkpoint({}).digest()


@with_and_without_dropout
def test_a_run_killed_after_an_epoch_resumes_from_the_save_of_that_epoch(tmp_path, dropout):
    overrides = [f"network.dropout={dropout}", "optimizer.name=adam"]
    whole = training_of(*overrides)
    finish(whole)
    for epochs in (1, 2):
        path = tmp_path / f"{epochs}.npz"
        reports = fit(training_of(*overrides), TRAIN, VALIDATION, save=saver(path))
        for _ in range(epochs):
            next(reports)
        training = resumed(path, *overrides)
        assert (training.epoch, training.batch, training.step) == (epochs, 0, epochs * STEPS)
        finish(training)
        assert training.checkpoint({}).digest() == whole.checkpoint({}).digest()


def test_epochs_can_be_added_to_a_finished_run(tmp_path):
    constant = ["schedule.name=constant", "network.dropout=0.2"]
    long = training_of("train.epochs=4", *constant)
    finish(long)
    finish(training_of("train.epochs=2", *constant), save=saver(tmp_path / "last.npz"))
    assert resumed(tmp_path / "last.npz", "train.epochs=2", *constant).finished
    training = resumed(tmp_path / "last.npz", "train.epochs=4", *constant)
    assert [report.epoch for report in finish(training)] == [3, 4]
    assert training.checkpoint({}).digest() == long.checkpoint({}).digest()


@pytest.mark.parametrize(
    ("override", "path"),
    [
        ("seed=9", "seed"),
        ("network.hidden=[9]", "network.hidden"),
        ("network.dropout=0.5", "network.dropout"),
        ("loss=mse", "loss"),
        ("optimizer.learning_rate=0.123", "optimizer.learning_rate"),
        ("schedule.name=cosine", "schedule.name"),
        ("train.batch_size=16", "train.batch_size"),
        ("data.validation=7", "data.validation"),
        ("data.train_limit=100", "data.train_limit"),
        ("data.dataset=kmnist", "data.dataset"),
    ],
)
def test_a_run_cannot_be_resumed_with_another_setting_that_matters(tmp_path, override, path):
    saver(tmp_path / "last.npz")(training_of(), False)
    with pytest.raises(ConfigError) as caught:
        resumed(tmp_path / "last.npz", override)
    assert caught.value.message.startswith(f"{tmp_path / 'last.npz'}: cannot be resumed with another ")
    assert path in caught.value.message.partition("another ")[2].split(", ")
    assert "train.epochs" in caught.value.hint


def test_all_settings_that_differ_are_named_at_once(tmp_path):
    saver(tmp_path / "last.npz")(training_of("optimizer.name=sgd"), False)
    with pytest.raises(ConfigError, match=r"another optimizer\.beta1, .*optimizer\.name, .*seed"):
        resumed(tmp_path / "last.npz", "seed=3", "optimizer.name=adam", "train.epochs=30")


@pytest.mark.parametrize(
    "override",
    [
        *("data.dir=elsewhere", "data.offline=true", "train.epochs=7", "train.patience=3", "train.checkpoint_every=2"),
        "train.threads=2",
    ],
)
def test_a_setting_that_changes_no_step_may_change(tmp_path, override):
    assert override.partition("=")[0] in train.MAY_CHANGE
    saver(tmp_path / "last.npz")(training_of(), False)
    resumed(tmp_path / "last.npz", override)


def damaged(state: Checkpoint, part: str, change: dict[str, Any], *, drop: str = "") -> Checkpoint:
    values: Any = {key: value for key, value in getattr(state, part).items() if key != drop} | change
    return replace(state, **{part: values})


@pytest.mark.parametrize(
    "damage",
    [
        lambda state: damaged(state, "params", {}, drop="output.bias"),
        lambda state: damaged(state, "params", {"output.bias": np.ones((1, 10), np.float32)}),
        lambda state: damaged(state, "params", {"more": np.ones(1, np.float32)}),
        lambda state: damaged(state, "optimizer", {}, drop="velocity"),
        lambda state: damaged(state, "optimizer", {"velocity": np.ones(1, np.float32)}),
        lambda state: damaged(state, "optimizer", {"more": np.ones(1, np.float32)}),
        lambda state: replace(state, meta=replace(state.meta, generators={})),
        lambda state: replace(state, meta=replace(state.meta, generators={"dropout": 5})),
        lambda state: replace(state, meta=replace(state.meta, generators={"dropout": {"bit_generator": "MT19937"}})),
        lambda state: replace(
            state,
            meta=replace(state.meta, generators={"dropout": state.meta.generators["dropout"] | {"uinteger": 2**70}}),
        ),
        lambda state: replace(state, meta=replace(state.meta, totals={"guesses": 3})),
    ],
)
def test_a_checkpoint_that_contradicts_its_configuration_is_refused(damage):
    state = training_of("optimizer.momentum=0.9").checkpoint({})
    with pytest.raises(CheckpointError, match=r"last\.npz: .* configuration"):
        training_of("optimizer.momentum=0.9").resume(damage(state), "last.npz")


# saving and stopping


class Recorder:
    """A `save` that remembers where it was called, and keeps the digest of each state."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int, int, bool]] = []

    def __call__(self, training: Training, best: bool) -> None:
        assert np.isfinite(training.checkpoint({}).params["output.weight"]).all()
        self.calls.append((training.epoch, training.batch, training.step, best))


def test_every_epoch_is_saved_before_it_is_reported():
    saves = Recorder()
    for epoch, report in enumerate(fit(training_of(), TRAIN, NONE, save=saves), start=1):
        assert report.epoch == epoch
        assert saves.calls == [(e, 0, e * STEPS, False) for e in range(1, epoch + 1)]
    assert len(saves.calls) == 3


def test_an_interval_saves_within_epochs_too():
    saves = Recorder()
    finish(training_of("train.checkpoint_every=4", "train.epochs=2"), NONE, save=saves)
    assert [step for *_, step, _ in saves.calls] == [4, 8, 10, 12, 16, 20, 20]
    assert (0, 4, 4, False) in saves.calls
    assert (1, 2, 12, False) in saves.calls


@pytest.mark.parametrize(("signal", "exit_code"), [(2, 130), (15, 143)])
@pytest.mark.parametrize("steps", [1, 7, STEPS, STEPS + 1])
def test_a_stop_saves_and_ends_at_once(signal, exit_code, steps):
    saves, training = Recorder(), training_of()
    with pytest.raises(StoppedError) as caught:
        finish(training, save=saves, stop=after(steps, training, signal))
    assert training.step == steps
    assert saves.calls[-1][2] == steps
    assert sum(step == steps for *_, step, _ in saves.calls) == 1
    assert caught.value.exit_code == exit_code
    assert f"step {steps}" in caught.value.message
    assert "--resume" in caught.value.hint


def test_a_stop_asked_for_while_validating_ends_after_the_report():
    saves, asked = Recorder(), list[bool]()
    reports = fit(training_of(), TRAIN, VALIDATION, save=saves, stop=lambda: 15 if asked else None)
    next(reports)
    asked.append(True)
    with pytest.raises(StoppedError):
        next(reports)
    assert [step for *_, step, _ in saves.calls] == [STEPS]


def test_a_finished_run_does_nothing_more():
    training = training_of()
    finish(training)
    saves = Recorder()
    assert finish(training, save=saves) == []
    assert saves.calls == []


# choosing the best


def scripted(monkeypatch: pytest.MonkeyPatch, scores: Iterable[tuple[float, float]]) -> None:
    """Let validation give these accuracies and losses, one after the other."""
    results = iter([SimpleNamespace(accuracy=accuracy, loss=loss) for accuracy, loss in scores])
    monkeypatch.setattr(train, "evaluate", lambda *_: next(results))


def test_the_best_epoch_has_the_highest_accuracy_and_of_equals_the_lowest_loss(monkeypatch):
    scripted(monkeypatch, [(0.5, 2.0), (0.7, 1.0), (0.7, 1.0), (0.6, 0.1), (0.7, 0.9), (0.7, 0.95)])
    saves, training = Recorder(), training_of("train.epochs=6")
    reports = finish(training, save=saves)
    assert [report.best for report in reports] == [True, True, False, False, True, False]
    assert [best for *_, best in saves.calls] == [True, True, False, False, True, False]
    assert training.best == {"epoch": 5, "loss": 0.9, "accuracy": 0.7}
    assert [entry["validation_loss"] for entry in training.history] == [2.0, 1.0, 1.0, 0.1, 0.9, 0.95]


def test_the_best_so_far_survives_a_resume(monkeypatch, tmp_path):
    scripted(monkeypatch, [(0.9, 1.0), (0.8, 1.0), (0.85, 1.0)])
    reports = fit(training_of(), TRAIN, VALIDATION, save=saver(tmp_path / "last.npz"))
    next(reports)
    training = resumed(tmp_path / "last.npz")
    assert training.best == {"epoch": 1, "loss": 1.0, "accuracy": 0.9}
    assert [report.best for report in finish(training)] == [False, False]


@pytest.mark.parametrize(("patience", "epochs"), [("null", 8), ("1", 3), ("2", 7), ("3", 8), ("100", 8)])
def test_patience_is_how_many_epochs_without_a_better_one_are_borne(monkeypatch, patience, epochs):
    scripted(monkeypatch, [(a, 1.0) for a in (0.5, 0.6, 0.6, 0.7, 0.8, 0.7, 0.7, 0.7)])
    assert len(finish(training_of("train.epochs=8", f"train.patience={patience}"))) == epochs


def test_without_validation_nothing_is_best_and_patience_never_ends():
    saves, training = Recorder(), training_of("train.patience=1")
    reports = finish(training, NONE, save=saves)
    assert len(reports) == 3
    assert training.best is None
    assert not any(best for *_, best in saves.calls)
    assert {(report.validation_loss, report.validation_accuracy, report.best) for report in reports} == {
        (None, None, False)
    }


# going astray


@pytest.mark.parametrize("rate", [1e6, 1e10, 1e30, 1e300])
@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_a_runaway_learning_rate_ends_in_one_error_and_saves_nothing_broken(tmp_path, name, rate):
    path, training = (
        tmp_path / "last.npz",
        training_of(
            "network.hidden=[16,16,16]",
            f"optimizer.name={name}",
            f"optimizer.learning_rate={rate}",
            "schedule.name=constant",
            "optimizer.weight_decay=0.1",
            "train.epochs=20",
            "train.checkpoint_every=1",
        ),
    )
    saved = []

    def save(training: Training, _: bool) -> None:
        checkpoint.save(path, training.checkpoint({}))
        saved.append(training.step)

    with pytest.raises(DivergedError) as caught:
        finish(training, save=save)
    assert caught.value.exit_code == 7
    assert f"(step {training.step + 1}, epoch {training.epoch + 1})" in caught.value.message
    assert "lower optimizer.learning_rate" in caught.value.hint
    assert saved == list(range(1, len(saved) + 1))
    if saved:
        checkpoint.load(path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_weight_that_is_not_finite_stops_training_at_the_next_step(value):
    training = training_of()
    training.plan.network.params[-1] = value  # a bias of the output
    saves = Recorder()
    with pytest.raises(DivergedError, match=r"the loss is (nan|inf) \(step 1, epoch 1\)"):
        finish(training, save=saves)
    assert saves.calls == []


def test_a_weight_that_is_not_finite_is_never_made_a_checkpoint():
    training = training_of()
    training.plan.network.params[3] = np.nan
    with pytest.raises(DivergedError):
        training.checkpoint({})


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_an_optimizer_that_remembers_no_finite_number_is_never_made_a_checkpoint(name):
    training = training_of(f"optimizer.name={name}")
    next(reversed(training.plan.optimizer.state.values()))[5] = np.inf
    with pytest.raises(DivergedError):
        training.checkpoint({})


def test_a_validation_loss_that_is_not_finite_stops_training_before_the_epoch_counts(monkeypatch):
    scripted(monkeypatch, [(0.5, 1.0), (0.5, math.nan)])
    saves, training = Recorder(), training_of()
    with pytest.raises(DivergedError, match="the validation loss is nan"):
        finish(training, save=saves)
    assert len(saves.calls) == len(training.history) == 1


# what is fed and what is reported


class Watcher:
    """A `progress` that keeps a copy of each batch."""

    def __init__(self) -> None:
        self.batches: list[tuple[np.ndarray, np.ndarray]] = []

    def __call__(self, batches: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for x, labels in batches:
            self.batches.append((x.copy(), labels.copy()))
            yield x, labels


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
def test_no_step_but_the_first_takes_memory_for_arrays(overrides):
    arrays: list[int] = []  # bytes in arrays that live between two steps
    peaks: list[int] = []  # bytes that a step ever held beyond what it began with

    def watch(batches: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        before = 0
        for i, batch in enumerate(batches):
            if i == 1:
                tracemalloc.start()
            if i > 1:
                peaks.append(tracemalloc.get_traced_memory()[1] - before)
                of_arrays = tracemalloc.DomainFilter(inclusive=True, domain=np.lib.tracemalloc_domain)
                arrays.append(
                    sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces([of_arrays]).traces)
                )
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            yield batch
        tracemalloc.stop()

    settings = ["network.hidden=[2000]", "train.batch_size=100", "train.epochs=1", "data.augment.name=none", *overrides]
    next(fit(training_of(*settings), digits(600), NONE, save=ignore, progress=watch))
    assert arrays == [0] * 4
    # what a step makes and lets go is smaller than any matrix: a number for each image, NumPy's buffer for converting
    matrix = 100 * 784 * 4
    assert max(peaks) < (0.6 if "data.augment.name=elastic" in overrides else 0.2) * matrix


def test_each_epoch_shows_every_image_once_in_an_order_of_its_own():
    watcher = Watcher()
    finish(training_of(), progress=watcher)
    assert [len(x) for x, _ in watcher.batches] == 3 * [*(9 * [32]), 12]
    numbers = {image.tobytes(): i for i, image in enumerate(TRAIN.images)}
    orders = []
    for epoch in range(3):
        batches = watcher.batches[epoch * STEPS : (epoch + 1) * STEPS]
        pixels = np.rint(np.concatenate([x for x, _ in batches]) * 255).astype(np.uint8)
        order = [numbers[image.tobytes()] for image in pixels]
        assert sorted(order) == list(range(300))
        np.testing.assert_array_equal(np.concatenate([labels for _, labels in batches]), TRAIN.labels[order])
        assert order == build.stream(0, Purpose.ORDER, epoch).permutation(300).tolist()
        orders.append(tuple(order))
    assert len(set(orders)) == 3


@pytest.mark.parametrize("augment", ["none", "affine", "elastic"])
def test_a_resumed_epoch_shows_only_the_images_that_were_left_deformed_as_they_would_have_been(tmp_path, augment):
    override = f"data.augment.name={augment}"
    stopped_after(STEPS + 3, tmp_path / "last.npz", training_of(override))
    whole, rest = Watcher(), Watcher()
    finish(training_of(override), progress=whole)
    finish(resumed(tmp_path / "last.npz", override), progress=rest)
    assert len(rest.batches) == 2 * STEPS - 3
    for (x, labels), (x_whole, labels_whole) in zip(rest.batches, whole.batches[STEPS + 3 :], strict=True):
        np.testing.assert_array_equal(x, x_whole)
        np.testing.assert_array_equal(labels, labels_whole)


def test_each_epoch_deforms_the_images_anew_and_leaves_the_originals_alone():
    watcher, before = Watcher(), TRAIN.images.copy()
    finish(training_of("data.augment.name=affine"), progress=watcher)
    seen = [np.concatenate([x for x, _ in watcher.batches[epoch * STEPS :][:STEPS]]) for epoch in range(2)]
    for epoch in range(2):
        seen[epoch] = seen[epoch][np.argsort(build.stream(0, Purpose.ORDER, epoch).permutation(300))]
        assert 0 <= seen[epoch].min() < seen[epoch].max() <= 1
        assert all(
            (image.reshape(28, 28) != original / 255).any()
            for image, original in zip(seen[epoch], TRAIN.images, strict=True)
        )
    assert all((first != second).any() for first, second in zip(*seen, strict=True))
    np.testing.assert_array_equal(TRAIN.images, before)


def test_reports_say_what_a_slow_recount_says():
    overrides = ["network.dropout=0.2", "optimizer.momentum=0.9", "schedule.name=cosine", "train.epochs=2"]
    reports = finish(training_of(*overrides))
    plan = training_of(*overrides).plan
    work = Workspace(plan.network, 300)
    for epoch, report in enumerate(reports):
        order = build.stream(0, Purpose.ORDER, epoch).permutation(300)
        dropout = build.stream(0, Purpose.DROPOUT, epoch)
        losses, right = [], 0
        for step, begin in enumerate(range(0, 300, 32), start=epoch * STEPS):
            chosen = order[begin : begin + 32]
            x, labels = (TRAIN.images[chosen] / 255).astype(np.float32), TRAIN.labels[chosen]
            _, probs = plan.criterion.forward(plan.network.forward(x, work, dropout).copy(), labels)
            losses += [-math.log(p[label]) for p, label in zip(probs, labels, strict=True)]
            right += sum(int(p.argmax()) == label for p, label in zip(probs, labels, strict=True))
            plan.network.backward(plan.criterion.backward(probs, labels), work)
            rate = plan.schedule(step)
            plan.optimizer.step(plan.network.params, plan.network.grads, rate)
        assert len(losses) == 300
        assert report.loss == pytest.approx(sum(losses) / 300, rel=1e-5)
        assert report.accuracy == right / 300
        assert report.learning_rate == rate
        validated = evaluate(plan.network, plan.criterion, VALIDATION)
        assert report.validation_loss == validated.loss
        assert report.validation_accuracy == validated.accuracy
        assert report.seconds > 0
        assert report.images_per_second >= 300 / report.seconds


def test_an_epoch_finished_after_a_resume_reports_all_of_its_images(tmp_path):
    stopped_after(4, tmp_path / "last.npz", training_of())
    whole, rest = finish(training_of()), finish(resumed(tmp_path / "last.npz"))
    assert [(report.loss, report.accuracy) for report in rest] == [(report.loss, report.accuracy) for report in whole]


def test_history_holds_what_reports_say_but_for_the_clock():
    training = training_of()
    reports = finish(training)
    clock = {"seconds", "images_per_second", "best"}
    assert training.history == [
        {key: value for key, value in vars(report).items() if key not in clock} for report in reports
    ]


@pytest.mark.parametrize("amount", [1, 999, 1000, 1001, 2300])
def test_evaluating_gives_what_a_plain_loop_gives(amount):
    examples = digits(amount, seed=3)
    network = training_of("network.hidden=[16]").plan.network
    weights = {name: view.astype(np.float64) for name, view in network.named(network.params).items()}
    hidden = examples.images.reshape(amount, 784) / 255 @ weights["hidden1.weight"] + weights["hidden1.bias"]
    logits = np.maximum(hidden, 0) @ weights["output.weight"] + weights["output.bias"]
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    result = evaluate(network, SoftmaxCrossEntropy(), examples)
    np.testing.assert_allclose(result.probs, expected, rtol=1e-4, atol=1e-6)
    assert result.loss == pytest.approx(-np.log(expected[np.arange(amount), examples.labels]).mean(), rel=1e-5)
    assert result.accuracy == np.mean(expected.argmax(axis=1) == examples.labels)
    np.testing.assert_array_equal(result.labels, examples.labels)


def test_evaluating_neither_learns_nor_drops():
    network, undropped = (training_of(f"network.dropout={rate}").plan.network for rate in (0.9, 0))
    answers = evaluate(network, SoftmaxCrossEntropy(), VALIDATION)
    np.testing.assert_array_equal(answers.probs, evaluate(undropped, SoftmaxCrossEntropy(), VALIDATION).probs)
    np.testing.assert_array_equal(network.params, undropped.params)


def test_validation_leaves_training_as_it_is():
    digests = set()
    for validation in (VALIDATION, NONE):
        training = training_of("network.dropout=0.3")
        finish(training, validation)
        digests.add(training.plan.network.params.tobytes())
    assert len(digests) == 1
