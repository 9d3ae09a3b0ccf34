"""nnctl as a library: parts that people put together by themselves, and layers of their own."""
# mypy: disable-error-code="arg-type, index, list-item"

import itertools
import traceback
import typing
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnctl import checkpoint, config
from nnctl.checkpoint import Checkpoint
from nnctl.data import Augmentation, Examples, load_dataset
from nnctl.data.synthetic import draw
from nnctl.errors import ArgumentError, DivergedError, NnctlError
from nnctl.nn import (
    SGD,
    Adam,
    Constant,
    Cosine,
    Dropout,
    Flatten,
    Layer,
    Linear,
    Network,
    OneCycle,
    ReLU,
    Sigmoid,
    Softmax,
    SoftmaxCrossEntropy,
    SquaredError,
)
from nnctl.train import EpochReport, Step, Trainer, evaluate
from tests.support.recipes import Centre, digits

TRAIN, VALIDATION = Examples(*draw(300, seed=1)), Examples(*draw(100, seed=2))
STEPS = 10  # of an epoch: 300 images, 32 at a time, of which the last batch has 12


def small(*layers: Layer) -> Network:
    return Network([*layers, Linear(784, 16), ReLU(), Linear(16, 10)], seed=0)


def trainer_of(network: Network, **others: Any) -> Trainer:
    return Trainer(network, SGD(network.params, momentum=0.9), Constant(0.05), **others)


# Ten lines that train


def test_library_trains_and_predicts_in_ten_lines() -> None:
    train = Examples(*draw(600, seed=1))
    network = Network([Linear(784, 32), ReLU(), Linear(32, 10)], seed=0)
    trainer = Trainer(network, SGD(network.params, momentum=0.9), Constant(0.05), batch_size=16)
    reports = list(trainer.fit(train, VALIDATION, epochs=6))
    assert [report.epoch for report in reports] == [1, 2, 3, 4, 5, 6]
    result = evaluate(network, VALIDATION)
    assert result.accuracy == reports[-1].validation_accuracy
    assert result.accuracy > 0.7
    assert str(reports[-1]).startswith("epoch 6: loss ")
    probs = network.predict(VALIDATION.pixels())
    np.testing.assert_array_equal(probs.argmax(axis=1), result.predictions)
    assert network.predict(VALIDATION.pixels()[0]).argmax() == result.predictions[0]


def test_trainer_run_tells_of_every_step_and_every_epoch() -> None:
    trainer = Trainer(network := small(), SGD(network.params), Constant(0.05), batch_size=32)
    events = list(trainer.run(TRAIN, epochs=2))
    assert [event.number for event in events if isinstance(event, Step)] == list(range(1, 2 * STEPS + 1))
    assert [i for i, event in enumerate(events) if isinstance(event, EpochReport)] == [STEPS, 2 * STEPS + 1]


def test_trainer_learns_what_the_network_is_and_no_more_than_its_classes() -> None:
    letters = Examples(TRAIN.images, np.arange(300) % 26)
    network = Network([Linear(784, 26)], seed=0)
    (report,) = trainer_of(network).fit(letters, epochs=1)
    assert np.isfinite(report.loss)
    assert network.predict(letters.pixels()).shape == (300, 26)


# Parts that do not fit


NETWORK, OTHER = small(), Network([Linear(784, 10)])
MOMENTUM = "write SGD(network.params)"


