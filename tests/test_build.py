"""Building: every name of the configuration has its object, and every default is the same wherever it stands."""

import inspect
import json
import math
import typing
from collections.abc import Sequence

import numpy as np
import pytest

from nnctl import build, checkpoint, config, judge
from nnctl.config import Config, models
from nnctl.data import Examples, datasets
from nnctl.errors import ConfigError
from nnctl.nn.activations import ACTIVATIONS, Identity, Sigmoid, Softmax
from nnctl.nn.initializers import INITIALIZERS
from nnctl.nn.layers import Dropout, Linear
from nnctl.nn.losses import LOSSES, SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError
from nnctl.nn.network import Network
from nnctl.nn.optimizers import OPTIMIZERS, SGD, Adam, AdamW
from nnctl.nn.schedules import SCHEDULES
from nnctl.nn.streams import Purpose, stream
from nnctl.train import Trainer


def configured(*overrides: str) -> Config:
    return config.load(None, overrides, environ={}).config


def choices(section: type[models.Section], key: str) -> set[str]:
    """The names that a key may have; null is none of them."""
    annotation = section.model_fields[key].annotation
    literals = [
        part for part in (annotation, *typing.get_args(annotation)) if typing.get_origin(part) is typing.Literal
    ]
    return {name for literal in literals for name in typing.get_args(literal)}


# The configuration's names and the tables of nn


def test_tables_of_nn_hold_every_name_that_can_be_configured_and_no_other():
    assert ACTIVATIONS.keys() == choices(models.NetworkConfig, "activation")
    assert INITIALIZERS.keys() == choices(models.NetworkConfig, "init")
    assert LOSSES.keys() == choices(Config, "loss")
    assert {output for outputs in LOSSES.values() for output in outputs} == choices(models.NetworkConfig, "output")
    assert OPTIMIZERS.keys() == set(models.VARIANTS["optimizer"])
    assert SCHEDULES.keys() == set(models.VARIANTS["schedule"])


@pytest.mark.parametrize("name", models.VARIANTS["data.augment"])
def test_augmentation_is_built_for_every_name_but_none(name):
    assert (build.augmentation(configured(f"data.augment.name={name}")) is None) == (name == "none")


def test_outputs_that_a_loss_compares_are_those_that_the_configuration_allows_in_the_same_order():
    assert {loss: tuple(outputs) for loss, outputs in LOSSES.items()} == models.OUTPUTS_OF


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("output", [None, *sorted(choices(models.NetworkConfig, "output"))])
def test_criterion_has_the_output_that_was_asked_for_if_the_loss_compares_it(loss, output):
    kinds = {"softmax": Softmax, "sigmoid": Sigmoid, "linear": Identity}
    allowed = models.OUTPUTS_OF[loss]
    asked = [f"loss={loss}", f"network.output={output or 'null'}"]
    if output is None or output in allowed:
        settings = configured(*asked)
        assert type(build.criterion(loss, settings.network.output).output) is kinds[output or allowed[0]]
        return
    with pytest.raises(ConfigError) as caught:
        configured(*asked)
    wanted = " or ".join(allowed)
    assert caught.value.message == (
        f"--set: network.output: {output} does not go with loss {loss}, which wants {wanted}"
    )


# Defaults that stand both in the library and in the configuration


def default(callable_: object, name: str) -> object:
    assert callable(callable_)
    return inspect.signature(callable_).parameters[name].default


WITHOUT = {("sgd", "momentum"), ("adamw", "weight_decay")}
"""Off in the library, where the one who wants them says so; on in a configuration that does not say otherwise."""


