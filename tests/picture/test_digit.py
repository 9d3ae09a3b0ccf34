"""A picture is read as a digit whatever its format, ground and light; a picture of no single digit is refused."""

import re
import struct
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from nnctl.data import datasets
from nnctl.errors import ImageError
from nnctl.picture.decode import MAX_BYTES, read_digit, to_png
from nnctl.picture.digit import find_digit
from tests.support.pictures import encoded, png_chunk

Pixels = NDArray[np.uint8]


def drawn(size: tuple[int, int] = (240, 240), pen: int = 16, ink: int = 0, paper: int = 255) -> Image.Image:
    """A 5 in strokes: a bar, a stem and a bowl."""
    picture = Image.new("L", (240, 240), paper)
    pencil = ImageDraw.Draw(picture)
    pencil.line([(160, 60), (95, 60), (90, 115)], fill=ink, width=pen, joint="curve")
    pencil.arc([75, 105, 165, 195], 215, 510, fill=ink, width=pen)
    return picture.resize(size, Image.Resampling.LANCZOS)


def read(picture: Image.Image) -> Pixels:
    return read_digit(encoded(picture), "digit.png")


def likeness(one: Pixels, other: Pixels) -> float:
    """The cosine between two digits, one shifted by a pixel where that helps: 1 for equal digits."""
    a, b = one.astype(float), other.astype(float)
    shifts = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    overlap = max(float((np.roll(a, shift, (0, 1)) * b).sum()) for shift in shifts)
    return overlap / float(np.linalg.norm(a)) / float(np.linalg.norm(b))


@pytest.fixture(scope="module")
def sample() -> Pixels:
    """A digit that is framed as MNIST frames its digits."""
    return read_digit(encoded(drawn()), "digit.png")


def refusal(data: bytes) -> ImageError:
    with pytest.raises(ImageError) as refused:
        read_digit(data, "digit.png")
    assert str(refused.value).startswith("digit.png: ")
    assert refused.value.hint
    return refused.value


# how the result looks


def test_read_digit_fills_a_box_of_20_and_centres_by_mass(sample: Pixels) -> None:
    assert sample.shape == (28, 28)
    assert sample.dtype == np.uint8
    rows, columns = np.nonzero(sample > 64)
    assert np.ptp(rows) + 1 == 20
    assert np.ptp(columns) + 1 < 18
    for axis in (0, 1):
        mass = sample.sum(axis=axis, dtype=float)
        assert abs(mass @ np.arange(28) / mass.sum() - 14) <= 0.5
    assert sample.max() == 255
    assert sample[:4].sum() + sample[-3:].sum() == 0


def test_read_digit_ignores_place_and_size_in_the_frame(sample: Pixels) -> None:
    frame = Image.new("L", (900, 700), 255)
    frame.paste(drawn((180, 180)), (650, 30))
    assert likeness(read(frame), sample) > 0.98


@pytest.mark.parametrize("pen", [2, 4, 8])
def test_read_digit_makes_thin_strokes_as_wide_as_those_of_mnist(pen: int, sample: Pixels) -> None:
    assert 0.75 < read(drawn(pen=pen)).sum() / sample.sum() < 1.35


def test_read_digit_leaves_a_sample_bit_identical(sample: Pixels) -> None:
    assert (read_digit(to_png(sample), "digit.png") == sample).all()


def test_read_digit_turns_the_negative_of_a_sample_into_that_sample(sample: Pixels) -> None:
    assert (read_digit(to_png(255 - sample), "digit.png") == sample).all()


def test_read_digit_centres_a_28x28_drawing_off_the_middle(sample: Pixels) -> None:
    small = Image.new("L", (28, 28))
    small.paste(Image.fromarray(sample).resize((21, 21), Image.Resampling.BOX), (-2, 7))
    assert likeness(read(small), sample) > 0.93


# encodings


def sixteen_bits(pixels: Pixels) -> bytes:
    return encoded(Image.fromarray(pixels.astype(np.uint16) * 257))


def interlaced(pixels: Pixels) -> bytes:
    """Adam7, which Pillow reads but does not write."""
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    rows = [row for top, left, down, right in passes for row in pixels[top::down, left::right]]
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 8, 0, 0, 0, 1)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")


