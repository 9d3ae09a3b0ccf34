"""Pictures of no digit: reproducible, framed as MNIST frames its digits, of many families, and unlike digits."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from nnctl.data import scrawls
from nnctl.data.examples import Examples
from nnctl.data.scrawls import draw_scrawls
from nnctl.data.skeletons import SIGNS
from nnctl.data.synthetic import draw
from nnctl.nn import SGD, Constant, Linear, Network, ReLU
from nnctl.train import Trainer, evaluate

Images = NDArray[np.uint8]

Family = Callable[[int, np.random.Generator], Images]

FAMILIES = [family for family, _ in scrawls.FAMILIES]


@pytest.fixture(scope="module")
def pictures() -> Images:
    return draw_scrawls(3000, seed=1)


def digest(images: Images) -> str:
    return hashlib.sha256(images.tobytes()).hexdigest()


def extents(images: Images) -> NDArray[np.intp]:
    """Height and width of the ink of each picture, (N, 2)."""
    return np.array([[np.ptp(np.flatnonzero(image.any(axis=axis))) + 1 for axis in (1, 0)] for image in images])


@pytest.mark.parametrize("count", [0, 1, 7])
def test_draw_scrawls_takes_any_count(count: int) -> None:
    images = draw_scrawls(count, seed=0)
    assert (images.shape, images.dtype) == ((count, 28, 28), np.uint8)


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_draws_any_count(family: Family) -> None:
    for count in (0, 1, 60):
        assert family(count, np.random.default_rng(0)).shape == (count, 28, 28)


def test_draw_scrawls_repeats_to_the_byte_with_the_same_seed_only(pictures: Images) -> None:
    assert digest(draw_scrawls(3000, seed=1)) == digest(pictures)
    known = {image.tobytes() for image in pictures}
    assert len(known) == 3000
    assert not any(image.tobytes() in known for image in draw_scrawls(3000, seed=2))


def test_draw_scrawls_gives_bytes_that_do_not_depend_on_the_blas_kernel_or_its_threads(pictures: Images) -> None:
    program = (
        "import hashlib; from nnctl.data.scrawls import draw_scrawls; "
        "print(hashlib.sha256(draw_scrawls(3000, seed=1).tobytes()).hexdigest())"
    )
    # Prescott is OpenBLAS's oldest x86-64 kernel, without AVX or FMA; other BLAS libraries ignore the variable
    environment = os.environ | {"OPENBLAS_CORETYPE": "Prescott", "OPENBLAS_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == digest(pictures)


def test_draw_scrawls_frames_its_pictures_like_digits(pictures: Images) -> None:
    sizes = extents(pictures).max(axis=1)
    assert sizes.max() <= 20
    assert np.mean(sizes >= 19) > 0.99
    place = np.arange(28)
    mass = pictures.sum(axis=(1, 2), dtype=float)
    rows, columns = pictures.sum(axis=2) @ place / mass, pictures.sum(axis=1) @ place / mass
    distance = np.maximum(np.abs(rows - 14), np.abs(columns - 14))
    assert np.mean(distance < 0.51) > 0.95  # the box must stay inside the image, whatever hangs over to one side


def test_draw_scrawls_lays_ink_on_every_picture(pictures: Images) -> None:
    assert pictures.max(axis=(1, 2)).min() > 100
    assert np.mean(pictures.max(axis=(1, 2)) == 255) > 0.95
    assert 30 < pictures.mean() < 50


def test_draw_scrawls_mixes_the_families_by_their_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(grey: int) -> Family:
        return lambda count, _: np.full((count, 28, 28), grey, np.uint8)

    monkeypatch.setattr(scrawls, "FAMILIES", ((full(1), 3), (full(2), 1), (full(3), 0)))
    greys = draw_scrawls(4000, seed=0)[:, 0, 0]
    assert np.bincount(greys, minlength=4)[1:] == pytest.approx([3000, 1000, 0], abs=150)
    assert np.bincount(greys[:400])[1:] == pytest.approx([300, 100], abs=50)  # in random order


def test_signs_come_from_the_whole_table(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len({sign.name for sign in SIGNS}) > 90
    assert not {sign.name for sign in SIGNS} & set("0123456789bBDgGiIloOqQsSyzZ")
    bar, lying = SIGNS[0]._replace(strokes="0,0 0,100"), SIGNS[0]._replace(strokes="0,0 100,0")
    monkeypatch.setattr(scrawls, "SIGNS", (bar, lying))
    height, width = extents(scrawls.signs(400, np.random.default_rng(0))).T
    assert np.mean(height > width) == pytest.approx(0.5, abs=0.1)


def test_several_digits_lie_side_by_side_or_one_below_the_other() -> None:
    height, width = extents(scrawls.several(1000, np.random.default_rng(0))).T
    assert np.mean(width > height) > 0.5
    assert np.mean(width < 0.6 * height) > 0.05
    alone, _ = draw(1000, seed=0)
    height, width = extents(alone).T
    assert np.mean(width > height) < 0.2


def test_turned_digits_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrawls, "TURNED", (1,))
    height, width = extents(scrawls.turned(500, np.random.default_rng(0))).T
    assert np.mean(width > height) > 0.95


def test_turned_digits_are_turned_to_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrawls, "TURNED", (7,))
    images = scrawls.turned(500, np.random.default_rng(0)).astype(float)
    bar_on_the_left = images[:, :, :12].any(axis=2).sum(axis=1) > images[:, :, 16:].any(axis=2).sum(axis=1)
    assert 0.3 < bar_on_the_left.mean() < 0.7


def test_pieces_have_less_ink_than_what_they_were_broken_from() -> None:
    whole, labels = draw(2000, seed=0)
    round_ones = whole[np.isin(labels, (0, 3))].mean()
    assert scrawls.pieces(500, np.random.default_rng(0)).mean() < 0.8 * round_ones


def test_blobs_are_filled() -> None:
    blobs = scrawls.blobs(500, np.random.default_rng(0))
    digits, _ = draw(500, seed=0)
    ink = [(images > 127).sum(axis=(1, 2)) / extents(images).prod(axis=1) for images in (blobs, digits)]
    assert np.median(ink[0]) > 0.6
    assert np.median(ink[1]) < 0.5


def test_textures_reach_from_smooth_gradients_to_noise() -> None:
    images = scrawls.textures(1000, np.random.default_rng(0)).astype(float)
    steps = np.abs(np.diff(images[:, 10:18, 10:18], axis=2)).mean(axis=(1, 2))
    assert np.quantile(steps, 0.1) < 12
    assert np.quantile(steps, 0.9) > 60


def test_a_small_network_learns_to_tell_scrawls_from_digits() -> None:
    def examples(count: int, seed: int) -> Examples:
        images = np.concatenate([draw(count, seed)[0], draw_scrawls(count, seed + 1)])
        return Examples(images, np.repeat([0, 1], count))

    network = Network([Linear(784, 32), ReLU(), Linear(32, 2)], seed=0)
    trainer = Trainer(network, SGD(network.params, momentum=0.9), Constant(0.05), threads=1)
    list(trainer.fit(examples(3000, 0), epochs=8))
    assert evaluate(network, examples(500, 10)).accuracy > 0.82  # 0.87 when written; chance is 0.5
