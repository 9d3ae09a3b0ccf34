"""The end of a run: what reading pictures needs goes into its checkpoint, and changes nothing else."""

from pathlib import Path

import pytest

from nnctl import checkpoint
from nnctl.checkpoint import Checkpoint
from nnctl.errors import StorageError
from nnctl.judge import train_judge
from nnctl.model import Model
from nnctl.nn.calibration import fit_temperature
from nnctl.rundir import RunDir
from nnctl.train import evaluate
from tests.support.runs import digest, info
from tests.support.trainings import NONE, TRAIN, VALIDATION, Recorder, dataset, saves_seen, stopped, trained

pytestmark = pytest.mark.usefixtures("empty_folder")


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """A directory for a run, which is not there yet."""
    return RunDir(tmp_path / "run")


def test_run_of_digits_ends_with_a_judge_and_a_temperature_in_its_best_checkpoint(run: RunDir) -> None:
    recorder = Recorder()
    trained(run.path, "judge=true", "data.mix=0.25", dataset=dataset(name="mnist"), listeners=[recorder])
    assert recorder.events[-2:] == ["end", "judge"]
    model = Model.load(run.path)
    held_out = evaluate(model.network, VALIDATION, model.criterion)
    assert model.temperature == fit_temperature(held_out.probs, VALIDATION.labels) != 1
    assert model.judge is not None
    assert model.judge.network.params.tobytes() == train_judge(TRAIN, 0).network.params.tobytes()
    last = checkpoint.load(run.last)
    assert (last.reading, last.judge) == ({}, {})


def test_run_ends_without_a_judge_where_none_is_asked_for(run: RunDir) -> None:
    recorder = Recorder()
    trained(run.path, listeners=[recorder])
    assert recorder.events[-1] == "end"
    model = Model.load(run.path)
    assert model.judge is None
    assert model.temperature != 1


@pytest.mark.parametrize("name", ["fashion-mnist", "kmnist"])
def test_run_of_anything_but_digits_ends_with_neither(run: RunDir, name: str) -> None:
    result = trained(run.path, "judge=true", dataset=dataset(name=name))
    assert result.config.judge is False  # so that the saved configuration says what was done
    assert checkpoint.load(run.best).format_version == 1


def test_judge_and_temperature_change_no_digest_no_prediction_and_no_result(run: RunDir) -> None:
    plain = RunDir(run.path.with_name("plain"))
    results = [trained(plain.path), trained(run.path, "judge=true")]
    assert len({result.metadata["digest"] for result in results}) == 1
    assert len({result.test.loss for result in results}) == 1
    assert len({checkpoint.load(each.best).digest() for each in (plain, run)}) == 1
    predictions = {Model.load(each.path).predict(VALIDATION.pixels()).tobytes() for each in (plain, run)}
    assert len(predictions) == 1


def test_run_that_is_stopped_has_neither_until_it_is_resumed_to_its_end(run: RunDir) -> None:
    whole = RunDir(run.path.with_name("whole"))
    trained(whole.path, "judge=true")
    stopped(run.path, 15, "judge=true")
    assert checkpoint.load(run.best).format_version == 1
    trained(run.path, "judge=true", resume=True)
    assert run.best.read_bytes() == whole.best.read_bytes()


def test_run_resumed_after_its_end_learns_no_judge_again(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(run.path, "judge=true")
    before = run.best.read_bytes()
    saves, recorder = saves_seen(monkeypatch), Recorder()
    trained(run.path, "judge=true", resume=True, listeners=[recorder])
    assert recorder.events == ["start", "end"]
    assert saves == []
    assert run.best.read_bytes() == before


def test_run_resumed_after_its_end_with_a_judge_asked_for_gets_one_and_without_loses_it(run: RunDir) -> None:
    trained(run.path)
    before = checkpoint.load(run.best)
    trained(run.path, "judge=true", resume=True)
    after = checkpoint.load(run.best)
    assert (after.reading, after.digest()) == (before.reading, before.digest())
    assert after.judge
    trained(run.path, resume=True)
    assert checkpoint.load(run.best).judge == {}


def test_run_resumed_for_more_epochs_is_calibrated_anew_where_it_got_better(run: RunDir) -> None:
    trained(run.path, "train.epochs=1", "schedule.name=constant", "judge=true")
    first = Model.load(run.path)
    trained(run.path, "train.epochs=3", "schedule.name=constant", "judge=true", resume=True)
    model = Model.load(run.path)
    assert model.epochs > first.epochs
    assert model.temperature != first.temperature
    assert model.judge is not None


def test_run_without_validation_ends_with_a_judge_in_its_last_checkpoint_and_the_temperature_1(run: RunDir) -> None:
    trained(run.path, "data.validation=0", "judge=true", dataset=dataset(NONE))
    saved = checkpoint.load(run.last)
    assert saved.reading == {"temperature": 1.0}
    assert saved.judge
    assert saved.digest() == info(run.path)["digest"]
    longer = trained(run.path, "data.validation=0", "train.epochs=4", dataset=dataset(NONE), resume=True)
    assert longer.metadata["epochs"] == 4
    assert checkpoint.load(run.last).format_version == 1  # no judge was asked for, and there is nothing to calibrate by


@pytest.mark.parametrize("output", ["sigmoid", "linear"])
def test_run_is_calibrated_unless_its_outputs_are_no_probabilities(run: RunDir, output: str) -> None:
    trained(run.path, "loss=mse", f"network.output={output}", "judge=true")
    model = Model.load(run.path)
    assert (model.temperature == 1) == (output == "linear")
    assert model.judge is not None


def test_run_whose_end_cannot_be_saved_fails_and_can_be_resumed(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    really_save = checkpoint.save

    def save(path: Path, saved: Checkpoint) -> None:
        if saved.judge:
            raise StorageError(f"cannot write {path}")
        really_save(path, saved)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", save)
        with pytest.raises(StorageError):
            trained(run.path, "judge=true")
    assert info(run.path)["status"] == "failed"
    trained(run.path, "judge=true", resume=True)
    assert info(run.path)["status"] == "finished"
    assert info(run.path)["digest"] == digest(run.path)
    assert Model.load(run.path).judge is not None