def turned(pixels: Pixels, orientation: int) -> bytes:
    """A photograph taken with the camera turned: stored as the sensor saw it, with EXIF saying how to look at it."""
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    picture = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(picture.transpose(undo[orientation]) if orientation in undo else picture, "JPEG", exif=exif)


def palette(pixels: Pixels, form: str = "PNG", **options: object) -> bytes:
    picture = Image.fromarray(pixels).convert("P")
    picture.putpalette([level for grey in range(256) for level in (grey, grey, grey)])
    return encoded(picture, form, **options)


def clear_ground(pixels: Pixels, ink: int) -> bytes:
    """The shape is in the alpha channel only; all colours are the ink's."""
    alpha = Image.fromarray(pixels)
    flat = Image.new("L", alpha.size, ink)
    return encoded(Image.merge("RGBA", (flat, flat, flat, alpha)))


def clear_pixels(pixels: Pixels) -> bytes:
    """Pixels without ink are clear, those with some are opaque, as when a ground has been deleted."""
    grey = Image.fromarray(pixels)
    return encoded(Image.merge("LA", (grey, grey.point(lambda level: 255 * (level > 0)))))


LOSSLESS: dict[str, Callable[[Pixels], bytes]] = {
    "grey": to_png,
    "rgb": lambda p: encoded(Image.fromarray(p).convert("RGB")),
    "opaque rgba": lambda p: encoded(Image.fromarray(p).convert("RGBA")),
    "black ink on clear ground": lambda p: clear_ground(p, 0),
    "white ink on clear ground": lambda p: clear_ground(p, 255),
    "bright ink, clear pixels": clear_pixels,
    "palette": palette,
    "bright palette, one entry clear": lambda p: palette(p, transparency=0),
    "dark palette, one entry clear": lambda p: palette(255 - p, transparency=255),
    "grey, one level clear": lambda p: encoded(Image.fromarray(p), transparency=0),
    "16-bit": sixteen_bits,
    "16-bit file of 8-bit levels": lambda p: encoded(Image.fromarray(p.astype(np.uint16))),
    "interlaced": interlaced,
    "bmp": lambda p: encoded(Image.fromarray(p), "BMP"),
    "gif": lambda p: encoded(Image.fromarray(p), "GIF"),
    "gif, one entry clear": lambda p: palette(p, "GIF", transparency=0),
    "lossless webp": lambda p: encoded(Image.fromarray(p), "WEBP", lossless=True),
}
LOSSY: dict[str, Callable[[Pixels], bytes]] = {
    "1-bit": lambda p: encoded(Image.fromarray(p > 127)),
    "jpeg": lambda p: encoded(Image.fromarray(p), "JPEG"),
    "progressive jpeg": lambda p: encoded(Image.fromarray(p), "JPEG", progressive=True),
    "cmyk jpeg": lambda p: encoded(Image.fromarray(p).convert("CMYK"), "JPEG"),
    "webp": lambda p: encoded(Image.fromarray(p), "WEBP"),
} | {f"jpeg, exif {orientation}": partial(turned, orientation=orientation) for orientation in range(1, 9)}


@pytest.mark.parametrize("encoding", LOSSLESS)
def test_read_digit_leaves_a_sample_bit_identical_in_every_lossless_encoding(encoding: str, sample: Pixels) -> None:
    assert (read_digit(LOSSLESS[encoding](sample), "digit") == sample).all()


@pytest.mark.parametrize("encoding", LOSSY)
@pytest.mark.parametrize("size", [28, 240])
def test_read_digit_recognises_a_digit_in_every_lossy_encoding(encoding: str, size: int, sample: Pixels) -> None:
    pixels = 255 - sample if size == 28 else np.asarray(drawn())
    assert likeness(read_digit(LOSSY[encoding](pixels), "digit"), sample) > 0.93


