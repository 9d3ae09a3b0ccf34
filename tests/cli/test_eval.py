"""`nnctl eval`: its numbers equal a plain recomputation, and are printed for people and for programs."""

import dataclasses
import json
import os
import re
import shlex
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nnctl import checkpoint
from nnctl.data import datasets
from nnctl.train import Evaluation
from tests.support.cli import Cli
from tests.support.runs import info


class Plain(NamedTuple):
    """What one recomputation in float64 found: the mean loss, the predictions and the labels."""

    loss: float
    predictions: NDArray[np.intp]
    labels: NDArray[np.intp]


def recomputed(run: Path, images: NDArray[np.uint8], labels: NDArray[np.integer[Any]]) -> Plain:
    """Let the best network of a small run (784-16-10, relu, cross-entropy) read images, step by plain step."""
    with np.load(run / "checkpoints" / "best.npz") as saved:
        params = {name.removeprefix("param/"): saved[name].astype(float) for name in saved if name != "meta"}
    x = images.reshape(len(images), -1) / 255
    hidden = np.maximum(0, x @ params["hidden1.weight"] + params["hidden1.bias"])
    logits = hidden @ params["output.weight"] + params["output.bias"]
    logits -= logits.max(axis=1, keepdims=True)
    log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    targets = labels.astype(np.intp)
    return Plain(-log_probs[np.arange(len(targets)), targets].mean(), logits.argmax(axis=1), targets)


@pytest.fixture(scope="module")
def drawn(drawn_dir: Path) -> datasets.Dataset:
    return datasets.load_dataset("synthetic", drawn_dir, validation=0)


@pytest.fixture
def report(cli: Cli, small_run: Path, drawn_dir: Path) -> dict[str, Any]:
    code, out, err = cli("eval", small_run, "--data-dir", drawn_dir, "--json")
    assert (code, err) == (0, "")
    value: dict[str, Any] = json.loads(out)
    return value


def test_eval_numbers_equal_a_plain_recomputation(
    report: dict[str, Any], small_run: Path, drawn: datasets.Dataset
) -> None:
    plain = recomputed(small_run, drawn.test.images, drawn.test.labels)
    confusion = np.zeros((10, 10), int)
    np.add.at(confusion, (plain.labels, plain.predictions), 1)
    assert report["loss"] == pytest.approx(plain.loss, rel=1e-5)
    assert report["errors"] == (plain.predictions != plain.labels).sum()
    assert report["accuracy"] == 1 - report["errors"] / 10_000
    assert report["confusion_matrix"] == confusion.tolist()
    for digit, entry in enumerate(report["classes"]):
        called, are = plain.predictions == digit, plain.labels == digit
        precision, recall = (called & are).sum() / called.sum(), (called & are).sum() / are.sum()
        assert entry["precision"] == pytest.approx(precision)
        assert entry["recall"] == pytest.approx(recall)
        assert entry["f1"] == pytest.approx(2 / (1 / precision + 1 / recall))
        assert entry["images"] == are.sum()


def test_eval_json_has_a_fixed_schema(report: dict[str, Any], small_run: Path) -> None:
    assert report["schema_version"] == 1
    assert report["checkpoint"] == str(small_run / "checkpoints" / "best.npz")
    assert (report["dataset"], report["split"], report["images"]) == ("synthetic", "test", 10_000)
    assert {"loss", "accuracy", "errors", "classes", "confusion_matrix", "worst"} <= report.keys()
    assert (len(report["classes"]), len(report["worst"])) == (10, 20)
    assert all(entry.keys() == {"name", "precision", "recall", "f1", "images"} for entry in report["classes"])
    assert all(entry.keys() == {"sample", "label", "prediction", "confidence", "right"} for entry in report["worst"])


def test_eval_sorts_the_worst_errors_by_the_probability_of_the_label(report: dict[str, Any]) -> None:
    right = [entry["right"] for entry in report["worst"]]
    assert right == sorted(right)
    assert right[0] < 0.1


