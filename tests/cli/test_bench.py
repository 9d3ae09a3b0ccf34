"""`nnctl bench`: its numbers are printed for people and for programs; it needs no data and leaves no files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nnctl import bench
from nnctl.cli import console

SMALL = ("--set=network.hidden=[6,5]", "--set=train.batch_size=8", "--set=data.augment=none")
PARTS = (
    "data",
    *(f"forward {layer}" for layer in ("flatten", "hidden1", "relu1", "hidden2", "relu2", "output")),
    *("loss", "accuracy", "loss gradient"),
    *("backward output params", "backward output inputs", "backward relu2"),
    *("backward hidden2 params", "backward hidden2 inputs", "backward relu1", "backward hidden1 params"),
    "optimizer",
)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure for a moment only: these tests do not look at the numbers."""
    for name, value in {"IMAGES": 240, "WARM_UP": 0.001, "ROUND": 0.001, "CLOCKED": 0.002}.items():
        monkeypatch.setattr(bench, name, value)


def chart(out: str) -> list[str]:
    """The lines from the head of the chart to its sum."""
    lines = out.splitlines()
    return lines[next(i for i, line in enumerate(lines) if line.startswith("part ")) :]


def test_bench_json_is_one_object_with_everything(cli: Callable[..., Any]) -> None:
    answer = cli("bench", *SMALL, "--json")
    assert (answer.code, answer.err) == (0, "")
    report = answer.json
    assert report["schema_version"] == 1
    assert list(report["blas"]) == ["library", "version", "kernel", "threads"]
    assert report["processor"]
    assert (report["network"], report["batch_size"]) == ("784-6-5-10", 8)
    assert report["parameters"] == 785 * 6 + 7 * 5 + 6 * 10
    assert report["operations"] == 2 * 8 * (2 * 784 * 6 + 3 * 6 * 5 + 3 * 5 * 10)
    assert report["images_per_second"] == pytest.approx(8e6 / report["step_microseconds"])
    assert report["step_gflops"] == pytest.approx(report["operations"] / report["step_microseconds"] / 1e3)
    assert report["bound_gflops"] == pytest.approx(report["operations"] / report["bound_microseconds"] / 1e3)
    assert report["product_share"] == pytest.approx(1 / report["ratio"])
    assert report["rounds"] >= 7
    assert sum(part["share"] for part in report["parts"]) == pytest.approx(1)
    assert tuple(" ".join(filter(None, (p["phase"], p["layer"], p["of"]))) for p in report["parts"]) == PARTS
    assert all(part["microseconds"] > 0 for part in report["parts"])


def test_bench_prints_a_table_and_a_chart(cli: Callable[..., Any]) -> None:
    code, out, err = cli("bench", *SMALL)
    assert (code, err) == (0, "")
    for words in ("784-6-5-10, batch 8, sgd", "threads: 1", "images/s", "GFLOP/s", "matrix products alone", " rounds"):
        assert words in out
    head, *rows, total = chart(out)
    assert tuple(row[: head.index(" us") - 10].strip() for row in rows) == PARTS
    assert total.startswith("sum")
    assert {row.index(" %") + 1 for row in rows} == {head.index(" share") + 5}


@pytest.mark.parametrize(("unicode", "glyph"), [(False, "#"), (True, "█")])
def test_bench_longest_bar_is_the_largest_share_and_ends_at_the_edge(
    cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, unicode: bool, glyph: str
) -> None:
    monkeypatch.setattr(console, "speaks_unicode", lambda _: unicode)
    out = cli("bench", *SMALL).out
    assert out.isascii() is not unicode
    rows = chart(out)[1:-1]
    shares = [float(row.split(" %")[0].split()[-1]) for row in rows]
    longest = max(rows, key=lambda row: row.count(glyph))
    assert float(longest.split(" %")[0].split()[-1]) == max(shares)
    assert longest.endswith(glyph)
    assert max(map(len, out.splitlines())) == len(longest) == 80


def test_bench_names_the_augmentation_and_times_it_as_a_part(cli: Callable[..., Any]) -> None:
    out = cli("bench", *SMALL[:2], "--set=data.augment=elastic", "--set=optimizer=adam").out
    assert "adam, elastic augmentation" in out
    assert any(line.startswith("augmentation ") for line in chart(out))


def test_bench_follows_a_configuration_file_and_leaves_nothing_behind(cli: Callable[..., Any], tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("network.hidden = []\ntrain.batch_size = 20\ndata.augment.name = 'none'\n", "utf-8")
    report = cli("bench", recipe, "--set", "train.batch_size=10", "--json").json
    assert (report["network"], report["batch_size"]) == ("784-10", 10)
    assert list(tmp_path.iterdir()) == [recipe]


def test_bench_reports_a_config_error_before_any_work(cli: Callable[..., Any]) -> None:
    code, out, err = cli("bench", "--set", "network.hiden=[6]")
    assert (code, out) == (2, "")
    assert "network.hiden" in err


def test_bench_sets_threads_before_numpy_is_loaded(nnctl: Callable[..., Any]) -> None:
    done = nnctl("bench", *SMALL, "--threads", 1, "--json", OPENBLAS_NUM_THREADS="2")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["blas"]["threads"] == 1
