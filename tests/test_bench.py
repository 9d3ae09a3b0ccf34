"""The bench: it times the training that users run, beside the matrix products that this training is made of."""

import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nnctl import bench, build, config
from nnctl.bench import parts
from nnctl.bench.parts import Place
from nnctl.errors import DivergedError
from nnctl.train import Trainer

BATCH = 8
PLAIN = ("network.hidden=[6]", "data.augment.name=none", f"train.batch_size={BATCH}")
CASES = {
    "plain": (),
    "no hidden layer": ("network.hidden=[]",),
    "two hidden layers": ("network.hidden=[6,5]", "network.activation=tanh"),
    "squared error": ("loss=mse", "network.activation=sigmoid", "network.dropout=0.5"),
    "dropout": ("network.hidden=[6,5]", "network.dropout=0.5"),
    "adam": ("optimizer.name=adam",),
    "decay": ("optimizer.name=adamw", "optimizer.weight_decay=0.1"),
    "affine": ("data.augment.name=affine",),
    "elastic": ("data.augment.name=elastic", "network.dropout=0.5"),
}
cases = pytest.mark.parametrize("overrides", CASES.values(), ids=CASES)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bench of few images and little patience, for tests that do not look at the numbers."""
    for name, value in {"IMAGES": 30 * BATCH, "WARM_UP": 0.001, "ROUND": 0.001, "CLOCKED": 0.002}.items():
        monkeypatch.setattr(bench, name, value)


def trainer_of(*overrides: str) -> Trainer:
    return build.trainer(config.load(None, [*PLAIN, *overrides], environ={}).config, 240)


def spy_on_products(monkeypatch: pytest.MonkeyPatch, seen: Callable[..., None]) -> None:
    """Let every product of two matrices be seen."""
    matmul = np.matmul

    def spy(a: Any, b: Any, out: Any = None) -> Any:
        seen(a, b, out)
        return matmul(a, b, out=out)

    monkeypatch.setattr(np, "matmul", spy)


def train_one_epoch(trainer: Trainer, examples: Any) -> None:
    next(trainer.fit(examples, epochs=1))


# what is measured


@cases
def test_clocked_steps_leave_the_bits_that_training_leaves(overrides: tuple[str, ...]) -> None:
    examples = bench.random_examples(5 * BATCH)
    plain, clocked = trainer_of(*overrides), trainer_of(*overrides)
    first_weights = plain.network.params.copy()

    train_one_epoch(plain, examples)
    parts.clocked_steps(clocked, examples, 5)

    assert plain.steps == clocked.steps == 5
    assert not np.array_equal(plain.network.params, first_weights)
    assert plain.network.params.tobytes() == clocked.network.params.tobytes()
    for name, array in plain.optimizer.state.items():
        assert array.tobytes() == clocked.optimizer.state[name].tobytes()


def test_clocked_steps_take_as_many_as_asked_for_whatever_an_epoch_has() -> None:
    trainer, examples = trainer_of(), bench.random_examples(5 * BATCH)
    for steps in (3, 12):
        before = trainer.steps
        parts.clocked_steps(trainer, examples, steps)
        assert trainer.steps == before + steps


@cases
def test_bare_products_are_those_of_training_in_their_order(
    overrides: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = trainer_of(*overrides)
    products = bench.bare_products(trainer.network, BATCH)
    seen: list[tuple[Any, ...]] = []

    def note(a: Any, b: Any, out: Any) -> None:
        if out is not None:  # an augmentation multiplies matrices as well, though not into memory of its caller's
            seen.append((a.shape, b.shape, out.shape))

    spy_on_products(monkeypatch, note)
    train_one_epoch(trainer, bench.random_examples(BATCH))
    assert [(a.shape, b.shape, out.shape) for a, b, out in products] == seen


def test_bare_products_of_two_hidden_layers_are_eight() -> None:
    products = bench.bare_products(trainer_of("network.hidden=[6,5]").network, BATCH)
    assert [(a.shape, b.shape) for a, b, _ in products] == [
        ((8, 784), (784, 6)),
        ((8, 6), (6, 5)),
        ((8, 5), (5, 10)),
        ((5, 8), (8, 10)),
        ((8, 10), (10, 5)),
        ((6, 8), (8, 5)),
        ((8, 5), (5, 6)),
        ((784, 8), (8, 6)),
    ]
    assert all(a.dtype == b.dtype == out.dtype == np.float32 for a, b, out in products)


def test_bare_products_multiply_with_weights_but_change_none() -> None:
    network = trainer_of().network
    before = network.params.copy()
    products = bench.bare_products(network, BATCH)
    assert [np.shares_memory(b, network.params) for _, b, _ in products] == [True, True, False, True, False]
    bench._product_seconds(products, 2)
    assert network.params.tobytes() == before.tobytes()


def test_random_examples_are_as_dark_as_digits() -> None:
    examples = bench.random_examples(500)
    assert examples.images.shape == (500, 28, 28)
    assert np.mean(examples.images == 0) == pytest.approx(0.8, abs=0.01)
    assert examples.images.max() == 255
    assert set(examples.labels.tolist()) == set(range(10))


# how it is timed


@pytest.fixture
def clockwork(monkeypatch: pytest.MonkeyPatch) -> Callable[[Trainer], None]:
    """A clock that only a matrix product (1 s) and the optimizer of a trainer (2 s) move."""
    now = [0.0]
    for module in (bench, parts):
        monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def drive(trainer: Trainer) -> None:
        update: Callable[..., None] = trainer.optimizer.step

        def step(*args: Any, lr: float) -> None:
            update(*args, lr=lr)
            now[0] += 2

        def tick(*_: Any) -> None:
            now[0] += 1

        monkeypatch.setattr(trainer.optimizer, "step", step)
        spy_on_products(monkeypatch, tick)

    return drive


def test_measure_puts_every_second_where_it_was_spent(clockwork: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "IMAGES", 5 * BATCH)
    monkeypatch.setattr(bench, "ROUND", 14)  # two steps: an epoch of five ends within its third round
    trainer = trainer_of()
    clockwork(trainer)
    measured = bench.measure(trainer)

    assert measured.rounds == bench.ROUNDS
    assert measured.step_microseconds == 7e6
    assert measured.bound_microseconds == 5e6
    assert measured.ratio == pytest.approx(7 / 5)
    assert measured.product_share == pytest.approx(5 / 7)
    assert measured.images_per_second == pytest.approx(BATCH / 7)
    operations = 2 * BATCH * (2 * 784 * 6 + 3 * 6 * 10)
    assert measured.operations == operations
    assert measured.step_gflops == pytest.approx(operations / 7 / 1e9)
    assert measured.bound_gflops == pytest.approx(operations / 5 / 1e9)
    assert {part.place: part.microseconds / 1e6 for part in measured.parts if part.microseconds} == {
        Place("forward", "hidden1"): 1,
        Place("forward", "output"): 1,
        Place("backward", "output", "params"): 1,
        Place("backward", "output", "inputs"): 1,
        Place("backward", "hidden1", "params"): 1,
        Place("optimizer"): 2,
    }
    assert [part.share for part in measured.parts if part.place.phase == "optimizer"] == [pytest.approx(2 / 7)]


@pytest.mark.parametrize("epoch", [100, 5])
def test_timed_rounds_let_training_and_products_take_turns(
    clockwork: Any, monkeypatch: pytest.MonkeyPatch, epoch: int
) -> None:
    monkeypatch.setattr(bench, "ROUND", 14)  # two steps
    trainer = trainer_of()
    clockwork(trainer)
    products = bench.bare_products(trainer.network, BATCH)
    own = {id(out) for _, _, out in products if not np.shares_memory(out, trainer.network.grads)}
    grads = {id(out) for _, _, out in products} - own  # training and bare products both write there
    turns: list[bool] = []

    def note(_: Any, __: Any, out: Any) -> None:
        if id(out) not in grads:
            turns.append(id(out) in own)

    spy_on_products(monkeypatch, note)
    bench.timed_rounds(trainer, bench.random_examples(epoch * BATCH), products)
    lengths = [(bare, len(list(group)) // 3) for bare, group in itertools.groupby(turns)]
    # one step to warm up; where an epoch has five, the last one of each later epoch makes no round and is not counted
    steps = [3, 2, 2, 2, 2, 2, 2, 2, 2] if epoch == 100 else [3, 2, 2, 2, 3, 2, 3, 2, 3]
    assert lengths == [turn for count in steps for turn in ((False, count), (True, 2))]


@pytest.mark.usefixtures("quick")
def test_measure_times_a_batch_as_large_as_all_images() -> None:
    measured = bench.measure(trainer_of("train.batch_size=500"))
    assert measured.batch_size == 500
    assert measured.rounds == bench.ROUNDS


@pytest.mark.usefixtures("quick")
def test_measure_never_diverges_however_high_the_learning_rate() -> None:
    trainer = trainer_of("optimizer.learning_rate=1e30", "schedule.name=constant")
    assert bench.measure(trainer).ratio > 0
    assert np.isfinite(trainer.network.params).all()


@pytest.mark.usefixtures("quick")
def test_measure_goes_on_after_the_epochs_that_were_asked_for() -> None:
    assert bench.measure(trainer_of("train.epochs=1")).rounds == bench.ROUNDS


@pytest.mark.usefixtures("quick")
def test_measure_takes_full_batches_only(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: set[int] = set()
    trainer = trainer_of("train.batch_size=7")
    forward = trainer.network.forward

    def spy(x: Any, *rest: Any) -> Any:
        sizes.add(len(x))
        return forward(x, *rest)

    monkeypatch.setattr(trainer.network, "forward", spy)
    bench.measure(trainer)
    assert sizes == {7}


# how it is told


EXPECTED = {
    "plain": "data, forward flatten, forward hidden1, forward relu1, forward output, loss, accuracy, loss gradient, "
    "backward output params, backward output inputs, backward relu1, backward hidden1 params, optimizer",
    "no hidden layer": "data, forward flatten, forward output, loss, accuracy, loss gradient, backward output params, "
    "optimizer",
    "squared error": "data, forward flatten, forward hidden1, forward sigmoid1, forward dropout1, forward output, "
    "loss, accuracy, loss gradient, backward output params, backward output inputs, backward dropout1, "
    "backward sigmoid1, backward hidden1 params, optimizer",
    "affine": "data, augmentation, forward flatten, forward hidden1, forward relu1, forward output, loss, "
    "accuracy, loss gradient, backward output params, backward output inputs, backward relu1, backward hidden1 params, "
    "optimizer",
}


@pytest.mark.parametrize("case", EXPECTED)
@pytest.mark.usefixtures("quick")
def test_measure_names_the_parts_after_the_layers_in_the_order_of_a_step(case: str) -> None:
    measured = bench.measure(trainer_of(*CASES[case]))
    assert ", ".join(" ".join(filter(None, part.place)) for part in measured.parts) == EXPECTED[case]


@cases
@pytest.mark.usefixtures("quick")
def test_measure_gives_shares_that_make_a_whole(overrides: tuple[str, ...]) -> None:
    measured = bench.measure(trainer_of(*overrides))
    total = sum(part.microseconds for part in measured.parts)
    assert sum(part.share for part in measured.parts) == pytest.approx(1)
    assert all(part.share == pytest.approx(part.microseconds / total) for part in measured.parts)
    assert all(part.microseconds > 0 for part in measured.parts)


def own_operations(trainer: Trainer) -> list[str]:
    """The operations that a part of a trainer has beside those of its class."""
    owners = [*trainer.network.layers, trainer.criterion, trainer.optimizer, trainer.augmenter]
    return [name for owner in owners if owner for name in vars(owner) if callable(getattr(owner, name))]


@pytest.mark.usefixtures("quick")
def test_measure_takes_the_clocks_off_afterwards() -> None:
    trainer = trainer_of("data.augment.name=affine")
    bench.measure(trainer)
    assert trainer.augmenter is not None
    assert own_operations(trainer) == []


def test_clocked_steps_put_back_an_operation_that_was_there_before(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = trainer_of()
    calls: list[float] = []

    def step(_: Any, __: Any, lr: float) -> None:
        calls.append(lr)

    monkeypatch.setattr(trainer.optimizer, "step", step)
    parts.clocked_steps(trainer, bench.random_examples(2 * BATCH), 2)
    assert len(calls) == 2
    assert trainer.optimizer.step is step


def test_clocked_steps_take_their_clocks_off_after_an_error() -> None:
    trainer = trainer_of()
    trainer.network.params[:] = np.nan
    with pytest.raises(DivergedError):
        parts.clocked_steps(trainer, bench.random_examples(2 * BATCH), 2)
    assert own_operations(trainer) == []
