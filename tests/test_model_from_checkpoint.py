"""A trained network: it is built from its checkpoint, or refused before memory is set aside."""

import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnctl import build
from nnctl.checkpoint import Checkpoint
from nnctl.errors import CheckpointError
from nnctl.model import Model
from nnctl.nn.activations import Identity, Sigmoid, Softmax
from nnctl.nn.layers import Dropout
from nnctl.nn.losses import SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError
from nnctl.train import TrainerState

LAST = Path("last.npz")


def saved(**network: Any) -> Checkpoint:
    """The checkpoint of a small trained network, whose configuration says what `network` says."""
    built = build.network({"hidden": [4], "activation": "tanh"}, Softmax())
    built.params[:] = np.arange(built.params.size)
    settings = {"hidden": [4], "activation": "tanh"} | network
    loss = settings.pop("loss", "cross_entropy")
    return Checkpoint(TrainerState(built.arrays(), {}), {"network": settings, "loss": loss})


@pytest.mark.parametrize(
    ("settings", "kind", "output"),
    [
        ({}, SoftmaxCrossEntropy, Softmax),
        ({"output": None}, SoftmaxCrossEntropy, Softmax),
        ({"output": "sigmoid"}, SigmoidCrossEntropy, Sigmoid),
        ({"loss": "mse"}, SquaredError, Sigmoid),
        ({"loss": "mse", "output": "linear"}, SquaredError, Identity),
    ],
    ids=str,
)
def test_model_from_checkpoint_gets_the_parameters_the_loss_and_the_output_of_its_checkpoint(settings, kind, output):
    checkpoint = saved(**settings)
    model = Model.from_checkpoint(checkpoint, LAST)
    np.testing.assert_array_equal(model.network.params, np.arange(model.network.params.size, dtype=np.float32))
    assert type(model.criterion) is kind
    assert type(model.network.output) is type(model.criterion.output) is output
    assert not np.shares_memory(model.network.params, next(iter(checkpoint.state.params.values())))


def test_model_from_checkpoint_has_no_dropout():
    network = Model.from_checkpoint(saved(dropout=0.5), LAST).network
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
        {"output": "linear"},
        {"output": "step"},
        {"output": [1]},
        {"loss": "mse", "output": "step"},
    ],
    ids=str,
)
def test_model_from_checkpoint_refuses_a_configuration_that_does_not_fit_the_arrays_before_memory_is_set_aside(change):
    checkpoint = saved(**change)
    tracemalloc.start()
    with pytest.raises(CheckpointError) as caught:
        Model.from_checkpoint(checkpoint, LAST)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert caught.value.message == "last.npz: its configuration does not fit its arrays"
    assert peak < 2**20


@pytest.mark.parametrize("settings", [{}, {"network": None}, {"network": []}, {"network": {"hidden": [4]}}], ids=str)
def test_model_from_checkpoint_refuses_a_configuration_without_a_network(settings):
    with pytest.raises(CheckpointError):
        Model.from_checkpoint(replace(saved(), config=settings), LAST)


def test_model_from_checkpoint_refuses_arrays_of_the_right_size_under_other_names():
    checkpoint = saved()
    params = dict(checkpoint.state.params)
    params["hidden2.bias"] = params.pop("hidden1.bias")
    with pytest.raises(CheckpointError):
        Model.from_checkpoint(replace(checkpoint, state=TrainerState(params, {})), LAST)
