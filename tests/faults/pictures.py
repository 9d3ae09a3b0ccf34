"""Hostile pictures, made by hand and at random."""

from __future__ import annotations

import random
import struct
import sys
import zlib
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.support.pictures import encoded, png_chunk, seven


@cache
def good(kind: str) -> bytes:
    return encoded(seven(mode="RGB" if kind in ("JPEG", "WEBP") else "L"), kind)


def noise(side: int, mode: str) -> Image.Image:
    """A picture that no format can pack."""
    grey = Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side), np.uint8))
    return Image.merge(mode, [grey] * len(mode)) if len(mode) > 1 else grey


def clear_colour(side: int) -> bytes:
    """An RGB picture of which one colour is clear."""
    return encoded(noise(side, "RGB"), "PNG", transparency=(1, 1, 1), compress_level=1)


def png(
    width: int = 40,
    height: int = 40,
    *,
    header: bytes = bytes([8, 0, 0, 0, 0]),
    before: bytes = b"",
    raw: bytes | None = None,
    data: bytes | None = None,
    after: bytes = png_chunk(b"IEND", b""),
) -> bytes:
    """A PNG file of these parts; grey and black but for what is given."""
    data = zlib.compress(bytes(41 * 40) if raw is None else raw, 1) if data is None else data
    head = png_chunk(b"IHDR", struct.pack(">II", width, height) + header)
    return b"\x89PNG\r\n\x1a\n" + head + before + png_chunk(b"IDAT", data) + after


def inside(added: bytes) -> bytes:
    """A good PNG with chunks added behind its header."""
    return good("PNG")[:33] + added + good("PNG")[33:]


def segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 255, marker, len(data) + 2) + data


def jpeg(*added: bytes, marker: int = 0, place: int = 0, change: bytes = b"") -> bytes:
    """A good JPEG with segments added in front, or with a change `place` bytes behind the first such marker."""
    data = good("JPEG")
    data = data[:2] + b"".join(added) + data[2:]
    where = data.index(bytes([255, marker])) + place if marker else 0
    return data[:where] + change + data[where + len(change) :]


def exif(body: bytes) -> bytes:
    return segment(0xE1, b"Exif\0\0MM\0*" + body)


