"""How many parts, how much metadata and how many passes or runs a picture may have."""

import struct
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from nnctl.errors import ImageError
from nnctl.picture.decode import read_digit
from tests.support.pictures import encoded, png_chunk, seven


def refusal(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        read_digit(data, "digit")
    assert caught.value.hint
    return caught.value.message


def png_chunks(*chunks: tuple[bytes, bytes]) -> bytes:
    """A drawn PNG with chunks added behind its header."""
    data = encoded(seven(200))
    return data[:33] + b"".join(png_chunk(kind, body) for kind, body in chunks) + data[33:]


def jpeg_segments(marker: int, *bodies: bytes) -> bytes:
    """A drawn JPEG with segments added in front."""
    data = encoded(seven(200), "JPEG")
    return data[:2] + b"".join(struct.pack(">BBH", 255, marker, len(body) + 2) + body for body in bodies) + data[2:]


def gif_comment(*blocks: bytes) -> bytes:
    """A drawn GIF with a comment of these blocks before its first frame."""
    data = encoded(seven(200), "GIF")
    frame = 13 + 3 * 2 ** (data[10] % 8 + 1)
    comment = b"!\xfe" + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"
    return data[:frame] + comment + data[frame:]


def webp_chunks(*bodies: bytes) -> bytes:
    """A drawn WebP with chunks of an unknown type before its pixels."""
    data = encoded(seven(200), "WEBP")
    header = b"VP8X" + struct.pack("<IB3x", 10, 0) + (199).to_bytes(3, "little") * 2
    body = header + b"".join(b"abcd" + struct.pack("<I", len(body)) + body for body in bodies) + data[12:]
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def stray_bytes(count: int) -> bytes:
    """A drawn JPEG with zeros between its first two segments."""
    data = encoded(seven(200), "JPEG")
    return data[:20] + bytes(count) + data[20:]


MANY: dict[str, Callable[[int], bytes]] = {
    "chunks of a PNG": lambda count: png_chunks(*[(b"abCd", b"")] * count),
    "segments of a JPEG": lambda count: jpeg_segments(0xE5, *[b""] * count),
    "stray bytes in a JPEG": stray_bytes,
    "blocks of a GIF": lambda count: gif_comment(*[b"w"] * count),
    "chunks of a WebP": lambda count: webp_chunks(*[b""] * count),
}
LONG: dict[str, Callable[[int], bytes]] = {
    "chunk of a PNG": lambda size: png_chunks((b"abCd", bytes(size))),
    "segments of a JPEG": lambda size: jpeg_segments(0xE5, *[bytes(50_000)] * (size // 50_000)),
    "blocks of a GIF": lambda size: gif_comment(*[b"w" * 250] * (size // 250)),
    "chunk of a WebP": lambda size: webp_chunks(bytes(size)),
}


@pytest.mark.parametrize("what", MANY)
def test_limits_refuse_a_picture_of_very_many_parts(what: str) -> None:
    assert read_digit(MANY[what](90_000), "digit").shape == (28, 28)
    assert "100,000 parts" in refusal(MANY[what](110_000))


@pytest.mark.parametrize("what", LONG)
def test_limits_refuse_a_picture_of_much_metadata(what: str) -> None:
    assert read_digit(LONG[what](12_000_000), "digit").shape == (28, 28)
    assert "16 MB of metadata" in refusal(LONG[what](20_000_000))


def test_limits_count_no_pixels_as_metadata() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4000, 4500), np.uint8)
    noise = encoded(Image.fromarray(pixels))
    assert len(noise) > 17_000_000
    assert "megapixels" in refusal(noise)


def scans(count: int) -> bytes:
    """A progressive JPEG with as many passes more, all the same."""
    data = encoded(seven(200), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * count + data[-2:]


def test_limits_refuse_a_picture_of_many_passes() -> None:
    assert read_digit(scans(20), "digit").shape == (28, 28)
    assert "50 passes" in refusal(scans(60))


def test_limits_count_no_passes_beside_the_picture() -> None:
    progressive, looks_like = encoded(seven(200), "JPEG", progressive=True), b"\xff\xda" * 100
    film_behind = progressive + looks_like
    notes_before = progressive[:2] + b"\xff\xe5" + struct.pack(">H", 202) + looks_like + progressive[2:]
    for data in (film_behind, notes_before):
        assert read_digit(data, "digit").shape == (28, 28)


def test_limits_refuse_a_large_picture_that_comes_colour_by_colour() -> None:
    data = encoded(Image.new("RGB", (5000, 5000), (255, 255, 255)), "JPEG")
    scan = data.index(b"\xff\xda")
    one_by_one = data[:scan] + b"\xff\xda\0\x08\1\1\0\0\x3f\0" + data[scan + 14 :]
    assert "25.0 megapixels" in refusal(one_by_one)
    assert "blank" in refusal(data)  # as a whole it is decoded at a fraction of its size


def packed_bmp(side: int, pixels: bytes, bits: int = 8) -> bytes:
    """A BMP in RLE8 or RLE4, in shades of grey."""
    levels = 1 << bits
    palette = b"".join(bytes([level * 255 // (levels - 1)] * 3) + b"\0" for level in range(levels))
    begin = 54 + len(palette)
    header = struct.pack("<IiiHHIIiiII", 40, side, side, 1, bits, {8: 1, 4: 2}[bits], len(pixels), 0, 0, levels, 0)
    return b"BM" + struct.pack("<IHHI", begin + len(pixels), 0, 0, begin) + header + palette + pixels


RUNS = {"one pixel": b"\1\xff", "jump": b"\0\2\0\0", "end of a row": b"\0\0", "three pixels": b"\0\3\1\2\3\0"}


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("run", RUNS)
def test_packed_bmp_of_very_many_runs_is_refused_before_they_are_unpacked(
    run: str, bits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("was opened"))
    assert "packed BMP of more than 3 MB" in refusal(packed_bmp(2000, RUNS[run] * (4_000_000 // len(RUNS[run])), bits))


def test_packed_bmp_may_not_have_as_many_pixels_as_one_that_is_read_at_once() -> None:
    assert "9.0 megapixels; 7 are the limit" in refusal(packed_bmp(3000, b"\1\xff\0\0" * 3000))


@pytest.mark.parametrize("bits", [4, 8])
def test_packed_bmp_is_read(bits: int) -> None:
    paper, ink = b"\xff", b"\0"
    blank = b"\xc8" + paper + b"\0\0"  # 200 pixels
    stroke = b"\x5f" + paper + b"\x0a" + ink + b"\x5f" + paper + b"\0\0"
    assert read_digit(packed_bmp(200, blank * 50 + stroke * 100 + blank * 50, bits), "digit").any()
