"""Read any picture as a digit, and write a digit as a picture: the one module that imports Pillow.

`read_digit` opens the file and reduces it to shades of grey; finding the digit in them is `digit.py`'s work.
"""

from __future__ import annotations

import io
import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from nnctl.errors import ImageError
from nnctl.picture import digit, limits

Grey = NDArray[np.float32]

MAX_BYTES = 50_000_000
MAX_SIDE = 10_000  # pixels
# To decode, in less than 200 MB of memory; a JPEG may hold more, because it can be decoded at a fraction of its size.
MAX_PIXELS = 16_000_000
MAX_COPIED_PIXELS = 7_000_000  # where a decoder, or a conversion, holds several copies or is slow
SAMPLE_HEADER = 26  # bytes of a PNG, up to the kind of its pixels
EXIF_ORIENTATION = 0x0112
# orientation -> is it transposed, then the direction in which rows and columns are read
ORIENTATIONS = {
    2: (False, 1, -1),
    3: (False, -1, -1),
    4: (False, -1, 1),
    5: (True, 1, 1),
    6: (True, 1, -1),
    7: (True, -1, -1),
    8: (True, -1, 1),
}


class Decoded(NamedTuple):
    """A picture in shades of grey, upright.

    Attributes:
        grey: (H, W) in [0, 255], at most `digit.LARGEST` a side.
        size: height and width of the picture as it came, upright.
    """

    grey: Grey
    size: tuple[int, int]


def read_file(path: Path) -> bytes:
    """The bytes of a picture, or as many as show that it is too large; raises ImageError."""
    try:
        if path.exists() and not path.is_file():
            raise ImageError(f"{path}: is not a regular file", "name a picture")
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ImageError(f"{path}: cannot be read: {error.strerror or error}", "check the path") from error


def read_digit(data: bytes, name: str) -> NDArray[np.uint8]:
    """Turn an encoded picture into (28, 28) pixels the way MNIST's digits look, ink bright.

    Args:
        data: the bytes of a PNG, JPEG, BMP, GIF or WebP file; of several frames, the first is read.
        name: what to call the picture in an error.

    Raises:
        ImageError: not such a picture, damaged, too large, blank, or not of one single digit.
    """
    with named(name):
        return digit.find_digit(_decoded(data).grey)


def read_hypotheses(data: bytes, name: str) -> Iterator[digit.Hypothesis]:
    """What may be ground and digit in an encoded picture; see `digit.find_hypotheses`.

    Raises:
        ImageError: not such a picture, damaged or too large.
    """
    return digit.find_hypotheses(*read_grey(data, name))


def read_grey(data: bytes, name: str) -> Decoded:
    """Turn an encoded picture into shades of grey, as `read_digit` first does.

    Raises:
        ImageError: not such a picture, damaged or too large.
    """
    with named(name):
        return _decoded(data)


def to_png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode (28, 28) grey pixels as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def is_sample(data: bytes) -> bool:
    """Whether a file begins as those do that `to_png` makes: a PNG of (28, 28) grey pixels."""
    header = to_png(np.zeros((28, 28), np.uint8))[:SAMPLE_HEADER]
    return data.startswith(header)


@contextmanager
def named(name: str) -> Iterator[None]:
    """Put the name of a picture before the message of an ImageError."""
    try:
        yield
    except ImageError as error:
        raise type(error)(f"{name}: {error.message}", error.hint) from error.__cause__


def _decoded(data: bytes) -> Decoded:
    """Decode a picture to luminance, without transparency."""
    if not data:
        raise ImageError("the file is empty", "check that the picture was saved or downloaded completely")
    if len(data) > MAX_BYTES:
        raise ImageError(f"the file is larger than {MAX_BYTES // 10**6} MB", "save a smaller copy")
    limits.refuse_if_intricate(data)
    try:
        # Pillow warns about odd metadata
        with warnings.catch_warnings(action="ignore"), _opened(data) as picture:
            size = picture.size  # before a JPEG is asked for less
            _refuse_if_huge(picture, held_whole=limits.comes_in_passes(data), packed=limits.is_packed_bmp(data))
            picture.load()
            orientation = picture.getexif().get(EXIF_ORIENTATION, 1)
            return _upright(_luminance(picture), size, orientation)
    except ImageError:
        raise
    except Exception as error:  # a damaged file can make a decoder raise almost anything
        what = str(error) or type(error).__name__
        raise ImageError(f"the picture is damaged ({what})", "save or download it again") from error


def _opened(data: bytes) -> Image.Image:
    """The picture, of which the header has been read. `Image.open` would import the plugins of all formats first."""
    for signature, opened in OPENERS.items():
        if re.match(signature, data, re.DOTALL):
            try:
                return opened(io.BytesIO(data))
            except (SyntaxError, IndexError, TypeError, struct.error) as error:  # as `Image.open` has it
                raise _unknown() from error
    raise _unknown()