def scans(count: int) -> bytes:
    """A progressive JPEG that goes over all its blocks so many times, each time in a few bytes."""
    side = 4000
    data = encoded(Image.new("L", (side, side), 255), "JPEG", progressive=True)
    end_of_blocks = segment(0xC4, bytes([0x10, 1] + [0] * 15 + [0xE0]))
    one = segment(0xDA, bytes([1, 1, 0, 1, 63, 0])) + bytes((side // 8) ** 2 // 2**14 * 15 // 8 + 1)
    return data[:-2] + end_of_blocks + one * count + b"\xff\xd9"


def gif(canvas: tuple[int, int], frame: bytes = b"", *, bits: int = 8, repeat: int = 1, extra: bytes = b"") -> bytes:
    """A GIF whose frames of 1x1 pixels lie where `frame`, four 16-bit numbers, says."""
    block = b"," + (frame or struct.pack("<4H", 0, 0, 1, 1)) + b"\0" + bytes([bits]) + b"\x03\0\x03\x04\0"
    return b"GIF89a" + struct.pack("<2H", *canvas) + b"\x80\0\0\0\0\0\xff\xff\xff" + extra + block * repeat + b";"


def bmp(width: int = 40, height: int = 40, bits: int = 24, packing: int = 0, *, start: int = 54, **more: Any) -> bytes:
    data: bytes = more.get("data", b"\x80" * 40 * 40 * 3)
    palette: bytes = more.get("palette", b"")
    header = struct.pack(
        "<IiiHHIIiiII", 40, width, height, 1, bits, packing, len(data), 1, 1, more.get("colours", 0), 0
    )
    return b"BM" + struct.pack("<IHHI", 54 + len(data), 0, 0, start) + header + palette + data


def webp(*chunks: tuple[bytes, bytes], size: int | None = None) -> bytes:
    body = b"".join(kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for kind, data in chunks)
    return b"RIFF" + struct.pack("<I", len(body) + 4 if size is None else size) + b"WEBP" + body


def canvas(width: int, height: int, flags: int = 0) -> tuple[bytes, bytes]:
    return b"VP8X", bytes([flags, 0, 0, 0]) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")


def head(kind: str, size: int | None = None) -> bytes:
    """The first bytes of a good picture, half of it unless told."""
    return good(kind)[: len(good(kind)) // 2 if size is None else size]


KINDS = {"PNG": "png", "JPEG": "jpg", "BMP": "bmp", "GIF": "gif", "WEBP": "webp"}

PICTURES: dict[str, Callable[[], bytes]] = {
    "empty.png": lambda: b"",
    **{f"head of {kind}.{end}": partial(head, kind, 12) for kind, end in KINDS.items()},
    **{f"half of {kind}.{end}": partial(head, kind) for kind, end in KINDS.items()},
    # sizes
    "20,000 pixels wide.png": lambda: encoded(Image.new("1", (20_000, 20)), "PNG"),
    "1x1.png": lambda: encoded(Image.new("L", (1, 1)), "PNG"),
    "1x10000.png": lambda: encoded(Image.new("L", (1, 10_000), 255), "PNG"),
    "10000x1.gif": lambda: encoded(Image.new("L", (10_000, 1), 255), "GIF"),
    "50000x50000 of zeros.png": lambda: png(50_000, 50_000, raw=bytes(50_000 * 5000), header=bytes([1, 0, 0, 0, 0])),
    "wholly clear.png": lambda: encoded(Image.new("RGBA", (4000, 4000)), "PNG", compress_level=1),
    "wholly black.bmp": lambda: encoded(Image.new("RGB", (4000, 4000)), "BMP"),
    "wholly white.jpg": lambda: encoded(Image.new("CMYK", (4000, 4000)), "JPEG"),
    "large noise.png": lambda: encoded(noise(3800, "RGBA"), "PNG", compress_level=1),
    "large grey noise that may be clear.png": lambda: encoded(noise(4000, "LA"), "PNG", compress_level=1),
    "large noise of which a colour is clear.png": lambda: clear_colour(2640),
    "larger noise of which a colour is clear.png": lambda: clear_colour(4000),
    "large 16-bit noise.png": lambda: encoded(
        Image.fromarray(np.asarray(noise(4000, "L"), np.uint16)), "PNG", compress_level=1
    ),
    "large noise.webp": lambda: encoded(noise(2640, "RGBA"), "WEBP", lossless=True, quality=0, method=0),
    "large noise that is lossy.webp": lambda: encoded(noise(2640, "RGBA"), "WEBP", method=0),
    "larger noise.webp": lambda: encoded(noise(3162, "RGBA"), "WEBP", lossless=True, quality=0, method=0),
    "large noise.gif": lambda: encoded(noise(4000, "L"), "GIF"),
    "large progressive noise.jpg": lambda: encoded(noise(4000, "L"), "JPEG", progressive=True),
    "large progressive noise of inks.jpg": lambda: encoded(
        noise(4000, "CMYK"), "JPEG", progressive=True, subsampling=0
    ),
    "large progressive noise of colours.jpg": lambda: encoded(
        noise(4000, "RGB"), "JPEG", progressive=True, subsampling=0
    ),
    "progressive noise of inks.jpg": lambda: encoded(noise(2640, "CMYK"), "JPEG", progressive=True, subsampling=0),
    "small noise.png": lambda: encoded(noise(1280, "L"), "PNG"),
    # PNG
    "many IDAT.png": lambda: png(before=png_chunk(b"IDAT", b"") * 3_000_000),
    "many unknown chunks.png": lambda: inside(png_chunk(b"abCd", b"") * 3_000_000),
    "zeros after the pixels.png": lambda: png(raw=bytes(200_000_000)),
    "huge iCCP.png": lambda: inside(png_chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(200_000_000), 1))),
    "huge zTXt.png": lambda: inside(png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(200_000_000), 1))),
    "huge iTXt.png": lambda: inside(png_chunk(b"iTXt", b"a\0\1\0\0\0" + zlib.compress(bytes(200_000_000), 1))),
    "huge tEXt.png": lambda: inside(png_chunk(b"tEXt", b"a\0" + b"b" * 45_000_000)),
    "many tEXt.png": lambda: inside(png_chunk(b"tEXt", b"a\0b") * 50_000),
    "length of 4 GB.png": lambda: inside(png_chunk(b"tEXt", b"a\0b", length=2**32 - 1)),
    "length of 2 GB of pixels.png": lambda: png(data=b"").replace(b"\0\0\0\0IDAT", b"\x7f\xff\xff\xffIDAT"),
    "wrong CRC.png": lambda: inside(png_chunk(b"PLTE", bytes(6), crc=1)),
    "no pixels.png": lambda: png(data=b""),
    "no bytes of zlib.png": lambda: png(data=b"\xff" * 1000),
    "no header.png": lambda: good("PNG")[:8] + good("PNG")[33:],
    "two headers.png": lambda: png(before=png(9999, 9999)[8:33]),
    "0x0.png": lambda: png(0, 0),
    "sides of 2^31.png": lambda: png(2**31, 2**31),
    "bit depth 3.png": lambda: png(header=bytes([3, 0, 0, 0, 0])),
    "colour type 5.png": lambda: png(header=bytes([8, 5, 0, 0, 0])),
    "no palette.png": lambda: png(header=bytes([8, 3, 0, 0, 0]), raw=(b"\0" + b"\xfe" * 40) * 40),
    "indices out of the palette.png": lambda: png(
        header=bytes([8, 3, 0, 0, 0]), before=png_chunk(b"PLTE", bytes(3)), raw=(b"\0" + b"\xfe" * 40) * 40
    ),
    "long tRNS.png": lambda: png(
        header=bytes([8, 3, 0, 0, 0]), before=png_chunk(b"PLTE", bytes(3)) + png_chunk(b"tRNS", bytes(10**6))
    ),
    "filter 9.png": lambda: png(raw=b"\x09" * 41 * 40),
    "interlaced and short.png": lambda: png(header=bytes([8, 0, 0, 0, 1]), raw=bytes(50)),
    "no end.png": lambda: good("PNG")[:-12],
    "APNG of 65,535 frames.png": lambda: inside(png_chunk(b"acTL", struct.pack(">II", 65_535, 0))),
    "APNG whose frame is larger.png": lambda: inside(
        png_chunk(b"acTL", struct.pack(">II", 1, 0))
        + png_chunk(b"fcTL", struct.pack(">5IHHBB", 0, 9**5, 9**5, 0, 0, 0, 0, 0, 0))
    ),
    "EXIF of rubbish.png": lambda: inside(png_chunk(b"eXIf", b"MM\0*" + b"\xff" * 2000)),
    # JPEG
    "wrong Huffman table.jpg": lambda: jpeg(marker=0xC4, place=5, change=b"\xff" * 16),
    "other Huffman table.jpg": lambda: jpeg(marker=0xC4, place=21, change=b"\0" * 8),
    "no quantisation.jpg": lambda: good("JPEG").replace(b"\xff\xdb", b"\xff\xfe"),
    "65,535 pixels a side.jpg": lambda: jpeg(marker=0xC0, place=5, change=b"\xff" * 4),
    "no height.jpg": lambda: jpeg(marker=0xC0, place=5, change=b"\0\0"),
    "9,999 pixels a side of nothing.jpg": lambda: jpeg(marker=0xC0, place=5, change=struct.pack(">HH", 9999, 9999)),
    "99 components.jpg": lambda: jpeg(marker=0xC0, place=9, change=b"c"),
    "EXIF that leads to itself.jpg": lambda: jpeg(
        exif(struct.pack(">IHHHIII", 8, 1, 0x8769, 4, 1, 8, 8)), exif(struct.pack(">I", 8) + b"\xff" * 500)
    ),
    "EXIF of 4 billion values.jpg": lambda: jpeg(exif(struct.pack(">IHHHIII", 8, 1, 0x0112, 3, 2**32 - 1, 9, 0))),
    "EXIF that turns by text.jpg": lambda: jpeg(exif(struct.pack(">IHHHI4sI", 8, 1, 0x0112, 2, 4, b"abc\0", 0))),
    "20,000 segments.jpg": lambda: jpeg(segment(0xE1, b"Exif\0\0") * 10_000, segment(0xFE, b"words") * 10_000),
    "ICC profile in 200 of 3 parts.jpg": lambda: jpeg(segment(0xE2, b"ICC_PROFILE\0\xc8\3" + bytes(9)) * 9),
    "20,000 passes.jpg": lambda: scans(20_000),
    "10 million comments.jpg": lambda: jpeg(segment(0xFE, b"") * 10_000_000),
    "components one by one.jpg": lambda: jpeg(marker=0xC0, place=5, change=struct.pack(">HH", 9999, 9999)).replace(
        good("JPEG")[good("JPEG").index(b"\xff\xda") :][:14], segment(0xDA, bytes([1, 1, 0, 0, 63, 0]))
    ),
    "segment of no length.jpg": lambda: jpeg(b"\xff\xe1\0\0"),
    "multi-picture format of rubbish.jpg": lambda: jpeg(segment(0xE2, b"MPF\0MM\0*" + b"\xff" * 60)),
    # GIF
    "huge canvas.gif": lambda: gif((65_535, 65_535)),
    "frame beyond the canvas.gif": lambda: gif((40, 40), struct.pack("<4H", 9, 9, 65_535, 65_535)),
    "frame of no size.gif": lambda: gif((40, 40), bytes(8)),
    "20,000 frames.gif": lambda: gif((40, 40), repeat=20_000),
    "codes of 12 bits.gif": lambda: gif((40, 40), bits=12),
    "codes of no bits.gif": lambda: gif((40, 40), bits=0),
    "40 MB of words.gif": lambda: gif((40, 40), extra=b"!\xfe" + (b"\xff" + b"w" * 255) * 160_000 + b"\0"),
    "words letter by letter.gif": lambda: gif((40, 40), extra=b"!\xfe" + b"\1w" * 20_000_000 + b"\0"),
    "49 MB of no blocks.gif": lambda: gif((40, 40), extra=bytes(49_000_000)),
    "frames without an end.gif": lambda: good("GIF")[:-1] + good("GIF")[13:-1] * 50,
    # BMP
    "upside down.bmp": lambda: bmp(height=-40),
    "height of -2^31.bmp": lambda: bmp(height=-(2**31)),
    "width of -40.bmp": lambda: bmp(width=-40),
    "size that is a lie.bmp": lambda: bmp(9999, 1600),
    "palette of 4 billion colours.bmp": lambda: bmp(bits=8, colours=2**32 - 1),
    "palette too small.bmp": lambda: bmp(bits=8, colours=1, palette=bytes(4), start=58, data=b"\xfe" * 1600),
    "runs beyond the picture.bmp": lambda: bmp(
        bits=8, packing=1, colours=1, palette=bytes(4), start=58, data=b"\xff" * 99
    ),
    "small runs of a large picture.bmp": lambda: bmp(
        4000, 4000, 8, 1, colours=1, palette=bytes(4), start=58, data=b"\xff\0" * 62_745 + b"\0\1"
    ),
    "pixels beyond the end.bmp": lambda: bmp(start=2**31),
    "3 bits.bmp": lambda: bmp(bits=3),
    "packing 9.bmp": lambda: bmp(packing=9),
    # WebP
    "huge canvas.webp": lambda: webp(canvas(16_384, 16_384), (b"VP8 ", good("WEBP")[20:])),
    "2^24 pixels wide.webp": lambda: webp(canvas(2**24, 1), (b"VP8 ", good("WEBP")[20:])),
    "small file that is said to be large.webp": lambda: good("WEBP")[:4] + b"\xfe\xff\xff\xff" + good("WEBP")[8:],
    "size of nothing.webp": lambda: webp((b"VP8 ", good("WEBP")[20:]), size=0),
    "animation of nothing.webp": lambda: webp(canvas(40, 40, 2), (b"ANIM", bytes(6))),
    "lossless rubbish.webp": lambda: webp((b"VP8L", b"\x2f\x27\xc0\x09\0" + b"\xff" * 500)),
    "many unknown chunks.webp": lambda: webp(
        canvas(40, 40), *[(b"abcd", b"")] * 6_000_000, (b"VP8 ", good("WEBP")[20:])
    ),
    "huge unknown chunk.webp": lambda: webp(canvas(40, 40), (b"abcd", bytes(45_000_000)), (b"VP8 ", good("WEBP")[20:])),
    "huge lossless.webp": lambda: webp((b"VP8L", b"\x2f\xff\xff\xff\x0f" + bytes(50))),
    # what is no picture
    "letter.png": lambda: b"Dear Sir or Madam,\n" * 1000,
    "page.png": lambda: b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj <<>> endobj\n%%EOF",
    "drawing.png": lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "archive.png": lambda: b"PK\3\4" + bytes(100),
    "program.png": lambda: Path(sys.executable).read_bytes()[:1_000_000],
    "source.png": lambda: Path(__file__).read_bytes(),
    "PostScript.jpg": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
    "TIFF.png": lambda: encoded(seven(), "TIFF"),
    "icon.bmp": lambda: encoded(seven(), "ICO"),
    "60 MB of zeros.png": lambda: bytes(60_000_000),
    "49 MB of zeros.jpg": lambda: good("JPEG")[:20] + bytes(49_000_000),
}
READABLE = {
    "many tEXt.png",
    "no end.png",
    "APNG of 65,535 frames.png",
    "EXIF of rubbish.png",
    "other Huffman table.jpg",
    "EXIF that leads to itself.jpg",
    "EXIF of 4 billion values.jpg",
    "EXIF that turns by text.jpg",
    "20,000 segments.jpg",
    "ICC profile in 200 of 3 parts.jpg",
    "segment of no length.jpg",
    "multi-picture format of rubbish.jpg",
    "frames without an end.gif",
}
"""These hold a complete picture; a reader may read them or refuse them."""


