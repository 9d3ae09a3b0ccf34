"""`nnctl predict`: pictures in, digits out, whether a person or a program asks."""

import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nnctl import build, checkpoint
from nnctl.data import datasets
from nnctl.data.examples import Examples
from nnctl.data.image import read_digit, to_png
from nnctl.train import evaluate

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def digits(drawn_dir: Path) -> NDArray[np.uint8]:
    """Three samples, (3, 28, 28)."""
    return datasets.load("synthetic", drawn_dir).test_images[:3]


@pytest.fixture
def pictures(digits: NDArray[np.uint8], tmp_path: Path) -> list[Path]:
    """The samples as files a.png, b.png and c.png in the folder `pictures`, beside a text."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "notes.txt").write_text("no picture")
    paths = [folder / f"{name}.png" for name in "abc"]
    for path, pixels in zip(paths, digits, strict=True):
        path.write_bytes(to_png(pixels))
    return paths


def expected(run: Path, picture: bytes) -> NDArray[np.float32]:
    """The ten outputs (10,) of the run's best network for a picture."""
    path = run / "checkpoints" / "best.npz"
    network, criterion = build.trained_network(checkpoint.load(path), str(path))
    pixels = read_digit(picture, "picture")[np.newaxis]
    probs: NDArray[np.float32] = evaluate(network, criterion, Examples(pixels, np.zeros(1, np.intp))).probs[0]
    return probs


def test_a_picture_gets_one_line_with_its_digit(cli: Cli, small_run: Path, pictures: list[Path]) -> None:
    probs = expected(small_run, pictures[0].read_bytes())
    answer = cli("predict", pictures[0], "--checkpoint", small_run)
    assert answer == (0, f"{pictures[0]}: {probs.argmax()} ({100 * probs.max():.2f} %)\n", "")


def test_the_newest_run_reads_unless_another_is_named(cli: Cli, own_run: Path, pictures: list[Path]) -> None:
    assert cli("predict", pictures[0]) == cli("predict", pictures[0], "--checkpoint", own_run)


def test_json_has_one_line_for_each_picture(cli: Cli, small_run: Path, pictures: list[Path]) -> None:
    code, out, err = cli("predict", *pictures, "--checkpoint", small_run, "--json")
    assert (code, err) == (0, "")
    for line, path in zip(out.splitlines(), pictures, strict=True):
        probs = expected(small_run, path.read_bytes())
        answer = json.loads(line)
        assert answer.keys() == {"schema_version", "image", "prediction", "probabilities"}
        assert answer["image"] == str(path)
        assert answer["prediction"] == probs.argmax()
        assert answer["probabilities"] == pytest.approx(probs.tolist())


def test_a_folder_stands_for_its_pictures_in_order(cli: Cli, small_run: Path, pictures: list[Path]) -> None:
    assert cli("predict", pictures[0].parent, "--checkpoint", small_run) == cli(
        "predict", *pictures, "--checkpoint", small_run
    )


def test_a_dash_stands_for_standard_input(cli: Cli, small_run: Path, pictures: list[Path]) -> None:
    code, out, _ = cli("predict", "-", "--checkpoint", small_run, stdin=pictures[1].read_bytes())
    _, named, _ = cli("predict", pictures[1], "--checkpoint", small_run)
    assert code == 0
    assert out == named.replace(str(pictures[1]), "standard input")


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_one_bad_picture_does_not_spoil_the_others(
    as_json: bool, cli: Cli, small_run: Path, pictures: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "bad.png").write_text("not a picture")
    (tmp_path / "empty").mkdir()
    arguments = (pictures[0], "bad.png", "empty", pictures[1], "--checkpoint", small_run)
    code, out, err = cli("predict", *arguments, *(["--json"] if as_json else []))
    assert code == 5
    assert "nnctl: error: bad.png: " in err
    assert "nnctl: error: empty: holds no pictures" in err
    assert err.splitlines()[-1].startswith("nnctl: error: 2 of 4 pictures")
    if as_json:
        answers = [json.loads(line) for line in out.splitlines()]
        assert [answer["image"] for answer in answers] == [str(pictures[0]), "bad.png", "empty", str(pictures[1])]
        assert ["error" in answer for answer in answers] == [False, True, True, False]
    else:
        assert [line.partition(": ")[0] for line in out.splitlines()] == [str(pictures[0]), str(pictures[1])]


