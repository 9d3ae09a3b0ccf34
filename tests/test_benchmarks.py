"""The measurements beside other programs: their arithmetic, and that nnctl's own part of them still runs."""

import sys
from pathlib import Path

import pytest

from benchmarks.measure import Wanted, steady
from benchmarks.peers.task import Task
from benchmarks.programs import PROGRAMS, FailedError, Program, run, run_in_turns
from benchmarks.tables import Table, ratios

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="benchmarks ask a Unix system for the memory of a process"
)


def test_ratios_are_taken_within_each_round() -> None:
    assert ratios([2, 60, 9], [1, 20, 9]) == {"ratio": 2, "least_ratio": 1, "greatest_ratio": 3}


def test_a_table_shows_its_columns_in_order_and_a_dash_for_what_is_missing() -> None:
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


def test_a_process_is_measured_and_its_last_words_are_its_failure() -> None:
    done = run([sys.executable, "-c", "b = bytearray(50_000_000); print('done')"])
    assert done.output == "done\n"
    assert done.peak_bytes > 50_000_000
    assert done.seconds > 0
    with pytest.raises(FailedError, match="ValueError: no luck"):
        run([sys.executable, "-c", "raise ValueError('no luck')"])


def test_one_program_that_fails_does_not_stop_the_others() -> None:
    commands = {
        "good": lambda i: [sys.executable, "-c", f"print({i})"],
        "bad": lambda _: [sys.executable, "-c", "raise SystemExit('is not installed')"],
    }
    runs, failed = run_in_turns(commands, 2)
    assert [each.output for each in runs["good"]] == ["1\n", "2\n"]
    assert failed == {"bad": "is not installed"}


@pytest.mark.mnist
def test_nnctl_takes_its_turns_and_learns(mnist_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROGRAMS, "missing", Program("no_such_peer"))
    task = Task(hidden=16, batch=50, optimizer="sgd", learning_rate=0.1, images=5000, data_dir=mnist_dir)
    (table,) = steady(Wanted([task], ["nnctl", "missing"], rounds=2))
    (row,) = table.rows
    assert len(row["seconds"]) == 2
    assert row["ratio"] == 1
    assert row["accuracy_percent"] > 70
    assert "no_such_peer" in table.notes[1]
