"""Building: every name of the configuration has its object, and every random stream is its own."""

import itertools
import math
import tracemalloc
import typing
from typing import Any

import numpy as np
import pytest

from nnctl import build, config
from nnctl.build import Purpose
from nnctl.checkpoint import Checkpoint, Meta
from nnctl.config import Config, models
from nnctl.errors import CheckpointError
from nnctl.nn.layers import Dropout
from nnctl.nn.losses import MeanSquaredError, SoftmaxCrossEntropy
from nnctl.nn.optimizers import SGD, Adam, AdamW


def configured(*overrides: str) -> Config:
    return config.load(None, overrides, environ={}).config


def choices(section: type[models.Section], key: str) -> set[str]:
    return set(typing.get_args(section.model_fields[key].annotation))


def saved(**network: Any) -> Checkpoint:
    """The checkpoint of a small trained network, whose configuration says what `network` says."""
    built = build.network([4], "tanh", "cross_entropy")
    built.params[:] = np.arange(built.params.size)
    settings = {"hidden": [4], "activation": "tanh"} | network
    return Checkpoint(
        built.named(built.params), {}, Meta(config={"network": settings, "loss": settings.pop("loss", "cross_entropy")})
    )


def test_every_name_that_can_be_configured_can_be_built_and_no_other():
    assert build.ACTIVATIONS.keys() == choices(models.NetworkConfig, "activation")
    assert build.INITIALIZERS.keys() == choices(models.NetworkConfig, "init")
    assert build.LOSSES.keys() == choices(Config, "loss")
    assert build.OPTIMIZERS.keys() == set(models.KINDS["optimizer"])
    assert build.SCHEDULES.keys() == set(models.KINDS["schedule"])
    assert build.AUGMENTATIONS.keys() == set(models.KINDS["data.augment"])


def test_layers_are_named_after_what_they_do():
    assert build.network([], "relu", "cross_entropy").names == ("flatten", "output")
    assert build.network([5], "tanh", "cross_entropy").names == ("flatten", "hidden1", "tanh1", "output")
    assert build.network([5, 3], "sigmoid", "mse", dropout=0.5).names == (
        *("flatten", "hidden1", "sigmoid1", "dropout1", "hidden2", "sigmoid2", "dropout2", "output", "output_sigmoid"),
    )


def test_parameters_have_the_names_and_shapes_that_checkpoints_promise():
    network = build.network([16, 8], "relu", "cross_entropy", dropout=0.2)
    assert {name: view.shape for name, view in network.named(network.params).items()} == {
        "hidden1.weight": (784, 16),
        "hidden1.bias": (16,),
        "hidden2.weight": (16, 8),
        "hidden2.bias": (8,),
        "output.weight": (8, 10),
        "output.bias": (10,),
    }
    assert not network.params.any()


def test_dropout_has_the_rate_that_was_asked_for():
    rates = [layer.rate for layer in build.network([4, 4], "relu", "mse", 0.3).layers if isinstance(layer, Dropout)]
    assert rates == [0.3, 0.3]


@pytest.mark.parametrize(("hidden", "written"), [((), "784-10"), ((128,), "784-128-10"), ((16, 16), "784-16-16-10")])
def test_sizes_are_written_as_people_write_them(hidden, written):
    assert build.sizes(hidden) == written


@pytest.mark.parametrize(("loss", "kind"), [("cross_entropy", SoftmaxCrossEntropy), ("mse", MeanSquaredError)])
def test_a_trained_network_gets_its_parameters_and_its_loss(loss, kind):
    checkpoint = saved(loss=loss)
    network, criterion = build.trained_network(checkpoint, "last.npz")
    np.testing.assert_array_equal(network.params, np.arange(network.params.size, dtype=np.float32))
    assert isinstance(criterion, kind)
    assert ("output_sigmoid" in network.names) == (loss == "mse")
    assert not np.shares_memory(network.params, next(iter(checkpoint.params.values())))


def test_dropout_has_no_part_in_a_trained_network():
    network, _ = build.trained_network(saved(dropout=0.5), "last.npz")
    assert not any(isinstance(layer, Dropout) for layer in network.layers)