@pytest.mark.slow
@pytest.mark.mnist
def test_read_digit_preserves_the_label_of_twenty_mnist_digits_in_every_encoding(
    mnist_dir: Path, default_model: Callable[[Pixels], NDArray[np.intp]]
) -> None:
    mnist = datasets.load_dataset("mnist", mnist_dir, offline=True)
    images, labels = mnist.test.images[:500], mnist.test.labels[:500]
    # none that is almost read as another: moved by a pixel, they still have their label
    moves = [(0, 1), (-1, 1), (1, 1), (-1, 2), (1, 2)]  # shift, axis
    right = np.all([default_model(np.roll(images, *move)) == labels for move in moves], axis=0)
    twenty = np.concatenate([np.flatnonzero(right & (labels == digit))[:2] for digit in range(10)])
    wrong = []
    for name, encode in (LOSSLESS | LOSSY).items():
        for ground in ("white on black", "black on white"):
            if ground == "black on white" and "clear" in name:
                continue  # the ground of these is no colour
            for scale in (1, 8):
                pixels = [images[n].repeat(scale, 0).repeat(scale, 1) for n in twenty]
                pictures = [encode(p if ground == "white on black" else 255 - p) for p in pixels]
                read = default_model(np.stack([read_digit(data, name) for data in pictures]))
                wrong += [(name, ground, scale, int(n)) for n in twenty[read != labels[twenty]]]
    assert not wrong


@pytest.mark.mnist
def test_find_digit_leaves_every_mnist_image_bit_identical(mnist_dir: Path) -> None:
    mnist = datasets.load_dataset("mnist", mnist_dir, offline=True)
    images = np.concatenate([mnist.train.images, mnist.test.images])
    changed = [
        n for n, pixels in enumerate(images) if not np.array_equal(find_digit(pixels.astype(np.float32)), pixels)
    ]
    assert not changed
    assert all(np.array_equal(read_digit(to_png(pixels), "png"), pixels) for pixels in images[::100])


def test_read_digit_takes_the_first_frame_of_an_animation(sample: Pixels) -> None:
    later = Image.new("L", (28, 28), 255)
    for form in ("GIF", "WEBP"):
        data = encoded(Image.fromarray(sample), form, save_all=True, append_images=[later], lossless=True)
        assert (read_digit(data, "moving") == sample).all()


def test_read_digit_scales_sixteen_bits_and_does_not_clip(sample: Pixels) -> None:
    faint = 30000 + 20 * np.asarray(drawn(), np.uint16)  # a difference of 5100 of 65535 levels
    assert likeness(read_digit(encoded(Image.fromarray(faint)), "scan"), sample) > 0.98


def test_read_digit_ignores_colours_under_clear_pixels(sample: Pixels) -> None:
    alpha = Image.fromarray(255 - np.asarray(drawn()))
    garish = Image.fromarray(np.random.default_rng(0).integers(0, 256, (240, 240), np.uint8))
    ink = Image.composite(Image.new("L", (240, 240)), garish, alpha.point(lambda level: 255 * (level > 0)))
    assert likeness(read(Image.merge("LA", (ink, alpha))), sample) > 0.98


def test_read_digit_takes_an_opaque_page_within_a_clear_margin_for_a_page(sample: Pixels) -> None:
    alpha = Image.new("L", (240, 240))
    ImageDraw.Draw(alpha).ellipse([15, 15, 225, 225], fill=255)
    assert likeness(read(Image.merge("LA", (drawn(), alpha))), sample) > 0.98


# grounds and light


@pytest.mark.parametrize(("ink", "paper"), [(0, 255), (255, 0), (215, 30), (150, 190), (245, 255)])
def test_read_digit_ignores_polarity_and_contrast(ink: int, paper: int, sample: Pixels) -> None:
    assert likeness(read(drawn(ink=ink, paper=paper)), sample) > 0.97


def test_read_digit_evens_out_light_noise_and_faint_ruled_lines(sample: Pixels) -> None:
    page = np.asarray(drawn(ink=40, paper=220), float)
    page[::24] = np.minimum(page[::24], 195)
    page *= np.linspace(1, 0.45, 240)  # a gradient
    page[:, 170:] *= 0.7  # a shadow with a sharp edge, through the digit
    page += np.random.default_rng(0).normal(0, 5, page.shape)
    picture = Image.fromarray(page.clip(0, 255).astype(np.uint8))
    assert likeness(read_digit(encoded(picture, "JPEG", quality=60), "photo.jpg"), sample) > 0.93


