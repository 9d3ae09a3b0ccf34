"""Checkpoints made to harm, by chance and by hand, out of a good one."""

from __future__ import annotations

import json
import os
import pickle
import random
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.checkpoints import (
    described,
    forged,
    members_of,
    npy,
    npy_of_text,
    read_arrays,
    read_meta,
    signed,
    signed_text,
    zipped,
)

SEED = 2026
FORMAT_1 = Path(__file__).parent / "checkpoints" / "format-1.npz"
GOOD = FORMAT_1.read_bytes()
DIGEST = "14dbe472f1501f4cace2a058b51693732b3a67bc129c3324fa0befbcd610a8dd"
WEIGHT, BIAS, VELOCITY = "param/hidden1.weight", "param/output.bias", "optimizer/velocity"
CAGE = "sang"
GONE: Any = object()
"""Stands for the absence of a value."""


def with_members(of: bytes = GOOD, /, **members: bytes) -> bytes:
    return zipped(*(members_of(of) | members).items())


def with_member(name: str, content: bytes) -> bytes:
    return with_members(**{f"{name}.npy": content})


def with_text(text: bytes, of: bytes = GOOD) -> bytes:
    return with_members(of, **{"meta.npy": npy_of_text(text)})


def edited(*path: str, to: Any, of: bytes = GOOD, sign: bool = True) -> bytes:
    """A checkpoint that says something else at one place of its meta entry."""
    meta = read_meta(of)
    place = meta
    for key in path[:-1]:
        place = place[key]
    if to is GONE:
        del place[path[-1]]
    else:
        place[path[-1]] = to
    return with_text(signed_text(meta) if sign else json.dumps(meta).encode(), of)


def array_of(name: str) -> np.ndarray[Any, Any]:
    return read_arrays(GOOD)[name]


def with_array(name: str, array: np.ndarray[Any, Any]) -> bytes:
    """A checkpoint with another array, and every sum right."""
    return edited("arrays", name, to=described(array), of=with_member(name, npy(array)))


def with_number(name: str, index: int, value: float) -> bytes:
    array = array_of(name).copy()
    array.flat[index] = value
    return with_array(name, array)


def patched(signature: bytes, offset: int, value: bytes, index: int | None = None) -> bytes:
    """Other bytes so far behind a zip signature: that of one member, or of all."""
    data = bytearray(GOOD)
    places = [found.start() + offset for found in re.finditer(re.escape(signature), GOOD)]
    for place in places if index is None else [places[index % len(places)]]:
        data[place : place + len(value)] = value
    return bytes(data)


LOCAL, ENTRY, END = b"PK\3\4", b"PK\1\2", b"PK\5\6"


def header(descr: str = "<f4", shape: str = "(784, 2)", order: bool = False, version: int = 1) -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(text)) + text


# Mutations by chance. Each makes a file of its own out of every generator.


def flip_bits(rng: random.Random) -> bytes:
    data = bytearray(GOOD)
    for _ in range(rng.choice([1, 1, 2, 16])):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def splice(rng: random.Random) -> bytes:
    length = rng.choice([1, 4, 64, 300])
    source, target = (rng.randrange(len(GOOD) - length) for _ in range(2))
    return GOOD[:target] + GOOD[source : source + length] + GOOD[target + rng.choice([0, length]) :]


def cut(rng: random.Random) -> bytes:
    begin, end = sorted(rng.sample(range(len(GOOD)), 2))
    return rng.choice([GOOD[:begin], GOOD[begin + 1 :], GOOD[:begin] + GOOD[end:]])


def rewrite_zip_header(rng: random.Random) -> bytes:
    signature, size = rng.choice([(LOCAL, 30), (ENTRY, 46), (END, 22)])
    length = rng.choice([1, 2, 4])
    value = rng.choice([bytes(length), b"\xff" * length, rng.randbytes(length)])
    return patched(signature, rng.randrange(size - length + 1), value, rng.randrange(6))


def wrong_crc(rng: random.Random) -> bytes:
    signature, offset = rng.choice([(LOCAL, 14), (ENTRY, 16)])
    return patched(signature, offset, rng.randbytes(4), rng.randrange(5))


def byte_with_right_crc(rng: random.Random) -> bytes:
    name, content = rng.choice(list(members_of(GOOD).items()))
    data = bytearray(content)
    data[rng.choice([rng.randrange(len(data)), rng.randrange(128)])] = rng.randrange(256)
    return with_members(**{name: bytes(data)})


