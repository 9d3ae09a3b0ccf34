"""Which shape of a picture is taken for the digit, by what two networks make of each, and when it is refused."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from nnctl import reading
from nnctl.errors import ImageError
from nnctl.nn.arrays import Array
from nnctl.picture.digit import BLURRED, BUSY, CLEAR, Attempt, Candidate, Hypothesis
from nnctl.picture.raster import Box
from nnctl.picture.shapes import NEXT
from nnctl.reading import (
    DOUBT,
    FAINT,
    GRAIN,
    MOST_OTHERS,
    NO_DIGIT,
    NOISE,
    OTHERS,
    PALE,
    RIM,
    SHADE,
    SURE,
    TRACE,
    UNCERTAIN,
    Found,
    Reading,
    check,
    find,
)

Networks = tuple[reading.Predict, reading.Predict]

BAR, PATCH = np.s_[4:24, 13:15], np.s_[4:24, 4:24]
AGREED = math.log(1 + 1e-3)  # what it adds to a score that both networks are sure of the same digit


def shape(
    name: int,
    *,
    others: float = 0,
    contrast: float = 1,
    grain: float = 0,
    noise: bool = False,
    rim: bool = False,
    softness: float = 0,
    box: Box = (0, 0, 10, 10),
    ink: tuple[slice, slice] = BAR,
) -> Candidate:
    """A candidate that the networks of `networks` know by its number."""
    pixels = np.zeros((28, 28), np.uint8)
    pixels[ink] = 255
    pixels[0, 0] = name
    return Candidate(pixels, box, contrast, grain, others, noise, rim, softness)


def attempt(*shapes: Candidate, doubt: int = 0) -> Hypothesis:
    """A hypothesis of one attempt, in which these are found."""
    return Hypothesis(doubt, lambda: iter([Attempt(shapes, doubt)]))


def networks(*opinions: tuple[int, float] | tuple[int, float, int]) -> Networks:
    """A network that reads and a judge, by what they think of each shape.

    Args:
        opinions: of shape 0, of shape 1, ...: the digit of which the network is sure, the logarithm of the odds by
            which the judge takes it for one, and the digit that the judge reads, if that is another.
    """
    probs, judged = np.zeros((2, len(opinions), 11), np.float32)
    for number, (digit, odds, *other) in enumerate(opinions):
        is_digit = 1 / (1 + math.exp(-odds))
        probs[number, digit] = 1
        judged[number, [*other, digit][0]] = is_digit
        judged[number, 10] = 1 - is_digit

    def answers(table: Array) -> reading.Predict:
        return lambda images: table[np.rint(255 * images[:, 0, 0]).astype(int)]

    return answers(probs[:, :10]), answers(judged)


def found(name: int = 0, digit: int = 7, *, score: float = SURE, alone: float | None = None, **others: object) -> Found:
    """What `find` gives for a shape that is read so, and so much speaks for."""
    candidate = shape(name, **others)  # type: ignore[arg-type]
    return Found(candidate, np.eye(10, dtype=np.float32)[digit], score if alone is None else alone, score)


def refusal(taken: Found, shapes: Sequence[Found], *, judged: bool) -> str:
    """The message with which `check` refuses."""
    with pytest.raises(ImageError) as caught:
        check(taken, shapes, judged=judged)
    assert caught.value.hint
    return caught.value.message


# find: what speaks for a shape


def test_find_takes_the_shape_that_the_judge_takes_for_a_digit() -> None:
    best, shapes = find([attempt(shape(0), shape(1), shape(2))], *networks((3, -1), (5, 2), (8, 1)))
    assert best is shapes[1]
    assert [each.digit for each in shapes] == [3, 5, 8]
    assert [each.alone for each in shapes] == pytest.approx([-1 + AGREED, 2 + AGREED, 1 + AGREED], abs=1e-4)


def test_find_takes_the_shape_of_which_both_networks_read_the_same_digit() -> None:
    best, shapes = find([attempt(shape(0), shape(1))], *networks((3, 3, 8), (5, 0)))
    assert best is shapes[1]
    assert shapes[0].alone == pytest.approx(3 + math.log(1e-3), abs=1e-4)


def test_find_lets_no_certainty_decide_that_is_greater_than_enough() -> None:
    attempts = [attempt(shape(0, others=0.01), shape(1))]
    best, shapes = find(attempts, *networks((3, SURE + 5), (5, SURE + 0.1)))
    assert [each.alone for each in shapes] == pytest.approx([SURE + AGREED] * 2, abs=1e-4)
    assert best is shapes[1]


@pytest.mark.parametrize(
    ("changes", "doubt", "lost", "lost_beside_others"),
    [
        ({}, 0, 0, 0),
        ({}, 2, 0, 2 * DOUBT),
        ({"others": 0.5}, 0, 0, 0.5 * OTHERS),
        ({"others": MOST_OTHERS + 9}, 1, 0, MOST_OTHERS * OTHERS + DOUBT),
        ({"grain": BUSY}, 0, 0, 0),
        ({"grain": BUSY + 0.1, "others": 1}, 0, 0.1 * GRAIN, OTHERS),
        ({"contrast": TRACE}, 0, 0, 0),
        ({"contrast": TRACE - 0.01}, 0, FAINT, 0),
        ({"grain": BUSY - 0.01, "contrast": TRACE}, 0, FAINT, 0),  # no more than the grain of the paper
        ({"noise": True}, 0, NOISE, 0),
        ({"rim": True}, 0, RIM, 0),
        ({"noise": True, "contrast": TRACE - 0.01}, 1, NOISE + FAINT, DOUBT),
    ],
    ids=str,
)
def test_find_counts_other_shapes_and_grain_and_faintness_and_noise_and_doubt_against_a_shape(
    changes: dict[str, float], doubt: int, lost: float, lost_beside_others: float
) -> None:
    best, _ = find([attempt(shape(0, **changes), doubt=doubt)], *networks((3, 1)))  # type: ignore[arg-type]
    assert best.alone == pytest.approx(1 + AGREED - lost, abs=1e-4)
    assert best.alone - best.score == pytest.approx(lost_beside_others)


def test_find_counts_what_is_pale_beside_something_stronger_against_a_shape() -> None:
    strong, pale = attempt(shape(0, contrast=0.8)), attempt(shape(1, contrast=0.8 * SHADE - 0.01))
    two = networks((3, -3), (5, SURE - 0.1))
    best, _ = find([strong, pale], *two)
    assert best.alone - best.score == pytest.approx(PALE)
    best, _ = find([pale], *two)
    assert best.alone == best.score
    weaker, seen = attempt(shape(0, contrast=0.8)), attempt(shape(1, contrast=0.8 * SHADE))
    best, _ = find([weaker, seen], *two)
    assert (best.digit, best.alone) == (5, best.score)


def test_find_without_a_judge_takes_the_shape_of_which_the_network_is_surest() -> None:
    probs = np.array([[0.6, 0.4], [0.9, 0.1], [0.5, 0.5]], np.float32)
    best, shapes = find([attempt(*map(shape, range(3)))], lambda _: probs, None)
    assert best is shapes[1]
    assert [each.alone for each in shapes] == pytest.approx(np.log([0.6, 0.9, 0.5]))
    np.testing.assert_array_equal([each.probabilities for each in shapes], probs)


def test_find_shows_the_networks_pixels_between_0_and_1() -> None:
    seen = []

    def predict(images: Array) -> Array:
        seen.append(images)
        return np.ones((len(images), 10), np.float32)

    candidates = shape(3), shape(9)
    find([attempt(*candidates)], predict, lambda images: np.ones((len(predict(images)), 11), np.float32))
    for images in seen:
        assert images.dtype == np.float32
        np.testing.assert_allclose(images, [candidate.pixels / 255 for candidate in candidates], rtol=1e-6)
    assert len(seen) == 2


@pytest.mark.parametrize("judged", [False, True])
def test_find_calls_a_picture_in_which_nothing_is_found_blank(judged: bool) -> None:
    predict, judge = networks((3, 0))
    for hypotheses in ((), [Hypothesis(0, lambda: iter(()))] * 2):
        with pytest.raises(ImageError) as caught:
            find(hypotheses, predict, judge if judged else None)
        assert caught.value.message == "the page is blank"


@pytest.mark.parametrize("judged", [False, True])
def test_find_tells_printed_lines_from_nothing_and_looks_beyond_them(judged: bool) -> None:
    predict, judge = networks((3, 0))
    lines, digit = attempt(), attempt(shape(0), doubt=1)
    with pytest.raises(ImageError, match=r"^there are lines or edges, but no digit on the page"):
        find([lines], predict, judge if judged else None)
    assert find([lines, digit], predict, judge if judged else None)[0].digit == 3


# find: one hypothesis after the other


def test_find_takes_the_best_shape_of_all_attempts_and_gives_those_beside_it() -> None:
    attempts = Attempt((shape(0),), 0), Attempt((shape(1), shape(2)), 1), Attempt((shape(3),), 1)
    hypothesis = Hypothesis(0, lambda: iter(attempts))
    best, shapes = find([hypothesis], *networks((3, -1), (5, -9), (8, DOUBT), (1, DOUBT - 1)))
    assert best is shapes[1]
    assert [each.digit for each in shapes] == [5, 8]
    best, shapes = find([hypothesis], *networks((3, 1), (5, -9), (8, DOUBT), (1, DOUBT - 1)))  # without that doubt less
    assert [each.digit for each in shapes] == [best.digit] == [3]


def test_find_takes_the_first_of_equals() -> None:
    equals = Attempt((shape(0), shape(1)), 0), Attempt((shape(2),), 0)
    best, _ = find([Hypothesis(0, lambda: iter(equals))], *networks((3, 1), (5, 1), (8, 1)))
    assert best.digit == 3


@pytest.mark.parametrize(("missing", "tried"), [(0, 1), (0.9, 1), (1.1, 2), (2.9, 3), (3.1, 4), (9, 5)])
def test_find_tries_hypotheses_until_none_that_follows_can_do_better(missing: float, tried: int) -> None:
    begun = []

    def hypothesis(name: int, doubt: int) -> Hypothesis:
        def attempts() -> Iterator[Attempt]:
            begun.append(doubt)
            yield Attempt((shape(name),), doubt)

        return Hypothesis(doubt, attempts)

    odds = SURE - missing * DOUBT - AGREED
    hypotheses = [hypothesis(min(doubt, 1), doubt) for doubt in range(5)]
    best, _ = find(hypotheses, *networks((3, odds), (5, -20)))
    assert best.digit == 3
    assert begun == [*range(tried)]


@pytest.mark.parametrize(("missing", "tried"), [(0, 1), (0.9 * NEXT, 1), (1.1 * NEXT, 3)])
def test_find_looks_for_shapes_until_none_that_follows_can_do_better(missing: float, tried: int) -> None:
    begun = []

    def attempts() -> Iterator[Attempt]:
        for number, doubt in enumerate((0, NEXT, 1)):
            begun.append(number)
            yield Attempt((shape(number),), doubt)

    best, _ = find([Hypothesis(0, attempts)], *networks((3, SURE - missing * DOUBT), (5, -20), (8, -20)))
    assert best.digit == 3
    assert begun == [*range(tried)]


def test_find_looks_for_no_other_ground_once_it_is_sure() -> None:
    def hypotheses() -> Iterator[Hypothesis]:
        yield attempt(shape(0))
        raise AssertionError("another one was looked for")

    best, _ = find(hypotheses(), *networks((3, SURE + 1)))
    assert best.digit == 3


@pytest.mark.parametrize(("probability", "tried"), [(0.9, 1), (math.exp(-1.1 * DOUBT), 2)])
def test_find_without_a_judge_tries_few_hypotheses_too(probability: float, tried: int) -> None:
    hypotheses = (attempt(shape(0), doubt=doubt) for doubt in range(5))
    find(hypotheses, lambda images: np.full((len(images), 1), probability, np.float32), None)
    assert len(list(hypotheses)) == 5 - tried - 1  # the next one was looked at and not tried


# check


def test_check_finds_nothing_wrong_with_one_digit() -> None:
    digit = found(score=UNCERTAIN)
    assert check(digit, [digit], judged=True) is None


@pytest.mark.parametrize("score", [NO_DIGIT, UNCERTAIN - 1e-6])
def test_check_warns_of_what_is_in_doubt(score: float) -> None:
    doubtful = found(score=score)
    assert check(doubtful, [doubtful], judged=True) == "this may be no digit"


@pytest.mark.parametrize(
    ("ink", "what"),
    [(BAR, "this does not look like a digit (closest: 7)"), (PATCH, "this is a line or a patch, not a digit")],
    ids=["stroke", "patch"],
)
def test_check_refuses_what_is_no_digit_and_says_what_was_found_and_where(ink: tuple[slice, slice], what: str) -> None:
    other = found(score=NO_DIGIT - 1e-6, box=(0, 100, 50, 201), ink=ink)
    assert refusal(other, [other], judged=True) == f"{what}; what was found lies at (150, 25)"


def test_check_doubts_what_is_blurred_and_gives_that_as_the_reason_why_it_is_no_digit() -> None:
    read, unread = found(softness=BLURRED + 0.01), found(softness=BLURRED + 0.01, score=NO_DIGIT - 1, ink=PATCH)
    assert check(read, [read], judged=True) == "it is blurred"
    message = "this is too blurred to be read (closest: 7); what was found lies at (5, 5)"
    assert refusal(unread, [unread], judged=True) == message
    sharp = found(softness=BLURRED)
    assert check(sharp, [sharp], judged=True) is None


def test_check_calls_a_page_blank_where_only_a_trace_of_something_is_found() -> None:
    trace = found(score=NO_DIGIT - 1, contrast=0.01)
    assert refusal(trace, [trace], judged=True) == "the page is blank"
    assert refusal(trace, [trace], judged=False) == "the page is blank"
    noise = found(score=NO_DIGIT - 1, noise=True, contrast=0.3)
    assert refusal(noise, [noise], judged=True) == "the page is blank"
    blurred = found(score=NO_DIGIT - 1, noise=True, contrast=0.3, softness=BLURRED + 0.01)
    assert "too blurred" in refusal(blurred, [blurred], judged=True)
    several = [found(number, score=NO_DIGIT - 1, contrast=0.01, others=9) for number in range(3)]
    assert refusal(several[0], several, judged=True) == "the page is blank"
    digit = found(3, alone=SURE, score=NO_DIGIT - 2, others=9)
    assert "one of them looks like a digit" in refusal(several[0], [*several, digit], judged=True)
    faint_digit = found(score=SURE, contrast=0.01)
    assert check(faint_digit, [faint_digit], judged=True) is None


def test_check_without_a_judge_refuses_no_stroke_and_doubts_none() -> None:
    other, patch = found(score=NO_DIGIT - 9), found(score=SURE, ink=PATCH, box=(0, 0, 20, 20))
    assert check(other, [other], judged=False) is None
    message = "this is a line or a patch, not a digit; what was found lies at (10, 10)"
    assert refusal(patch, [patch], judged=False) == message
    assert check(patch, [patch], judged=True) is None  # who knows better


# check: several shapes

BESIDE = CLEAR + 0.1  # ink of others


@pytest.mark.parametrize("judged", [False, True])
def test_check_overlooks_a_little_ink_beside_a_digit(judged: bool) -> None:
    digit, speck = found(others=CLEAR), found(1, alone=-9, others=9)
    assert check(digit, [digit, speck], judged=judged) is None


def test_check_refuses_several_digits_and_says_what_and_where_they_are() -> None:
    shapes = [
        found(0, 3, others=BESIDE, box=(0, 90, 20, 101)),
        found(1, 7, others=BESIDE, box=(1, 0, 19, 10), score=-9, alone=UNCERTAIN),
        found(2, 1, others=BESIDE, score=-9),
    ]
    digits = "2 of them look like digits: 7 at (5, 10), 3 at (95, 10)"  # from left to right
    message = f"the picture holds 3 separate shapes, not one digit; {digits}"
    assert refusal(shapes[0], shapes, judged=True) == message
    assert "; both look like digits: 7 at (5, 10), 3 at" in refusal(shapes[0], shapes[:2], judged=True)


def test_check_refuses_several_shapes_none_of_which_is_a_digit() -> None:
    shapes = [found(number, others=BESIDE, score=-9) for number in range(2)]
    assert (
        refusal(shapes[0], shapes, judged=True)
        == "the picture holds 2 separate shapes, not one digit; the largest lies at (5, 5)"
    )


def test_check_warns_of_shapes_beside_the_only_digit() -> None:
    shapes = [found(0, others=BESIDE, score=-9, alone=UNCERTAIN), found(1, score=-9)]
    assert check(shapes[0], shapes, judged=True) == "other shapes lie beside it"
    message = refusal(found(1, others=BESIDE), shapes, judged=True)  # which is none, though it was taken
    assert message.endswith("; one of them looks like a digit: 7 at (5, 5)")


@pytest.mark.parametrize(("count", "named"), [(1, 2), (2, 2), (5, 5)])  # what is no shape may lie beside one, too
def test_check_without_a_judge_refuses_several_shapes(count: int, named: int) -> None:
    shapes = [found(number, others=BESIDE) for number in range(count)]
    message = f"the picture holds {named} separate shapes, not one digit; the largest lies at (5, 5)"
    assert refusal(shapes[0], shapes, judged=False) == message


def test_reading_predicts_the_most_probable_class() -> None:
    probabilities = np.array([0.2, 0.1, 0.7])
    assert Reading(np.zeros((28, 28), np.uint8), probabilities, (0, 0, 28, 28), None).prediction == 2