def test_read_digit_ignores_specks(sample: Pixels) -> None:
    picture = drawn()
    for x, y in np.random.default_rng(0).integers(0, 236, (25, 2)):
        picture.paste(0, (int(x), int(y), int(x) + 3, int(y) + 3))
    assert likeness(read(picture), sample) > 0.95


@pytest.mark.parametrize("inset", [0, 3, 20])
def test_read_digit_ignores_a_frame_around_the_digit(inset: int, sample: Pixels) -> None:
    picture = drawn()
    ImageDraw.Draw(picture).rectangle([inset, inset, 239 - inset, 239 - inset], outline=0, width=3)
    assert likeness(read(picture), sample) > 0.97


def test_read_digit_ignores_the_edge_of_a_dark_table(sample: Pixels) -> None:
    picture = drawn(ink=40, paper=220)
    ImageDraw.Draw(picture).polygon([(0, 0), (240, 0), (240, 30), (0, 22)], fill=70)
    assert likeness(read(picture), sample) > 0.97


def test_read_digit_reads_a_digit_cropped_to_its_edges() -> None:
    seven = Image.new("L", (240, 240), 220)
    ImageDraw.Draw(seven).line([(60, 50), (180, 50), (110, 200)], fill=60, width=24)
    cropped = seven.crop((60, 39, 188, 205))  # its bar is all of the upper border
    assert likeness(read(cropped), read(seven)) > 0.9


@pytest.mark.parametrize("tilt", [0, 10])
def test_read_digit_takes_a_sheet_on_a_darker_table_for_a_page(tilt: int) -> None:
    sheet = drawn(ink=40, paper=220).rotate(tilt, Image.Resampling.BICUBIC, expand=True, fillcolor=90)
    table = Image.new("L", (420, 380), 90)
    table.paste(sheet, (90, 60))
    assert likeness(read(table), read(drawn().rotate(tilt, Image.Resampling.BICUBIC, fillcolor=255))) > 0.95


@pytest.mark.parametrize("size", [(40, 1000), (50, 2500)])
def test_read_digit_looks_closely_at_a_small_digit(size: tuple[int, int], sample: Pixels) -> None:
    digit, frame = size
    page = Image.new("L", (frame, frame), 255)
    page.paste(drawn((2 * digit, 2 * digit)), (frame // 3, frame // 2))
    assert likeness(read(page), sample) > 0.95


def test_read_digit_reads_a_digit_cut_by_one_edge(sample: Pixels) -> None:
    page = Image.new("L", (400, 400), 255)
    page.paste(drawn(), (60, -50))
    assert likeness(read(page), sample) > 0.9


def test_read_digit_finds_a_digit_fainter_than_the_ruling_between_the_lines(sample: Pixels) -> None:
    page = Image.new("L", (480, 480), 255)
    page.paste(drawn(ink=170), (120, 120))
    for y in (100, 400):
        page.paste(60, (0, y, 480, y + 4))
    assert likeness(read(page), sample) > 0.95


def test_read_digit_joins_a_detached_bar_and_a_broken_stroke(sample: Pixels) -> None:
    picture = drawn()
    picture.paste(255, (0, 72, 240, 78))
    assert likeness(read(picture), sample) > 0.9


# refusals


def test_read_digit_says_that_a_file_is_empty() -> None:
    assert "empty" in str(refusal(b""))


def test_read_digit_refuses_a_text_file() -> None:
    assert "not a PNG, JPEG, BMP, GIF or WebP picture" in str(refusal(b"Dear reader,\nthis is a letter.\n" * 20))


def test_read_digit_opens_no_format_that_it_does_not_name() -> None:
    assert "not a PNG" in str(refusal(encoded(drawn(), "TIFF")))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "BMP", "GIF", "WEBP"])