def _png(file: BinaryIO) -> Image.Image:
    from PIL.PngImagePlugin import PngImageFile

    return PngImageFile(file)


def _jpeg(file: BinaryIO) -> Image.Image:
    from PIL.JpegImagePlugin import JpegImageFile

    return JpegImageFile(file)


def _bmp(file: BinaryIO) -> Image.Image:
    from PIL.BmpImagePlugin import BmpImageFile

    return BmpImageFile(file)


def _gif(file: BinaryIO) -> Image.Image:
    from PIL.GifImagePlugin import GifImageFile

    return GifImageFile(file)


def _webp(file: BinaryIO) -> Image.Image:
    from PIL.WebPImagePlugin import WebPImageFile

    return WebPImageFile(file)


# by how a file begins
OPENERS = {
    rb"\x89PNG\r\n\x1a\n": _png,
    rb"\xff\xd8\xff": _jpeg,
    rb"BM": _bmp,
    rb"GIF8[79]a": _gif,
    rb"RIFF....WEBP": _webp,
}


def _unknown() -> ImageError:
    what = "not a PNG, JPEG, BMP, GIF or WebP picture, or cut short"
    return ImageError(what, "export it as PNG or JPEG and try again")


def _refuse_if_huge(picture: Image.Image, *, held_whole: bool, packed: bool) -> None:
    """Check the size the header promises before any pixel is decoded; ask a JPEG for no more than is needed.

    Args:
        picture: as opened.
        held_whole: whether all its pixels are held in memory, however small a copy is asked for.
        packed: whether it is a BMP of runs, which Pillow unpacks pixel by pixel in Python.
    """
    width, height = picture.size
    hint = "crop it to the digit, or save a smaller copy"
    if max(width, height) > MAX_SIDE:
        raise ImageError(f"the picture is {width} x {height} pixels; a side may have {MAX_SIDE}", hint)
    picture.draft(None, (digit.LARGEST, digit.LARGEST))
    decoded = width * height if held_whole else picture.width * picture.height
    copied = (
        picture.format == "WEBP"
        or (picture.mode == "RGB" and picture.has_transparency_data)
        or (picture.mode == "CMYK" and held_whole)
    )
    limit = MAX_COPIED_PIXELS if copied or packed else MAX_PIXELS
    if decoded > limit:
        raise ImageError(f"the picture has {decoded / 1e6:.1f} megapixels; {limit // 10**6} are the limit", hint)


def _luminance(picture: Image.Image) -> Grey:
    if picture.mode.startswith("I"):  # 16 bits: Pillow's own conversion would keep only the lowest 8
        levels = np.asarray(_reduced(picture), np.float32)
        # some programs put 8-bit levels into 16-bit files
        return levels if levels.max() <= 255 else levels / np.float32(257)
    if not picture.has_transparency_data:
        return np.asarray(_reduced(picture.convert("L")), np.float32)
    if picture.mode not in ("RGBA", "LA"):
        picture = picture.convert("RGBA")
    alpha = picture.getchannel("A")
    visible = ImageChops.multiply(picture.convert("L"), alpha)  # colours under clear pixels mean nothing
    return _on_ground(*(np.asarray(_reduced(band), np.float32) for band in (visible, alpha)))


def _reduced(band: Image.Image) -> Image.Image:
    """Average neighbouring pixels until no side is longer than `digit.LARGEST`."""
    scale = digit.LARGEST / max(band.size)
    if scale >= 1:
        return band
    return band.resize([max(1, round(side * scale)) for side in band.size], Image.Resampling.BOX)


def _on_ground(visible: Grey, alpha: Grey) -> Grey:
    """Lay a partly clear picture on white or black, whichever its strokes stand out from.

    Args:
        visible: (H, W) luminance times opacity.
        alpha: (H, W) opacity in [0, 255].
    """
    if alpha.min() == alpha.max():
        return visible * np.float32(255 / max(float(alpha.max()), 1))
    opaque = np.pad(alpha >= alpha.max() / 2, 1, mode="edge")
    inner = opaque[1:-1, 1:-1]
    rim = inner & ~(opaque[:-2, 1:-1] & opaque[2:, 1:-1] & opaque[1:-1, :-2] & opaque[1:-1, 2:])
    tone = visible[inner].sum() / alpha[inner].sum() * 255
    rim_tone = visible[rim].sum() / alpha[rim].sum() * 255
    # the rim is smoothed towards the ground it was drawn for; strokes of one tone give no such hint, and need contrast
    white = rim_tone > tone if abs(rim_tone - tone) > 4 else tone < 128
    return visible + (255 - alpha) if white else visible


def _upright(grey: Grey, size: tuple[int, int], orientation: int) -> Decoded:
    """Undo the turn or reflection that EXIF reports of a picture whose width and height were `size`."""
    transposed, rows, columns = ORIENTATIONS.get(orientation, (False, 1, 1))
    return Decoded((grey.T if transposed else grey)[::rows, ::columns], size if transposed else size[::-1])
