"""A run: locked, saved before it is reported, stopped and gone on with to the same bits, and recorded as it was."""

import contextlib
import dataclasses
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nnctl import checkpoint, config
from nnctl.checkpoint import Checkpoint
from nnctl.data import Dataset, Examples
from nnctl.errors import (
    ArgumentError,
    CheckpointError,
    ConfigError,
    DataError,
    DivergedError,
    RunInUseError,
    RunUsedError,
    StoppedError,
    StorageError,
)
from nnctl.logs.listener import Listener, Start
from nnctl.model import Model
from nnctl.nn import Evaluation, Loss, Network
from nnctl.run import Stop, train_run
from nnctl.rundir import RunDir
from nnctl.train import EpochReport, Step, evaluate
from tests.support.files import contents
from tests.support.runs import digest, info, metrics
from tests.support.trainings import (
    NONE,
    STEPS,
    TEST,
    TRAIN,
    Recorder,
    Save,
    configured,
    dataset,
    saves_seen,
    stopped,
    stopping_when,
    trained,
)

pytestmark = pytest.mark.usefixtures("empty_folder")


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """A directory for a run, which is not there yet."""
    return RunDir(tmp_path / "run")


@pytest.fixture
def saves(monkeypatch: pytest.MonkeyPatch) -> list[Save]:
    return saves_seen(monkeypatch)


# what comes of it


def test_train_run_gives_a_result_that_equals_run_json(run):
    result = trained(run.path)
    assert result.directory == run.path
    assert dict(result.metadata) == info(run.path)
    assert result.metadata["status"] == "finished"
    assert result.metadata["epochs"] == len(result.history) == 3
    assert result.metadata["steps"] == 3 * STEPS
    assert result.metadata["parameters"] == 784 * 8 + 8 + 8 * 10 + 10
    assert result.metadata["digest"] == digest(run.path)
    assert result.metadata["best"] == checkpoint.load(run.best).state.best
    assert result.metadata["test"] == {
        "loss": result.test.loss,
        "accuracy": result.test.accuracy,
        "errors": result.test.errors,
    }
    assert result.metadata["dataset"] == "synthetic"
    assert result.metadata["data_sha256"] == dataset().sha256
    assert result.metadata["seed"] == 0
    assert len(result.test.labels) == len(TEST)
    assert result.seconds > 0
    assert list(result.history) == checkpoint.load(run.last).state.history
    assert [line["epoch"] for line in metrics(run.path)] == [1, 2, 3]
    clock = {"seconds", "images_per_second", "best"}
    lines = [{key: value for key, value in line.items() if key not in clock} for line in metrics(run.path)]
    assert lines == list(result.history)


def test_train_run_gives_a_config_in_which_nothing_is_left_open_and_which_replays_the_run(run):
    result = train_run(configured("data.dataset=auto", "train.threads=auto"), dataset(), run.path)
    assert result.config.data.dataset == "synthetic"
    assert isinstance(result.config.train.threads, int)
    assert config.load(run.config, environ={}).config == result.config
    again = train_run(result.config, dataset(), run.path.with_name("again"))
    assert again.metadata["digest"] == result.metadata["digest"]
    assert again.config == result.config


def test_train_run_takes_a_directory_as_text_or_path_or_makes_one():
    digests = set()
    for directory in (Path("as path"), "as text", None):
        result = train_run(configured(), dataset(), directory)
        assert isinstance(result.directory, Path)
        assert directory is None or result.directory == Path(directory)
        digests.add(digest(result.directory))
    assert len(digests) == 1
    assert result.directory.parent == Path("runs")
    assert result.directory.name.endswith("-synthetic-784-8-10")


def test_train_run_tests_the_best_epoch(run, monkeypatch):
    scripted(monkeypatch, [(0.9, 1.0), (0.8, 1.0), (0.7, 1.0)])
    recorder = Recorder()
    result = trained(run.path, listeners=[recorder])
    last = recorder.starts[0].trainer
    assert result.metadata["best"] == last.best == {"epoch": 1, "loss": 1.0, "accuracy": 0.9}
    assert result.test.loss == Model.load(run.best).evaluate(TEST).loss != evaluate(last.network, TEST).loss


