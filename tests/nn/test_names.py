"""The public names of the mathematics: whoever imports one of them relies on it."""

import ast
import inspect
from pathlib import Path
from typing import Any

from nnctl import nn
from nnctl.nn.activations import ACTIVATIONS
from nnctl.nn.initializers import INITIALIZERS
from nnctl.nn.optimizers import OPTIMIZERS
from nnctl.nn.schedules import SCHEDULES

NAMES = """
    Network Workspace Evaluation
    Layer Linear Flatten Dropout ReLU Sigmoid Tanh Softmax Identity
    Loss SoftmaxCrossEntropy SigmoidCrossEntropy SquaredError
    Optimizer SGD Adam AdamW
    Schedule Constant StepDecay Cosine OneCycle WarmUp
    Initializer he xavier normal
"""


def test_public_names_of_nn_stay_as_they_are() -> None:
    assert sorted(nn.__all__) == sorted(NAMES.split())
    assert [name for name in NAMES.split() if not hasattr(nn, name)] == []


def test_public_names_of_nn_are_all_that_it_imports() -> None:
    tree = ast.parse(Path(inspect.getfile(nn)).read_text(encoding="utf-8"))
    imported = [alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted(imported) == sorted(nn.__all__)


def test_public_names_of_nn_include_every_part_that_a_configuration_can_name() -> None:
    tables: list[dict[str, Any]] = [ACTIVATIONS, INITIALIZERS, OPTIMIZERS, SCHEDULES]
    assert {part.__name__ for table in tables for part in table.values()} <= set(nn.__all__)
