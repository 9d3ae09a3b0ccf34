"""Resuming: a trainer goes back to a checkpoint of its own configuration, and to no other."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from nnctl import build, checkpoint
from nnctl.checkpoint import Checkpoint
from nnctl.errors import CheckpointError, ConfigError
from nnctl.nn import Network
from nnctl.run import MAY_CHANGE, restore
from nnctl.run.resuming import check_best, of_another
from nnctl.rundir import RunDir
from nnctl.train import Trainer
from tests.support.trainings import (
    DAMAGES,
    STEPS,
    TRAIN,
    VALIDATION,
    Damage,
    configured,
    finish,
    snapshot,
    train_until,
    trainer_of,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "last.npz"


def saved(path: Path, *overrides: str, steps: int = 0) -> Checkpoint:
    """The checkpoint of a small training after so many steps."""
    trainer = trainer_of(*overrides)
    if steps:
        train_until(trainer, steps)
    checkpoint.save(path, snapshot(trainer, *overrides))
    return checkpoint.load(path)


def restored(before: Checkpoint, path: Path, *overrides: str) -> Trainer:
    trainer = trainer_of(*overrides)
    restore(trainer, build.recorded(configured(*overrides)), before, path)
    return trainer


def test_restore_goes_on_with_the_same_bits(path: Path) -> None:
    whole = trainer_of("network.dropout=0.2")
    finish(whole)
    trainer = restored(saved(path, "network.dropout=0.2", steps=STEPS + 3), path, "network.dropout=0.2")
    assert (trainer.epoch, trainer.batch, trainer.steps) == (1, 3, STEPS + 3)
    finish(trainer)
    assert snapshot(trainer).digest() == snapshot(whole).digest()


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("seed=9", "seed"),
        ("network.hidden=[9]", "network.hidden"),
        ("network.dropout=0.5", "network.dropout"),
        ("network.output=sigmoid", "network.output"),
        ("loss=mse", "loss"),
        ("optimizer.learning_rate=0.123", "optimizer.learning_rate"),
        ("schedule.name=cosine", "schedule.name"),
        ("train.batch_size=16", "train.batch_size"),
        ("data.validation=7", "data.validation"),
        ("data.train_limit=100", "data.train_limit"),
        ("data.mix=0.5", "data.mix"),
        ("data.dataset=kmnist", "data.dataset"),
    ],
)
def test_restore_refuses_another_setting_that_matters(path: Path, override: str, key: str) -> None:
    before = saved(path)
    with pytest.raises(ConfigError) as caught:
        restored(before, path, override)
    assert caught.value.message.startswith(f"{path}: cannot be resumed with another ")
    assert key in caught.value.message.partition("another ")[2].split(", ")
    assert "train.epochs" in caught.value.hint


def test_restore_names_all_settings_that_differ_at_once(path: Path) -> None:
    before = saved(path, "optimizer.name=sgd")
    with pytest.raises(ConfigError, match=r"another optimizer\.beta1, .*optimizer\.name, .*seed"):
        restored(before, path, "seed=3", "optimizer.name=adam", "train.epochs=30")


@pytest.mark.parametrize(
    "override",
    [
        *("data.dir=elsewhere", "data.offline=true", "train.epochs=7", "train.patience=3", "train.checkpoint_every=2"),
        *("train.threads=2", "train.keep=5", "judge=true"),
    ],
)
def test_restore_lets_a_setting_change_that_changes_no_step(path: Path, override: str) -> None:
    assert override.partition("=")[0] in MAY_CHANGE
    assert restored(saved(path, steps=7), path, override).steps == 7


def test_restore_knows_of_no_other_settings_that_may_change() -> None:
    assert {
        *("data.dir", "data.offline", "train.epochs", "train.patience", "train.checkpoint_every"),
        *("train.threads", "train.keep", "judge"),
    } == MAY_CHANGE
    assert checkpoint.flat(build.recorded(configured("judge=true"))).keys() >= MAY_CHANGE


def test_restore_refuses_fewer_epochs_than_done(path: Path) -> None:
    trainer = trainer_of("train.epochs=2")
    finish(trainer, "train.epochs=2")
    before = snapshot(trainer, "train.epochs=2")
    with pytest.raises(ConfigError) as caught:
        restored(before, path, "train.epochs=1")
    assert caught.value.message == f"train.epochs: 1, but {path} has done 2 already"
    assert restored(before, path, "train.epochs=2").finished(2)


def test_restore_lets_epochs_be_added_to_a_finished_run(path: Path) -> None:
    constant = ["schedule.name=constant", "network.dropout=0.2"]
    long = trainer_of("train.epochs=4", *constant)
    finish(long, "train.epochs=4")
    short = trainer_of("train.epochs=2", *constant)
    finish(short, "train.epochs=2")
    checkpoint.save(path, snapshot(short, "train.epochs=2", *constant))
    before = checkpoint.load(path)
    assert restored(before, path, "train.epochs=2", *constant).finished(2)
    trainer = restored(before, path, "train.epochs=4", *constant)
    assert [report.epoch for report in finish(trainer, "train.epochs=4")] == [3, 4]
    digests = {snapshot(each, "train.epochs=4", *constant).digest() for each in (trainer, long)}
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("loss", "output"), [("cross_entropy", "softmax"), ("mse", "sigmoid")], ids=["cross_entropy", "mse"]
)
def test_restore_takes_an_output_that_the_loss_implies_for_one_that_was_left_out(
    path: Path, loss: str, output: str
) -> None:
    left_out, named = [f"loss={loss}"], [f"loss={loss}", f"network.output={output}"]
    assert restored(saved(path, *left_out, steps=7), path, *named).steps == 7
    assert restored(saved(path, *named, steps=7), path, *left_out).steps == 7


@pytest.mark.parametrize(
    ("loss", "implied", "others"),
    [("cross_entropy", "softmax", ["sigmoid"]), ("mse", "sigmoid", ["softmax", "linear"])],
    ids=["cross_entropy", "mse"],
)
def test_checkpoint_digest_depends_on_the_output_only_where_the_loss_does_not_imply_it(
    loss: str, implied: str, others: list[str]
) -> None:
    def digest(*output: str) -> str:
        return snapshot(trainer_of(f"loss={loss}", *output), f"loss={loss}", *output).digest()

    assert "output" not in build.recorded(configured(f"loss={loss}"))["network"]  # as before there was a choice
    assert digest() == digest(f"network.output={implied}") == digest("network.output=null")
    digests = [digest(), *(digest(f"network.output={other}") for other in others)]
    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize("damage", DAMAGES)
def test_restore_refuses_a_checkpoint_that_contradicts_its_configuration(path: Path, damage: Damage) -> None:
    before = snapshot(trainer_of("optimizer.momentum=0.9"), "optimizer.momentum=0.9")
    with pytest.raises(CheckpointError, match=r"last\.npz: .* configuration"):
        restored(dataclasses.replace(before, state=damage(before.state)), path, "optimizer.momentum=0.9")


@pytest.mark.parametrize("override", ["seed=9", "network.hidden=[9]", "train.epochs=1"])
def test_restore_blames_the_checkpoint_where_its_arrays_are_not_those_of_its_configuration(
    path: Path, override: str
) -> None:
    trainer = trainer_of()
    finish(trainer)
    before = snapshot(trainer)
    network = before.config["network"] | {"hidden": [17]}
    wrong = dataclasses.replace(before, config={**before.config, "network": network})
    with pytest.raises(CheckpointError, match="its configuration does not fit its arrays"):
        restored(wrong, path, override)


def test_restore_builds_no_network(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, trainer = saved(path, steps=7), trainer_of()

    def build_network(*_: Any, **__: Any) -> None:
        raise AssertionError("a second network")

    monkeypatch.setattr(Network, "__init__", build_network)
    restore(trainer, build.recorded(configured()), before, path)
    assert trainer.steps == 7


def test_of_another_names_the_checkpoint(path: Path) -> None:
    error = of_another(path)
    assert (error.message, error.exit_code) == (f"{path}: is not a checkpoint of this configuration", 4)


# the best checkpoint


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    run = RunDir(tmp_path)
    run.best.parent.mkdir()
    return run


def after(epochs: int, *overrides: str) -> Trainer:
    trainer = trainer_of(*overrides)
    list(trainer.fit(TRAIN, VALIDATION, epochs=epochs))
    return trainer


def best_is_ahead(epoch: int, accuracy: float = 1.0) -> Checkpoint:
    """The best checkpoint of a run that has come to this epoch."""
    trainer = after(epoch)
    trainer.best = {"epoch": epoch, "loss": 0.1, "accuracy": accuracy}
    return snapshot(trainer)


def test_check_best_accepts_the_best_of_this_run_or_none_before_the_first(run: RunDir) -> None:
    check_best(run, trainer_of(), 3)
    trainer = after(2)
    checkpoint.save(run.best, snapshot(trainer))
    check_best(run, trainer, 3)


def test_check_best_accepts_one_that_is_ahead_as_after_a_kill_between_two_saves(run: RunDir) -> None:
    checkpoint.save(run.best, best_is_ahead(2))
    check_best(run, after(1), 3)
    with pytest.raises(CheckpointError, match="is not the best of this run"):
        check_best(run, after(1), 1)  # nothing is left to train that would make it the best again


def test_check_best_refuses_one_of_another_run(run: RunDir) -> None:
    trainer = after(1)
    checkpoint.save(run.best, snapshot(after(1, "seed=1"), "seed=1"))
    with pytest.raises(CheckpointError, match=r"best\.npz: is not the best of this run"):
        check_best(run, trainer, 3)
    ahead = after(2, "seed=1")
    ahead.best = {"epoch": 2, "loss": 0.1, "accuracy": 1.0}
    checkpoint.save(run.best, snapshot(ahead, "seed=1"))
    with pytest.raises(CheckpointError, match=r"best\.npz: is not the best of this run"):
        check_best(run, trainer, 3)
    trainer.best = {"epoch": 1, "loss": 0.1, "accuracy": 1.0}
    checkpoint.save(run.best, snapshot(after(1)))  # of this run, but not its best
    with pytest.raises(CheckpointError, match=r"best\.npz: is not the best of this run"):
        check_best(run, trainer, 3)


def test_check_best_that_is_missing_tells_what_to_copy(run: RunDir) -> None:
    trainer = after(1)
    assert trainer.best is not None
    with pytest.raises(CheckpointError, match=r"best\.npz: is missing") as caught:
        check_best(run, trainer, 3)
    assert caught.value.hint == f"the last epoch was the best: copy {run.last} to {run.best}"
    train_until(trainer, STEPS + 1)
    with pytest.raises(CheckpointError, match=r"best\.npz: is missing") as caught:
        check_best(run, trainer, 3)
    assert caught.value.hint == "restore it from a copy, or start a new run"