def test_train_run_without_validation_tests_the_last_epoch(run):
    recorder = Recorder()
    result = trained(run.path, "data.validation=0", dataset=dataset(NONE), listeners=[recorder])
    assert result.metadata["best"] is None
    assert not run.best.exists()
    assert result.test.loss == evaluate(recorder.starts[0].trainer.network, TEST).loss


def test_train_run_ends_early_by_patience(run, monkeypatch):
    scripted(monkeypatch, [(0.9, 1.0), (0.8, 1.0), (0.7, 1.0), (0.6, 1.0)])
    result = trained(run.path, "train.patience=2", "train.epochs=9")
    assert result.metadata["epochs"] == 3


def test_train_run_with_patience_needs_validation_images(run):
    with pytest.raises(ConfigError, match="waits for a better validation"):
        trained(run.path, "train.patience=2", "data.validation=0")
    assert not run.used


# where the data come from


def test_train_run_loads_the_data_by_a_function_once_the_directory_is_locked(run):
    loaded = []

    def load() -> Dataset:
        with pytest.raises(RunInUseError), RunDir(run.path):
            pytest.fail("the directory is free")
        loaded.append(1)
        return dataset()

    given = trained(run.path.with_name("given"))
    assert trained(run.path, dataset=load).metadata["digest"] == given.metadata["digest"]
    assert loaded == [1]


def test_train_run_whose_data_cannot_be_loaded_begins_no_run(run):
    def load() -> Dataset:
        raise DataError("no data")

    with pytest.raises(DataError):
        trained(run.path, dataset=load)
    assert not run.used
    with pytest.raises(DataError):
        train_run(configured(), load)
    assert not Path("runs").exists()


# who may write in the directory


@pytest.mark.parametrize("resume", [False, True])
def test_train_run_refuses_a_directory_in_use_before_it_loads_data(run, resume):
    def load() -> Dataset:
        raise AssertionError("loads data")

    with run:
        before = contents(run.path)
        with pytest.raises(RunInUseError) as caught:
            trained(run.path, dataset=load, resume=resume)
        assert contents(run.path) == before
    assert caught.value.exit_code == 8


def test_train_run_refuses_a_used_directory_before_it_loads_data_and_leaves_it_as_it_is(run):
    trained(run.path)
    before = contents(run.path)

    def load() -> Dataset:
        raise AssertionError("loads data")

    with pytest.raises(RunUsedError, match="holds a run already"):
        trained(run.path, "seed=7", dataset=load)
    assert contents(run.path) == before


def test_train_run_holds_the_lock_to_the_end_and_gives_it_back(run):
    class Intruder(Listener):
        tried = 0

        def on_end(self) -> None:
            with pytest.raises(RunInUseError), RunDir(run.path):
                pytest.fail("held twice")
            self.tried += 1

    intruder = Intruder()
    trained(run.path, listeners=[intruder])
    with run:
        assert intruder.tried == 1


# who listens


def test_train_run_tells_listeners_everything_in_order(run):
    one, two = Recorder(), Recorder()
    trained(run.path, listeners=[one, two])
    assert one.events == two.events == ["start", *3 * [*STEPS * ["step"], "epoch"], "end"]
    assert one.steps == list(range(1, 3 * STEPS + 1))
    assert [report.epoch for report in one.reports] == [1, 2, 3]
    assert (one.reports, one.starts) == (two.reports, two.starts)


def test_train_run_tells_the_end_before_it_tests(run, monkeypatch):
    recorder = Recorder()

    def test(network: Network, examples: Examples, criterion: Loss) -> Evaluation:
        recorder.events.append("test" if examples is TEST else "calibrate")
        return evaluate(network, examples, criterion)

    monkeypatch.setattr("nnctl.run.ending.evaluate", test)
    trained(run.path, "train.epochs=1", "judge=true", listeners=[recorder])
    assert recorder.events[-5:] == ["epoch", "end", "test", "calibrate", "judge"]


