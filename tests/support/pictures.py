"""Pictures as files: one to read, any to encode, and the chunks that a PNG is made of."""

import io
import struct
import zlib
from typing import Any

from PIL import Image, ImageDraw


def seven(side: int = 100, mode: str = "L") -> Image.Image:
    """A seven, dark on light."""
    picture = Image.new("L", (side, side), 255)
    points = [(0.25 * side, 0.2 * side), (0.75 * side, 0.2 * side), (0.4 * side, 0.85 * side)]
    ImageDraw.Draw(picture).line(points, fill=0, width=side // 12)
    return picture.convert(mode)


def encoded(picture: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def png_chunk(kind: bytes, data: bytes, length: int | None = None, crc: int = 0) -> bytes:
    """A chunk of a PNG; with another length than its own, or with its CRC changed by `crc`, a wrong one."""
    length = len(data) if length is None else length
    return struct.pack(">I", length) + kind + data + struct.pack(">I", zlib.crc32(kind + data) ^ crc)