def test_what_the_network_saw_is_kept_on_request(
    cli: Cli, small_run: Path, pictures: list[Path], tmp_path: Path
) -> None:
    large = Image.open(pictures[0]).resize((280, 280))
    (tmp_path / "large").mkdir()
    large.save(tmp_path / "large" / "a.png")  # the same name as another picture's
    arguments = (*pictures, "large/a.png", "--checkpoint", small_run, "--save-preprocessed", "seen")
    code, _, err = cli("predict", *arguments)
    assert code == 0, err
    seen = {path.name: np.asarray(Image.open(path)) for path in Path("seen").iterdir()}
    assert seen.keys() == {"a-28x28.png", "b-28x28.png", "c-28x28.png", "a2-28x28.png"}
    for name, path in [("a", pictures[0]), ("b", pictures[1]), ("a2", tmp_path / "large" / "a.png")]:
        np.testing.assert_array_equal(seen[f"{name}-28x28.png"], read_digit(path.read_bytes(), name))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_the_name_of_a_file_cannot_break_a_line(cli: Cli, small_run: Path, pictures: list[Path]) -> None:
    odd = pictures[0].rename(pictures[0].with_name("new\nline\x1b[31m.png"))
    _, out, _ = cli("predict", odd, "--checkpoint", small_run)
    assert out.startswith(f"{odd.parent}/new\\nline\\x1b[31m.png: ")
    assert len(out.splitlines()) == 1
    _, out, _ = cli("predict", odd, "--checkpoint", small_run, "--json")
    assert json.loads(out)["image"] == str(odd)


# A terminal


@pytest.mark.parametrize(("encoding", "ink"), [("utf-8", "█▀▄░ "), ("ascii", "#'.: ")], ids=["blocks", "ascii"])
def test_a_terminal_shows_the_picture_and_ten_bars(
    encoding: str,
    ink: str,
    terminal: Callable[..., tuple[int, str]],
    small_run: Path,
    pictures: list[Path],
) -> None:
    code, shown = terminal("predict", pictures[0], "--checkpoint", small_run, PYTHONIOENCODING=encoding, NO_COLOR="1")
    assert code == 0
    lines = shown.replace("\r", "").splitlines()
    assert len(lines) == 1 + 14
    drawing = [line[2:30].ljust(28) for line in lines[1:]]
    pixels = read_digit(pictures[0].read_bytes(), "a")
    pairs = pixels.reshape(14, 2, 28).max(axis=1)  # (14, 28): a character is two pixels high
    assert all(set(line) <= set(ink) for line in drawing)
    assert [[c != " " for c in line] for line in drawing] == (pairs >= 48).tolist()
    probs = expected(small_run, pictures[0].read_bytes())
    bars = [line[33:] for line in lines[3:13]]
    assert [bar[0] for bar in bars] == [str(digit) for digit in range(10)]
    assert [bar.count(ink[0]) for bar in bars] == np.rint(probs * 30).tolist()
    assert [bar.split()[-2] for bar in bars] == [f"{100 * p:.2f}" for p in probs]


def test_only_the_chosen_bar_is_bold(
    terminal: Callable[..., tuple[int, str]], small_run: Path, pictures: list[Path]
) -> None:
    _, shown = terminal("predict", pictures[0], "--checkpoint", small_run)
    digit = expected(small_run, pictures[0].read_bytes()).argmax()
    assert shown.count("\x1b[1m") == 1
    assert f"\x1b[1m{digit} " in shown


def test_a_photograph_in_another_format_is_read_as_well(cli: Cli, small_run: Path, digits: NDArray[np.uint8]) -> None:
    jpeg = io.BytesIO()
    Image.fromarray(255 - digits[0]).resize((280, 280)).convert("RGB").save(jpeg, "JPEG")
    code, out, err = cli("predict", "-", "--checkpoint", small_run, stdin=jpeg.getvalue())
    assert (code, err) == (0, "")
    assert out.startswith(f"standard input: {expected(small_run, jpeg.getvalue()).argmax()} ")
