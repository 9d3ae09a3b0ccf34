"""The ink of a digit is found though it is faint, thin, uneven or blurred, cropped closely, marked, or in a square."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from nnctl.errors import ImageError
from nnctl.picture.decode import read_digit
from nnctl.picture.digit import Candidate, find_digit, find_hypotheses
from nnctl.picture.ground import sheets
from tests.picture.test_digit import drawn, likeness
from tests.support.pictures import encoded

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def five() -> Pixels:
    return read_digit(encoded(drawn()), "five")


def read(picture: Image.Image) -> Pixels:
    return read_digit(encoded(picture), "picture")


def best(picture: Image.Image, wanted: Pixels) -> float:
    """The likeness of the candidate that is most like what is wanted: a network chooses among them."""
    grey = np.asarray(picture.convert("L"), np.float32)
    attempts = (attempt for hypothesis in find_hypotheses(grey) for attempt in hypothesis.attempts())
    return max(likeness(candidate.pixels, wanted) for attempt in attempts for candidate in attempt.candidates)


@pytest.mark.parametrize("margin", [0, 1])
@pytest.mark.parametrize("pen", [2, 4, 6, 9, 16])
def test_digit_is_found_whole_though_the_picture_ends_where_it_ends(pen: int, margin: int) -> None:
    picture = drawn(pen=pen)
    left, top, right, bottom = picture.point(lambda level: 255 * (level < 128)).getbbox() or (0, 0, 0, 0)
    cropped = picture.crop((left - margin, top - margin, right + margin, bottom + margin))
    assert likeness(read(cropped), read(picture)) > 0.9


@pytest.mark.parametrize("size", [28, 66, 120])
@pytest.mark.parametrize("blur", [0.02, 0.035])
def test_digit_is_found_though_its_strokes_are_blurred_into_soft_skirts(size: int, blur: float, five: Pixels) -> None:
    picture = drawn((size, size), ink=90, paper=170).filter(ImageFilter.GaussianBlur(blur * size))
    assert likeness(read(picture), five) > 0.85


@pytest.mark.parametrize("size", [60, 240, 900])
@pytest.mark.parametrize(("blur", "blurred"), [(0, False), (0.02, False), (0.12, True)])
def test_digit_is_blurred_if_its_edges_are_wide_for_its_size(size: int, blur: float, blurred: bool) -> None:
    picture = drawn((size, size), ink=40).filter(ImageFilter.GaussianBlur(blur * size))
    first = next(next(find_hypotheses(np.asarray(picture, np.float32))).attempts())
    assert first.candidates[0].blurred == blurred


@pytest.mark.parametrize("spread", [2, 12])
@pytest.mark.parametrize("size", [200, 600])
def test_noise_of_a_sensor_is_told_from_a_digit_in_it(size: int, spread: float) -> None:
    noise = spread * np.random.default_rng(size).standard_normal((size, size))
    with_digit, blank = (
        (np.asarray(drawn((size, size), ink=ink, paper=240)) + noise).clip(0, 255).astype(np.float32)
        for ink in (160, 240)
    )
    assert not next(next(find_hypotheses(with_digit)).attempts()).candidates[0].noise
    attempts = [attempt for hypothesis in find_hypotheses(blank) for attempt in hypothesis.attempts()]
    assert np.mean([shape.noise for attempt in attempts for shape in attempt.candidates]) > 0.6
    with pytest.raises(ImageError, match="the page is blank"):
        find_digit(blank)


def first(picture: Image.Image) -> Candidate:
    """The first shape that is found in a picture."""
    return next(next(find_hypotheses(np.asarray(picture, np.float32))).attempts()).candidates[0]


@pytest.mark.parametrize(
    ("ink", "specks", "is_noise"), [(215, 0, False), (215, 3, False), (215, 60, True), (40, 60, False)]
)
def test_pale_digit_among_many_specks_is_noise(ink: int, specks: int, is_noise: bool) -> None:
    picture = drawn((300, 300), ink=ink, paper=240)
    rng = np.random.default_rng(0)
    for x, y in rng.integers(10, 290, (specks, 2)).tolist():
        ImageDraw.Draw(picture).rectangle((x, y, x + 3, y + 3), fill=ink)
    assert first(picture).noise == is_noise


def blot() -> Image.Image:
    """A blot on paper that is not quite white."""
    picture = Image.new("L", (640, 480), 240)
    ImageDraw.Draw(picture).ellipse((280, 200, 360, 280), fill=0)
    return picture


def shadow() -> Image.Image:
    """A sheet with the edge of a shadow aslant over it."""
    picture = Image.new("L", (640, 480), 240)
    ImageDraw.Draw(picture).polygon([(0, 0), (250, 0), (390, 480), (0, 480)], fill=190)
    return picture.filter(ImageFilter.GaussianBlur(2))


@pytest.mark.parametrize("picture", [blot(), shadow()], ids=["blot", "shadow"])
def test_edge_of_something_broad_is_told_from_a_stroke(picture: Image.Image) -> None:
    hypotheses = find_hypotheses(np.asarray(picture, np.float32))
    found = [shape for hypothesis in hypotheses for attempt in hypothesis.attempts() for shape in attempt.candidates]
    assert found
    assert all(shape.shapeless for shape in found)
    assert not first(drawn(ink=0, paper=240)).rim


@pytest.mark.parametrize("lean", [2, 12])
def test_crease_across_the_whole_page_is_a_line(lean: int) -> None:
    picture = Image.new("L", (640, 480), 240)
    ImageDraw.Draw(picture).line((320 - lean, -5, 320 + lean, 485), fill=212, width=3)
    with pytest.raises(ImageError, match="lines or edges"):
        read(picture)
    cropped = picture.crop((250, 0, 390, 480)).point(lambda level: level - 150 * (level < 230))
    assert read(cropped).any()  # a 1, if the picture is no wider than that


def test_blurred_spot_is_no_sheet_of_paper() -> None:
    square = Image.new("L", (400, 400), 250)
    ImageDraw.Draw(square).rectangle((120, 120, 280, 280), fill=20)
    assert len(sheets(np.asarray(square, np.float32))) == 2
    assert len(sheets(np.asarray(square.filter(ImageFilter.GaussianBlur(30)), np.float32))) == 1


@pytest.mark.parametrize("faint", [150, 190])
def test_digit_is_found_whole_though_one_stroke_is_much_fainter(faint: int, five: Pixels) -> None:
    picture = drawn(ink=30)
    bar = drawn(ink=faint)
    picture.paste(bar.crop((80, 40, 240, 90)), (80, 40))
    assert best(picture, five) > 0.9
    attempts = next(find_hypotheses(np.asarray(picture, np.float32))).attempts()
    whole = max(attempts, key=lambda attempt: likeness(attempt.candidates[0].pixels, five))
    assert whole.doubt < 0.5  # as plausible as what is left without that stroke


@pytest.mark.parametrize("step", [8, 10, 12])
def test_digit_is_found_whole_though_a_careless_reduction_broke_its_lines(step: int) -> None:
    fine = np.asarray(drawn((480, 480), pen=7))
    picture = Image.fromarray(fine[4::step, 4::step])
    assert best(picture, read(drawn(pen=7))) > 0.75


@pytest.mark.parametrize("ground", [0, 40])
@pytest.mark.parametrize("margin", [10, 60])
def test_bright_digit_is_found_in_a_dark_square_on_a_light_page(margin: int, ground: int, five: Pixels) -> None:
    page = Image.new("L", (240 + 2 * margin, 250 + 2 * margin), 255)
    page.paste(drawn(ink=255, paper=ground), (margin, margin))
    assert likeness(read(page), five) > 0.95


@pytest.mark.parametrize("lines", [1, 2])
@pytest.mark.parametrize("gap", [12, 30])
def test_lines_under_a_digit_are_left_out(gap: int, lines: int, five: Pixels) -> None:
    picture = drawn((200, 200))
    page = Image.new("L", (240, 260), 255)
    page.paste(picture, (20, 10))
    for n in range(lines):
        ImageDraw.Draw(page).line([(60, 180 + gap + 14 * n), (190, 176 + gap + 14 * n)], fill=0, width=5)
    assert likeness(read(page), five) > 0.95


def test_ring_around_a_digit_is_left_out(five: Pixels) -> None:
    page = drawn()
    ImageDraw.Draw(page).ellipse([40, 20, 205, 230], outline=0, width=5)
    assert likeness(read(page), five) > 0.95


@pytest.mark.parametrize("edge", [(0, 30), (60, 61), (130, 200)])
def test_digit_is_found_across_the_edge_of_a_shadow(edge: tuple[int, int], five: Pixels) -> None:
    page = np.asarray(drawn(ink=60, paper=210), float)
    page *= np.interp(np.arange(240), edge, (0.55, 1))[:, None]
    assert best(Image.fromarray(page.astype(np.uint8)), five) > 0.93


def test_candidates_say_where_they_lie_and_how_much_else_there_is() -> None:
    page = Image.new("L", (600, 400), 255)
    page.paste(drawn(), (40, 100))
    page.paste(drawn(), (330, 100))
    grey = np.asarray(Image.open(io.BytesIO(encoded(page))), np.float32)
    first = next(next(find_hypotheses(grey)).attempts())
    assert len(first.candidates) == 2
    boxes = sorted((candidate.box for candidate in first.candidates), key=lambda box: box[1])
    for box, left in zip(boxes, (40, 330), strict=True):
        assert np.allclose(box, (152, left + 82, 298, left + 168), atol=6)
    assert all(0.8 < candidate.others < 1.25 for candidate in first.candidates)