@pytest.mark.parametrize(
    ("parts", "message", "hint"),
    [
        ((None, SGD(NETWORK.params), Constant(0.1)), "a Trainer trains a Network, not a NoneType", ""),
        (
            ([Linear(784, 10)], SGD(NETWORK.params), Constant(0.1)),
            "a Trainer trains a Network, not a list",
            "",
        ),
        ((NETWORK, Adam(OTHER.params), Constant(0.1)), "the optimizer is not one of this network", MOMENTUM),
        (
            (NETWORK, SGD(OTHER.params, momentum=0.9), Constant(0.1)),
            "the optimizer is not one of this network",
            MOMENTUM,
        ),
        ((NETWORK, SGD, Constant(0.1)), "the optimizer is not one of this network", MOMENTUM),
        ((NETWORK, "sgd", Constant(0.1)), "the optimizer is not one of this network", MOMENTUM),
        (
            (NETWORK, SGD(NETWORK.params), 0.1),
            "a schedule gives the learning rate of a step; 0.1 does not",
            "write Constant(0.1)",
        ),
        (
            (NETWORK, SGD(NETWORK.params), Constant),
            "a schedule gives the learning rate of a step; <class 'nnctl.nn.schedules.Constant'> does not",
            "write Constant(0.1)",
        ),
        (
            (NETWORK, SGD(NETWORK.params), Constant(0.1), "mse"),
            "a loss compares outputs with labels; 'mse' does not",
            "write SoftmaxCrossEntropy()",
        ),
        (
            (NETWORK, SGD(NETWORK.params), Constant(0.1), SquaredError),
            "a loss compares outputs with labels; <class 'nnctl.nn.losses.SquaredError'> does not",
            "write SoftmaxCrossEntropy()",
        ),
    ],
    ids=["no network", "layers", "Adam", "SGD", "a class", "a name", "a rate", "Constant", "mse", "SquaredError"],
)
def test_trainer_refuses_parts_that_do_not_fit(parts, message: str, hint: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        Trainer(*parts)
    assert (caught.value.message, caught.value.hint) == (message, hint)


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, "64", None])
def test_trainer_refuses_a_batch_size_that_is_no_whole_number_from_1(batch_size) -> None:
    with pytest.raises(ArgumentError, match="batch_size is a whole number from 1, not"):
        Trainer(NETWORK, SGD(NETWORK.params), Constant(0.1), batch_size=batch_size)


def test_trainer_compares_by_a_softmax_if_no_loss_is_given() -> None:
    assert isinstance(trainer_of(NETWORK).criterion, SoftmaxCrossEntropy)
    criterion = SquaredError()
    assert Trainer(NETWORK, SGD(NETWORK.params), Constant(0.1), criterion).criterion is criterion


@pytest.mark.parametrize(
    ("train", "validation", "message"),
    [
        (TRAIN[:0], None, "there are no examples"),
        (
            Examples(TRAIN.images, np.arange(300) % 26),
            None,
            "the labels go from 0 to 25, but the network has 10 outputs",
        ),
        (
            TRAIN,
            Examples(TRAIN.images, np.arange(300) % 11),
            "the labels go from 0 to 10, but the network has 10 outputs",
        ),
        (
            Examples(np.zeros((4, 16, 16), np.uint8), np.arange(4)),
            None,
            "the network takes images of 784 pixels, not of 16x16",
        ),
    ],
    ids=["none", "26 classes", "11 classes to validate", "small images"],
)
def test_trainer_refuses_examples_that_are_not_those_of_the_network(train, validation, message: str) -> None:
    network = small()
    before = network.params.copy()
    with pytest.raises(ArgumentError) as caught:
        list(trainer_of(network).fit(train, validation, epochs=1))
    assert caught.value.message.startswith(message)
    np.testing.assert_array_equal(network.params, before)


def test_evaluate_refuses_examples_that_are_not_those_of_the_network() -> None:
    with pytest.raises(ArgumentError, match="there are no examples"):
        evaluate(NETWORK, TRAIN[:0])
    with pytest.raises(ArgumentError, match="but the network has 10 outputs"):
        evaluate(NETWORK, Examples(TRAIN.images, np.arange(300) % 26))


def test_trainer_step_refuses_a_batch_larger_than_its_own() -> None:
    trainer = Trainer(network := small(), SGD(network.params), Constant(0.1), batch_size=4)
    before = network.params.copy()
    with pytest.raises(ArgumentError, match="a batch of 5 images is too large for a workspace of 4"):
        trainer.step(*digits(5))
    np.testing.assert_array_equal(network.params, before)


# A layer with its own state


def with_state() -> Trainer:
    """A training with dropout and momentum, of a network that subtracts a running mean."""
    layers = {"flatten": Flatten(), "centre": Centre(), "hidden": Linear(784, 16), "relu": ReLU()}
    layers |= {"dropout": Dropout(0.2), "output": Linear(16, 10)}
    network = Network(layers, seed=0, input_shape=(28, 28))
    schedule = OneCycle(0.05, 3 * STEPS, peak_at=0.3, start_fraction=0.1, final_fraction=0.01)
    return Trainer(network, SGD(network.params, momentum=0.9), schedule, batch_size=32)


def bits(trainer: Trainer) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in trainer.state().arrays().items()}