def test_train_run_tells_where_it_starts(run):
    recorder = Recorder()
    given = dataset()
    result = trained(run.path, dataset=given, listeners=[recorder])
    (start,) = recorder.starts
    assert (start.directory, start.config) == (run.path, result.config)
    assert start.dataset is given
    assert start.trainer.steps == 3 * STEPS  # it is the one that trained


class Witness(Listener):
    """Sees what lies on the disk whenever it is told something."""

    def __init__(self, run: RunDir, every: int) -> None:
        self.run, self.every = run, every
        self.seen: list[str] = []

    def state_of(self, path: Path) -> tuple[int, int, int]:
        state = checkpoint.load(path).state
        return state.epoch, state.batch, state.step

    def on_start(self, start: Start) -> None:
        assert self.run.config.exists()
        assert info(self.run.path)["status"] == "running"
        assert self.state_of(self.run.last) == (0, 0, 0) == (start.trainer.epoch, start.trainer.batch, 0)
        assert not self.run.metrics.exists()
        self.seen.append("start")

    def on_step(self, step: Step) -> None:
        saves = [n for n in range(step.number + 1) if n % self.every == 0 or (n % STEPS == 0 and n < step.number)]
        assert self.state_of(self.run.last)[2] == max(saves)
        self.seen.append("step")

    def on_epoch(self, report: EpochReport) -> None:
        assert self.state_of(self.run.last) == (report.epoch, 0, report.epoch * STEPS)
        if report.best:
            assert self.state_of(self.run.best) == (report.epoch, 0, report.epoch * STEPS)
        assert [line["epoch"] for line in metrics(self.run.path)] == list(range(1, report.epoch + 1))
        assert metrics(self.run.path)[-1] == vars(report)
        self.seen.append("epoch")

    def on_end(self) -> None:
        assert info(self.run.path)["status"] == "running"  # the test is still to come
        assert "test" not in info(self.run.path)
        self.seen.append("end")


@pytest.mark.parametrize("every", [3, 4, 1000])
def test_train_run_saves_before_it_reports(run, every):
    witness = Witness(run, every)
    trained(run.path, f"train.checkpoint_every={every}", listeners=[witness])
    assert witness.seen == ["start", *3 * [*STEPS * ["step"], "epoch"], "end"]


@pytest.mark.parametrize("event", ["on_start", "on_step", "on_epoch", "on_end"])
def test_train_run_records_the_failure_of_a_listener_and_can_be_resumed(run, event, monkeypatch):
    class Broken(Listener):
        pass

    def fails(*_: object) -> None:
        raise ValueError("broken")

    monkeypatch.setattr(Broken, event, fails)
    with pytest.raises(ValueError, match="broken"):
        trained(run.path, listeners=[Broken()])
    assert info(run.path)["status"] == "failed"
    whole = trained(run.path.with_name("whole"))
    assert trained(run.path, resume=True).metadata["digest"] == whole.metadata["digest"]


@pytest.mark.parametrize("left_by", [KeyboardInterrupt, SystemExit])
def test_train_run_records_that_it_was_stopped_at_once(run, left_by):
    class Leaving(Recorder):
        def on_end(self) -> None:
            raise left_by

    with pytest.raises(left_by):
        trained(run.path, listeners=[Leaving()])
    assert info(run.path)["status"] == "stopped"


# saving


def test_train_run_saves_first_and_after_every_epoch(run, saves):
    trained(run.path, "data.validation=0", dataset=dataset(NONE))
    assert saves == [("last.npz", epoch, 0, epoch * STEPS) for epoch in range(4)]


def test_train_run_saves_at_an_interval_within_epochs_too(run, saves):
    trained(run.path, "train.checkpoint_every=4", "train.epochs=2", "data.validation=0", dataset=dataset(NONE))
    assert [step for *_, step in saves] == [0, 4, 8, 10, 12, 16, 20, 20]
    assert ("last.npz", 0, 4, 4) in saves
    assert ("last.npz", 1, 2, 12) in saves


