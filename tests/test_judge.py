"""The judge: it tells digits from everything else, comes back from its arrays, and is the same for the same seed."""

import numpy as np
import pytest

from nnctl import judge
from nnctl.data import synthetic
from nnctl.data.examples import Examples
from nnctl.data.scrawls import draw_scrawls
from nnctl.errors import ArgumentError
from nnctl.judge import NO_DIGIT, Judge, train_judge
from nnctl.train import EpochReport, Trainer


@pytest.fixture(scope="module")
def trained() -> Judge:
    return train_judge(Examples(*synthetic.draw(1000, 1)), 0)


@pytest.fixture
def learned_from(monkeypatch: pytest.MonkeyPatch) -> list[Examples]:
    """What judges are trained on from now on; none learns anything."""
    seen: list[Examples] = []

    def fit(_: Trainer, train: Examples, *, epochs: int) -> list[EpochReport]:
        assert epochs == judge.EPOCHS
        seen.append(train)
        return []

    monkeypatch.setattr(Trainer, "fit", fit)
    return seen


def test_judge_tells_digits_from_everything_else(trained: Judge) -> None:
    kinds = synthetic.draw(1000, 2)[0], draw_scrawls(1000, 3)
    digits, scrawls = (trained.probabilities(images / np.float32(255))[:, NO_DIGIT] for images in kinds)
    assert (scrawls[:, np.newaxis] > digits).mean() > 0.85  # of all pairs; 0.5 would be chance


def test_judge_gives_eleven_probabilities_for_each_image(trained: Judge) -> None:
    images = synthetic.draw(7, 2)[0] / 255
    probs = trained.probabilities(images)
    assert probs.shape == (7, 11)
    np.testing.assert_allclose(probs.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(trained.probabilities(images[0]), probs[0], rtol=1e-4, atol=1e-6)
    with pytest.raises(ArgumentError):
        trained.probabilities(np.zeros((2, 3)))


def test_judge_comes_back_from_its_arrays_to_the_bit(trained: Judge) -> None:
    params = trained.params()
    assert {name: (array.shape, str(array.dtype)) for name, array in params.items()} == {
        "hidden.weight": ((784, 256), "float32"),
        "hidden.bias": ((256,), "float32"),
        "output.weight": ((256, 11), "float32"),
        "output.bias": ((11,), "float32"),
    }
    images = synthetic.draw(7, 2)[0] / 255
    again = Judge.from_params({name: array.copy() for name, array in params.items()})
    assert again.probabilities(images).tobytes() == trained.probabilities(images).tobytes()


@pytest.mark.parametrize(
    ("name", "shape"), [("output.weight", (256, 10)), ("hidden.bias", (64,)), ("hidden2.bias", (256,))]
)
def test_judge_takes_only_the_arrays_of_a_judge(trained: Judge, name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ArgumentError, match=name):
        Judge.from_params(trained.params() | {name: np.zeros(shape, np.float32)})


def test_train_judge_gives_the_same_bits_for_the_same_seed_and_others_for_another() -> None:
    digits = Examples(*synthetic.draw(60, 1))
    one, again, other = (train_judge(digits, seed).network.params.tobytes() for seed in (0, 0, 1))
    assert one == again != other


@pytest.mark.parametrize(("given", "drawn"), [(1, 1), (3, 2), (300, 150)])
def test_train_judge_draws_half_as_many_digits_and_as_many_pictures_of_no_digit(
    learned_from: list[Examples], monkeypatch: pytest.MonkeyPatch, given: int, drawn: int
) -> None:
    digits, drawings, draw = Examples(*synthetic.draw(given, 1)), [], synthetic.draw

    def remembered(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        drawings.append(draw(count, seed))
        return drawings[-1]

    monkeypatch.setattr(synthetic, "draw", remembered)
    train_judge(digits, 0)
    (examples,) = learned_from
    ((images, labels),) = drawings
    assert len(labels) == drawn
    assert len(examples) == 2 * (given + drawn)
    np.testing.assert_array_equal(examples.images[: given + drawn], [*digits.images, *images])
    np.testing.assert_array_equal(examples.labels, [*digits.labels, *labels, *[NO_DIGIT] * (given + drawn)])


def test_train_judge_chooses_among_many_digits_evenly(
    learned_from: list[Examples], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge, "MOST_DIGITS", 300)
    numbers = np.arange(1000)
    images = np.zeros((1000, 28, 28), np.uint8)
    images[:, 0, 0], images[:, 0, 1] = numbers % 256, numbers // 256
    train_judge(Examples(images, numbers % 10), 0)
    (examples,) = learned_from
    low, high = examples.images[:300, 0, :2].T.astype(int)
    chosen = low + 256 * high
    assert len(set(chosen.tolist())) == 300
    np.testing.assert_array_equal(examples.labels[:300], chosen % 10)
    assert chosen.mean() == pytest.approx(500, abs=50)
    assert len(examples) == 900  # 150 drawn digits and 450 scrawls besides