# Pictures damaged at random


@cache
def bases() -> tuple[tuple[str, bytes], ...]:
    """Good pictures of every format, with the ends of their names."""
    dark, colour = seven(), seven(mode="RGB")
    clear = Image.merge("RGBA", [*colour.split(), Image.eval(dark, lambda grey: 255 - grey)])
    frames = {"save_all": True, "append_images": [Image.new("L", (100, 100), shade) for shade in (9, 99)]}
    turned = Image.Exif()
    turned[0x0112] = 6
    pictures = {
        ".png": [
            encoded(each, "PNG") for each in (dark, clear, colour.convert("P"), dark.convert("1"), dark.convert("I;16"))
        ],
        ".jpg": [
            encoded(dark, "JPEG"),
            encoded(colour, "JPEG", progressive=True, exif=turned),
            encoded(colour.convert("CMYK"), "JPEG", restart_marker_blocks=2),
        ],
        ".gif": [encoded(dark, "GIF", transparency=0), encoded(dark, "GIF", **frames)],
        ".bmp": [encoded(each, "BMP") for each in (dark, colour, dark.convert("1"))],
        ".webp": [encoded(colour, "WEBP"), encoded(clear, "WEBP", lossless=True), encoded(clear, "WEBP", **frames)],
    }
    return tuple((end, data) for end, each in pictures.items() for data in each)