def test_layer_state_is_part_of_the_state_of_a_trainer() -> None:
    trainer = with_state()
    list(trainer.fit(TRAIN, VALIDATION, epochs=1))
    mean = trainer.network.arrays()["centre.mean"]
    assert np.abs(mean - TRAIN.pixels().mean(axis=0).ravel() * (1 - 0.9**STEPS)).max() < 0.1
    state = trainer.state()
    assert state.params.keys() == trainer.network.arrays().keys()
    np.testing.assert_array_equal(state.params["centre.mean"], mean)
    np.testing.assert_array_equal(state.arrays()["param/centre.mean"], mean)
    assert state.optimizer["velocity"].shape == trainer.network.params.shape  # it is not trained


def test_layer_state_is_not_moved_by_evaluation() -> None:
    trainer = with_state()
    list(trainer.fit(TRAIN, epochs=1))
    before = trainer.network.state.copy()
    evaluate(trainer.network, VALIDATION)
    trainer.network.predict(VALIDATION.pixels())
    np.testing.assert_array_equal(trainer.network.state, before)


def test_layer_state_that_is_not_finite_is_not_worth_saving() -> None:
    trainer = with_state()
    trainer.network.state[3] = np.inf
    with pytest.raises(DivergedError, match="no longer a finite number"):
        trainer.state()


@pytest.mark.parametrize("steps", [1, 7, STEPS, 2 * STEPS + 3])
def test_layer_state_survives_saving_and_resuming_to_the_same_bits(steps: int, tmp_path: Path) -> None:
    whole, stopped = with_state(), with_state()
    list(whole.fit(TRAIN, VALIDATION, epochs=3))
    number_of_events = steps + (steps - 1) // STEPS
    for _ in itertools.islice(stopped.run(TRAIN, VALIDATION, epochs=3), number_of_events):
        pass
    assert stopped.steps == steps
    path = tmp_path / "last.npz"
    checkpoint.save(path, Checkpoint(stopped.state(), {}))

    loaded = checkpoint.load(path).state
    np.testing.assert_array_equal(loaded.params["centre.mean"], stopped.network.state)
    resumed = with_state()
    resumed.restore(loaded)
    assert bits(resumed) == bits(stopped)
    list(resumed.fit(TRAIN, VALIDATION, epochs=3))
    assert bits(resumed) == bits(whole)
    assert resumed.history == whole.history


def test_layer_state_is_asked_for_by_restore_which_else_changes_nothing() -> None:
    trained, trainer = with_state(), with_state()
    list(trained.fit(TRAIN, epochs=1))
    state = trained.state()
    before = bits(trainer)
    without = {name: array for name, array in state.params.items() if name != "centre.mean"}
    with pytest.raises(ArgumentError) as caught:
        trainer.restore(replace(state, params=without))
    assert caught.value.message == ("these arrays do not fit this network and its optimizer: missing param/centre.mean")
    with pytest.raises(ArgumentError, match=r"param/centre\.mean is \(1, 784\), not \(784,\)"):
        trainer.restore(replace(state, params=without | {"centre.mean": np.zeros((1, 784), np.float32)}))
    assert bits(trainer) == before
    assert trainer.steps == 0


def test_trainer_lets_the_network_predict_what_the_loss_compares() -> None:
    network = Network([Linear(784, 10)], seed=0)
    Trainer(network, SGD(network.params), Constant(0.1), SquaredError())
    black = np.zeros((28, 28))
    np.testing.assert_array_equal(network.predict(black), np.full(10, 0.5, np.float32))  # a sigmoid's middle


def test_counts_may_be_integers_of_numpy() -> None:
    inputs, outputs, seed, batch_size = typing.cast(list[int], list(np.array([784, 10, 3, 32])))
    network = Network([Linear(inputs, outputs)], seed=seed)
    trainer = Trainer(network, SGD(network.params), Constant(0.1), batch_size=batch_size)
    assert (repr(network.layers[0]), trainer.batch_size) == ("Linear(784, 10)", 32)


def test_network_load_refuses_text_and_copies_nothing() -> None:
    network = Network([Linear(784, 10)], seed=0)
    before = network.params.copy()
    arrays = {"linear1.weight": np.ones((784, 10)), "linear1.bias": np.full(10, "a")}
    with pytest.raises(ArgumentError, match=r"linear1\.bias is of <U1"):
        network.load(arrays)
    np.testing.assert_array_equal(network.params, before)