def no_finite_number(rng: random.Random) -> bytes:
    name = rng.choice(list(read_meta(GOOD)["arrays"]))
    value = rng.choice([np.nan, np.inf, -np.inf])
    return with_number(name, rng.randrange(array_of(name).size), value)


def rearrange_members(rng: random.Random) -> bytes:
    members = list(members_of(GOOD).items())
    rng.shuffle(members)
    name, content = members[0]
    other = rng.choice([name.upper(), f"../{name}", f"/{name}", name[:-1], members[1][0], f"param/{rng.random()}.npy"])
    return rng.choice(
        [
            zipped((other, content), *members[1:]),
            zipped(*members, (name, content)),
            zipped(*members, (other, content)),
            zipped(*members[1:]),
            zipped(*members),
        ]
    )


def recompress(rng: random.Random) -> bytes:
    packed = [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
    return zipped(*rng.sample(list(members_of(GOOD).items()), 5), ("x.npy", b""), compression=rng.choice(packed))


WRONG: dict[str, list[Any]] = {
    **{name: [None, True, -1, "1", 1.5, [], {}, 10**40, GONE] for name in ("epoch", "batch", "step")},
    "totals": [None, True, -1, "1", [], {"loss": "0"}, {"loss": True}, {"images": 10**30}, GONE],
    "generators": [None, True, 1, "dropout", [], GONE],
    "best": [True, 1, "1", [], {}, {"epoch": 1}, {"epoch": "1", "loss": 1, "accuracy": 1}, GONE],
    "history": [None, True, 1, {}, [1], [{}], [{"epoch": "1"}], [{"epoch": 1, "loss": []}], GONE],
    "about": [None, True, 1, "nnctl", [], GONE],
    "config": [None, True, 1, "mnist.yaml", [], {}, {"network": 1}, {"network": {"hidden": "2"}}, GONE],
    "arrays": [None, True, 1, [], {}, {WEIGHT: {}}, {WEIGHT: None}, GONE],
    "format_version": [None, True, 0, 2, 3, -1, 10**40, 1.0, "1", [1], {}, GONE],
    "more": [None, 1],
}
"""What no field may hold, even with every sum right."""


def wrong_field(rng: random.Random) -> bytes:
    name = rng.choice(list(WRONG))
    return edited(name, to=rng.choice([value for value in WRONG[name] if value is not GONE or name in read_meta(GOOD)]))


def field_without_its_sum(rng: random.Random) -> bytes:
    name = rng.choice(["epoch", "batch", "step", "totals", "best", "history", "config", "generators", "arrays"])
    other = {"epoch": rng.randrange(9), "best": {"epoch": 1, "loss": 1.0, "accuracy": rng.random()}}
    return edited(name, to=rng.choice([*WRONG[name][:-1], other.get(name, 7)]), sign=False)


def respell(rng: random.Random) -> bytes:
    """Another spelling of the same state, which is none the worse for it."""
    meta = read_meta(GOOD) | {"about": {"nnctl": str(rng.random())}}
    return with_text(
        json.dumps(json.loads(signed_text(meta)), indent=rng.randrange(1, 9), sort_keys=rng.random() < 0.5).encode()
    )


def other_shape(rng: random.Random) -> bytes:
    shape = rng.choice([[1568], [2, 784], [784, 2, 1], [784], [784, 3], [-784, -2], [10**12], [2**62, 4], [392, 4]])
    content = members_of(GOOD)[f"{WEIGHT}.npy"]
    if rng.random() < 0.7:
        content = header(shape=str(tuple(shape))) + content[-784 * 2 * 4 :]
    if rng.random() < 0.2:
        return with_member(WEIGHT, content)
    return edited("arrays", WEIGHT, "shape", to=shape, of=with_member(WEIGHT, content))


def other_npy_header(rng: random.Random) -> bytes:
    descr = rng.choice(["'<f4'", "'>f4'", "'<i4'", "'<f2'", "'|O'", "'|V4'", "[('a', '<f4')]", "'<f8'", "'f'"])
    other = header(descr, order=rng.random() < 0.5 or descr == "'<f4'", version=rng.choice([1, 2, 3]))
    return with_member(WEIGHT, other + members_of(GOOD)[f"{WEIGHT}.npy"][-784 * 2 * 4 :])


MUTATIONS: tuple[Callable[[random.Random], bytes], ...] = (
    flip_bits, splice, cut, rewrite_zip_header, wrong_crc, byte_with_right_crc, no_finite_number, rearrange_members,
    recompress, wrong_field, field_without_its_sum, respell, other_shape, other_npy_header,
)  # fmt: skip


def mutated(case: int) -> bytes:
    """The file of this number, the same whenever it is asked for."""
    return MUTATIONS[case % len(MUTATIONS)](random.Random(f"{SEED}/{case}"))


# Files made by hand. Each is hostile in one way of its own.


class Canary:
    """Sings when it is unpickled: a folder appears where nnctl runs."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (CAGE,)


def canaries() -> bytes:
    return npy(np.array([Canary()] * 10, dtype=object), allow_pickle=True)


def claimed_shape(*shape: int) -> bytes:
    content = header(shape=str(shape)) + bytes(64)
    return edited("arrays", WEIGHT, "shape", to=list(shape), of=with_member(WEIGHT, content))


def renamed(name: str) -> bytes:
    return zipped(*((name if old == f"{BIAS}.npy" else old, content) for old, content in members_of(GOOD).items()))


def added(name: str, content: bytes | None = None) -> bytes:
    return zipped(*members_of(GOOD).items(), (name, npy(np.zeros(3, np.float32)) if content is None else content))


def entry_flag(bit: int) -> bytes:
    return patched(ENTRY, 8, struct.pack("<H", bit))


def sizes(value: int) -> bytes:
    return patched(ENTRY, 20, struct.pack("<II", value, value))


def overlapping() -> bytes:
    first = GOOD.index(ENTRY)
    return patched(ENTRY, 42, GOOD[first + 42 : first + 46])


def many_members() -> bytes:
    """A million entries, all of an empty member, in 47 MB."""
    directory = (struct.pack("<4s4B4H3L5H2L", ENTRY, 20, 0, 20, 0, *[0] * 7, 1, *[0] * 6) + b"a") * 10**6
    return directory + struct.pack("<4s4H2LH", END, 0, 0, 65535, 65535, len(directory), 0, 0)


def zip64(directory: int) -> bytes:
    """The end of a zip whose 64-bit record names any size and place of the directory."""
    begin = GOOD.index(END)
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 6, 6, directory, 0)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, begin, 1)
    return GOOD[:begin] + record + locator + GOOD[begin:]


def nested_bomb() -> bytes:
    inner = zipped(("meta.npy", bytes(10**8)), compression=zipfile.ZIP_DEFLATED)
    return zipped(("meta.npy", inner * 50), compression=zipfile.ZIP_DEFLATED)


def with_about(text: bytes) -> bytes:
    """Any text where meta says nothing of importance; its sum is not looked at by readers that it stops before."""
    return with_text(json.dumps(read_meta(GOOD) | {"about": "HERE"}).encode().replace(b'"HERE"', text))


def nested(depth: int) -> Any:
    return {"a": nested(depth - 1)} if depth else 1


def of_version_2(**changes: Any) -> bytes:
    """A checkpoint with a temperature and a judge, but for the changes of its meta entry."""
    shapes = {"hidden.weight": (784, 256), "hidden.bias": 256, "output.weight": (256, 11), "output.bias": 11}
    judge = {f"judge/{name}": np.zeros(shape, np.float32) for name, shape in shapes.items()}
    return forged(GOOD, judge, **{"format_version": 2, "reading": {"temperature": 1.5}} | changes)


def many_layers() -> bytes:
    """A network of 700,000 layers without neurons, whose sizes add up."""
    meta = read_meta(GOOD)
    meta["config"]["network"]["hidden"] = [0] * 700_000
    meta["arrays"] = {BIAS: meta["arrays"][BIAS]}
    return zipped((f"{BIAS}.npy", members_of(GOOD)[f"{BIAS}.npy"]), ("meta.npy", signed(meta)))


CONTENTS: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "zeros": lambda: bytes(5000),
    "picture": lambda: b"\x89PNG\r\n\x1a\n" + bytes(500),
    "zip of nothing": zipped,
    "pickle": lambda: pickle.dumps([Canary()]),
    "canary for an array": lambda: with_member(BIAS, canaries()),
    "canary for meta": lambda: with_member("meta", canaries()),
    "canary for one more": lambda: with_member("param/more", canaries()),
    "canary that meta calls an object": lambda: edited(
        "arrays", BIAS, "dtype", to="object", of=with_member(BIAS, canaries())
    ),
    "shape of a trillion": lambda: claimed_shape(10**12),
    "shape beyond 64 bits": lambda: claimed_shape(2**40, 2**40),
    "shape below zero": lambda: claimed_shape(-1, -16),
    "shape of a hundred axes": lambda: claimed_shape(*[1] * 99, 16),
    "shape of endless numbers": lambda: edited("arrays", WEIGHT, "shape", to=[10**4000] * 1000),
    "zip bomb": lambda: zipped(("meta.npy", bytes(10**8)), compression=zipfile.ZIP_DEFLATED),
    "nested zip bomb": nested_bomb,
    "bzip2": lambda: zipped(*members_of(GOOD).items(), compression=zipfile.ZIP_BZIP2),
    "unknown compression": lambda: patched(ENTRY, 10, b"\x63\0"),
    "encrypted": lambda: entry_flag(1),
    "overlapping members": overlapping,
    "name that climbs": lambda: renamed("../../x.npy"),
    "name that climbs, besides": lambda: added("../../x.npy"),
    "name from the root": lambda: added("/tmp/x.npy"),
    "name of another system": lambda: added("C:\\x.npy"),
    "name in quotes": lambda: added("param/'; rm -r '.npy"),
    "name for a terminal": lambda: added("param/\x1b[2J\n.npy"),
    "name of nothing": lambda: added(".npy"),
    "name without end": lambda: added(f"param/{'x' * 65_000}.npy"),
    "folder": lambda: added("param/", b""),
    "member twice": lambda: added(f"{BIAS}.npy", members_of(GOOD)[f"{BIAS}.npy"]),
    "meta twice": lambda: added("meta.npy", members_of(GOOD)["meta.npy"]),
    "two names in one": lambda: patched(LOCAL, 30, b"q", 0),
    "two thousand members": lambda: zipped(*((f"{i}.npy", b"") for i in range(2000))),
    "million members": many_members,
    "big-endian": lambda: with_array(WEIGHT, array_of(WEIGHT).astype(">f4")),
    "double": lambda: with_array(WEIGHT, array_of(WEIGHT).astype(np.float64)),
    "whole numbers": lambda: with_array(WEIGHT, array_of(WEIGHT).view(np.int32)),
    "complex": lambda: with_array(WEIGHT, array_of(WEIGHT).astype(np.complex64)),
    "structured": lambda: with_member(WEIGHT, npy(array_of(WEIGHT).view([("a", "<f4")]))),
    "columns first": lambda: with_member(WEIGHT, npy(np.asfortranarray(array_of(WEIGHT)))),
    "npy version 2": lambda: with_member(WEIGHT, header(version=2) + array_of(WEIGHT).tobytes()),
    "picture before": lambda: b"\x89PNG\r\n\x1a\n" + bytes(500) + GOOD,
    "script before": lambda: b"#!/bin/sh\ntouch sang\nexit\n" + GOOD,
    "page behind": lambda: GOOD + b"<script>alert(1)</script>",
    "huge comment": lambda: GOOD[:-2] + b"\xff\xff" + b"PK\5\6" * 16383 + b"xyz",
    "sizes of 4 GB": lambda: sizes(2**32 - 2),
    "sizes below zero": lambda: sizes(2**31),
    "64-bit sizes that are not there": lambda: sizes(2**32 - 1),
    "64-bit directory of 4 GB": lambda: zip64(2**32),
    "64-bit directory below zero": lambda: zip64(2**64 - 1),
    "descriptor in the place of sizes": lambda: patched(ENTRY, 8, struct.pack("<H6xIII", 8, 0, 0, 0)),
    "wrong CRC": lambda: patched(ENTRY, 16, bytes(4)),
    "member beyond the end": lambda: patched(ENTRY, 42, struct.pack("<I", 2**31), 2),
    "one number altered": lambda: with_member(WEIGHT, npy(array_of(WEIGHT) + np.float32(1))),
    "no number": lambda: with_number(WEIGHT, 7, np.nan),
    "no finite number": lambda: with_number(VELOCITY, -1, np.inf),
    "array of no part": lambda: with_array("weights/x", np.zeros(3, np.float32)),
    "array missing": lambda: zipped(*(each for each in members_of(GOOD).items() if BIAS not in each[0])),
    "array turned": lambda: with_array(WEIGHT, array_of(WEIGHT).reshape(2, 784)),
    "array too wide": lambda: with_array(WEIGHT, np.ones((784, 3), np.float32)),
    "another network": lambda: edited("config", "network", "hidden", to=[3]),
    "network in words": lambda: edited("config", "network", "hidden", to="2"),
    "network of unknown layers": lambda: edited("config", "network", "activation", to="eval"),
    "unknown loss": lambda: edited("config", "loss", to="__import__"),
    "700,000 layers": many_layers,
    "100,000 settings": lambda: edited("config", to=read_meta(GOOD)["config"] | {f"sead{i}": 1 for i in range(10**5)}),
    "meta of 65 MB": lambda: with_about(b'"' + b"a" * 65_000_000 + b'"'),
    "meta of many lists": lambda: with_about(b"[" + b"[]," * (7 * 2**20) + b"1]"),
    "meta of many objects": lambda: with_about(b"[" + b'{"":0},' * (3 * 2**20) + b"1]"),
    "meta of just so many objects and letters": lambda: with_about(
        b"[" + b'{"":0},' * 374_000 + b'"' + b"a" * 20_000_000 + b'"]'
    ),
    "meta of wide letters": lambda: with_about('"\U0001f600'.encode() + b"a" * 20_000_000 + b'"'),
    "meta of 100,000 brackets": lambda: with_about(b"[" * 10**5 + b"]" * 10**5),
    "meta of 480 objects": lambda: edited("about", to=nested(480)),
    "meta of a list": lambda: with_text(b"[]"),
    "meta of a number": lambda: with_text(b"3"),
    "history of numbers": lambda: edited("history", to=[1]),
    "shape of nothing": lambda: edited("arrays", WEIGHT, "shape", to=None),
    "meta of numbers": lambda: with_member("meta", npy(np.zeros(99, np.float32))),
    "meta in UTF-16": lambda: with_text(signed_text(read_meta(GOOD)).decode().encode("utf-16")),
    "number of 5,000 digits": lambda: with_about(b"1" * 5000),
    "epoch 10^31": lambda: edited("epoch", to=10**31),
    "step 10^400": lambda: edited("step", to=10**400),
    "accuracy beyond floats": lambda: edited("best", "accuracy", to=17 * 10**307),
    "epoch true": lambda: edited("epoch", to=True),
    "NaN": lambda: edited("totals", "loss", to=float("nan")),
    "Infinity": lambda: edited("best", "loss", to=float("inf")),
    "1e999": lambda: with_about(b"1e999"),
    "half a letter": lambda: edited("arrays", "param/\ud800", to={}),
    "key twice": lambda: with_text(signed_text(read_meta(GOOD)).replace(b'"batch":0', b'"batch":7,"batch":0')),
    "no sum": lambda: edited("sha256", to=GONE, sign=False),
    "sum of something else": lambda: edited("epoch", to=4, sign=False),
    "version 0": lambda: edited("format_version", to=0),
    "version 2 without its field": lambda: edited("format_version", to=2),
    "temperature 0": lambda: of_version_2(reading={"temperature": 0.0}),
    "temperature NaN": lambda: of_version_2(reading={"temperature": float("nan")}),
    "temperature true": lambda: of_version_2(reading={"temperature": True}),
    "temperature of 5,000 digits": lambda: of_version_2(reading={"temperature": 10**4000}),
    "100,000 temperatures": lambda: of_version_2(reading={str(n): 1.5 for n in range(10**5)}),
    "judge in version 1": lambda: of_version_2(format_version=1),
    "judge that nobody describes": lambda: edited("arrays", "judge/output.bias", to=GONE, of=of_version_2()),
    "judge of another shape": lambda: forged(of_version_2(), {"judge/output.bias": np.zeros(12, np.float32)}),
    "version 3": lambda: edited("format_version", to=3),
    "version in quotes": lambda: edited("format_version", to="1"),
    "version 1.0": lambda: edited("format_version", to=1.0),
    "version true": lambda: edited("format_version", to=True),
    "version null": lambda: edited("format_version", to=None),
}  # fmt: skip
