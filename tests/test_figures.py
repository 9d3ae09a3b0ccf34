"""On the real MNIST, the recipes reach the accuracy that the README gives, within what a seed may change."""

import json
from pathlib import Path

import pytest

from tests.support.files import CONFIGS
from tests.support.process import run_nnctl
from tests.support.runs import info


@pytest.mark.mnist
def test_default_recipe_reads_more_than_98_3_percent(default_run: Path) -> None:
    assert info(default_run)["test"]["accuracy"] >= 0.983


@pytest.mark.mnist
@pytest.mark.slow
@pytest.mark.parametrize(("recipe", "least"), [("softmax_regression.yaml", 0.92), ("3blue1brown.toml", 0.94)])
def test_small_recipes_read_as_much_as_so_few_neurons_can(
    mnist_dir: Path, tmp_path: Path, recipe: str, least: float
) -> None:
    options = ("--data-dir", mnist_dir, "--set=judge=false", "--json", "--quiet")  # a judge changes no accuracy
    done = run_nnctl("train", CONFIGS / recipe, *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["test"]["accuracy"] >= least