def scripted(monkeypatch: pytest.MonkeyPatch, scores: Iterable[tuple[float, float]]) -> None:
    """Let validation give these accuracies and losses, one after the other."""
    results = iter([SimpleNamespace(accuracy=accuracy, loss=loss) for accuracy, loss in scores])
    monkeypatch.setattr("nnctl.train.trainer.evaluate", lambda *_: next(results))


def test_train_run_saves_the_best_epochs_as_best_and_before_the_last(run, saves, monkeypatch):
    scripted(monkeypatch, [(0.5, 2.0), (0.7, 1.0), (0.7, 1.0), (0.6, 0.1), (0.7, 0.9), (0.7, 0.95)])
    trained(run.path, "train.epochs=6")
    assert saves.pop()[:2] == ("best.npz", 5)  # once more in the end, with its temperature
    best = [epoch for name, epoch, *_ in saves if name == "best.npz"]
    assert best == [1, 2, 5]
    order = [(name, epoch) for name, epoch, *_ in saves]
    assert all(order.index(("best.npz", epoch)) + 1 == order.index(("last.npz", epoch)) for epoch in best)


@pytest.mark.parametrize("retained", [1, 2, 4])
def test_train_run_retains_as_many_checkpoints_as_asked_for(run, retained):
    present: list[int] = []

    class Counter(Recorder):
        def on_epoch(self, report: EpochReport) -> None:
            super().on_epoch(report)
            present.append(len(list(run.last.parent.glob("[ls]*.npz"))))

    result = trained(
        run.path, f"train.keep={retained}", "train.checkpoint_every=3", "train.epochs=2", listeners=[Counter()]
    )
    steps = [0, 3, 6, 9, 10, 12, 15, 18, 20]
    kept = {f"step-{step:09d}.npz": step for step in steps[-retained:-1]}
    assert {path.name for path in run.last.parent.iterdir()} == {"best.npz", "last.npz", *kept}
    for name, step in kept.items():
        assert checkpoint.load(run.last.with_name(name)).state.step == step
    assert present == [retained, retained]
    for name in kept:  # each can be gone on from
        run.last.unlink()
        run.last.write_bytes(run.last.with_name(name).read_bytes())
        again = trained(run.path, f"train.keep={retained}", "train.epochs=2", resume=True)
        assert again.metadata["digest"] == result.metadata["digest"]


def test_train_run_resumed_retains_what_it_went_on_from(run):
    retaining = ["train.keep=9", "train.epochs=1"]
    stopped(run.path, 7, *retaining)
    trained(run.path, *retaining, resume=True)
    kept = {path.name for path in run.last.parent.iterdir()}
    assert kept == {"best.npz", "last.npz", "step-000000000.npz", "step-000000007.npz"}


def test_train_run_records_in_a_checkpoint_where_it_was_made(run):
    trained(run.path)
    saved = checkpoint.load(run.last)
    assert saved.environment == {key: info(run.path)[key] for key in ("nnctl", "blas", "data_sha256")}


def test_train_run_that_cannot_save_at_first_begins_no_run(run, monkeypatch):
    def save(path: Path, _: Checkpoint) -> None:
        raise StorageError(f"cannot write {path}")

    monkeypatch.setattr(checkpoint, "save", save)
    with pytest.raises(StorageError):
        trained(run.path)
    assert not run.used


# stopping


@pytest.mark.parametrize(("signal", "exit_code"), [(2, 130), (15, 143)])
@pytest.mark.parametrize("steps", [1, 7, STEPS, STEPS + 1])
def test_train_run_that_is_asked_to_stop_saves_and_ends_at_once(run, saves, signal, exit_code, steps):
    recorder = Recorder()
    error = stopped(run.path, steps, signal=signal, listeners=[recorder])
    assert recorder.steps[-1] == steps
    assert recorder.events[-1] == "step"
    assert saves[-1] == ("last.npz", steps > STEPS, steps - STEPS * (steps > STEPS), steps)
    assert sum(step == steps for *_, step in saves) == 1
    assert error.exit_code == exit_code
    assert error.message == f"stopped after step {steps}; everything is saved"
    assert error.hint == "resume the run to go on"
    assert info(run.path)["status"] == "stopped"


