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
from nnctl.build import Plan, Purpose
from nnctl.train import Training, fit

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


def plan_of(*overrides: str) -> Plan:
    return build.plan(config.load(None, [*PLAIN, *overrides], environ={}).config, 240)


def spy_on_products(monkeypatch: pytest.MonkeyPatch, seen: Callable[..., None]) -> None:
    """Let every product of two matrices be seen."""
    matmul = np.matmul

    def spy(a: Any, b: Any, out: Any = None) -> Any:
        seen(a, b, out)
        return matmul(a, b, out=out)

    monkeypatch.setattr(np, "matmul", spy)


def train_one_epoch(training: Training, examples: Any) -> None:
    next(fit(training, examples, examples[:0], save=lambda *_: None))


# what is measured


@cases
def test_a_clock_between_the_parts_leaves_the_bits_of_training_as_they_are(overrides: tuple[str, ...]) -> None:
    examples = bench.random_examples(5 * BATCH)
    plain, clocked = Training(plan_of(*overrides)), Training(plan_of(*overrides))
    first_weights = plain.plan.network.params.copy()

    train_one_epoch(plain, examples)
    order = build.stream(plain.plan.seed, Purpose.ORDER, 0).permutation(len(examples))
    parts.clocked_steps(clocked, examples, order)

    assert plain.step == clocked.step == 5
    assert not np.array_equal(plain.plan.network.params, first_weights)
    assert plain.plan.network.params.tobytes() == clocked.plan.network.params.tobytes()
    for name, array in plain.plan.optimizer.state.items():
        assert array.tobytes() == clocked.plan.optimizer.state[name].tobytes()


