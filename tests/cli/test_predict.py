"""`nnctl predict`: pictures in, digits out, whether a person or a program asks."""

import dataclasses
import io
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nnctl import checkpoint
from nnctl.cli.drawing import share
from nnctl.cli.hints import hint_of
from nnctl.data import datasets
from nnctl.data.catalog import CATALOG
from nnctl.errors import ImageError, NoDigitError, RunUsedError
from nnctl.model import Model
from nnctl.nn.calibration import tempered
from nnctl.picture.decode import read_digit, to_png
from tests.support.cli import Cli, Terminal
from tests.support.judges import ACCEPTS, DOUBTS, REFUSES, judge_who


@pytest.fixture(scope="module")
def digits(drawn_dir: Path) -> NDArray[np.uint8]:
    """Three samples, (3, 28, 28)."""
    return datasets.load_dataset("synthetic", drawn_dir).test.images[:3]


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


@pytest.fixture
def judged(own_run: Path) -> Callable[[float], Path]:
    """`judged(REFUSES)`: the small run, with a judge who thinks that of every picture."""

    def give(thinks: float) -> Path:
        best = own_run / "checkpoints" / "best.npz"
        checkpoint.save(best, dataclasses.replace(checkpoint.load(best), judge=judge_who(thinks).params()))
        return own_run

    return give


@pytest.fixture
def two(digits: NDArray[np.uint8], tmp_path: Path) -> Path:
    """A picture of two digits, side by side."""
    path = tmp_path / "two.png"
    Image.fromarray(np.hstack(list(digits[:2]))).resize((560, 280)).save(path)
    return path


def expected(run: Path, picture: bytes) -> NDArray[np.float64]:
    """The ten probabilities (10,) that the run's best network gives a picture of a digit, calibrated."""
    return probabilities(run, read_digit(picture, "picture"))


