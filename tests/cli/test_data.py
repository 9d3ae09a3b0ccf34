"""`nnctl data`: files come from a mirror, are checked, and samples become pictures."""

import dataclasses
import gzip
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pytest_httpserver import HTTPServer

from nnctl.data import datasets, idx
from nnctl.data.catalog import CATALOG, DataFile
from tests.support.cli import Cli, Terminal
from tests.support.datasets import NAMES, small


@pytest.fixture
def arrays() -> dict[str, NDArray[np.uint8]]:
    """A dataset of 20 + 10 images of noise, by file name."""
    return small(seed=0)


@pytest.fixture
def mirror(arrays: dict[str, NDArray[np.uint8]], httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> HTTPServer:
    """A mirror under /good/ for a small dataset that stands in the table for MNIST, whose own mirrors are gone."""
    files = []
    for name, values in arrays.items():
        raw = idx.encode(values)
        packed = gzip.compress(raw, mtime=0)
        identity = len(packed), hashlib.sha256(packed).hexdigest(), len(raw), hashlib.sha256(raw).hexdigest()
        files.append(DataFile(name, *identity))
        httpserver.expect_request(f"/good/{name}.gz").respond_with_data(packed)
    a, b, c, d = files
    source = dataclasses.replace(CATALOG["mnist"], files=(a, b, c, d), mirrors=())
    monkeypatch.setitem(CATALOG, "mnist", source)
    return httpserver


# fetch


def test_fetch_brings_four_verified_files(cli: Cli, mirror: HTTPServer) -> None:
    code, out, err = cli("data", "fetch", "--mirror", mirror.url_for("/good/"))
    assert code == 0
    assert out.splitlines() == [str(Path("data/mnist") / f"{name}.gz") for name in NAMES]
    assert [line.split()[:2] for line in err.splitlines()] == [["fetching", f"{name}.gz"] for name in NAMES]
    assert cli("data", "verify")[0] == 0


@pytest.mark.mnist
def test_fetch_shows_a_bar_with_bytes_for_each_file_on_a_terminal(
    terminal: Terminal, mnist_files: Path, httpserver: HTTPServer
) -> None:
    for name in NAMES:
        httpserver.expect_request(f"/{name}.gz").respond_with_data((mnist_files / f"{name}.gz").read_bytes())
    code, shown = terminal("data", "fetch", "--mirror", httpserver.url_for("/"))
    assert code == 0
    last = [line.split("\r")[-1] for line in shown.replace("\r\n", "\n").split("\n")]
    assert [line.split(":")[0] for line in last[:4]] == [f"{name}.gz" for name in NAMES]
    assert all("100%" in line for line in last[:4])
    assert "9.45M/9.45M" in last[0]


def test_fetch_gets_present_files_again_only_when_forced(cli: Cli, mirror: HTTPServer) -> None:
    fetch = ("data", "fetch", "--data-dir", "d", "--quiet", "--mirror", mirror.url_for("/good/"))
    assert cli(*fetch)[0] == 0
    first = len(mirror.log)
    assert cli(*fetch) == (0, "".join(f"{Path('d/mnist') / name}.gz\n" for name in NAMES), "")
    assert len(mirror.log) == first
    assert cli(*fetch, "--force")[0] == 0
    assert len(mirror.log) == 2 * first


def test_fetch_asks_mirrors_of_the_command_before_those_of_the_environment(
    cli: Cli, mirror: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NNCTL_MIRRORS", f"{mirror.url_for('/worse/')},{mirror.url_for('/good/')}")
    code, _, err = cli("data", "fetch", "--mirror", mirror.url_for("/bad/"), "--quiet")
    assert (code, err) == (0, "")
    asked = [request.path.split("/")[1] for request, _ in mirror.log]
    assert asked[:3] == ["bad", "worse", "good"]


def test_fetch_names_each_mirror_with_its_reason_when_all_fail(cli: Cli, mirror: HTTPServer) -> None:
    mirror.expect_request("/page/train-images-idx3-ubyte.gz").respond_with_data("<html>", content_type="text/html")
    bad = [mirror.url_for(path) for path in ("/none/", "/page/")]
    code, out, err = cli("data", "fetch", "--quiet", "--mirror", bad[0], "--mirror", bad[1])
    assert (code, out) == (3, "")
    assert f"{bad[0]}: HTTP 500" in err
    assert f"{bad[1]}: sent a web page instead of the file" in err
    assert err.splitlines()[-1].startswith("hint: ")
    assert not list(Path("data").rglob("*.gz"))


def test_auto_takes_mnist_if_a_mirror_has_it(cli: Cli, mirror: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NNCTL_MIRRORS", mirror.url_for("/good/"))
    code, out, err = cli(
        "train", "--set=data.validation=5", "--set=train.epochs=1", "--run-dir", "run", "--quiet", "--json"
    )
    assert (code, err) == (0, "")
    assert json.loads(out)["dataset"] == "mnist"
    assert "dataset: mnist" in Path("run/config.yaml").read_text("utf-8")


@pytest.mark.parametrize("more", [(), ("--force",)], ids=["missing", "forced"])
def test_fetch_obeys_a_variable_that_turns_the_network_off(
    more: tuple[str, ...], cli: Cli, mirror: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NNCTL_DATA_OFFLINE", "true")
    code, out, err = cli("data", "fetch", "--mirror", mirror.url_for("/good/"), *more)
    assert (code, out) == (3, "")
    assert "fetching is off" in err
    assert err.splitlines()[-1].startswith("hint: leave out --offline, NNCTL_DATA_OFFLINE or")
    assert mirror.log == []


def test_fetch_needs_no_network_for_files_that_are_there(
    cli: Cli, mirror: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = cli("data", "fetch", "--quiet", "--mirror", mirror.url_for("/good/"))
    monkeypatch.setenv("NNCTL_DATA_OFFLINE", "true")
    assert cli("data", "fetch", "--quiet") == fetched
    assert fetched[0] == 0


def test_fetch_of_synthetic_lists_the_drawn_files(cli: Cli, drawn_dir: Path) -> None:
    code, out, err = cli("data", "fetch", "synthetic", "--data-dir", drawn_dir, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["files"] == [str(drawn_dir / "synthetic" / name) for name in NAMES]


# verify


def test_verify_reports_every_file_and_fails_if_one_is_bad(cli: Cli, mirror: HTTPServer) -> None:
    assert cli("data", "fetch", "--quiet", "--mirror", mirror.url_for("/good/"))[0] == 0
    missing, damaged, *_ = (Path("data/mnist") / f"{name}.gz" for name in NAMES)
    missing.unlink()
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"!")
    code, out, err = cli("data", "verify", "--json")
    assert code == 3
    assert "2 of the files are missing or damaged" in err
    assert err.splitlines()[-1] == "hint: nnctl data fetch gets good copies"
    assert [json.loads(line)["status"] for line in out.splitlines()] == ["missing", "damaged", "ok", "ok"]
    _, out, _ = cli("data", "verify")
    assert [line.split()[0] for line in out.splitlines()] == ["missing", "damaged", "ok", "ok"]


def test_verify_says_how_to_get_the_very_datasets_it_was_asked_about(cli: Cli) -> None:
    _, _, err = cli("data", "verify", "kmnist", "fashion-mnist")
    assert err.splitlines()[-1] == "hint: nnctl data fetch kmnist fashion-mnist gets good copies"


def test_verify_changes_nothing(cli: Cli, tmp_path: Path) -> None:
    assert cli("data", "verify", "mnist", "kmnist", "synthetic")[0] == 3
    assert list(tmp_path.iterdir()) == []


# export


@pytest.mark.parametrize(("sample", "index"), [("train:0", 0), ("train:19", 19), ("test:7", 27)])
def test_export_saves_the_exact_pixels_of_a_sample(
    sample: str, index: int, cli: Cli, mirror: HTTPServer, arrays: dict[str, NDArray[np.uint8]]
) -> None:
    assert cli("data", "fetch", "--quiet", "--mirror", mirror.url_for("/good/"))[0] == 0
    images = np.concatenate([arrays[NAMES[0]], arrays[NAMES[2]]])
    labels = np.concatenate([arrays[NAMES[1]], arrays[NAMES[3]]])
    answer = cli("data", "export", sample, "digit.png", "--offline")
    assert answer == (0, f"digit.png: mnist {sample}, which is {labels[index]}\n", "")
    with Image.open("digit.png") as picture:
        assert picture.format == "PNG"
        np.testing.assert_array_equal(np.asarray(picture), images[index])


def test_export_replaces_samples_but_not_a_users_drawing(cli: Cli, drawn_dir: Path) -> None:
    def exported(sample: str, *more: str) -> int:
        where = ("--dataset", "synthetic", "--data-dir", drawn_dir)
        return cli("data", "export", sample, "digit.png", *where, *more)[0]

    assert [exported("test:7"), exported("test:8")] == [0, 0]
    for drawing in (Image.new("L", (300, 300)), Image.new("RGB", (28, 28))):
        drawing.save("digit.png")
        before = Path("digit.png").read_bytes()
        assert exported("test:7") == 2
        assert Path("digit.png").read_bytes() == before
    assert exported("test:7", "--force") == 0
    assert Path("digit.png").read_bytes() != before


def test_export_json_says_what_was_saved(cli: Cli, drawn_dir: Path) -> None:
    labels = datasets.load_dataset("synthetic", drawn_dir).test.labels
    code, out, err = cli(
        "data", "export", "test:9999", "digit.png", "--dataset", "synthetic", "--data-dir", drawn_dir, "--json"
    )
    assert (code, err) == (0, "")
    expected = {"file": "digit.png", "dataset": "synthetic", "split": "test", "index": 9999, "label": int(labels[-1])}
    assert json.loads(out) == {"schema_version": 1} | expected


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        ("test:10000", "test has the samples 0 to 9,999"),
        ("train:60000", "train has the samples 0 to 59,999"),
        ("test", "is not a sample such as test:7"),
        ("test:-1", "is not a sample such as test:7"),
        ("7", "is not a sample such as test:7"),
    ],
)
def test_export_refuses_a_sample_that_does_not_exist(sample: str, words: str, cli: Cli, drawn_dir: Path) -> None:
    code, out, err = cli("data", "export", sample, "x.png", "--dataset", "synthetic", "--data-dir", drawn_dir)
    assert (code, out) == (2, "")
    assert words in err
    assert not Path("x.png").exists()


@pytest.mark.parametrize("name", ["digit.jpg", "digit", ".png", "digit.png.bak"])
def test_export_refuses_names_that_do_not_end_in_png(name: str, cli: Cli, drawn_dir: Path) -> None:
    code, out, err = cli("data", "export", "test:7", name, "--dataset", "synthetic", "--data-dir", drawn_dir)
    assert (code, out) == (2, "")
    assert f"{name}: the picture is PNG" in err
    assert err.splitlines()[-1] == "hint: choose a name that ends in .png"
    assert not Path(name).exists()


def test_export_accepts_a_name_that_ends_in_capitals(cli: Cli, drawn_dir: Path) -> None:
    assert cli("data", "export", "test:7", "D.PNG", "--dataset", "synthetic", "--data-dir", drawn_dir)[0] == 0
    assert Path("D.PNG").read_bytes().startswith(b"\x89PNG")