@pytest.mark.parametrize(
    "change",
    [
        {"hidden": [5]},
        {"hidden": []},
        {"hidden": [2, 2]},
        {"hidden": [10**9]},
        {"hidden": [10**9, 10**9]},
        {"hidden": [10**30]},
        {"hidden": [-4]},
        {"hidden": "4"},
        {"hidden": ["4"]},
        {"hidden": [4.0]},
        {"hidden": [[4]]},
        {"hidden": None},
        {"hidden": {"4": 4}},
        {"activation": "softplus"},
        {"activation": None},
        {"activation": []},
        {"loss": "hinge"},
        {"loss": {}},
    ],
    ids=str,
)
def test_a_configuration_that_does_not_fit_the_arrays_is_refused_before_memory_is_set_aside(change):
    checkpoint = saved(**change)
    tracemalloc.start()
    with pytest.raises(CheckpointError) as caught:
        build.trained_network(checkpoint, "last.npz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert caught.value.message == "last.npz: its configuration does not fit its arrays"
    assert peak < 2**20


@pytest.mark.parametrize("settings", [{}, {"network": None}, {"network": []}, {"network": {"hidden": [4]}}], ids=str)
def test_a_configuration_without_a_network_is_refused(settings):
    with pytest.raises(CheckpointError):
        build.trained_network(Checkpoint(saved().params, {}, Meta(config=settings)), "last.npz")


def test_arrays_of_the_right_size_under_other_names_are_refused():
    params = dict(saved().params)
    params["hidden2.bias"] = params.pop("hidden1.bias")
    with pytest.raises(CheckpointError):
        build.trained_network(Checkpoint(params, {}, saved().meta), "last.npz")


@pytest.mark.parametrize(
    "arrays",
    [{}, {"a": np.ones(3)}, {"a": np.ones(2), "b": np.ones(1)}, {"a": np.ones(1)}, {"a": np.ones(2), "c": np.ones(2)}],
)
def test_restore_never_stretches_drops_or_invents_an_array(arrays):
    target = {"a": np.zeros(2)}
    with pytest.raises(ValueError, match="something else"):
        build.restore(target, arrays)
    assert target["a"].tolist() == [0, 0]


def test_restore_copies_into_the_memory_that_is_there():
    memory = np.zeros(4)
    build.restore({"a": memory[:2], "b": memory[2:]}, {"b": np.array([3, 4]), "a": np.array([1, 2])})
    assert memory.tolist() == [1, 2, 3, 4]


def test_every_purpose_epoch_and_seed_has_random_numbers_of_its_own():
    keys = list(itertools.product((0, 1, 2**31, 2**63 - 1), Purpose, (0, 1, 2, 99_999)))
    first = {key: build.stream(*key).integers(2**63, size=2).tobytes() for key in keys}
    assert len(set(first.values())) == len(keys)


def test_a_stream_can_be_replayed_without_those_before():
    expected = build.stream(7, Purpose.ORDER, 3).permutation(20).tolist()
    build.stream(7, Purpose.ORDER, 2).random(1000)
    assert build.stream(7, Purpose.ORDER, 3).permutation(20).tolist() == expected


def test_the_streams_of_a_seed_are_the_same_for_ever():
    # a change here breaks every promise that a saved configuration repeats its run
    drawn = [build.stream(0, purpose, epoch).integers(1000) for purpose in Purpose for epoch in (0, 1)]
    assert drawn == [850, 889, 522, 674, 979, 967, 503, 918]


def test_a_plan_holds_what_the_configuration_says():
    settings = configured(
        *("seed=5", "network.hidden=[6]", "network.dropout=0.25", "loss=mse", "train.epochs=4", "train.batch_size=8"),
        *("train.patience=2", "train.checkpoint_every=3"),
    )
    plan = build.plan(settings, images=100)
    assert "dropout1" in plan.network.names
    assert isinstance(plan.criterion, MeanSquaredError)
    assert (plan.seed, plan.epochs, plan.batch_size) == (5, 4, 8)
    assert (plan.patience, plan.checkpoint_every) == (2, 3)
    assert config.from_mapping(plan.config) == settings


def test_the_first_weights_are_those_of_the_seed_and_the_biases_are_zero():
    plans = [build.plan(configured(f"seed={seed}", "network.hidden=[6]"), 100) for seed in (1, 1, 2)]
    first, again, other = (plan.network.params for plan in plans)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert not plans[0].network.named(first)["hidden1.bias"].any()


@pytest.mark.parametrize("init", ["he", "xavier", "normal"])
def test_the_first_weights_are_drawn_as_configured(init):
    network = build.plan(configured(f"network.init={init}", "network.hidden=[6]"), 100).network
    expected = build.INITIALIZERS[init](build.stream(0, Purpose.WEIGHTS), 784, 6)
    np.testing.assert_array_equal(network.named(network.params)["hidden1.weight"], expected.astype(np.float32))


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["data.augment.name=none"], None),
        (
            ["data.augment.name=affine", "data.augment.rotation=3", "data.augment.scale=0.2", "data.augment.shear=0.3"],
            {"rotation": 3, "scale": 0.2, "shear": 0.3, "alpha": 0},
        ),
        (
            ["data.augment.name=elastic", "data.augment.shift=2", "data.augment.alpha=5", "data.augment.sigma=6"],
            {"shift": 2, "alpha": 5, "sigma": 6},
        ),
    ],
)
def test_a_deformation_has_the_settings_of_its_section(overrides, expected):
    deformation = build.plan(configured("network.hidden=[]", *overrides), 10).deformation
    assert (deformation and {name: getattr(deformation, name) for name in expected}) == expected