@pytest.mark.parametrize(("section", "table"), [("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)])
def test_defaults_of_optimizers_and_schedules_equal_those_of_the_configuration(section, table):
    compared, different = 0, set()
    for model in models.models_of(Config.model_fields[section].annotation):
        kind = model.model_fields["name"].default
        for name, parameter in inspect.signature(table[kind]).parameters.items():
            if parameter.default is not inspect.Parameter.empty:
                compared += 1
                if parameter.default != model.model_fields[name].default:
                    different.add((kind, name))
    assert compared
    assert different == {(kind, name) for kind, name in WITHOUT if kind in table}


def test_defaults_of_a_library_training_equal_those_of_the_configuration():
    settings = configured()
    assert default(Trainer, "batch_size") == settings.train.batch_size
    assert default(Trainer, "patience") is settings.train.patience is None
    assert default(Trainer, "seed") == settings.seed
    assert default(Trainer, "threads") == settings.train.threads
    assert default(Network, "initializer") is INITIALIZERS[settings.network.init]
    by_default, configured_ = Network([Linear(784, 10)]), build.trainer(settings, 100)
    trainer = Trainer(by_default, SGD(by_default.params), configured_.schedule)
    assert type(trainer.criterion) is type(configured_.criterion)
    assert type(by_default.output) is type(configured_.network.output) is type(configured_.criterion.output)


def test_defaults_of_load_dataset_equal_those_of_the_configuration():
    settings = configured().data
    assert settings.validation == datasets.VALIDATION
    assert default(datasets.load_dataset, "validation") == settings.validation
    assert default(datasets.load_dataset, "directory") == settings.dir
    assert default(datasets.load_dataset, "offline") == settings.offline
    assert default(datasets.load_dataset, "limit") is settings.train_limit is None


def test_judge_sees_the_same_pixels_as_a_network_and_has_one_output_more():
    network = judge.train_judge(Examples(np.zeros((1, 28, 28), np.uint8), np.zeros(1, int)), 0).network
    assert network.shapes[0] == build.IMAGE_SHAPE
    assert network.shapes[-1] == (build.CLASSES + 1,)
    assert build.CLASSES == judge.NO_DIGIT


@pytest.mark.parametrize(
    "overrides", [[], ["network.hidden=[]"], ["network.hidden=[900,1000]", "train.batch_size=7"]], ids=str
)
def test_largest_product_of_the_configuration_is_that_of_the_network(overrides):
    settings = configured(*overrides)
    assert settings.largest_product == build.trainer(settings, 100).network.largest_product(settings.train.batch_size)
    assert (math.prod(build.IMAGE_SHAPE), build.CLASSES) == (models.PIXELS, models.CLASSES)


# Networks


def network_of(hidden: Sequence[int], activation: str, **others: float) -> Network:
    return build.network({"hidden": hidden, "activation": activation, **others}, Softmax())


def test_network_names_layers_after_what_they_do():
    assert network_of([], "relu").names == ("flatten", "output")
    assert network_of([5], "tanh").names == ("flatten", "hidden1", "tanh1", "output")
    assert network_of([5, 3], "sigmoid", dropout=0.5).names == (
        *("flatten", "hidden1", "sigmoid1", "dropout1", "hidden2", "sigmoid2", "dropout2", "output"),
    )


def test_network_parameters_have_the_names_and_shapes_that_checkpoints_promise():
    network = network_of([16, 8], "relu", dropout=0.2)
    assert {name: view.shape for name, view in network.named(network.params).items()} == {
        "hidden1.weight": (784, 16),
        "hidden1.bias": (16,),
        "hidden2.weight": (16, 8),
        "hidden2.bias": (8,),
        "output.weight": (8, 10),
        "output.bias": (10,),
    }
    assert not network.params.any()


def test_network_dropout_has_the_rate_that_was_asked_for():
    layers = network_of([4, 4], "relu", dropout=0.3).layers
    assert [layer.rate for layer in layers if isinstance(layer, Dropout)] == [0.3, 0.3]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_network_has_the_output_and_the_type_that_were_asked_for(dtype):
    output = Identity()
    network = build.network({"hidden": [4], "activation": "relu"}, output, dtype)
    assert network.output is output
    assert network.params.dtype == dtype


@pytest.mark.parametrize(("hidden", "written"), [((), "784-10"), ((128,), "784-128-10"), ((16, 16), "784-16-16-10")])
def test_sizes_are_written_as_people_write_them(hidden, written):
    assert build.sizes(hidden) == written
    assert repr(network_of(hidden, "relu")).startswith(f"Network {written}, ")


# Trainers


def test_trainer_holds_what_the_configuration_says():
    settings = configured(
        *("seed=5", "network.hidden=[6]", "network.dropout=0.25", "loss=mse", "train.batch_size=8"),
        *("train.patience=2", "train.threads=3"),
    )
    trainer = build.trainer(settings, images=100)
    assert "dropout1" in trainer.network.names
    assert isinstance(trainer.criterion, SquaredError)
    assert trainer.network.output is trainer.criterion.output
    assert (trainer.seed, trainer.batch_size, trainer.patience, trainer.threads) == (5, 8, 2, 3)
    assert trainer.optimizer.state["velocity"].shape == trainer.network.params.shape


@pytest.mark.parametrize(
    ("overrides", "kind"),
    [
        ([], SoftmaxCrossEntropy),
        (["network.output=sigmoid"], SigmoidCrossEntropy),
        (["loss=mse"], SquaredError),
        (["loss=mse", "network.output=linear"], SquaredError),
    ],
)
def test_trainer_compares_by_the_configured_loss(overrides, kind):
    settings = configured("network.hidden=[]", *overrides)
    trainer = build.trainer(settings, 10)
    assert type(trainer.criterion) is kind
    assert isinstance(trainer.network.output, type(build.criterion(settings.loss, settings.network.output).output))


def test_trainer_refuses_patience_without_validation():
    with pytest.raises(ConfigError, match=r"train\.patience: waits for a better validation, but data\.validation is 0"):
        build.trainer(configured("train.patience=2", "data.validation=0"), 10)
    assert build.trainer(configured("train.patience=2", "data.validation=1"), 10).patience == 2


def test_trainer_refuses_an_output_that_the_loss_cannot_compare():
    with pytest.raises(ConfigError, match=r"network\.output: linear does not go with loss cross_entropy"):
        build.trainer(configured("network.output=linear"), 10)


def test_trainer_draws_the_first_weights_by_the_seed_and_leaves_the_biases_zero():
    trainers = [build.trainer(configured(f"seed={seed}", "network.hidden=[6]"), 100) for seed in (1, 1, 2)]
    first, again, other = (trainer.network.params for trainer in trainers)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert not trainers[0].network.named(first)["hidden1.bias"].any()


@pytest.mark.parametrize("init", INITIALIZERS)
def test_trainer_draws_the_first_weights_as_configured(init):
    network = build.trainer(configured(f"network.init={init}", "network.hidden=[6]"), 100).network
    expected = INITIALIZERS[init](stream(0, Purpose.WEIGHTS), 784, 6)
    np.testing.assert_array_equal(network.named(network.params)["hidden1.weight"], expected.astype(np.float32))


@pytest.mark.parametrize(
    ("overrides", "output"),
    [
        ([], None),
        (["network.output=softmax"], None),
        (["network.output=sigmoid"], "sigmoid"),
        (["loss=mse"], None),
        (["loss=mse", "network.output=softmax"], "softmax"),
    ],
)
def test_recorded_gives_the_configuration_back_and_leaves_out_an_implied_output(overrides, output):
    settings = configured(*overrides)
    values = build.recorded(settings)
    assert values["network"].get("output") == output
    assert ("output" in values["network"]) == (output is not None)
    assert config.from_mapping(values) == settings


@pytest.mark.parametrize(("mix", "judge"), [(0, "false"), (0.5, "false"), (0, "true"), (0.25, "true")])
def test_recorded_gives_the_configuration_back_and_leaves_out_what_older_checkpoints_lack(mix, judge):
    settings = configured(f"data.mix={mix}", f"judge={judge}")
    values = build.recorded(settings)
    assert ("mix" in values["data"], "judge" in values) == (mix > 0, judge == "true")
    assert config.from_mapping(values) == settings


def test_recorded_leaves_out_every_later_key_that_says_what_was_done_before():
    before = configured(*(f"{path}={json.dumps(value)}" for path, value in models.LATER.items()))
    assert checkpoint.flat(config.to_mapping(before)).keys() - checkpoint.flat(build.recorded(before)).keys() == {
        *models.LATER
    }


# Settings of the sections


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["data.augment.name=none"], None),
        (
            ["data.augment.name=affine", "data.augment.rotation=3", "data.augment.scale=0.2", "data.augment.shear=0.3"],
            {"rotation": 3, "scale": 0.2, "shear": 0.3, "alpha": 0, "pen": 0},
        ),
        (["data.augment.name=affine", "data.augment.pen=0.25"], {"pen": 0.25}),
        (["data.augment.name=elastic", "data.augment.pen=0.25"], {"pen": 0.25}),
        (
            ["data.augment.name=elastic", "data.augment.shift=2", "data.augment.alpha=5", "data.augment.sigma=6"],
            {"shift": 2, "alpha": 5, "sigma": 6, "pen": 0},
        ),
    ],
)
def test_augmentation_has_the_settings_of_its_section(overrides, expected):
    augmenter = build.trainer(configured("network.hidden=[]", *overrides), 10).augmenter
    assert (augmenter and {name: getattr(augmenter.augmentation, name) for name in expected}) == expected


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
def test_trainer_optimizer_has_the_settings_of_its_section(overrides, kind, expected):
    optimizer = build.trainer(configured("network.hidden=[]", *overrides), 10).optimizer
    assert type(optimizer) is kind
    assert {name: getattr(optimizer, name) for name in expected} == expected


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_the_smallest_epsilon_divides_nothing_by_zero(name):
    smallest = ("optimizer.epsilon=1e-30", f"optimizer.beta2={math.nextafter(1, 0)!r}")
    trainer = build.trainer(configured("network.hidden=[]", f"optimizer.name={name}", *smallest), 10)
    params = trainer.network.params
    trainer.optimizer.step(params, np.zeros_like(params), 0.1)
    assert np.isfinite(params).all()