def test_train_run_that_is_asked_to_stop_where_it_saves_anyway_saves_once(run, saves):
    stopped(run.path, 4, "train.checkpoint_every=4")
    assert [step for *_, step in saves] == [0, 4]


def test_train_run_that_is_asked_to_stop_while_it_validates_ends_after_the_report(run, saves, monkeypatch):
    asked = list[bool]()

    def validate(*arguments: Any) -> Any:
        asked.append(True)
        return evaluate(*arguments)

    monkeypatch.setattr("nnctl.train.trainer.evaluate", validate)
    recorder = Recorder()
    with pytest.raises(StoppedError) as caught:
        trained(run.path, listeners=[recorder], stopping=stopping_when(lambda: bool(asked)))
    assert [report.epoch for report in recorder.reports] == [1]
    assert recorder.events[-1] == "epoch"
    assert [(name, step) for name, *_, step in saves] == [("last.npz", 0), ("best.npz", STEPS), ("last.npz", STEPS)]
    assert f"step {STEPS};" in caught.value.message
    assert [line["epoch"] for line in metrics(run.path)] == [1]


def test_train_run_can_be_stopped_only_while_it_trains(run):
    recorder = Recorder()

    @contextlib.contextmanager
    def stopping() -> Iterator[Stop]:
        recorder.events.append("can be stopped")
        yield lambda: None
        recorder.events.append("can no longer be stopped")

    trained(run.path, "train.epochs=1", listeners=[recorder], stopping=stopping)
    assert recorder.events == [
        *("start", "can be stopped", *STEPS * ["step"], "epoch", "can no longer be stopped", "end")
    ]


# going on


VARIANTS = {
    "plain": [],
    "everything random": ["network.dropout=0.2", "data.augment.name=elastic", "optimizer.name=adam"],
}