def test_eval_prints_the_numbers_of_the_json(
    cli: Cli, report: dict[str, Any], small_run: Path, drawn_dir: Path
) -> None:
    code, out, err = cli("eval", small_run, "--data-dir", drawn_dir)
    assert code == 0
    assert "best.npz on the test images of synthetic" in err
    assert out.startswith(f"accuracy {100 * report['accuracy']:.2f} %: {report['errors']:,} of 10,000 wrong")
    rows = [line.split() for line in out.splitlines() if re.match(r"\d ", line)]
    assert [len(row) for row in rows] == [8] * 10 + [11] * 10
    assert [row[-1] for row in rows[:10]] == ["1,000"] * 10
    counts = [[int(count.replace(".", "0")) for count in row[1:]] for row in rows[10:]]
    assert counts == report["confusion_matrix"]


@pytest.mark.parametrize("split", ["test", "validation", "train"])
def test_eval_measures_the_splits_of_the_run(
    split: str, cli: Cli, small_run: Path, drawn_dir: Path, drawn: datasets.Dataset
) -> None:
    _, out, _ = cli("eval", small_run, "--data-dir", drawn_dir, "--split", split, "--json")
    parts = {
        "test": (drawn.test.images, drawn.test.labels),
        "validation": (drawn.train.images[-500:], drawn.train.labels[-500:]),
        "train": (drawn.train.images[:2000], drawn.train.labels[:2000]),
    }
    plain = recomputed(small_run, *parts[split])
    report = json.loads(out)
    assert report["images"] == len(plain.labels)
    assert report["errors"] == (plain.predictions != plain.labels).sum()


@pytest.mark.parametrize("split", ["test", "validation", "train"])
def test_eval_worst_errors_can_be_exported(split: str, cli: Cli, small_run: Path, drawn_dir: Path) -> None:
    _, out, _ = cli("eval", small_run, "--data-dir", drawn_dir, "--split", split)
    command = re.search(r"nnctl (data export .*)", out)
    assert command
    code, said, err = cli(*shlex.split(command[1]))
    assert (code, err) == (0, "")
    worst = re.search(r"worst errors.*\n.* is (\d) \(.*\), read as (\d) ", out)
    assert worst
    label, prediction = worst.groups()
    assert said.endswith(f"which is {label}\n")
    plain = recomputed(small_run, np.asarray(Image.open("digit.png"))[np.newaxis], np.array([int(label)], np.uint8))
    assert plain.predictions == int(prediction) != int(label)


@pytest.mark.parametrize(
    ("threshold", "code"), [("99", 9), ("99%", 9), ("0.99", 9), ("50%", 0), ("0.5", 0), ("5", 0), ("1", 9)]
)
def test_fail_under_decides_the_exit_code_after_the_report(
    threshold: str, code: int, cli: Cli, small_run: Path, drawn_dir: Path
) -> None:
    left, out, err = cli("eval", small_run, "--data-dir", drawn_dir, "--fail-under", threshold, "--quiet")
    assert left == code
    assert out.startswith(f"accuracy {100 * info(small_run)['test']['accuracy']:.2f} %: ")
    assert ("is below" in err) == (code == 9)