def rates(*overrides: str, images: int = 100, steps: int = 40) -> list[float]:
    """Learning rates of 4 epochs of 10 steps (100 images by 10, or 91, whose last batch is short)."""
    schedule = build.schedule(
        configured("optimizer.learning_rate=0.5", "train.epochs=4", "train.batch_size=10", *overrides), images
    )
    return [schedule(step) for step in range(steps)]


def test_schedule_constant_is_constant():
    assert rates("schedule.name=constant") == [0.5] * 40


@pytest.mark.parametrize("images", [91, 100])
def test_schedule_step_falls_after_whole_epochs_short_batches_included(images):
    falling = rates("schedule.name=step", "schedule.every_epochs=2", "schedule.factor=0.1", images=images)
    assert falling == [0.5] * 20 + [0.5 * 0.1] * 20


def test_schedule_step_may_fall_within_an_epoch_but_never_before_the_first_step():
    assert rates("schedule.name=step", "schedule.every_epochs=0.25", "schedule.factor=0.5")[:7] == [
        *(0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125),
    ]
    assert rates("schedule.name=step", "schedule.every_epochs=1e-9", "schedule.factor=0.5")[:2] == [0.5, 0.25]


def test_schedule_cosine_reaches_its_end_with_the_last_epoch():
    falling = rates("schedule.name=cosine", "schedule.final_fraction=0.2", steps=41)
    assert falling[0] == 0.5
    assert falling[20] == pytest.approx(0.5 * (1 + 0.2) / 2)
    assert falling[40] == pytest.approx(0.1)
    assert falling == sorted(falling, reverse=True)