@pytest.mark.parametrize("overrides", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("steps", [1, 7, STEPS, STEPS + 1, 3 * STEPS])
def test_train_run_resumed_gives_the_digest_of_one_that_never_stopped(run, overrides, steps):
    whole = trained(run.path.with_name("whole"), *overrides)
    stopped(run.path, steps, *overrides)
    recorder = Recorder()
    result = trained(str(run.path), *overrides, resume=True, listeners=[recorder])
    assert recorder.steps == list(range(steps + 1, 3 * STEPS + 1))
    assert recorder.warnings == []
    assert result.metadata["digest"] == whole.metadata["digest"]
    assert result.metadata["test"] == whole.metadata["test"]
    assert list(result.history) == list(whole.history)
    assert [line["epoch"] for line in metrics(run.path)] == [1, 2, 3]
    assert info(run.path)["status"] == "finished"


def test_train_run_stopped_again_and_again_gives_the_same_digest(run):
    overrides = ["network.dropout=0.2", "data.augment.name=affine"]
    whole = trained(run.path.with_name("whole"), *overrides)
    for steps in range(4, 3 * STEPS, 4):
        stopped(run.path, steps, *overrides, resume=True)
    result = trained(run.path, *overrides, resume=True)
    assert result.metadata["digest"] == whole.metadata["digest"]


def test_train_run_resumed_where_there_is_no_run_begins_one(run):
    assert trained(run.path, resume=True).metadata["status"] == "finished"


def test_train_run_resumed_after_its_end_does_nothing_more(run, saves):
    first = trained(run.path)
    before = contents(run.path)
    saves.clear()
    recorder = Recorder()
    result = trained(run.path, resume=True, listeners=[recorder])
    assert (recorder.events, saves) == (["start", "end"], [])
    assert result.metadata["digest"] == first.metadata["digest"]
    assert result.metadata["test"] == first.metadata["test"]
    after = contents(run.path)
    assert {name for name in before if before[name] != after[name]} <= {"run.json"}


def test_train_run_resumed_builds_no_second_network_to_go_on(run, monkeypatch):
    stopped(run.path, 7, "data.validation=0", dataset=dataset(NONE))
    built = []
    really_build = Network.__init__

    def build(self: Network, *arguments: Any, **options: Any) -> None:
        built.append(self)
        really_build(self, *arguments, **options)

    monkeypatch.setattr(Network, "__init__", build)
    recorder = Recorder()
    trained(run.path, "data.validation=0", resume=True, dataset=dataset(NONE), listeners=[recorder])
    assert built == [recorder.starts[0].trainer.network]


def test_train_run_resumed_takes_over_what_run_json_said(run):
    stopped(run.path, 7, dataset=dataset(fallback="no network"))
    before = info(run.path) | {"started": "2001-01-01T00:00:00+00:00"}
    assert before["fallback"] == "no network"
    run.metadata.write_text(json.dumps(before))
    result = trained(run.path, resume=True)
    assert (result.metadata["started"], result.metadata["fallback"]) == (before["started"], "no network")


def test_train_run_resumed_after_a_kill_between_best_and_last_repeats_the_epoch(run, monkeypatch):
    whole = trained(run.path.with_name("whole"))
    really_save = checkpoint.save

    def save(path: Path, saved: Checkpoint) -> None:
        if path.name == "last.npz" and saved.state.epoch == 2:
            raise KeyboardInterrupt
        really_save(path, saved)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", save)
        with pytest.raises(KeyboardInterrupt):
            trained(run.path)
    assert checkpoint.load(run.best).state.epoch == 2
    assert checkpoint.load(run.last).state.epoch == 1
    assert trained(run.path, resume=True).metadata["digest"] == whole.metadata["digest"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": "mine"}, "a run records a dataset of the catalogue; 'mine' is none"),
        (
            {"train": TRAIN[:150]},
            "the dataset has 150 \\+ 90 images to train on and to validate, .* asks for 300 \\+ 90",
        ),
        ({"validation": NONE}, "the dataset has 300 \\+ 0 images to train on and to validate, .* asks for 300 \\+ 90"),
    ],
    ids=["its name", "images to train on", "images to validate"],
)
def test_train_run_refuses_a_dataset_with_which_its_configuration_could_not_repeat_it(run, changes, reason):
    with pytest.raises(ArgumentError, match=reason):
        trained(run.path, dataset=dataset(**changes))
    assert not run.used


def test_train_run_resumes_only_a_run_that_is_named():
    with pytest.raises(ArgumentError, match="name its directory"):
        train_run(configured(), dataset(), resume=True)


def test_train_run_resumed_refuses_other_data_and_leaves_the_run_as_it_is(run):
    stopped(run.path, STEPS + 3)
    before = contents(run.path)
    with pytest.raises(ConfigError, match="was begun with other data"):
        trained(run.path, resume=True, dataset=dataset(sha256={"digits": "1" * 64}))
    with pytest.raises(CheckpointError, match=r"last\.npz: is not a checkpoint of this configuration"):
        trained(run.path, resume=True, dataset=dataset(train=TRAIN[:150], first_validation=150))
    assert contents(run.path) == before


@pytest.mark.parametrize("name", ["last", "best"])
def test_train_run_resumed_refuses_to_start_over_without_a_checkpoint(run, name):
    trained(run.path)
    getattr(run, name).unlink()
    with pytest.raises(CheckpointError, match=rf"{name}\.npz: is missing"):
        trained(run.path, "train.epochs=4", resume=True)
    assert len(metrics(run.path)) == 3


# warnings


