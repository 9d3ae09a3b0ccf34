"""A run with drawn digits among its training images: which they are, who is told, and how it goes on."""

from pathlib import Path

import numpy as np
import pytest

from nnctl import build, checkpoint, config
from nnctl.checkpoint import Checkpoint
from nnctl.data import synthetic
from nnctl.data.mix import mixed, sha256_of_drawn
from nnctl.errors import ConfigError
from nnctl.rundir import RunDir
from tests.support.runs import digest, info
from tests.support.trainings import STEPS, TEST, TRAIN, VALIDATION, Recorder, configured, dataset, stopped, trained

pytestmark = pytest.mark.usefixtures("empty_folder")

MNIST = dataset(name="mnist")  # by its name
MIX = "data.mix=0.25"
MIXED_STEPS = 12  # of an epoch: 375 images, 32 at a time


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """A directory for a run, which is not there yet."""
    return RunDir(tmp_path / "run")


def test_run_learns_from_the_images_and_the_drawn_digits(run: RunDir) -> None:
    recorder = Recorder()
    result = trained(run.path, MIX, dataset=MNIST, listeners=[recorder])
    (start,) = recorder.starts
    expected = mixed(TRAIN, 0.25, 0)
    np.testing.assert_array_equal(start.train.images, expected.images)
    np.testing.assert_array_equal(start.train.labels, expected.labels)
    assert (start.dataset.train, start.dataset.validation, start.dataset.test) == (TRAIN, VALIDATION, TEST)
    assert result.metadata["steps"] == 3 * MIXED_STEPS
    trainer = build.trainer(configured(MIX), len(expected))
    list(trainer.fit(expected, VALIDATION, epochs=3))
    assert digest(run.path) == Checkpoint(trainer.state(), build.recorded(result.config)).digest()


@pytest.mark.parametrize("name", ["synthetic", "fashion-mnist", "kmnist"])
def test_run_of_another_dataset_mixes_nothing_in_and_says_so_in_its_configuration(run: RunDir, name: str) -> None:
    recorder = Recorder()
    result = trained(run.path, MIX, dataset=dataset(name=name), listeners=[recorder])
    assert recorder.starts[0].train is TRAIN
    assert result.config.data.mix == 0
    assert config.load(run.config, environ={}).config == result.config
    plain = trained(run.path.with_name("plain"), dataset=dataset(name=name))
    assert result.metadata["digest"] == plain.metadata["digest"]


def test_run_records_what_was_drawn_beside_the_files_of_its_dataset(run: RunDir) -> None:
    trained(run.path, MIX, dataset=MNIST)
    drawn = sha256_of_drawn(mixed(TRAIN, 0.25, 0)[len(TRAIN) :])
    assert info(run.path)["data_sha256"] == MNIST.sha256 | drawn


@pytest.mark.parametrize("steps", [7, MIXED_STEPS, MIXED_STEPS + STEPS])
def test_run_that_was_stopped_goes_on_with_the_same_bits(run: RunDir, steps: int) -> None:
    whole = RunDir(run.path.with_name("whole"))
    trained(whole.path, MIX, "data.augment.name=affine", dataset=MNIST)
    stopped(run.path, steps, MIX, "data.augment.name=affine", dataset=MNIST)
    trained(run.path, MIX, "data.augment.name=affine", dataset=MNIST, resume=True)
    assert run.last.read_bytes() == whole.last.read_bytes()


def test_run_is_repeated_by_its_own_configuration(run: RunDir) -> None:
    result = trained(run.path, MIX, dataset=MNIST)
    again = trained(run.path.with_name("again"), *_as_overrides(run.config), dataset=MNIST)
    assert again.metadata["digest"] == result.metadata["digest"]


def _as_overrides(path: Path) -> list[str]:
    saved = checkpoint.flat(config.to_mapping(config.load(path, environ={}).config))
    return [f"{key}={'null' if value is None else value}" for key, value in saved.items() if key != "judge"]


def test_run_cannot_go_on_with_another_share_or_seed(run: RunDir) -> None:
    stopped(run.path, 7, MIX, dataset=MNIST)
    with pytest.raises(ConfigError, match=r"cannot be resumed with another data\.mix"):
        trained(run.path, "data.mix=0.5", dataset=MNIST, resume=True)
    with pytest.raises(ConfigError, match="cannot be resumed with another seed"):
        trained(run.path, MIX, "seed=1", dataset=MNIST, resume=True)


def test_run_cannot_go_on_where_the_same_seed_draws_other_digits(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped(run.path, 7, MIX, dataset=MNIST)
    draw = synthetic.draw
    monkeypatch.setattr(synthetic, "draw", lambda count, seed, **ways: draw(count, seed ^ 1, **ways))
    with pytest.raises(ConfigError, match="was begun with other data") as caught:
        trained(run.path, MIX, dataset=MNIST, resume=True)
    assert caught.value.hint == "train on with the version of nnctl that drew its digits, or start a new run"


@pytest.mark.parametrize("sha256", [{"digits": "1" * 64}, {}], ids=["others", "none"])
def test_run_cannot_go_on_with_other_files_and_is_told_that_it_needs_its_own(
    run: RunDir, sha256: dict[str, str]
) -> None:
    stopped(run.path, 7, MIX, dataset=dataset(name="mnist", sha256={"digits": "2" * 64}))
    with pytest.raises(ConfigError, match="was begun with other data") as caught:
        trained(run.path, MIX, dataset=dataset(name="mnist", sha256=sha256), resume=True)
    assert caught.value.hint == "give it the files it had, or start a new run"


def test_run_from_before_there_were_drawn_digits_goes_on_without_them(run: RunDir) -> None:
    whole = RunDir(run.path.with_name("whole"))
    trained(whole.path, dataset=MNIST)
    stopped(run.path, 7, dataset=MNIST)
    saved = checkpoint.load(run.last)
    assert "mix" not in saved.config["data"]  # as it was then
    assert "judge" not in saved.config
    text = run.config.read_text("utf-8")
    run.config.write_text(text.replace("  mix: 0.0\n", "").replace("judge: false\n", ""), "utf-8")
    then = config.load(run.config, environ={}).config
    assert run.config.read_text("utf-8").count("\n") == text.count("\n") - 2
    assert (then.data.mix, then.judge) == (0, False)
    trained(run.path, *_as_overrides(run.config), dataset=MNIST, resume=True)
    assert run.last.read_bytes() == whole.last.read_bytes()
