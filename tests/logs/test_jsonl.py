"""The metrics of a run: a line for each epoch, which agrees with the checkpoint that training goes on from."""

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nnctl.errors import StorageError
from nnctl.logs.jsonl import MetricsFile
from nnctl.logs.listener import Listener
from nnctl.train import EpochReport
from tests.support.files import pipe


@pytest.fixture
def metrics(tmp_path: Path) -> MetricsFile:
    return MetricsFile(tmp_path / "metrics.jsonl")


def report(epoch: int, **more: Any) -> EpochReport:
    """A report without validation, but for `more`."""
    plain = EpochReport(epoch, 0.1, 0.5, 0.75, None, None, seconds=1.5, images_per_second=200.0, best=False)
    return dataclasses.replace(plain, **more)


def line(epoch: int, **more: object) -> bytes:
    return json.dumps({"epoch": epoch, **more}).encode() + b"\n"


def test_metrics_file_is_a_listener_that_adds_a_line_for_each_epoch(metrics: MetricsFile) -> None:
    assert isinstance(metrics, Listener)
    metrics.on_epoch(report(1))
    assert metrics.path.read_text("utf-8").count("\n") == 1
    metrics.on_epoch(report(2, loss=0.25, validation_loss=0.5, validation_accuracy=1 / 3, best=True))
    common = {"learning_rate": 0.1, "accuracy": 0.75, "seconds": 1.5, "images_per_second": 200.0}
    assert [json.loads(text) for text in metrics.path.read_text("utf-8").splitlines()] == [
        {"epoch": 1, "loss": 0.5, "validation_loss": None, "validation_accuracy": None, "best": False, **common},
        {"epoch": 2, "loss": 0.25, "validation_loss": 0.5, "validation_accuracy": 1 / 3, "best": True, **common},
    ]


def test_metrics_file_appends_to_what_is_there(metrics: MetricsFile) -> None:
    metrics.path.write_bytes(line(1))
    metrics.on_epoch(report(2))
    first, second = metrics.path.read_bytes().splitlines(keepends=True)
    assert first == line(1)
    assert json.loads(second)["epoch"] == 2


def test_metrics_file_that_cannot_be_written_or_read_is_a_storage_error(metrics: MetricsFile) -> None:
    metrics.path.mkdir()
    with pytest.raises(StorageError, match="cannot write"):
        metrics.on_epoch(report(1))
    with pytest.raises(StorageError, match="cannot read"):
        metrics.rewind([{"epoch": 1}])


@pytest.mark.parametrize(
    "lines",
    [
        [line(1, seconds=3), line(2, seconds=4)],
        [line(1, seconds=3), line(2, seconds=4), line(3), line(4)],
        [line(1, seconds=3), line(2, seconds=4), line(3)[:7]],
        [line(1, seconds=9), line(1, seconds=3), line(2, seconds=4)],
        [line(2, seconds=4), line(1, seconds=3)],
        [line(1, seconds=3), b"\0\0\0\0\n", b"\xff\xfe\n", b"[]\n", b"3\n", b'{"epoch": []}\n', line(2, seconds=4)],
    ],
    ids=["equal", "epochs to repeat", "cut line", "repeated epoch", "out of order", "garbage"],
)
def test_metrics_file_rewound_agrees_with_the_history_and_has_what_the_clock_said(
    metrics: MetricsFile, lines: list[bytes]
) -> None:
    metrics.path.write_bytes(b"".join(lines))
    metrics.rewind([{"epoch": 1}, {"epoch": 2}])
    assert metrics.path.read_bytes() == line(1, seconds=3) + line(2, seconds=4)


@pytest.mark.parametrize("lines", [[], [line(2)], [line(1)[:5]]])
def test_metrics_file_rewound_has_a_line_that_was_lost_from_the_history(
    metrics: MetricsFile, lines: list[bytes]
) -> None:
    metrics.path.write_bytes(b"".join(lines))
    metrics.rewind([{"epoch": 1, "loss": 0.5}, {"epoch": 2}])
    assert metrics.path.read_bytes() == line(1, loss=0.5) + line(2)


@pytest.mark.parametrize("text", ["[" * 200_000, "5", "{"], ids=["brackets", "number", "brace"])
def test_metrics_file_rewound_drops_a_line_that_nobody_could_have_written(metrics: MetricsFile, text: str) -> None:
    metrics.path.write_text(text + "\n")
    metrics.rewind([{"epoch": 1}])
    assert metrics.path.read_text() == '{"epoch": 1}\n'


def test_metrics_file_rewound_is_written_where_there_was_none(metrics: MetricsFile) -> None:
    metrics.rewind([{"epoch": 1}])
    assert metrics.path.read_bytes() == line(1)


def test_metrics_file_rewound_to_no_history_has_no_line(metrics: MetricsFile) -> None:
    metrics.path.write_bytes(line(1))
    metrics.rewind([])
    assert metrics.path.read_bytes() == b""


def test_metrics_file_rewound_is_replaced_as_a_whole(metrics: MetricsFile) -> None:
    metrics.path.write_bytes(line(1))
    with metrics.path.open("rb") as before:
        metrics.rewind([])
        assert before.read() == line(1)
    assert list(metrics.path.parent.iterdir()) == [metrics.path]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("use", [lambda m: m.rewind([]), lambda m: m.on_epoch(report(1))], ids=["rewind", "on_epoch"])
@pytest.mark.parametrize("held", [False, True])
def test_metrics_file_waits_for_no_other_end_of_a_pipe(
    metrics: MetricsFile, use: Callable[[MetricsFile], None], held: bool
) -> None:
    with (
        pipe(metrics.path, held=held),
        pytest.raises(StorageError, match=rf"cannot (read|write) {metrics.path}: "),
    ):
        use(metrics)


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX permissions")
def test_metrics_file_is_for_whomever_the_umask_lets_read_it(metrics: MetricsFile) -> None:
    umask = os.umask(0o027)
    try:
        metrics.on_epoch(report(1))
    finally:
        os.umask(umask)
    assert metrics.path.stat().st_mode & 0o777 == 0o640