@cases
def test_the_floor_is_made_of_the_products_of_training_in_their_order(
    overrides: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    training = Training(plan_of(*overrides))
    products = bench.bare_products(training.plan.network, BATCH)
    seen: list[tuple[Any, ...]] = []

    def note(a: Any, b: Any, out: Any) -> None:
        if out is not None:  # a deformation multiplies matrices as well, though not into memory of its caller's
            seen.append((a.shape, b.shape, out.shape))

    spy_on_products(monkeypatch, note)
    train_one_epoch(training, bench.random_examples(BATCH))
    assert [(a.shape, b.shape, out.shape) for a, b, out in products] == seen


def test_the_products_of_two_hidden_layers_are_eight() -> None:
    products = bench.bare_products(plan_of("network.hidden=[6,5]").network, BATCH)
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


def test_the_floor_is_multiplied_with_weights_but_changes_none() -> None:
    network = plan_of().network
    before = network.params.copy()
    products = bench.bare_products(network, BATCH)
    assert [np.shares_memory(b, network.params) for _, b, _ in products] == [True, True, False, True, False]
    bench._product_seconds(products, 2)
    assert network.params.tobytes() == before.tobytes()


def test_the_pictures_are_as_dark_as_digits() -> None:
    examples = bench.random_examples(500)
    assert examples.images.shape == (500, 28, 28)
    assert np.mean(examples.images == 0) == pytest.approx(0.8, abs=0.01)
    assert examples.images.max() == 255
    assert set(examples.labels.tolist()) == set(range(10))


# how it is timed


@pytest.fixture
def clockwork(monkeypatch: pytest.MonkeyPatch) -> Callable[[Plan], None]:
    """A clock that only a matrix product (1 s) and the optimizer of a plan (2 s) move."""
    now = [0.0]
    for module in (bench, parts):
        monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def drive(plan: Plan) -> None:
        update: Callable[..., None] = plan.optimizer.step

        def step(*args: Any, lr: float) -> None:
            update(*args, lr=lr)
            now[0] += 2

        def tick(*_: Any) -> None:
            now[0] += 1

        monkeypatch.setattr(plan.optimizer, "step", step)
        spy_on_products(monkeypatch, tick)

    return drive


def test_every_second_is_put_where_it_was_spent(clockwork: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "IMAGES", 5 * BATCH)
    monkeypatch.setattr(bench, "ROUND", 14)  # two steps: an epoch of five ends within its third round
    plan = plan_of()
    clockwork(plan)
    measured = bench.measure(plan)

    assert measured.rounds == bench.ROUNDS
    assert measured.step_microseconds == 7e6
    assert measured.floor_microseconds == 5e6
    assert measured.ratio == pytest.approx(7 / 5)
    assert measured.product_share == pytest.approx(5 / 7)
    assert measured.images_per_second == pytest.approx(BATCH / 7)
    operations = 2 * BATCH * (2 * 784 * 6 + 3 * 6 * 10)
    assert measured.operations == operations
    assert measured.step_gflops == pytest.approx(operations / 7 / 1e9)
    assert measured.floor_gflops == pytest.approx(operations / 5 / 1e9)
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
def test_training_and_products_take_turns(clockwork: Any, monkeypatch: pytest.MonkeyPatch, epoch: int) -> None:
    monkeypatch.setattr(bench, "ROUND", 14)  # two steps
    plan = plan_of()
    clockwork(plan)
    products = bench.bare_products(plan.network, BATCH)
    own = {id(out) for _, _, out in products if not np.shares_memory(out, plan.network.grads)}
    grads = {id(out) for _, _, out in products} - own  # training and floor both write there
    turns: list[bool] = []

    def note(_: Any, __: Any, out: Any) -> None:
        if id(out) not in grads:
            turns.append(id(out) in own)

    spy_on_products(monkeypatch, note)
    bench.timed_rounds(plan, bench.random_examples(epoch * BATCH), products)
    lengths = [(bare, len(list(group)) // 3) for bare, group in itertools.groupby(turns)]
    # one step to warm up; where an epoch has five, its last one makes no round and is not counted
    steps = [3, 2, 2, 2, 2, 2, 2, 2, 2] if epoch == 100 else [3, 2, 3, 2, 3, 2, 3, 2, 3]
    assert lengths == [turn for count in steps for turn in ((False, count), (True, 2))]


@pytest.mark.usefixtures("quick")
def test_a_batch_as_large_as_all_images_is_timed_too() -> None:
    measured = bench.measure(plan_of("train.batch_size=500"))
    assert measured.batch_size == 500
    assert measured.rounds == bench.ROUNDS


@pytest.mark.usefixtures("quick")
def test_no_learning_rate_is_high_enough_to_diverge() -> None:
    plan = plan_of("optimizer.learning_rate=1e30", "schedule.name=constant")
    assert bench.measure(plan).ratio > 0
    assert np.isfinite(plan.network.params).all()


@pytest.mark.usefixtures("quick")
def test_few_epochs_do_not_end_the_measurement() -> None:
    assert bench.measure(plan_of("train.epochs=1")).rounds == bench.ROUNDS


@pytest.mark.usefixtures("quick")
def test_every_batch_is_a_full_one(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: set[int] = set()
    plan = plan_of("train.batch_size=7")
    forward = plan.network.forward

    def spy(x: Any, *rest: Any) -> Any:
        sizes.add(len(x))
        return forward(x, *rest)

    monkeypatch.setattr(plan.network, "forward", spy)
    bench.measure(plan)
    assert sizes == {7}


# how it is told


EXPECTED = {
    "plain": "data, forward flatten, forward hidden1, forward relu1, forward output, loss, accuracy, loss gradient, "
    "backward output params, backward output inputs, backward relu1, backward hidden1 params, optimizer",
    "no hidden layer": "data, forward flatten, forward output, loss, accuracy, loss gradient, backward output params, "
    "optimizer",
    "squared error": "data, forward flatten, forward hidden1, forward sigmoid1, forward dropout1, forward output, "
    "forward output_sigmoid, loss, accuracy, loss gradient, backward output_sigmoid, backward output params, "
    "backward output inputs, backward dropout1, backward sigmoid1, backward hidden1 params, optimizer",
    "affine": "data, deformation, forward flatten, forward hidden1, forward relu1, forward output, loss, accuracy, "
    "loss gradient, backward output params, backward output inputs, backward relu1, backward hidden1 params, optimizer",
}


@pytest.mark.parametrize("case", EXPECTED)
@pytest.mark.usefixtures("quick")
def test_the_parts_bear_the_names_of_the_layers_in_the_order_of_a_step(case: str) -> None:
    measured = bench.measure(plan_of(*CASES[case]))
    assert ", ".join(" ".join(filter(None, part.place)) for part in measured.parts) == EXPECTED[case]


@cases
@pytest.mark.usefixtures("quick")
def test_the_shares_make_a_whole(overrides: tuple[str, ...]) -> None:
    measured = bench.measure(plan_of(*overrides))
    total = sum(part.microseconds for part in measured.parts)
    assert sum(part.share for part in measured.parts) == pytest.approx(1)
    assert all(part.share == pytest.approx(part.microseconds / total) for part in measured.parts)
    assert all(part.microseconds > 0 for part in measured.parts)


@pytest.mark.usefixtures("quick")
def test_the_clock_is_taken_off_the_layers_afterwards() -> None:
    plan = plan_of()
    bench.measure(plan)
    assert [name for layer in plan.network.layers for name in vars(layer) if callable(getattr(layer, name))] == []