def test_trainer_state_is_a_copy_to_which_the_trainer_can_go_back() -> None:
    trainer = trainer_of(small())
    list(trainer.fit(TRAIN, epochs=1))
    state = trainer.state()
    list(trainer.fit(TRAIN, epochs=2))
    further = trainer.network.params.copy()
    trainer.restore(state)
    assert (trainer.epoch, len(state.history)) == (1, 1)
    assert not np.array_equal(trainer.network.params, further)
    list(trainer.fit(TRAIN, epochs=2))
    np.testing.assert_array_equal(trainer.network.params, further)


def test_trainer_refuses_a_loss_of_another_output_than_the_network_was_given() -> None:
    network = Network([Linear(784, 10)], seed=0, output=Sigmoid())
    with pytest.raises(
        ArgumentError, match=r"the network's output is Sigmoid\(\), but the loss compares that of Softmax"
    ):
        Trainer(network, SGD(network.params), Constant(0.1))
    Trainer(network, SGD(network.params), Constant(0.1), SquaredError())
    assert isinstance(network.output, Sigmoid)


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (lambda: Examples([[1, 2], [3]], [0, 1]), "rows of one length"),
        (lambda: NETWORK.load({"linear1.weight": [[1, 2], [3]], "linear1.bias": [0]}), "rows of one length"),
        (lambda: trainer_of(small(), augmentation=True), "augmentation is an Augmentation or None, not True"),
        (lambda: trainer_of(small(), patience="3"), "patience is a whole number from 1, not '3'"),
        (lambda: trainer_of(small(), patience=0), "patience is a whole number from 1, not 0"),
        (lambda: Trainer(NETWORK, SGD(NETWORK.params), Constant("0.1")), "learning rate of a step"),
        (lambda: Trainer(NETWORK, SGD(NETWORK.params), Cosine(0.1, 0)), "learning rate of a step"),
        (lambda: SGD(NETWORK.params, momentum=2), "momentum is a number of at least 0 and below 1, not 2"),
        (lambda: Adam(NETWORK.params, beta1="a"), "beta1 is a number of at least 0 and below 1, not 'a'"),
        (lambda: evaluate(NETWORK, TRAIN, SquaredError), "a loss compares outputs with labels"),
        (lambda: evaluate(TRAIN, NETWORK), "evaluate takes a Network, not a Examples"),
        (lambda: config.load(None, "train.epochs=3"), "overrides are a list of KEY=VALUE"),
        (lambda: config.from_mapping([1]), "holds a list where keys and values belong"),
        (lambda: load_dataset(["mnist"]), r"there is no dataset \['mnist'\]"),
        (lambda: load_dataset("synthetic", validation="5"), "validation and limit are whole numbers"),
        (lambda: SGD(NETWORK.params, weight_decay="a"), "weight_decay is a number from 0, not 'a'"),
        (lambda: Trainer(NETWORK, SGD(NETWORK.params), Constant(-1)), "learning rate of a step"),
        (lambda: Trainer(NETWORK, SGD(NETWORK.params), Constant(np.nan)), "learning rate of a step"),
        (lambda: trainer_of(Network([Linear(784, 10), Softmax()], seed=0)), r"the loss applies Softmax\(\) itself"),
        (lambda: TRAIN[0], r"examples\[:5\] are the first five"),
        (lambda: config.load(None, [("train.epochs", 1)]), "overrides are a list of KEY=VALUE"),
    ],
    ids=range(21),
)
def test_library_says_in_its_own_words_what_it_cannot_work_with(act: Callable[[], object], reason: str) -> None:
    with pytest.raises(NnctlError, match=reason):
        act()


def test_trainer_augments_only_images_of_28_by_28_pixels() -> None:
    network = Network([Linear(100, 10)], seed=0)
    examples = Examples(np.zeros((4, 10, 10), np.uint8), np.arange(4))
    trainer = trainer_of(network, augmentation=Augmentation(8.0, 0.1, 0.1, 1.0))
    with pytest.raises(ArgumentError, match="only images of 28x28 pixels can be augmented"):
        list(trainer.fit(examples, epochs=1))


def test_network_refuses_a_layer_with_state_that_comes_twice() -> None:
    centre = Centre()
    with pytest.raises(ArgumentError, match="one place in a network"):
        Network([Linear(784, 5), centre, Linear(5, 5), centre, Linear(5, 10)])


def test_error_shows_its_hint_where_python_shows_it() -> None:
    with pytest.raises(ArgumentError) as caught:
        SGD(0.1)
    shown = "".join(traceback.format_exception_only(caught.value))
    assert shown.endswith("\nhint: write SGD(network.params); the learning rate belongs to the schedule\n")
