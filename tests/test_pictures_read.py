"""The default network reads people's pictures, and knows what is no digit."""

import itertools
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from benchmarks.pictures import Outcome, calibration_error, outcome
from nnctl.data import Examples, datasets
from nnctl.errors import ImageError
from nnctl.model import Model
from tests.support import papers
from tests.support.hands import draw_sign
from tests.support.inks import Nothing, Strokes, someones
from tests.support.photographs import photograph
from tests.support.scenes import BLANKS, KINDS, Scene, digits, picture, without_digit

pytestmark = pytest.mark.mnist


@pytest.fixture(scope="module")
def model(default_run: Path) -> Model:
    return Model.load(default_run)


@pytest.fixture(scope="module")
def held_out(mnist_dir: Path) -> Examples:
    """Images that the network has not learned from."""
    examples = datasets.load_dataset("mnist", mnist_dir, offline=True).validation
    return Examples(examples.images, examples.labels)


def read(model: Model, data: bytes) -> str:
    """The digit, or why there is none."""
    try:
        return str(model.read(data).prediction)
    except ImageError as error:
        return error.message


def shares(outcomes: list[Outcome], what: str) -> float:
    return float(np.mean([getattr(one, what) for one in outcomes]))


def test_every_kind_of_picture_is_read(model: Model, held_out: Examples) -> None:
    read = [outcome(model, example) for example in digits(held_out.images, held_out.labels, 6 * len(KINDS), 5)]
    wrong: dict[str, int] = defaultdict(int)
    for one in read:
        wrong[one.kind] += not one.right
    assert sum(wrong.values()) <= 4, dict(wrong)


def test_letters_and_drawings_are_refused_or_warned_about(model: Model) -> None:
    outcomes = []
    for n, (sign, kind) in enumerate(itertools.product(("latin", "greek", "cyrillic", "shape"), ("photo", "paint"))):
        for time in range(4):
            rng = np.random.default_rng([n, time])
            data = picture(kind, Strokes(draw_sign(sign, rng)), rng)
            try:
                outcomes.append(model.read(data).warning is not None)
            except ImageError:
                outcomes.append(True)
    assert np.mean(outcomes) >= 0.75


def test_blank_sheets_are_called_blank(model: Model) -> None:
    said = [
        read(model, scene(Nothing(), np.random.default_rng(n))) for scene in (papers.scan, papers.dim) for n in (1, 2)
    ]
    assert sum("the page is blank" in one for one in said) >= 3, said


def test_digits_are_read_in_the_noise_of_poor_light(model: Model, held_out: Examples) -> None:
    said = []
    for n, (image, label) in enumerate(zip(held_out.images[:10], held_out.labels[:10].tolist(), strict=True)):
        rng = np.random.default_rng(n)
        said.append((str(label), read(model, papers.dim(someones(image, label, rng), rng))))
    assert sum(label == answer for label, answer in said) >= 9, said


@pytest.mark.slow
def test_photographs_of_1000_digits_are_read_right_in_97_percent(model: Model, held_out: Examples) -> None:
    right = [
        read(model, photograph(image, np.random.default_rng(n))) == str(label)
        for n, (image, label) in enumerate(zip(held_out.images[:1000], held_out.labels[:1000], strict=True))
    ]
    assert np.mean(right) >= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("scene", BLANKS, ids=lambda scene: scene.__name__)
def test_a_blank_sheet_of_any_kind_is_called_blank_or_warned_about(model: Model, scene: Scene) -> None:
    said, silent = [], 0
    for n in range(20):
        try:
            reading = model.read(scene(Nothing(), np.random.default_rng(n)))
            said.append(f"{reading.prediction}: {reading.warning}")
            silent += reading.warning is None
        except ImageError as error:
            said.append(error.message)
    assert sum("the page is blank" in one for one in said) >= 10, said
    assert silent <= 3, said


@pytest.mark.slow
def test_hard_pictures_are_read_right_or_refused_as_promised(model: Model, held_out: Examples) -> None:
    images, labels = held_out.images, held_out.labels
    of_digits = [outcome(model, example) for example in digits(images, labels, 520, 11)]
    assert shares(of_digits, "right") >= 0.975
    for kind in KINDS:
        assert shares([one for one in of_digits if one.kind == kind], "right") >= 0.9, kind
    assert shares(of_digits, "refused") + shares(of_digits, "warned") <= 0.025
    assert calibration_error(of_digits) <= 0.015
    others = [outcome(model, example) for example in without_digit(images, labels, 190, 11)]
    assert shares(others, "refused") + shares(others, "warned") >= 0.85