def test_read_digit_refuses_a_truncated_picture(form: str) -> None:
    data = encoded(drawn(), form)
    message = str(refusal(data[: len(data) // 2]))
    assert "damaged" in message or "cut short" in message


def test_read_digit_refuses_a_width_of_20000_pixels_from_the_header() -> None:
    assert "20000 x 10" in str(refusal(encoded(Image.new("1", (20_000, 10)))))


def test_read_digit_refuses_too_many_pixels_from_the_header() -> None:
    data = encoded(Image.new("1", (9_000, 9_000)))
    assert "81.0 megapixels" in str(refusal(data))


def test_read_digit_refuses_a_file_that_is_too_large_unread() -> None:
    assert "50 MB" in str(refusal(bytes(MAX_BYTES + 1)))


@pytest.mark.parametrize("grey", [0, 128, 255])
@pytest.mark.parametrize("size", [(1, 1), (28, 28), (300, 2), (200, 200)])
def test_read_digit_calls_a_page_of_one_tone_blank(grey: int, size: tuple[int, int]) -> None:
    assert "blank" in str(refusal(encoded(Image.new("L", size, grey))))


def test_read_digit_calls_a_wholly_clear_picture_blank() -> None:
    assert "blank" in str(refusal(encoded(Image.new("RGBA", (50, 50)))))


@pytest.mark.parametrize("light", ["even", "gradient"])
@pytest.mark.parametrize("lines", ["none", "ruled", "squared", "margin", "one"])
@pytest.mark.parametrize("deep", [20, 100])
def test_read_digit_refuses_a_page_without_a_digit_whatever_is_printed_on_it(lines: str, deep: int, light: str) -> None:
    page = np.full((300, 300), 220.0)
    if lines in ("ruled", "squared"):
        page[::25] -= deep
    if lines == "squared":
        page[:, ::25] = 220 - deep
    if lines == "margin":
        page[:, 50:52] -= deep
    if lines == "one":
        page[200:203] -= deep
    if light != "even":
        page = page * np.linspace(1, 0.8, 300) + np.random.default_rng(0).normal(0, 3, page.shape)
    data = encoded(Image.fromarray(page.clip(0, 255).astype(np.uint8)), "PNG" if light == "even" else "JPEG")
    # in noise, faint lines may be taken for none
    reasons = ["blank"] * (lines == "none" or light != "even") + ["lines", "a line or a patch", "separate shapes"] * (
        lines != "none"
    )
    assert re.search("|".join(reasons), str(refusal(data)))


@pytest.mark.parametrize("side", ["left", "top", "right", "bottom"])
@pytest.mark.parametrize("deep", [20, 190])
def test_read_digit_finds_no_digit_on_blank_paper_with_a_table_or_a_shadow_along_it(deep: int, side: str) -> None:
    page = np.full((400, 400), 230, np.uint8)
    page[:40] -= np.uint8(deep)
    turns = {"top": 0, "left": 1, "bottom": 2, "right": 3}
    data = encoded(Image.fromarray(np.rot90(page, turns[side])))
    assert re.search("blank|lines or edges, but no digit", str(refusal(data)))


@pytest.mark.parametrize("apart", [112, 200])
def test_read_digit_counts_two_digits_side_by_side(apart: int) -> None:
    pair = Image.new("L", (480, 240), 255)
    for x in (60, 60 + apart):
        pair.paste(drawn().crop((60, 40, 180, 210)), (x, 40))
    error = refusal(encoded(pair))
    assert "2 separate shapes" in str(error)
    assert error.hint == "crop it to one handwritten digit"


@pytest.mark.parametrize("box", [(20, 110, 220, 130), (60, 60, 180, 180)])
def test_read_digit_refuses_a_flat_line_or_a_solid_patch(box: tuple[int, int, int, int]) -> None:
    picture = Image.new("L", (240, 240), 255)
    picture.paste(0, box)
    assert "not a digit" in str(refusal(encoded(picture)))


@given(position=st.integers(0, 10**6), value=st.integers(0, 255), form=st.sampled_from(["PNG", "JPEG", "GIF", "WEBP"]))
def test_read_digit_accepts_or_refuses_a_picture_with_a_damaged_byte(position: int, value: int, form: str) -> None:
    data = bytearray(encoded(drawn((60, 60)), form))
    data[position % len(data)] = value
    try:
        assert read_digit(bytes(data), "digit").shape == (28, 28)
    except ImageError as error:
        assert error.hint  # noqa: PT017 - either outcome is right