def bits(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice([1, 2, 8, 64])):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def cut(data: bytearray, rng: random.Random) -> None:
    begin = rng.randrange(len(data))
    del data[begin : rng.choice([len(data), begin + rng.randrange(1, 40)])]


def spliced(data: bytearray, rng: random.Random) -> None:
    _, other = rng.choice(bases())
    data[rng.randrange(len(data)) :] = other[rng.randrange(len(other)) :]


def repeated(data: bytearray, rng: random.Random) -> None:
    begin = rng.randrange(len(data))
    data[begin:begin] = data[begin : begin + rng.randrange(1, 400)] * rng.choice([1, 3, 50])


def numbers(data: bytearray, rng: random.Random) -> None:
    """Write a number such as a size or an offset where one may stand."""
    number = rng.choice([0, 1, 2**7, 2**8 - 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 4000, 9999])
    form = rng.choice([">I", "<I", ">H", "<H"])
    size = struct.calcsize(form)
    begin = rng.randrange(max(1, min(len(data), rng.choice([64, 10**6])) - size))
    data[begin : begin + size] = struct.pack(form, number % 256**size)


def checked(data: bytearray, rng: random.Random) -> None:
    """Change the length or the content of a PNG's chunk, and make all its CRCs right again."""
    _, png_file = bases()[rng.randrange(5)]
    chunks, at = [], 8
    while at < len(png_file):
        (length,) = struct.unpack_from(">I", png_file, at)
        chunks.append((png_file[at + 4 : at + 8], bytearray(png_file[at + 8 : at + 8 + length])))
        at += 12 + length
    changed = rng.randrange(len(chunks))
    content, length = chunks[changed][1], None
    if rng.random() < 0.2 or not content:
        length = rng.choice([0, 1, 2**31 - 1, 2**32 - 1, rng.randrange(1000)])
    else:
        rng.choice([bits, numbers, cut])(content, rng)
    if rng.random() < 0.2:
        chunks.insert(rng.randrange(len(chunks)), rng.choice(chunks))
    written = (
        png_chunk(kind, bytes(each), length if place == changed else None) for place, (kind, each) in enumerate(chunks)
    )
    data[:] = png_file[:8] + b"".join(written)


def mutant(seed: int) -> tuple[str, bytes]:
    rng = random.Random(seed)
    end, base = rng.choice(bases())
    data = bytearray(base)
    for change in rng.choices([bits, cut, spliced, repeated, numbers, checked], k=rng.choice([1, 1, 1, 2, 3])):
        if data:
            change(data, rng)
    return f"{seed:05}{end}", bytes(data)