@pytest.mark.parametrize(
    ("errors", "threshold", "code"),
    [
        (907, "90.93%", 0),  # 90.93 / 100 is a little more than 0.9093
        (907, "90.93", 0),
        (907, "0.9093", 0),
        (908, "90.93%", 9),
        (907, "90.931%", 9),
        (0, "1", 0),
        (0, "100", 0),
        (0, "100%", 0),
        (1, "100%", 9),
        (9900, "1%", 0),
        (9901, "1%", 9),
    ],
)
def test_fail_under_accepts_an_accuracy_as_high_as_asked_for(
    *, errors: int, threshold: str, code: int, cli: Cli, own_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def evaluated(*_: object) -> Evaluation:
        labels = np.arange(10_000) % 10
        probs = np.eye(10, dtype=np.float32)[(labels + (np.arange(10_000) < errors)) % 10]
        return Evaluation(0.5, probs, labels)

    monkeypatch.setattr("nnctl.train.evaluation.evaluate", evaluated)
    left, out, err = cli("eval", own_run, "--fail-under", threshold, "--quiet")
    assert left == code, err
    assert f"{errors:,} of 10,000 wrong" in out
    shown, asked = re.findall(r"([\d.]+) %", err.partition("hint")[0]) or ("0", "1")
    assert float(shown) < float(asked)


@pytest.mark.parametrize("threshold", ["1.5", "1.0001", " 1.99"])
def test_fail_under_between_1_and_2_needs_a_percent_sign(threshold: str, cli: Cli, small_run: Path) -> None:
    code, out, err = cli("eval", small_run, f"--fail-under={threshold}")
    assert (code, out) == (2, "")
    assert f"write {threshold.strip()}% if a percentage is meant" in err


@pytest.mark.parametrize("threshold", ["101", "-1", "nan", "high", "inf", "101%", "%", ""])
def test_fail_under_refuses_what_is_no_accuracy(threshold: str, cli: Cli, small_run: Path) -> None:
    code, out, err = cli("eval", small_run, f"--fail-under={threshold}")
    assert (code, out) == (2, "")
    assert "is not an accuracy" in err


def test_eval_without_a_name_measures_the_newest_run(cli: Cli, own_run: Path, drawn_dir: Path) -> None:
    older = Path(shutil.copytree(own_run, own_run.parent / "older"))
    (own_run / "checkpoints" / "last.npz").touch()
    (older / "checkpoints" / "best.npz").unlink()
    _, out, _ = cli("eval", "--data-dir", drawn_dir, "--json")
    assert json.loads(out)["checkpoint"] == str(Path("runs/small/checkpoints/best.npz"))


def test_eval_data_dir_may_differ_from_that_of_training(cli: Cli, small_run: Path, drawn_dir: Path) -> None:
    elsewhere = os.path.relpath(drawn_dir)
    assert shlex.join(["--data-dir", elsewhere]) in cli("eval", small_run, "--data-dir", elsewhere)[1]
    Path("a file").touch()
    code, _, err = cli("eval", small_run, "--data-dir", "a file")
    assert code == 3
    assert "a file is not a folder" in err


def test_eval_refuses_the_validation_split_of_a_run_without_one(cli: Cli, small: tuple[object, ...]) -> None:
    assert cli("train", *small, "--set", "data.validation=0", "--run-dir", "run", "--quiet")[0] == 0
    code, out, err = cli("eval", "run", "--split", "validation")
    assert (code, out) == (2, "")
    assert "trained without validation images" in err


def test_eval_needs_only_a_checkpoint_wherever_it_lies(
    cli: Cli, small_run: Path, drawn_dir: Path, tmp_path: Path
) -> None:
    shutil.copy(small_run / "checkpoints" / "last.npz", tmp_path / "alone.npz")
    code, out, _ = cli("eval", "alone.npz", "--data-dir", drawn_dir, "--json")
    assert code == 0
    assert json.loads(out)["checkpoint"] == "alone.npz"


@pytest.mark.parametrize("command", ["eval --json", "predict digit.png"])
@pytest.mark.parametrize("epoch", [0, 1])
def test_eval_and_predict_warn_of_an_untrained_network_but_not_of_one_without_validation(
    command: str, epoch: int, cli: Cli, own_run: Path, drawn: datasets.Dataset
) -> None:
    Image.fromarray(drawn.test.images[0]).save("digit.png")
    last = own_run / "checkpoints" / "last.npz"
    saved = checkpoint.load(last)
    last.with_name("best.npz").unlink()
    checkpoint.save(last, dataclasses.replace(saved, state=dataclasses.replace(saved.state, epoch=epoch, best=None)))
    code, out, err = cli(*command.split())
    assert (code, len(out.splitlines())) == (0, 1)
    place = Path("runs/small/checkpoints/last.npz")
    warning = f"nnctl: warning: {place}: was saved before the end of its first epoch\n"
    assert err == ("" if epoch else warning)
