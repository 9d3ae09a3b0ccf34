"""The measurements beside other programs: their arithmetic, and that nnctl's own part of them still runs."""

import sys
from pathlib import Path

import pytest

from benchmarks.measure import Wanted, steady
from benchmarks.peers import nnctl_peer
from benchmarks.peers.task import OPTIMIZERS, Task, rates
from benchmarks.programs import PROGRAMS, FailedError, Program, run, run_in_turns
from benchmarks.tables import Table, ratios
from nnctl import __version__, blas
from nnctl.data import Dataset, Examples
from nnctl.data.synthetic import draw

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="benchmarks ask a Unix system for the memory of a process"
)


def test_ratios_are_taken_within_each_round() -> None:
    assert ratios([2, 60, 9], [1, 20, 9]) == {"ratio": 2, "least_ratio": 1, "greatest_ratio": 3}


def test_table_shows_its_columns_in_order_and_a_dash_for_what_is_missing() -> None:
    columns = {"name": ("program", ""), "ms": ("ms", ",.1f")}
    table = Table("Speed", columns, [{"ms": 1234.56, "name": "a", "all": [1, 2]}, {"name": "b"}], ["A note."])
    assert table.markdown().splitlines() == [
        "### Speed",
        "",
        "| program | ms |",
        "| --- | ---: |",
        "| a | 1,234.6 |",
        "| b | – |",
        "",
        "A note.",
    ]
    assert table.plain()["rows"][0]["all"] == [1, 2]


def test_run_measures_a_process_and_reports_its_last_words_as_its_failure() -> None:
    done = run([sys.executable, "-c", "b = bytearray(50_000_000); print('done')"])
    assert done.output == "done\n"
    assert done.peak_bytes > 50_000_000
    assert done.seconds > 0
    with pytest.raises(FailedError, match="ValueError: no luck"):
        run([sys.executable, "-c", "raise ValueError('no luck')"])


def test_run_in_turns_goes_on_without_a_program_that_fails() -> None:
    commands = {
        "good": lambda i: [sys.executable, "-c", f"print({i})"],
        "bad": lambda _: [sys.executable, "-c", "raise SystemExit('is not installed')"],
    }
    runs, failed = run_in_turns(commands, 2)
    assert [each.output for each in runs["good"]] == ["1\n", "2\n"]
    assert failed == {"bad": "is not installed"}


@pytest.mark.parametrize("schedule", ["constant", "one_cycle"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_nnctl_peer_trains_the_network_of_its_task_an_epoch_at_a_time(
    monkeypatch: pytest.MonkeyPatch, optimizer: str, schedule: str
) -> None:
    """With drawn digits in the place of MNIST, and with the threads that this process has."""
    asked: list[tuple[object, ...]] = []

    def load(name: str, directory: Path, **options: object) -> Dataset:
        asked.append((name, directory, options))
        train, test = (Examples(*draw(count, seed)) for count, seed in ((500, 1), (200, 2)))
        return Dataset("mnist", train, train[:0], test, tuple("0123456789"), {}, len(train))

    monkeypatch.setattr(blas, "configure", lambda _: None)
    monkeypatch.setattr("nnctl.data.load_dataset", load)
    task = Task(hidden=16, batch=50, optimizer=optimizer, learning_rate=0.01, epochs=2, images=500, schedule=schedule)
    peer = nnctl_peer.Nnctl(task)
    assert asked == [("mnist", task.data_dir, {"validation": 0, "limit": 500, "offline": True})]
    assert repr(peer.trainer.network).startswith("Network 784-16-10,")
    before = peer.accuracy()
    for steps in (10, 20):
        peer.epoch()
        assert peer.trainer.steps == steps
    assert peer.accuracy() > before
    assert [peer.trainer.schedule(step) for step in range(20)] == pytest.approx(rates(task) * (20 // len(rates(task))))
    if schedule == "constant":
        peer.epoch()  # as often as it is asked
    assert peer.version.startswith(f"nnctl {__version__} (")


@pytest.mark.mnist
def test_steady_lets_nnctl_take_its_turns_and_learn(mnist_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROGRAMS, "missing", Program("no_such_peer"))
    task = Task(hidden=16, batch=50, optimizer="sgd", learning_rate=0.1, images=5000, data_dir=mnist_dir)
    (table,) = steady(Wanted([task], ["nnctl", "missing"], rounds=2))
    (row,) = table.rows
    assert len(row["seconds"]) == 2
    assert row["ratio"] == 1
    assert row["accuracy_percent"] > 70
    assert "no_such_peer" in table.notes[1]