def probabilities(run: Path, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The ten probabilities (10,) that the run's best network gives (28, 28) pixels, calibrated."""
    model = Model.load(run)
    return tempered(model.predict(pixels / np.float32(255)), model.temperature)


def test_predict_prints_one_line_with_the_digit(cli: Cli, small_run: Path, pictures: list[Path]) -> None:
    probs = expected(small_run, pictures[0].read_bytes())
    answer = cli("predict", pictures[0], "--checkpoint", small_run)
    assert answer == (0, f"{pictures[0]}: {probs.argmax()} ({100 * probs.max():.2f} %)\n", "")


def test_predict_uses_the_newest_run_unless_another_is_named(cli: Cli, own_run: Path, pictures: list[Path]) -> None:
    answer = cli("predict", pictures[0])
    assert answer[0] == 0
    assert answer == cli("predict", pictures[0], "--checkpoint", own_run)


def test_predict_json_has_one_line_for_each_picture(cli: Cli, small_run: Path, pictures: list[Path]) -> None:
    code, out, err = cli("predict", *pictures, "--checkpoint", small_run, "--json")
    assert (code, err) == (0, "")
    for line, path in zip(out.splitlines(), pictures, strict=True):
        probs = expected(small_run, path.read_bytes())
        answer = json.loads(line)
        assert answer.keys() == {"schema_version", "image", "checkpoint", "prediction", "name", "probabilities"}
        assert answer["image"] == str(path)
        assert answer["prediction"] == probs.argmax()
        assert answer["name"] == str(probs.argmax())
        assert answer["probabilities"] == pytest.approx(probs.tolist())


def test_predict_reads_the_pictures_of_a_folder_in_order(cli: Cli, small_run: Path, pictures: list[Path]) -> None:
    answer = cli("predict", pictures[0].parent, "--checkpoint", small_run)
    assert answer[0] == 0
    assert answer == cli("predict", *pictures, "--checkpoint", small_run)


def test_predict_reads_standard_input_for_a_dash(cli: Cli, small_run: Path, pictures: list[Path]) -> None:
    code, out, _ = cli("predict", "-", "--checkpoint", small_run, stdin=pictures[1].read_bytes())
    _, named, _ = cli("predict", pictures[1], "--checkpoint", small_run)
    assert code == 0
    assert out == named.replace(str(pictures[1]), "standard input")


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_predict_reads_the_other_pictures_beside_a_bad_one(
    as_json: bool, cli: Cli, small_run: Path, pictures: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "bad.png").write_text("not a picture")
    (tmp_path / "empty").mkdir()
    arguments = (pictures[0], "bad.png", "empty", pictures[1], "--checkpoint", small_run)
    code, out, err = cli("predict", *arguments, *(["--json"] if as_json else []))
    assert code == 5
    assert "nnctl: error: bad.png: " in err
    assert "nnctl: error: empty: holds no pictures" in err
    *_, message, hint = err.splitlines()
    assert message.startswith("nnctl: error: 2 of 4 pictures")
    assert hint == "hint: the reason for each stands above"
    if as_json:
        answers = [json.loads(line) for line in out.splitlines()]
        assert [answer["image"] for answer in answers] == [str(pictures[0]), "bad.png", "empty", str(pictures[1])]
        assert ["error" in answer for answer in answers] == [False, True, True, False]
    else:
        assert [line.partition(": ")[0] for line in out.splitlines()] == [str(pictures[0]), str(pictures[1])]


def test_save_preprocessed_saves_what_the_network_saw(
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


@pytest.mark.parametrize("letter", ["n", "é", "数"])
def test_save_preprocessed_copes_with_the_longest_names(
    letter: str, cli: Cli, small_run: Path, pictures: list[Path]
) -> None:
    folder = Path("drawn")
    folder.mkdir()
    for end in ("a", "b", ""):
        shutil.copy(pictures[0], folder / f"{letter * ((251 - len(end)) // len(letter.encode()))}{end}.png")
    shutil.copy(pictures[0], folder / "z.png")
    code, out, err = cli("predict", folder, "--checkpoint", small_run, "--save-preprocessed", "seen")
    assert (code, err, len(out.splitlines())) == (0, "", 4)
    saved = [path.name for path in Path("seen").iterdir()]
    assert len(saved) == 4
    assert "z-28x28.png" in saved
    assert all(name.endswith("-28x28.png") for name in saved)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_predict_escapes_line_breaks_in_file_names(cli: Cli, small_run: Path, pictures: list[Path]) -> None:
    odd = pictures[0].rename(pictures[0].with_name("new\nline\x1b[31m.png"))
    _, out, _ = cli("predict", odd, "--checkpoint", small_run)
    assert out.startswith(f"{odd.parent}/new\\nline\\x1b[31m.png: ")
    assert len(out.splitlines()) == 1
    _, out, _ = cli("predict", odd, "--checkpoint", small_run, "--json")
    assert json.loads(out)["image"] == str(odd)


# What is no digit


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_predict_refuses_a_picture_that_shows_no_digit(
    as_json: bool, cli: Cli, judged: Callable[[float], Path], pictures: list[Path]
) -> None:
    closest = expected(judged(REFUSES), pictures[0].read_bytes()).argmax()
    code, out, err = cli("predict", pictures[0], *(["--json"] if as_json else []))
    message, hint = err.splitlines()
    what = f"this does not look like a digit (closest: {closest}); what was found lies at (14, 14)"
    error = f"{pictures[0]}: {what}"
    assert (code, message) == (5, f"nnctl: error: {error}")
    assert "--force" in hint
    if as_json:
        assert json.loads(out) == {
            "schema_version": 1,
            "image": str(pictures[0]),
            "error": error,
            "hint": hint.removeprefix("hint: "),
        }
    else:
        assert out == ""


def test_predict_says_how_to_read_what_is_refused_and_leaves_the_rest_of_the_hint_as_it_is() -> None:
    assert hint_of(NoDigitError("what", "sharpen {it}")) == "sharpen {it}, or have it read all the same with --force"
    assert hint_of(ImageError("what", "sharpen {it}")) == "sharpen {it}"
    assert "--resume" in hint_of(RunUsedError("what", "resume it"))


def test_predict_refuses_a_picture_of_several_digits_and_says_where_they_are(
    cli: Cli, judged: Callable[[float], Path], two: Path
) -> None:
    judged(ACCEPTS)
    code, out, err = cli("predict", two)
    assert (code, out) == (5, "")
    start = "nnctl: error: .*two.png: the picture holds 2 separate shapes, not one digit"
    places = re.fullmatch(
        rf"{start}; both look like digits: \d at \((\d+), \d+\), \d at \((\d+), \d+\)\nhint: .+\n", err
    )
    assert places is not None, err
    left, right = map(int, places.groups())
    assert left == pytest.approx(140, abs=20)
    assert right == pytest.approx(420, abs=20)


def test_predict_reads_the_other_pictures_beside_one_that_shows_no_single_digit(
    cli: Cli, judged: Callable[[float], Path], pictures: list[Path], two: Path
) -> None:
    judged(ACCEPTS)
    code, out, err = cli("predict", pictures[0], two, pictures[1])
    assert code == 5
    assert [line.partition(": ")[0] for line in out.splitlines()] == [str(pictures[0]), str(pictures[1])]
    assert re.search(rf"nnctl: error: {two}: the picture holds 2 separate shapes.*\nhint: .*--force\n", err)
    assert "nnctl: error: 1 of 3 pictures could not be read" in err


def test_predict_force_answers_whatever_the_picture_shows(
    cli: Cli, judged: Callable[[float], Path], pictures: list[Path], two: Path
) -> None:
    judged(ACCEPTS)
    plain = cli("predict", pictures[0])
    assert plain.code == 0
    judged(REFUSES)
    assert cli("predict", pictures[0], "--force") == plain
    code, out, err = cli("predict", two, "--force")
    assert (code, err) == (0, "")
    assert out.startswith(f"{two}: ")
    answer = cli("predict", two, "--force", "--json").json
    assert answer["prediction"] in range(10)
    assert "warning" not in answer


@pytest.mark.parametrize("content", [None, b"not a picture"], ids=["blank", "no picture"])
def test_predict_force_invents_no_answer_where_there_is_nothing_to_read(
    content: bytes | None, cli: Cli, small_run: Path
) -> None:
    Path("bad.png").write_bytes(content or to_png(np.full((50, 50), 255, np.uint8)))
    code, out, err = cli("predict", "bad.png", "--force", "--checkpoint", small_run)
    assert (code, out) == (5, "")
    assert err.startswith("nnctl: error: bad.png: ")
    assert content is not None or "the page is blank" in err


def test_predict_warns_where_it_doubts_that_there_is_a_digit(
    cli: Cli, judged: Callable[[float], Path], pictures: list[Path]
) -> None:
    plain = cli("predict", *pictures, "--checkpoint", judged(ACCEPTS))
    assert plain.err == ""
    code, out, err = cli("predict", *pictures, "--checkpoint", judged(DOUBTS))
    assert (code, out) == (0, plain.out)
    assert err == "".join(f"nnctl: warning: {path}: this may be no digit\n" for path in pictures)


def test_predict_json_has_a_warning_only_where_there_is_one(
    cli: Cli, judged: Callable[[float], Path], pictures: list[Path]
) -> None:
    plain = cli("predict", pictures[0], "--json", "--checkpoint", judged(ACCEPTS))
    doubtful = cli("predict", pictures[0], "--json", "--checkpoint", judged(DOUBTS))
    assert doubtful.json == plain.json | {"warning": "this may be no digit"}
    assert (doubtful.code, doubtful.err) == (0, "")
    assert "warning" not in plain.json


# Networks trained on other datasets


@pytest.fixture(params=["fashion-mnist", "kmnist"])
def other_run(request: pytest.FixtureRequest, own_run: Path) -> Path:
    """The small run, as if it had been trained on another dataset."""
    best = own_run / "checkpoints" / "best.npz"
    saved = checkpoint.load(best)
    config = {**saved.config, "data": saved.config["data"] | {"dataset": request.param}}
    checkpoint.save(best, dataclasses.replace(saved, config=config, reading={}))
    return own_run


def names_of(run: Path) -> tuple[str, ...]:
    dataset = checkpoint.load(run / "checkpoints" / "best.npz").config["data"]["dataset"]
    return CATALOG[dataset].classes


@pytest.fixture
def cloth(tmp_path: Path) -> NDArray[np.uint8]:
    """Pixels (28, 28) up to the edges, as no digit has them; cloth.png shows them."""
    pixels = np.random.default_rng(0).integers(0, 200, (28, 28), np.uint8)
    (tmp_path / "cloth.png").write_bytes(to_png(pixels))
    return pixels


def test_predict_names_the_classes_of_other_datasets(cli: Cli, other_run: Path, cloth: NDArray[np.uint8]) -> None:
    probs = probabilities(other_run, cloth)
    name = names_of(other_run)[probs.argmax()]
    assert cli("predict", "cloth.png") == (0, f"cloth.png: {name} ({100 * probs.max():.2f} %)\n", "")
    code, out, err = cli("predict", "cloth.png", "--json")
    assert (code, err) == (0, "")
    answer = json.loads(out)
    assert (answer["prediction"], answer["name"]) == (probs.argmax(), name)
    assert answer["probabilities"] == pytest.approx(probs.tolist())


def test_predict_leaves_28x28_pixels_of_other_datasets_as_they_are(
    cli: Cli, other_run: Path, cloth: NDArray[np.uint8]
) -> None:
    Image.fromarray(cloth).convert("RGBA").save("cloth.webp", lossless=True)
    pictures = ("cloth.png", "cloth.webp")
    assert cli("predict", *pictures, "--checkpoint", other_run, "--save-preprocessed", "seen")[0] == 0
    for name in ("cloth-28x28.png", "cloth2-28x28.png"):
        np.testing.assert_array_equal(np.asarray(Image.open(Path("seen", name))), cloth)


def test_predict_prepares_other_sizes_as_digits_and_warns_of_each(
    cli: Cli, other_run: Path, pictures: list[Path], cloth: NDArray[np.uint8]
) -> None:
    for name in ("one.png", "two.png"):
        Image.open(pictures[0]).resize((280, 280)).save(name)
    code, out, err = cli("predict", "one.png", "cloth.png", "two.png")
    assert code == 0
    found = probabilities(other_run, read_digit(Path("one.png").read_bytes(), "one")).argmax()
    first, second, third = (line.partition(": ")[2].rpartition(" (")[0] for line in out.splitlines())
    names = names_of(other_run)
    assert (first, second, third) == (names[found], names[probabilities(other_run, cloth).argmax()], names[found])
    dataset = checkpoint.load(other_run / "checkpoints" / "best.npz").config["data"]["dataset"]
    warning = f"{dataset} wants pictures of 28x28 pixels; this one was prepared in the way made for digits"
    assert err == "".join(f"nnctl: warning: {name}: {warning}\n" for name in ("one.png", "two.png"))
    assert cli("predict", "one.png", "--json").json["warning"] == warning
    assert "warning" not in cli("predict", "cloth.png", "--json").json


def test_predict_names_an_unreadable_picture_whatever_the_network_reads(cli: Cli, other_run: Path) -> None:
    Path("bad.png").write_text("not a picture")
    code, out, err = cli("predict", "bad.png", "--checkpoint", other_run)
    assert (code, out) == (5, "")
    assert err.startswith("nnctl: error: bad.png: not a PNG")
    assert err.splitlines()[-1].startswith("hint: ")


def test_predict_bars_with_names_fit_80_columns(terminal: Terminal, other_run: Path, cloth: NDArray[np.uint8]) -> None:
    code, shown = terminal("predict", "cloth.png", NO_COLOR="1")
    assert code == 0
    lines = shown.replace("\r", "").splitlines()
    assert max(map(len, lines)) <= 80
    names, probs = names_of(other_run), probabilities(other_run, cloth)
    width = max(map(len, names))
    bars = [line[33:] for line in lines[3:13]]
    assert [bar[:width].rstrip() for bar in bars] == list(names)
    assert [bar.count("█") for bar in bars] == np.rint(probs * (31 - width)).tolist()
    assert len({len(bar) for bar in bars}) == 1


# A terminal


@pytest.mark.parametrize(("encoding", "ink"), [("utf-8", "█▀▄░ "), ("ascii", "#'.: ")], ids=["blocks", "ascii"])
def test_predict_shows_the_picture_and_ten_bars_on_a_terminal(
    encoding: str,
    ink: str,
    terminal: Terminal,
    small_run: Path,
    pictures: list[Path],
) -> None:
    code, shown = terminal("predict", pictures[0], "--checkpoint", small_run, PYTHONIOENCODING=encoding, NO_COLOR="1")
    assert code == 0
    lines = shown.replace("\r", "").splitlines()
    assert len(lines) == 1 + 14 + 1
    assert lines[-1] == f"read by {small_run / 'checkpoints' / 'best.npz'} (learned from synthetic digits)"
    drawing = [line[2:30].ljust(28) for line in lines[1:-1]]
    pixels = read_digit(pictures[0].read_bytes(), "a")
    pairs = pixels.reshape(14, 2, 28).max(axis=1)  # (14, 28): a character is two pixels high
    assert all(set(line) <= set(ink) for line in drawing)
    assert [[c != " " for c in line] for line in drawing] == (pairs >= 48).tolist()
    probs = expected(small_run, pictures[0].read_bytes())
    bars = [line[33:] for line in lines[3:13]]
    assert [bar[0] for bar in bars] == [str(digit) for digit in range(10)]
    assert [bar.count(ink[0]) for bar in bars] == np.rint(probs * 30).tolist()
    assert [bar.split()[-2] for bar in bars] == [f"{100 * p:.2f}" for p in probs]


def test_predict_prints_only_the_chosen_bar_bold(terminal: Terminal, small_run: Path, pictures: list[Path]) -> None:
    _, shown = terminal("predict", pictures[0], "--checkpoint", small_run)
    digit = expected(small_run, pictures[0].read_bytes()).argmax()
    assert shown.count("\x1b[1m") == 1
    assert f"\x1b[1m{digit} " in shown


def test_predict_reads_a_jpeg_photograph_too(cli: Cli, small_run: Path, digits: NDArray[np.uint8]) -> None:
    jpeg = io.BytesIO()
    Image.fromarray(255 - digits[0]).resize((280, 280)).convert("RGB").save(jpeg, "JPEG")
    code, out, err = cli("predict", "-", "--checkpoint", small_run, stdin=jpeg.getvalue())
    assert (code, err) == (0, "")
    assert out.startswith(f"standard input: {expected(small_run, jpeg.getvalue()).argmax()} ")


@pytest.mark.parametrize(
    ("value", "shown"), [(0.5, " 50.00 %"), (1.0, "100.00 %"), (1.0071, "  1.0071"), (-0.2, " -0.2000")]
)
def test_share_of_what_is_none_is_a_plain_number(value: float, shown: str) -> None:
    assert share(value) == shown
