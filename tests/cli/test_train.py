"""`nnctl train`: what a run leaves behind, how it goes on, and how it ends."""

import contextlib
import dataclasses
import errno
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import pytest

from nnctl import blas, checkpoint
from nnctl.cli import signals
from nnctl.config import load
from nnctl.data import load_dataset
from nnctl.errors import StoppedError
from nnctl.storage import durable
from tests.support.cli import Cli, Terminal
from tests.support.files import contents, made_once
from tests.support.process import NNCTL, Nnctl, run_nnctl
from tests.support.runs import digest, info, metrics

Small = tuple[object, ...]

EVERY_RUN_HOLDS = {"config.yaml", "run.json", "metrics.jsonl", "checkpoints/last.npz", "checkpoints/best.npz"}


# What a run leaves behind


def test_train_leaves_settings_measurements_and_checkpoints(small_run: Path) -> None:
    files = {path.relative_to(small_run).as_posix() for path in small_run.rglob("*") if path.is_file()}
    assert files - {".lock"} == EVERY_RUN_HOLDS
    run = info(small_run)
    assert run["status"] == "finished"
    assert run["dataset"] == "synthetic"
    assert run["seed"] == 0
    assert run["epochs"] == 2
    assert run["steps"] == 2 * -(-2000 // 64)
    assert run["parameters"] == 784 * 16 + 16 + 16 * 10 + 10
    assert run["digest"] == digest(small_run)
    assert run["numpy"] == np.__version__
    assert {"nnctl", "python", "processor", "blas", "data_sha256", "best", "test"} <= run.keys()
    assert [line["epoch"] for line in metrics(small_run)] == [1, 2]


def test_train_with_the_saved_config_replays_the_run_to_the_bit(cli: Cli, small_run: Path) -> None:
    code, _, err = cli("train", small_run / "config.yaml", "--run-dir", "again")
    assert code == 0, err
    assert digest(Path("again")) == digest(small_run)
    assert Path("again/config.yaml").read_bytes() == (small_run / "config.yaml").read_bytes()


def test_train_with_another_seed_gives_another_network(cli: Cli, small_run: Path) -> None:
    assert cli("train", small_run / "config.yaml", "--set", "seed=1", "--run-dir", "other")[0] == 0
    assert digest(Path("other")) != digest(small_run)


def test_train_json_prints_one_object_that_says_all(cli: Cli, small: Small) -> None:
    answer = cli("train", *small, "--json", "--quiet")
    assert (answer.code, answer.err) == (0, "")
    result = answer.json
    assert result["schema_version"] == 1
    assert result["status"] == "finished"
    assert result["digest"] == digest(Path(result["run"]))
    assert len(result["history"]) == 2
    assert result["test"]["accuracy"] == 1 - result["test"]["errors"] / 10_000


def test_train_quiet_says_nothing_but_the_result(cli: Cli, small: Small) -> None:
    code, out, err = cli("train", *small, "--quiet")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == ["test", "run", "next"]


def test_train_writes_one_line_for_each_epoch_elsewhere_than_on_a_terminal(cli: Cli, small: Small) -> None:
    _, out, err = cli("train", *small)
    assert "epoch" not in out.replace("best epoch", "")
    assert [line.split()[0] for line in err.splitlines() if "/2 " in line] == ["1/2", "2/2"]
    assert "\r" not in err
    assert "training:" not in err


def test_train_says_which_digits_are_drawn_and_when_it_learns_what_is_none(
    cli: Cli, small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = (*small, "--set=data.train_limit=400")
    plain = cli("train", *few).err
    assert plain.startswith("synthetic: 400 images to train on, 500 to validate, 10,000 to test\n")
    assert "learning to tell digits" not in plain
    as_mnist = dataclasses.replace(load_dataset("synthetic", str(small[-1]), validation=500, limit=400), name="mnist")
    monkeypatch.setattr("nnctl.cli.options.load_dataset", lambda *_, **__: as_mnist)
    mixed = cli("train", *few, "--set=data.dataset=mnist", "--set=data.mix=0.25", "--set=judge=true")
    assert mixed.err.startswith("mnist: 400 images and 100 drawn digits to train on, 500 to validate, ")
    assert mixed.err.endswith("*\nlearning to tell digits from everything else\n\n")
    assert cli("train", *few, "--set=judge=true", "--quiet").err == ""


def test_train_shows_one_bar_on_a_terminal_and_lists_the_epochs_above_it(terminal: Terminal, small: Small) -> None:
    code, shown = terminal("train", *small)
    assert code == 0
    assert "\rtraining:   0%" in shown
    assert re.search(r"\r +1/2 .* %.*\n", shown)
    assert shown.rstrip().splitlines()[-1].startswith("next")


def test_train_names_a_run_after_time_dataset_and_sizes(cli: Cli, small: Small) -> None:
    assert cli("train", *small, "--quiet")[0] == 0
    assert cli("train", *small, "--quiet")[0] == 0
    names = [path.name for path in Path("runs").iterdir()]
    assert len(names) == 2
    assert all(re.fullmatch(r"\d{8}-\d{6}-synthetic-784-16-10(-2)?", name) for name in names)


def test_train_on_a_clock_that_stands_still_ends_well_and_shows_no_speed(
    cli: Cli, small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nnctl.train.trainer.time.perf_counter", lambda: 12.5)
    code, _, err = cli("train", *small, "--run-dir", "run")
    assert code == 0, err
    rows = [line.split() for line in err.splitlines() if "/2 " in line]
    assert [(row[0], row[7]) for row in rows] == [("1/2", "-"), ("2/2", "-")]
    assert [line["images_per_second"] for line in metrics(Path("run"))] == [0, 0]
    answer = cli("train", *small, "--run-dir", "again", "--json", "--quiet")
    assert (answer.code, answer.json["seconds"]) == (0, 0)


@pytest.mark.parametrize("where", [(), ("--run-dir", "my run")], ids=["runs/", "--run-dir"])
def test_train_ends_with_commands_that_can_be_pasted(where: tuple[str, ...], cli: Cli, small: Small) -> None:
    _, out, _ = cli("train", *small, "--quiet", *where)
    (line,) = (line for line in out.splitlines() if line.startswith("next"))
    export, predict = line.removeprefix("next").split("&&")
    assert cli(*shlex.split(export)[1:]) == (0, "digit.png: synthetic test:7, which is 0\n", "")
    code, read, err = cli(*shlex.split(predict)[1:])
    assert (code, err) == (0, "")
    assert read.startswith("digit.png: ")


def test_train_tests_the_best_epoch(cli: Cli, small: Small) -> None:
    # the steps grow until the very end, when they are far too large
    restless: tuple[str, ...] = (
        "--set=optimizer.learning_rate=20",
        "--set=schedule.peak_at=0.99",
        "--set=schedule.start_fraction=0.001",
    )
    restless = (*restless, "--set=train.epochs=4")
    _, out, _ = cli("train", *small, *restless, "--run-dir", "run", "--quiet")
    best = info(Path("run"))["best"]["epoch"]
    assert best != 4
    assert f"(best epoch, {best})" in out
    errors = [
        json.loads(cli("eval", f"run/checkpoints/{name}.npz", "--json")[1])["errors"] for name in ("best", "last")
    ]
    assert info(Path("run"))["test"]["errors"] == errors[0] != errors[1]


def test_train_without_validation_tests_the_last_epoch(cli: Cli, small: Small) -> None:
    code, out, err = cli("train", *small, "--set", "data.validation=0", "--run-dir", "run")
    assert code == 0, err
    assert "(epoch 2)" in out
    assert not Path("run/checkpoints/best.npz").exists()
    assert metrics(Path("run"))[0]["validation_accuracy"] is None


# Which digits


def test_train_on_auto_falls_back_to_synthetic_digits_loudly(cli: Cli, small: Small) -> None:
    code, out, err = cli("train", *small, "--set", "data.dataset=auto", "--offline", "--quiet", "--run-dir", "run")
    assert code == 0
    assert err.count("nnctl: warning: ") == 2
    assert "SYNTHETIC" in err
    assert "synthetic digits, not MNIST" in out
    assert load(Path("run/config.yaml")).config.data.dataset == "synthetic"
    assert "MNIST is not in" in str(info(Path("run"))["fallback"])


def test_train_on_mnist_never_falls_back(cli: Cli, small: Small) -> None:
    code, out, err = cli("train", *small, "--set", "data.dataset=mnist", "--offline")
    assert (code, out) == (3, "")
    assert "train-images-idx3-ubyte.gz is missing" in err
    assert not Path("runs").exists()


# One run, one directory, one process


def test_train_refuses_a_used_directory_and_leaves_it_as_it_is(cli: Cli, small: Small, own_run: Path) -> None:
    before = contents(own_run)
    code, out, err = cli("train", *small, "--set", "seed=7", "--run-dir", own_run)
    assert (code, out) == (2, "")
    assert "holds a run already" in err
    assert "--resume" in err
    assert contents(own_run) == before


@pytest.mark.parametrize("resume", [(), ("--resume",)], ids=["anew", "resume"])
def test_train_refuses_a_directory_in_use(resume: tuple[str, ...], cli: Cli, small: Small, own_run: Path) -> None:
    with filelock.FileLock(own_run / ".lock"):
        code, out, err = cli("train", *small, "--run-dir", own_run, *resume)
    assert (code, out) == (8, "")
    assert "another process is training here" in err


# Going on


def test_train_resume_of_a_finished_run_equals_one_trained_that_long_at_once(cli: Cli, small: Small) -> None:
    settings = (*small, "--set=schedule.name=constant", "--quiet")  # the others depend on the number of epochs
    assert cli("train", *settings, "--run-dir", "run", "--set=train.epochs=1")[0] == 0
    assert cli("train", "--resume", "--run-dir", "run", "--set=train.epochs=2", "--quiet")[0] == 0
    assert cli("train", *settings, "--run-dir", "at once")[0] == 0
    assert digest(Path("run")) == digest(Path("at once"))
    assert [line["epoch"] for line in metrics(Path("run"))] == [1, 2]


def test_train_resume_drops_the_lines_of_epochs_that_are_run_again(cli: Cli, own_run: Path) -> None:
    with (own_run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"epoch": 3, "loss": "of a crashed process"}) + '\n{"epoch": 4, "lo')
    assert cli("train", "--resume", "--set=train.epochs=3", "--quiet")[0] == 0
    assert [line["epoch"] for line in metrics(own_run)] == [1, 2, 3]
    assert isinstance(metrics(own_run)[2]["loss"], float)


def test_train_resume_leaves_the_beginning_of_a_run_as_it_was(cli: Cli, own_run: Path) -> None:
    before = info(own_run) | {"started": "2001-01-01T00:00:00+00:00", "fallback": "no network"}
    (own_run / "run.json").write_text(json.dumps(before))
    code, _, err = cli("train", "--resume", "--set=train.epochs=3", "--quiet")
    assert (code, err.count("warning")) == (0, 1)  # of the schedule that is bent
    assert (info(own_run)["started"], info(own_run)["fallback"]) == (before["started"], before["fallback"])
    assert info(own_run)["epochs"] == 3


def test_train_resume_warns_of_another_blas_kernel_than_before(cli: Cli, own_run: Path) -> None:
    saved = checkpoint.load(own_run / "checkpoints" / "last.npz")
    other = {**saved.environment, "blas": saved.environment["blas"] | {"kernel": "Nehalem", "threads": 77}}
    checkpoint.save(own_run / "checkpoints" / "last.npz", dataclasses.replace(saved, environment=other))
    code, _, err = cli("train", "--resume", "--quiet")
    assert code == 0
    assert re.search(r"nnctl: warning: BLAS kernel: \w+ here, Nehalem before; the last bits", err)
    assert re.search(r"nnctl: warning: BLAS threads: \d+ here, 77 before; the last bits", err)


def test_train_resume_refuses_other_data_than_before(cli: Cli, own_run: Path) -> None:
    saved = checkpoint.load(own_run / "checkpoints" / "last.npz")
    other = {**saved.environment, "data_sha256": {"train": "0"}}
    checkpoint.save(own_run / "checkpoints" / "last.npz", dataclasses.replace(saved, environment=other))
    before = contents(own_run)
    code, out, err = cli("train", "--resume", "--set=train.epochs=3", "--quiet")
    assert (code, out) == (2, "")
    assert "was begun with other data" in err
    assert contents(own_run) == before


@pytest.mark.parametrize("name", ["last.npz", "best.npz"])
def test_train_resume_does_not_start_a_run_over_that_lost_a_checkpoint(cli: Cli, own_run: Path, name: str) -> None:
    (own_run / "checkpoints" / name).unlink()
    before = contents(own_run)
    code, out, err = cli("train", "--resume", "--run-dir", own_run, "--set=train.epochs=3", "--quiet")
    assert (code, out) == (4, "")
    assert f"{name}: is missing" in err
    assert contents(own_run) == before


def test_train_retains_as_many_checkpoints_as_asked_for_and_resumes_from_each(cli: Cli, small: Small) -> None:
    where = ("--run-dir", "run", "--quiet")
    assert cli("train", *small, *where, "--set=train.checkpoint_every=10", "--set=train.keep=3")[0] == 0
    kept = Path("run/checkpoints")
    assert sorted(path.name for path in kept.iterdir()) == [
        "best.npz",
        "last.npz",
        "step-000000050.npz",
        "step-000000060.npz",
    ]
    assert [checkpoint.load(path).state.step for path in sorted(kept.glob("step*"))] == [50, 60]
    end = digest(Path("run"))
    shutil.copy(kept / "step-000000050.npz", kept / "last.npz")
    assert cli("train", *where, "--resume", "--set=train.keep=1")[0] == 0
    assert digest(Path("run")) == end
    assert sorted(path.name for path in kept.iterdir()) == ["best.npz", "last.npz"]


def test_train_resume_refuses_fewer_epochs_than_done(cli: Cli, own_run: Path) -> None:
    before = contents(own_run)
    code, out, err = cli("train", "--resume", "--set=train.epochs=1", "--quiet")
    assert (code, out) == (2, "")
    assert "train.epochs: 1, but" in err
    assert "has done 2 already" in err
    assert contents(own_run) == before


def test_train_resume_where_there_is_no_run_begins_one_and_says_so(cli: Cli, small: Small) -> None:
    code, _, err = cli("train", *small, "--run-dir", "new", "--resume", "--quiet")
    assert (code, err) == (0, "nnctl: warning: new: holds no run to resume; starting a new one\n")


def test_train_saves_what_auto_became_in_the_config(cli: Cli, small: Small) -> None:
    arguments = [argument for argument in small if argument != "--threads=1"]
    assert cli("train", *arguments, "--run-dir", "run", "--quiet")[0] == 0
    assert load(Path("run/config.yaml"), environ={}).config.train.threads == info(Path("run"))["blas"]["threads"]


def test_train_resume_records_permanently_that_a_run_was_stretched(cli: Cli, own_run: Path) -> None:
    assert cli("train", "--resume", "--set=train.epochs=3", "--quiet")[0] == 0
    assert cli("train", "--resume", "--quiet")[0] == 0
    assert info(own_run)["extended"] == [{"at": 2, "from": 2, "to": 3}]


def test_train_refuses_patience_without_validation_images(cli: Cli, small: Small) -> None:
    code, out, err = cli("train", *small, "--set=train.patience=1", "--set=data.validation=0")
    assert (code, out) == (2, "")
    assert "train.patience: waits for a better validation, but data.validation is 0" in err


@pytest.mark.skipif(blas.report()["library"] != "openblas", reason="needs a BLAS that tells its thread count")
@pytest.mark.skipif(os.cpu_count() == 1, reason="needs two processors")
@pytest.mark.parametrize(
    ("arguments", "variable"), [(("--threads", "2"), "1"), ((), "2")], ids=["--threads", "variable"]
)
def test_train_resume_leaves_the_thread_count_of_a_run_as_it_was(
    arguments: tuple[str, ...], variable: str, small: Small, tmp_path: Path, nnctl: Nnctl
) -> None:
    first = ("train", *small, "--set=train.threads=auto", "--run-dir", "run", "--quiet")
    start = [argument for argument in first if argument != "--threads=1"]
    assert nnctl(*start, *arguments, OPENBLAS_NUM_THREADS=variable).returncode == 0
    assert info(tmp_path / "run")["blas"]["threads"] == 2
    again = nnctl("train", "--resume", "--run-dir", "run", "--quiet", OPENBLAS_NUM_THREADS="1")
    assert (again.returncode, again.stderr) == (0, "")
    assert info(tmp_path / "run")["blas"]["threads"] == 2


def test_train_resume_of_a_finished_run_says_that_nothing_is_left(cli: Cli, own_run: Path) -> None:
    before = digest(own_run)
    code, out, err = cli("train", "--resume")
    assert code == 0
    assert "nothing is left to train" in err
    assert out.startswith("test accuracy")
    assert digest(own_run) == before


def test_train_resume_refuses_another_network(cli: Cli, own_run: Path) -> None:
    code, out, err = cli("train", "--resume", "--run-dir", own_run, "--set", "network.hidden=[8]")
    assert (code, out) == (2, "")
    assert "cannot be resumed with another network.hidden" in err


def test_train_resume_without_a_run_has_nothing_to_resume(cli: Cli) -> None:
    code, _, err = cli("train", "--resume")
    assert code == 4
    assert "no run found in runs/" in err


def test_signals_stop_asked_gives_a_signal_too_late_for_the_last_step_its_usual_effect() -> None:
    heard: list[int] = []
    usual = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    with signals.stop_asked():
        signal.raise_signal(signal.SIGTERM)
        assert heard == []
    signal.signal(signal.SIGTERM, usual)
    assert heard == [signal.SIGTERM]


def test_train_leaves_a_stopped_run_after_a_signal_while_the_test_accuracy_is_measured(
    cli: Cli, small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    def terminated(*_: object) -> None:
        raise SystemExit(143)

    with monkeypatch.context() as patch:
        patch.setattr("nnctl.run.ending.evaluate", terminated)
        assert cli("train", *small, "--run-dir", "run")[0] == 143
    assert info(Path("run"))["status"] == "stopped"
    assert cli("train", "--resume", "--run-dir", "run")[0] == 0
    assert info(Path("run"))["status"] == "finished"


def test_train_resume_refuses_the_best_checkpoint_of_another_run(cli: Cli, small: Small) -> None:
    for name, seed in (("run", 1), ("other", 2)):
        assert cli("train", *small, f"--set=seed={seed}", "--run-dir", name)[0] == 0
    shutil.copy("other/checkpoints/best.npz", "run/checkpoints/best.npz")
    code, out, err = cli("train", "--resume", "--run-dir", "run")
    assert (code, out) == (4, "")
    assert "best.npz: is not the best of this run" in err


def hinted(err: str) -> tuple[Path, Path]:
    """The two files of a hint to copy one to the other."""
    found = re.search(r"^hint: .*: copy (\S+) to (\S+)$", err, re.M)
    assert found, err
    return Path(found[1]), Path(found[2])


@pytest.mark.parametrize("fault", ["missing", "damaged"])
@pytest.mark.parametrize("keep", [1, 3])
def test_train_resume_without_the_last_checkpoint_goes_on_as_the_hint_says(
    fault: str, keep: int, cli: Cli, small: Small
) -> None:
    assert cli("train", *small, f"--set=train.keep={keep}", "--run-dir", "run")[0] == 0
    last, whole = Path("run/checkpoints/last.npz"), digest(Path("run"))
    last.unlink()
    if fault == "damaged":
        last.write_bytes(b"rubbish")
    code, _, err = cli("train", "--resume", "--run-dir", "run")
    assert code == 4
    shutil.copy(*hinted(err))
    assert cli("train", "--resume", "--run-dir", "run")[0] == 0
    assert digest(Path("run")) == whole


def test_train_resume_without_the_best_checkpoint_goes_on_if_the_last_is_the_best(cli: Cli, small: Small) -> None:
    assert cli("train", *small, "--run-dir", "run")[0] == 0
    best = Path("run/checkpoints/best.npz")
    content = best.read_bytes()
    best.unlink()
    code, _, err = cli("train", "--resume", "--run-dir", "run")
    assert code == 4
    shutil.copy(*hinted(err))
    assert cli("train", "--resume", "--run-dir", "run")[0] == 0
    assert best.read_bytes() == content


def test_train_resume_without_a_configuration_does_not_begin_anew_with_another(cli: Cli, small: Small) -> None:
    assert cli("train", *small, "--run-dir", "run")[0] == 0
    Path("run/config.yaml").unlink()
    code, _, err = cli("train", "--resume", "--run-dir", "run")
    assert code == 2
    assert "config.yaml: is missing\nhint: restore it" in err


def test_train_resume_goes_on_whatever_run_json_says(cli: Cli, small: Small) -> None:
    assert cli("train", *small, "--run-dir", "run")[0] == 0
    Path("run/run.json").write_text('{"extended": 5}')
    assert cli("train", "--resume", "--run-dir", "run", "--set=train.epochs=3")[0] == 0
    assert info(Path("run"))["extended"] == [{"at": 2, "from": 2, "to": 3}]


def test_train_resume_goes_on_from_a_first_save_that_was_not_synced(
    cli: Cli, small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_sync = durable.sync_folder

    def sync(folder: Path) -> None:
        if (folder / "last.npz").exists():
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        really_sync(folder)

    with monkeypatch.context() as patch:
        patch.setattr("nnctl.storage.durable.sync_folder", sync)
        assert cli("train", *small, "--run-dir", "run")[0] == 6
    assert cli("train", "--resume", "--run-dir", "run")[0] == 0
    assert cli("train", *small, "--run-dir", "at once")[0] == 0
    assert digest(Path("run")) == digest(Path("at once"))


def test_signals_stop_asked_handles_a_signal_that_got_lost_before_training_began(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(signals, "received", [signal.SIGTERM])
    usual = signal.signal(signal.SIGTERM, lambda *_: None)
    with signals.stop_asked() as stop:
        assert stop() == signal.SIGTERM
    signal.signal(signal.SIGTERM, usual)


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_signals_stop_asked_leaves_a_signal_off_that_nohup_has_switched_off() -> None:
    usual = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with signals.stop_asked() as stop:
            signal.raise_signal(signal.SIGINT)
            assert stop() is None
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, usual)


def test_signals_stop_asked_lets_a_second_one_not_wait_but_takes_an_echo_for_the_first() -> None:
    heard: list[int] = []
    usual = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    with contextlib.suppress(StoppedError), signals.stop_asked() as stop:
        for _ in range(3):
            signal.raise_signal(signal.SIGTERM)
        assert (stop(), heard) == (signal.SIGTERM, [])
        signals.state.heard -= signals.ONE_WISH  # a while later
        signal.raise_signal(signal.SIGTERM)
        assert heard == [signal.SIGTERM]
        raise StoppedError("stopped", "", signal.SIGTERM)
    signal.signal(signal.SIGTERM, usual)


@pytest.fixture(scope="module")
def longer(small: Small) -> Small:
    """Arguments that make `train` slow enough to be stopped."""
    return (*small, "--set=data.train_limit=50000", "--set=train.batch_size=256", "--set=train.epochs=3", "--quiet")


@pytest.fixture(scope="module")
def at_once(longer: Small, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of a training that was never stopped."""

    def train(folder: Path) -> None:
        done = run_nnctl("train", *longer, "--run-dir", "run", cwd=folder)
        assert done.returncode == 0, done.stderr

    return made_once(tmp_path_factory, "at-once", train) / "run"


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
@pytest.mark.parametrize(("name", "times"), [("SIGINT", 3), ("SIGTERM", 1), ("SIGTERM", 40), ("SIGHUP", 1)])
def test_train_stopped_by_signals_is_saved_and_goes_on_to_the_same_bits(
    name: str, times: int, tmp_path: Path, longer: Small, at_once: Path
) -> None:
    signum = signal.Signals[name]
    command = [*NNCTL, "train", *map(str, longer), "--run-dir", "run"]
    run = tmp_path / "run"
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        while not (run / "metrics.jsonl").exists() and process.poll() is None:
            time.sleep(0.01)
        time.sleep(0.05)  # into the second epoch
        for _ in range(times):
            process.send_signal(signum)
            time.sleep(0.002)
        out, err = process.communicate()
    assert (process.returncode, out) == (128 + signum, b"")
    said = rb"nnctl: stopped after step \d+; .*saved\nhint: go on with: nnctl train --resume --run-dir run\n"
    assert re.fullmatch(said, err)
    assert info(run)["status"] == "stopped"
    assert run_nnctl("checkpoint", "verify", "run", cwd=tmp_path).returncode == 0

    assert run_nnctl("train", "--resume", "--run-dir", "run", "--quiet", cwd=tmp_path).returncode == 0
    assert digest(run) == digest(at_once)
    assert info(run)["status"] == "finished"
    assert [line["epoch"] for line in metrics(run)] == [1, 2, 3]


# Going astray


def test_train_that_diverges_says_where_and_leaves_the_last_good_checkpoint(cli: Cli, small: Small) -> None:
    astray = ("--set=optimizer.learning_rate=1e38", "--set=network.hidden=[]", "--set=train.checkpoint_every=1")
    code, out, err = cli("train", *small, *astray, "--run-dir", "run", "--quiet")
    assert (code, out) == (7, "")
    found = re.search(r"training diverged: .*step (\d+), epoch 1.*\nhint: .*learning_rate", err)
    assert found
    kept = checkpoint.load(Path("run/checkpoints/last.npz"))
    assert 0 < kept.state.step < int(found[1])
    assert info(Path("run"))["status"] == "diverged"


def test_train_resume_with_more_epochs_warns_that_the_schedule_is_stretched(
    cli: Callable[..., Any], small: tuple[object, ...]
) -> None:
    assert cli("train", *small, "--run-dir", "run", "--quiet").code == 0
    longer = cli("train", "--run-dir", "run", "--resume", "--set", "train.epochs=3")
    assert longer.code == 0, longer.err
    assert "warning: the schedule is stretched over 3 epochs now, not 2" in longer.err
    again = cli("train", "--run-dir", "run", "--resume")
    assert again.code == 0, again.err
    assert "warning" not in again.err
