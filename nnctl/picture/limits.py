"""Count what an encoded picture consists of before a decoder goes through it: parts, metadata, passes, runs.

A small file may hold millions of parts of a few bytes, each of which costs a decoder far more than its bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from nnctl.errors import ImageError

MAX_PARTS = 100_000  # a picture written in pieces of 512 bytes may be as large as a picture may be
MAX_METADATA = 16_000_000  # bytes; there is a copy or two of them while a picture is opened
MAX_PASSES = 50  # each goes over all pixels, though it may be a few bytes long
MAX_PACKED = 3_000_000  # bytes of a BMP whose runs, of two bytes or more, Pillow unpacks one by one in Python

HINT = "save it again as PNG or JPEG"
JPEG = b"\xff\xd8\xff"
START_OF_SCAN = 0xDA
FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
WITHOUT_LENGTH = {0x00, 0x01, *range(0xD0, 0xDA)}


def refuse_if_intricate(data: bytes) -> None:
    """Go through the parts that a decoder would go through one by one, up to the limits.

    Raises:
        ImageError: more parts, metadata, passes or runs than a picture of a digit can need.
    """
    if is_packed_bmp(data) and len(data) > MAX_PACKED:
        raise ImageError(f"the picture is a packed BMP of more than {MAX_PACKED // 10**6} MB", HINT)
    walk = next((walk for signature, walk in WALKS.items() if data.startswith(signature)), None)
    if walk is None:
        return
    metadata = 0
    for count, size in enumerate(walk(data), 1):
        metadata += size
        if count > MAX_PARTS:
            raise ImageError(f"the picture consists of more than {MAX_PARTS:,} parts", HINT)
        if metadata > MAX_METADATA:
            raise ImageError(f"the picture carries more than {MAX_METADATA // 10**6} MB of metadata", HINT)
    if comes_in_passes(data) and _passes(data) > MAX_PASSES:
        raise ImageError(f"the picture comes in more than {MAX_PASSES} passes", HINT)


def is_packed_bmp(data: bytes) -> bool:
    """Whether this is a BMP whose pixels come as runs (RLE8 or RLE4)."""
    return data.startswith(b"BM") and int.from_bytes(data[30:34], "little") in (1, 2)


def comes_in_passes(data: bytes) -> bool:
    """Whether this is a JPEG that is decoded pass by pass, and so held whole in memory until the last."""
    if not data.startswith(JPEG):
        return False
    components, progressive = 0, False
    for at, marker, _ in _segments(data):
        if marker in FRAMES:
            components, progressive = int.from_bytes(data[at + 9 : at + 10]), marker in PROGRESSIVE
        elif marker == START_OF_SCAN:
            return progressive or int.from_bytes(data[at + 4 : at + 5]) < components
    return False


def _passes(jpeg: bytes) -> int:
    """How many scans a JPEG has; the same bytes in its metadata, or behind its end, are none."""
    first = next(at for at, marker, _ in _segments(jpeg) if marker == START_OF_SCAN)
    end = jpeg.find(b"\xff\xd9", first)
    return jpeg.count(bytes([0xFF, START_OF_SCAN]), first, end if end >= 0 else len(jpeg))


# Each walk gives, part after part, the bytes that are no pixels.


def _png(data: bytes) -> Iterator[int]:
    at = 8
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4])
        yield 0 if data[at + 4 : at + 8] in (b"IDAT", b"fdAT") else min(size, len(data) - at)
        at += 12 + size


def _webp(data: bytes) -> Iterator[int]:
    at = 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        yield 0 if data[at : at + 4] in (b"VP8 ", b"VP8L", b"ALPH", b"ANMF") else min(size, len(data) - at)
        at += 8 + size + size % 2


def _gif(data: bytes) -> Iterator[int]:
    """Up to the first frame, which is the one that is read."""
    colours = int.from_bytes(data[10:11])
    at = 13 + (3 * 2 ** (colours % 8 + 1) if colours & 0x80 else 0)
    while at < len(data) and data[at] != ord(","):
        yield 1  # an extension begins, or it is a stray byte, which decoders skip
        if data[at] == ord("!"):
            at += 2
            while at < len(data) and data[at]:
                yield data[at]
                at += 1 + data[at]
        at += 1


def _jpeg(data: bytes) -> Iterator[int]:
    """Up to the first scan: libjpeg goes through the rest, at its own speed."""
    return (length for _, _, length in _segments(data))


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Where each segment of a JPEG begins, its marker and length; a stray byte, which decoders skip, has marker 0."""
    at = 2
    while at + 1 < len(data):
        marker = data[at + 1] if data[at] == 0xFF and data[at + 1] != 0xFF else 0
        length = 2 + int.from_bytes(data[at + 2 : at + 4])
        if marker in WITHOUT_LENGTH:
            length = 2 if marker else 1
        yield at, marker, length
        if marker == START_OF_SCAN:
            return
        at += length


WALKS: dict[bytes, Callable[[bytes], Iterator[int]]] = {
    b"\x89PNG": _png,
    JPEG: _jpeg,
    b"GIF8": _gif,
    b"RIFF": _webp,
}