def test_train_run_warns_of_a_stretched_schedule_and_records_it(run):
    trained(run.path)
    recorder = Recorder()
    result = trained(run.path, "train.epochs=4", resume=True, listeners=[recorder])
    assert recorder.events == ["warning", "start", *STEPS * ["step"], "epoch", "end"]
    assert recorder.warnings[0].startswith("the schedule is stretched over 4 epochs now, not 3: ")
    assert result.metadata["extended"] == [{"at": 3, "from": 3, "to": 4}]
    again = Recorder()
    result = trained(run.path, "train.epochs=4", resume=True, listeners=[again])
    assert again.warnings == []
    assert result.metadata["extended"] == [{"at": 3, "from": 3, "to": 4}]


def test_train_run_does_not_warn_of_more_epochs_where_the_schedule_stays(run):
    constant = "schedule.name=constant"
    at_once = trained(run.path.with_name("at once"), constant, "train.epochs=4")
    trained(run.path, constant)
    recorder = Recorder()
    result = trained(run.path, constant, "train.epochs=4", resume=True, listeners=[recorder])
    assert recorder.warnings == []
    assert result.metadata["digest"] == at_once.metadata["digest"]


def test_train_run_warns_every_listener_of_another_blas(run):
    stopped(run.path, 7)
    saved = checkpoint.load(run.last)
    blas = saved.environment["blas"] | {"kernel": "Nehalem", "threads": 77}
    checkpoint.save(run.last, dataclasses.replace(saved, environment={**saved.environment, "blas": blas}))
    one, two = Recorder(), Recorder()
    trained(run.path, resume=True, listeners=[one, two])
    assert one.warnings == two.warnings
    kernel, threads = one.warnings
    assert kernel.startswith("BLAS kernel: ")
    assert kernel.endswith(" here, Nehalem before; the last bits of results may differ")
    assert threads.endswith(" here, 77 before; the last bits of results may differ")
    assert one.events[:3] == ["warning", "warning", "start"]


# going astray


@pytest.mark.parametrize("rate", [1e6, 1e10, 1e30, 1e300])
@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_train_run_with_a_runaway_learning_rate_ends_in_one_error_and_saves_nothing_broken(run, saves, name, rate):
    recorder = Recorder()
    with pytest.raises(DivergedError) as caught:
        trained(
            run.path,
            "network.hidden=[16,16,16]",
            f"optimizer.name={name}",
            f"optimizer.learning_rate={rate}",
            "schedule.name=constant",
            "optimizer.weight_decay=0.1",
            "train.epochs=20",
            "train.checkpoint_every=1",
            listeners=[recorder],
        )
    trainer = recorder.starts[0].trainer
    assert caught.value.exit_code == 7
    assert f"(step {trainer.steps + 1}, epoch {trainer.epoch + 1})" in caught.value.message
    assert "lower optimizer.learning_rate" in caught.value.hint
    steps = [step for file, _, batch, step in saves if file == "last.npz" and (batch or not step)]
    assert steps == list(range(len(steps)))
    assert info(run.path)["status"] == "diverged"
    assert checkpoint.load(run.last).state.step == steps[-1]


class Poison(Recorder):
    """Makes a bias of the output no number before the first step."""

    def on_start(self, start: Start) -> None:
        super().on_start(start)
        start.trainer.network.params[-1] = np.nan


def test_train_run_saves_nothing_of_weights_that_are_not_finite(run, saves):
    with pytest.raises(DivergedError, match=r"the loss is (nan|inf) \(step 1, epoch 1\)"):
        trained(run.path, listeners=[Poison()])
    assert saves == [("last.npz", 0, 0, 0)]


def test_train_run_saves_nothing_of_an_epoch_whose_validation_loss_is_not_finite(run, saves, monkeypatch):
    scripted(monkeypatch, [(0.5, 1.0), (0.5, float("nan"))])
    recorder = Recorder()
    with pytest.raises(DivergedError, match="the validation loss is nan"):
        trained(run.path, listeners=[recorder])
    assert [epoch for name, epoch, *_ in saves if name == "last.npz"] == [0, 1]
    assert len(recorder.reports) == len(metrics(run.path)) == 1