def test_schedule_one_cycle_peaks_where_it_is_told():
    cycle = rates(
        *("schedule.name=one_cycle", "schedule.peak_at=0.25", "schedule.start_fraction=0.1"),
        *("schedule.final_fraction=0.02",),
        steps=41,
    )
    assert cycle[0] == pytest.approx(0.05)
    assert cycle[10] == max(cycle) == 0.5
    assert cycle[40] == pytest.approx(0.01)


@pytest.mark.parametrize("name", ["constant", "step", "cosine"])
def test_schedule_warm_up_climbs_for_its_epochs_and_then_leaves_the_schedule_alone(name):
    plain, warm = rates(f"schedule.name={name}"), rates(f"schedule.name={name}", "schedule.warmup_epochs=0.5")
    assert warm[:5] == pytest.approx([rate * (i + 1) / 5 for i, rate in enumerate(plain[:5])])
    assert warm[5:] == plain[5:]


@pytest.mark.parametrize("name", ["constant", "step", "cosine", "one_cycle"])
def test_schedule_of_one_step_in_all_is_finite_for_every_name(name):
    schedule = build.schedule(configured("train.epochs=1", f"schedule.name={name}"), 1)
    assert all(math.isfinite(schedule(step)) and schedule(step) >= 0 for step in range(3))