@pytest.mark.parametrize(
    ("overrides", "kind", "expected"),
    [
        (["optimizer.momentum=0"], SGD, {"momentum": 0.0}),
        (["optimizer.momentum=0.8", "optimizer.nesterov=true"], SGD, {"momentum": 0.8, "nesterov": True}),
        (["optimizer.weight_decay=0.02"], SGD, {"nesterov": False, "weight_decay": 0.02}),
        (
            ["optimizer.name=adam", "optimizer.beta1=0.7", "optimizer.beta2=0.8"],
            Adam,
            {"beta1": 0.7, "beta2": 0.8, "epsilon": 1e-8},
        ),
        (["optimizer.name=adam", "optimizer.epsilon=0.5"], Adam, {"epsilon": 0.5, "weight_decay": 0.0}),
        (
            ["optimizer.name=adamw", "optimizer.weight_decay=0.3"],
            AdamW,
            {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weight_decay": 0.3},
        ),
    ],
)
def test_an_optimizer_has_the_settings_of_its_section(overrides, kind, expected):
    optimizer = build.plan(configured("network.hidden=[]", *overrides), 10).optimizer
    assert type(optimizer) is kind
    assert {name: getattr(optimizer, name) for name in expected} == expected


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_the_smallest_epsilon_divides_nothing_by_zero(name):
    smallest = ("optimizer.epsilon=1e-30", f"optimizer.beta2={math.nextafter(1, 0)!r}")
    plan = build.plan(configured("network.hidden=[]", f"optimizer.name={name}", *smallest), 10)
    plan.optimizer.step(plan.network.params, np.zeros_like(plan.network.params), 0.1)
    assert np.isfinite(plan.network.params).all()


def rates(*overrides: str, images: int = 100, steps: int = 40) -> list[float]:
    """Learning rates of 4 epochs of 10 steps (100 images by 10, or 91, whose last batch is short)."""
    schedule = build.schedule(
        configured("optimizer.learning_rate=0.5", "train.epochs=4", "train.batch_size=10", *overrides), images
    )
    return [schedule(step) for step in range(steps)]


def test_a_constant_schedule_is_constant():
    assert rates("schedule.name=constant") == [0.5] * 40


@pytest.mark.parametrize("images", [91, 100])
def test_a_step_schedule_falls_after_whole_epochs_short_batches_included(images):
    falling = rates("schedule.name=step", "schedule.every_epochs=2", "schedule.factor=0.1", images=images)
    assert falling == [0.5] * 20 + [0.5 * 0.1] * 20


def test_a_step_schedule_may_fall_within_an_epoch_but_never_before_the_first_step():
    assert rates("schedule.name=step", "schedule.every_epochs=0.25", "schedule.factor=0.5")[:7] == [
        *(0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125),
    ]
    assert rates("schedule.name=step", "schedule.every_epochs=1e-9", "schedule.factor=0.5")[:2] == [0.5, 0.25]


def test_a_cosine_schedule_reaches_its_end_with_the_last_epoch():
    falling = rates("schedule.name=cosine", "schedule.final_fraction=0.2", steps=41)
    assert falling[0] == 0.5
    assert falling[20] == pytest.approx(0.5 * (1 + 0.2) / 2)
    assert falling[40] == pytest.approx(0.1)
    assert falling == sorted(falling, reverse=True)


def test_a_one_cycle_schedule_peaks_where_it_is_told():
    cycle = rates(
        *("schedule.name=one_cycle", "schedule.peak_at=0.25", "schedule.start_fraction=0.1"),
        *("schedule.final_fraction=0.02",),
        steps=41,
    )
    assert cycle[0] == pytest.approx(0.05)
    assert cycle[10] == max(cycle) == 0.5
    assert cycle[40] == pytest.approx(0.01)


@pytest.mark.parametrize("name", ["constant", "step", "cosine"])
def test_a_warm_up_climbs_for_its_epochs_and_then_leaves_the_schedule_alone(name):
    plain, warm = rates(f"schedule.name={name}"), rates(f"schedule.name={name}", "schedule.warmup_epochs=0.5")
    assert warm[:5] == pytest.approx([rate * (i + 1) / 5 for i, rate in enumerate(plain[:5])])
    assert warm[5:] == plain[5:]


@pytest.mark.parametrize("name", ["constant", "step", "cosine", "one_cycle"])
def test_one_step_in_all_is_enough_for_every_schedule(name):
    schedule = build.schedule(configured("train.epochs=1", f"schedule.name={name}"), 1)
    assert all(math.isfinite(schedule(step)) and schedule(step) >= 0 for step in range(3))
