"""Checkpoints: what was saved comes back to the bit, and nothing else is ever accepted."""

import dataclasses
import errno
import hashlib
import json
import os
import pickle
import random
import re
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings, strategies

from nnctl import checkpoint
from nnctl.checkpoint import Checkpoint
from nnctl.errors import CheckpointError, StorageError
from nnctl.train import TrainerState
from tests.support.checkpoints import forged, members_of, npy, npy_of_text, read_meta, signed, zipped
from tests.support.files import ROOT

RNG = np.random.default_rng(0)
CONFIG = {"seed": 1, "network": {"hidden": [4]}, "data": {"dir": "Ziffern/ä"}}
TOTALS = {"loss": 1e-17, "correct": 3, "images": 20}
ENTRY = {"epoch": 1, "loss": 0.1 + 0.2, "accuracy": 1 / 3, "validation_loss": None}
# big enough for every kind of damage, small enough for thousands of loads
STATE = TrainerState(
    params={
        "hidden1.weight": RNG.normal(size=(6, 4)).astype(np.float32),
        "hidden1.bias": np.array([0, -0.0, 1e-45, np.finfo(np.float32).max], np.float32),
        "output.weight": RNG.normal(size=(4, 10)).astype(np.float32),
        "output.bias": np.zeros(10, np.float32),
    },
    optimizer={"velocity": RNG.normal(size=78).astype(np.float32)},
    epoch=1,
    batch=2,
    step=7,
    totals=TOTALS,
    generators={"dropout": np.random.default_rng(5).bit_generator.state},
    best={"epoch": 1, "loss": 0.25, "accuracy": 0.5},
    history=[ENTRY],
)
SAVED = Checkpoint(STATE, CONFIG, {"nnctl": "0.1.0"})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of SAVED's file."""
    path = tmp_path_factory.mktemp("good") / "state.npz"
    checkpoint.save(path, SAVED)
    return path.read_bytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("any")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.npz"


def load_bytes(path: Path, data: bytes) -> Checkpoint:
    path.write_bytes(data)
    return checkpoint.load(path)


def assert_refused(path: Path, reason: str = "") -> None:
    """Loading gives one error of one line, which names the file and says what to do."""
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load(path)
    assert caught.value.message.startswith(f"{path}: ")
    assert reason in caught.value.message
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < len(str(path)) + 250
    assert not caught.value.message.endswith(".")
    assert caught.value.hint
    assert caught.value.exit_code == 4


def entries_of(data: bytes) -> list[int]:
    """Where the entries of the zip's directory begin."""
    return [found.start() for found in re.finditer(b"PK\x01\x02", data)]


def changed(**changes: Any) -> Checkpoint:
    """SAVED with another configuration, environment or field of its state."""
    own = {name: changes.pop(name) for name in ("config", "environment") if name in changes}
    return dataclasses.replace(SAVED, state=dataclasses.replace(STATE, **changes), **own)


def test_checkpoint_load_gives_back_what_was_saved_to_the_bit(path):
    checkpoint.save(path, SAVED)
    loaded = checkpoint.load(path)
    assert (loaded.config, loaded.environment) == (CONFIG, {"nnctl": "0.1.0"})
    assert loaded.state.values() == STATE.values()
    assert loaded.digest() == SAVED.digest()
    arrays = loaded.state.arrays()
    assert arrays.keys() == STATE.arrays().keys()
    for name, array in STATE.arrays().items():
        assert arrays[name].dtype == np.float32
        assert arrays[name].shape == array.shape
        assert arrays[name].tobytes() == array.tobytes()


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(TrainerState)])
def test_checkpoint_load_gives_back_every_field_of_a_state(path, field):
    checkpoint.save(path, SAVED)
    before, after = getattr(STATE, field), getattr(checkpoint.load(path).state, field)
    assert before, "says nothing, so that nothing can be lost"
    if field in ("params", "optimizer"):
        before, after = ({name: array.tobytes() for name, array in arrays.items()} for arrays in (before, after))
    assert after == before
    assert type(after) is type(before)


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Checkpoint)])
def test_checkpoint_is_frozen(field):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(SAVED, field, None)


def test_checkpoint_load_gives_back_a_state_without_optimizer_memory_history_or_best(path):
    bare = Checkpoint(TrainerState(STATE.params, {}), {})
    checkpoint.save(path, bare)
    loaded = checkpoint.load(path)
    assert (loaded.config, loaded.environment) == ({}, {})
    assert loaded.state.values() == bare.state.values()
    assert loaded.state.optimizer == {}


def test_checkpoint_load_gives_back_the_state_of_a_generator_so_that_it_goes_on(path):
    generator = np.random.default_rng(9)
    generator.random(3)
    checkpoint.save(path, changed(generators={"dropout": generator.bit_generator.state}))
    other = np.random.default_rng(0)
    other.bit_generator.state = checkpoint.load(path).state.generators["dropout"]
    assert other.random(5).tolist() == generator.random(5).tolist()


def test_checkpoint_can_be_read_by_plain_numpy(path):
    checkpoint.save(path, SAVED)
    with np.load(path, allow_pickle=False) as file:
        assert set(file.files) == {"meta", "optimizer/velocity", *(f"param/{name}" for name in STATE.params)}
        for name, array in STATE.arrays().items():
            np.testing.assert_array_equal(file[name], array, strict=True)
        meta = json.loads(file["meta"].tobytes())
    assert meta["format_version"] == 1
    assert meta["config"] == CONFIG
    assert (meta["epoch"], meta["batch"], meta["step"]) == (1, 2, 7)
    weight = STATE.params["output.weight"]
    assert meta["arrays"]["param/output.weight"] == {
        "shape": [4, 10],
        "dtype": "float32",
        "sha256": hashlib.sha256(weight.tobytes()).hexdigest(),
    }


def test_checkpoint_save_puts_arrays_of_another_memory_order_in_reading_order(path):
    transposed = changed(params={"w": STATE.params["output.weight"].T})
    checkpoint.save(path, transposed)
    np.testing.assert_array_equal(checkpoint.load(path).state.params["w"], STATE.params["output.weight"].T)


def test_checkpoint_save_makes_equal_files_of_equal_states(tmp_path):
    checkpoint.save(tmp_path / "a.npz", SAVED)
    checkpoint.save(tmp_path / "b.npz", checkpoint.load(tmp_path / "a.npz"))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize("name", list(STATE.arrays()))
@pytest.mark.parametrize("index", [0, -1])
def test_checkpoint_digest_changes_with_any_bit_of_any_array(name, index):
    kind, _, key = name.partition("/")
    for bit in range(32):
        arrays = {"param": dict(STATE.params), "optimizer": dict(STATE.optimizer)}
        flipped = arrays[kind][key].copy()
        flipped.view(np.uint32).flat[index] ^= np.uint32(1 << bit)
        arrays[kind][key] = flipped
        assert changed(params=arrays["param"], optimizer=arrays["optimizer"]).digest() != SAVED.digest()


@pytest.mark.parametrize(
    "change",
    [
        {"step": 8},
        {"epoch": 2},
        {"batch": 3},
        {"totals": TOTALS | {"loss": 1.1e-17}},
        {"generators": {"dropout": np.random.default_rng(6).bit_generator.state}},
        {"best": None},
        {"history": [ENTRY | {"loss": 0.3}]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_checkpoint_digest_changes_with_whatever_training_goes_on_from(change):
    assert changed(**change).digest() != SAVED.digest()


def test_checkpoint_digest_changes_when_an_array_is_renamed_or_reshaped():
    params = dict(STATE.params)
    params["hidden2.bias"] = params.pop("hidden1.bias")
    assert changed(params=params).digest() != SAVED.digest()
    reshaped = dict(STATE.params) | {"output.weight": STATE.params["output.weight"].reshape(10, 4)}
    assert changed(params=reshaped).digest() != SAVED.digest()


def test_checkpoint_digest_does_not_depend_on_names_of_files_versions_or_paths(tmp_path):
    elsewhere = changed(environment={"nnctl": "9"}, config=CONFIG | {"data": {"dir": "elsewhere"}})
    checkpoint.save(tmp_path / "other.npz", elsewhere)
    assert checkpoint.load(tmp_path / "other.npz").digest() == SAVED.digest()


def test_checkpoint_digest_depends_on_the_configuration():
    assert changed(config=CONFIG | {"seed": 2}).digest() != SAVED.digest()


def test_checkpoint_digest_does_not_depend_on_the_order_of_names():
    backwards = changed(params=dict(reversed(list(STATE.params.items()))))
    assert backwards.digest() == SAVED.digest()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", ["params", "optimizer"])
def test_checkpoint_save_refuses_an_array_that_is_not_finite(path, kind, value):
    path.write_bytes(b"the old one")
    arrays: Any = {name: array.copy() for name, array in getattr(STATE, kind).items()}
    next(iter(arrays.values())).flat[-1] = value
    with pytest.raises(CheckpointError, match="not finite"):
        checkpoint.save(path, changed(**{kind: arrays}))
    assert path.read_bytes() == b"the old one"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_checkpoint_save_refuses_a_measurement_that_is_not_finite(path, value):
    with pytest.raises(CheckpointError, match="that is not a finite number from 0"):
        checkpoint.save(path, changed(totals=TOTALS | {"loss": value}))
    assert list(path.parent.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "pwrite"), reason="needs to write into an open file behind its back")
@pytest.mark.parametrize("damage", ["a bit", "the end"])
def test_checkpoint_save_notices_a_disk_that_loses_what_was_written_before_the_old_file_goes(monkeypatch, path, damage):
    path.write_bytes(b"the old one")

    def fsync(descriptor: int) -> None:  # the disk says all is well, and it is not
        size = os.fstat(descriptor).st_size
        if damage == "the end":
            os.ftruncate(descriptor, size - 1)
        else:
            os.pwrite(descriptor, b"\xff", 200)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(CheckpointError):
        checkpoint.save(path, SAVED)
    assert path.read_bytes() == b"the old one"
    assert list(path.parent.iterdir()) == [path]


def test_checkpoint_save_leaves_the_old_file_where_the_disk_is_full(monkeypatch, path, data):
    path.write_bytes(data)

    def fsync(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(StorageError):
        checkpoint.save(path, changed(step=99))
    assert path.read_bytes() == data


def test_checkpoint_load_of_a_missing_file_sends_the_user_to_train(path):
    assert_refused(path, "no such file")


def test_checkpoint_load_refuses_a_folder(tmp_path):
    assert_refused(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_checkpoint_load_refuses_a_pipe_without_waiting_for_its_other_end(path):
    os.mkfifo(path)
    assert_refused(path, "is not a regular file")


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_checkpoint_load_refuses_a_link_to_itself(path):
    path.symlink_to(path)
    assert_refused(path, "cannot be read")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK",
        b"hello, I am a text file\n" * 100,
        bytes(5000),
        npy(np.zeros(3)),
        pickle.dumps({"weights": [1, 2, 3]}),
        zipped(),
        zipped(("readme.txt", b"hello")),
        zipped(("../../outside.npy", npy(np.zeros(3, np.float32)))),
        zipped(("meta.npy", b"")),
        zipped(("meta.npy", npy_of_text(b"{}"))),
        zipped(("meta.npy", npy_of_text(b"[]"))),
        zipped(("meta.npy", npy_of_text(b"3"))),
        zipped(("meta.npy", npy_of_text(b"null"))),
        zipped(("meta.npy", npy_of_text(b'"text"'))),
        zipped(("meta.npy", npy_of_text(b"\xff\xfe{"))),
        zipped(("meta.npy", npy(np.zeros(30, np.float32)))),
    ],
)
def test_checkpoint_load_refuses_a_file_of_another_format(path, content):
    path.write_bytes(content)
    assert_refused(path)


def test_checkpoint_load_refuses_an_npz_of_another_program(path):
    np.savez(path, weights=np.zeros((784, 10), np.float32), bias=np.zeros(10, np.float32))
    assert_refused(path, "is not an nnctl checkpoint: it has no meta entry")


def test_checkpoint_load_refuses_a_file_cut_off_anywhere(path, data):
    for size in range(0, len(data), 41):
        path.write_bytes(data[:size])
        assert_refused(path)
    path.write_bytes(data[:-1])
    assert_refused(path)


def test_checkpoint_load_refuses_a_file_that_lost_bytes_in_the_middle(path, data):
    for begin in range(0, len(data) - 64, 97):
        path.write_bytes(data[:begin] + data[begin + 64 :])
        assert_refused(path)


def test_checkpoint_load_refuses_flipped_bits_unless_they_mean_nothing(path, data):
    rng = random.Random(0)
    refused = 0
    for _ in range(500):
        damaged = bytearray(data)
        for _ in range(rng.choice([1, 1, 2, 16])):
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        try:
            loaded = checkpoint.load(path)
        except CheckpointError:
            refused += 1
        else:
            assert loaded.digest() == SAVED.digest()
    assert refused > 400


def test_checkpoint_load_refuses_bytes_pasted_from_elsewhere_unless_they_mean_nothing(path, data):
    rng = random.Random(1)
    for _ in range(200):
        length = rng.choice([4, 64, 300])
        source, target = (rng.randrange(len(data) - length) for _ in range(2))
        path.write_bytes(data[:target] + data[source : source + length] + data[target + length :])
        try:
            loaded = checkpoint.load(path)
        except CheckpointError:
            continue
        assert loaded.digest() == SAVED.digest()


def test_checkpoint_load_refuses_a_changed_weight_even_with_its_crc_put_right(path, data):
    members = members_of(data)
    weight = bytearray(members["param/output.weight.npy"])
    weight[-1] ^= 1
    members["param/output.weight.npy"] = bytes(weight)
    path.write_bytes(zipped(*members.items()))
    assert_refused(path, "other bytes in 'param/output.weight' than were saved")


@pytest.mark.parametrize("field", ["step", "epoch", "best", "history", "config"])
def test_checkpoint_load_refuses_a_changed_meta_entry_even_with_its_crc_put_right(path, data, field):
    meta = read_meta(data) | {field: 3}
    path.write_bytes(zipped(*(members_of(data) | {"meta.npy": npy_of_text(json.dumps(meta).encode())}).items()))
    assert_refused(path, "damaged meta")


def test_checkpoint_load_accepts_another_spelling_of_the_same(path, data):
    assert load_bytes(path, forged(data)).digest() == SAVED.digest()


@pytest.mark.parametrize("version", [0, 3, 99, "1", None, [1], "x" * 10_000, "a\nb\x1b[31m"])
def test_checkpoint_load_refuses_another_format_version_by_its_number(path, data, version):
    path.write_bytes(forged(data, format_version=version))
    assert_refused(path, f"is of format version {version!r:.20}; this nnctl reads versions 1 and 2")


def test_checkpoint_load_calls_a_newer_version_so_whatever_fields_it_has(path):
    path.write_bytes(zipped(("meta.npy", npy_of_text(b'{"format_version": 3, "all": "new"}'))))
    assert_refused(path, "is of format version 3")


class Canary:
    """Sings when it is unpickled."""

    def __init__(self, cage: Path) -> None:
        self.cage = cage

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (str(self.cage),)


@pytest.mark.parametrize("name", ["param/output.bias.npy", "meta.npy", "optimizer/velocity.npy", "param/new.npy"])
def test_checkpoint_load_refuses_an_object_in_any_place_and_never_runs_it(path, data, name):
    sang = path.with_name("sang")
    objects = npy(np.array([Canary(sang)], dtype=object), allow_pickle=True)
    path.write_bytes(zipped(*(members_of(data) | {name: objects}).items()))
    assert_refused(path)
    assert not sang.exists()
    with np.load(path, allow_pickle=True) as file:  # the canary is a real one
        file[name.removesuffix(".npy")]
    assert sang.exists()


def test_checkpoint_load_never_runs_an_object_that_meta_calls_an_object(path, data):
    sang = path.with_name("sang")
    meta = read_meta(data)
    meta["arrays"]["param/output.bias"]["dtype"] = "object"
    objects = npy(np.array([Canary(sang)], dtype=object), allow_pickle=True)
    members = members_of(data) | {"param/output.bias.npy": objects, "meta.npy": signed(meta)}
    path.write_bytes(zipped(*members.items()))
    assert_refused(path)
    assert not sang.exists()


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 9), np.float32),
        np.zeros((10, 4), np.float32),
        np.zeros(40, np.float32),
        np.zeros((4, 10), np.float64),
        np.zeros((4, 10), np.int32),
        np.zeros((4, 10), ">f4"),
        np.zeros((4, 10), np.float16),
        np.asfortranarray(np.ones((4, 10), np.float32)),
        np.zeros((4, 10), "S4"),
    ],
    ids=lambda array: f"{array.dtype.str}{array.shape}",
)
def test_checkpoint_load_refuses_an_array_of_another_shape_type_or_order(path, data, array):
    path.write_bytes(zipped(*(members_of(data) | {"param/output.weight.npy": npy(array)}).items()))
    assert_refused(path)


@pytest.mark.parametrize(
    "other",
    [
        lambda weight: weight.view(np.int32),
        lambda weight: weight.view(">f4"),
        lambda weight: weight.view(np.float16),
        lambda weight: weight.reshape(10, 4),
        lambda weight: weight.reshape(10, 4).T,
        lambda weight: weight.view("V4"),
    ],
)
def test_checkpoint_load_refuses_the_right_bytes_under_another_header(path, data, other):
    disguised = npy(other(STATE.params["output.weight"]))
    path.write_bytes(zipped(*(members_of(data) | {"param/output.weight.npy": disguised}).items()))
    assert_refused(path, "another header")


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int32, np.complex64, ">f4"])
def test_checkpoint_load_refuses_an_array_of_another_type_even_if_meta_agrees(path, data, dtype):
    path.write_bytes(forged(data, {"param/output.weight": np.ones((4, 10), dtype)}))
    assert_refused(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["param/output.weight", "optimizer/velocity"])
def test_checkpoint_load_refuses_a_number_that_is_not_finite_even_if_its_sum_is_right(path, data, name, value):
    array = STATE.arrays()[name].copy()
    array.flat[3] = value
    path.write_bytes(forged(data, {name: array}))
    assert_refused(path, "that are not finite")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["meta.npy", "param/output.bias.npy"])
def test_checkpoint_load_refuses_a_member_that_is_there_twice(path, data, name):
    members = members_of(data)
    path.write_bytes(zipped(*members.items(), (name, members[name])))
    assert_refused(path, f"holds {name.removesuffix('.npy')!r} twice")


@pytest.mark.parametrize("name", ["meta.npy", "param/output.bias.npy", "optimizer/velocity.npy"])
def test_checkpoint_load_refuses_a_missing_member(path, data, name):
    members = members_of(data)
    del members[name]
    path.write_bytes(zipped(*members.items()))
    assert_refused(path, name.removesuffix(".npy"))


@pytest.mark.parametrize(
    "name",
    [
        "param/more.npy",
        "weights.npy",
        "param/x",
        "../param/x.npy",
        "/etc/x.npy",
        "param/a\nb\x1b[2J.npy",
        f"param/{'x' * 60_000}.npy",
    ],
)
def test_checkpoint_load_refuses_a_member_that_nobody_asked_for(path, data, name):
    path.write_bytes(zipped(*members_of(data).items(), (name, npy(np.zeros(3, np.float32)))))
    assert_refused(path)


def test_checkpoint_load_refuses_thousands_of_members(path, data):
    many = [(f"param/{i}.npy", b"") for i in range(2000)]
    path.write_bytes(zipped(*members_of(data).items(), *many))
    assert_refused(path, f"has {2000 + len(members_of(data))} members")


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_checkpoint_load_refuses_compressed_members(path, data, compression):
    path.write_bytes(zipped(*members_of(data).items(), compression=compression))
    assert_refused(path, "compressed")


def test_checkpoint_load_refuses_members_that_merely_say_they_are_compressed(path, data):
    said = re.sub(rb"(PK\x01\x02.{6}|PK\x03\x04.{4})\0\0", lambda kept: kept[1] + b"\x08\0", data, flags=re.DOTALL)
    assert said != data
    path.write_bytes(said)
    assert_refused(path, "compressed")


def test_checkpoint_load_refuses_a_zip_bomb_before_it_unfolds(path):
    bomb = zipped(("meta.npy", bytes(2**27)), compression=zipfile.ZIP_DEFLATED)
    path.write_bytes(bomb)
    with little_memory():
        assert_refused(path, "compressed")


def test_checkpoint_load_refuses_members_that_share_their_bytes(path, data):
    damaged = bytearray(data)
    first, second, *_ = entries_of(data)
    damaged[second + 42 : second + 46] = damaged[first + 42 : first + 46]  # where its member begins
    path.write_bytes(damaged)
    assert_refused(path, "in the bytes of another member")


class little_memory:  # noqa: N801 - it reads as a statement
    """Fails when more than 4 MiB are set aside inside the block."""

    def __enter__(self) -> None:
        tracemalloc.start()

    def __exit__(self, *_: object) -> None:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 4 * 2**20


def header(descr: str, shape: str) -> bytes:
    """The header of a .npy member, whatever it claims."""
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"
    body = (text + " " * (-(len(text) + 11) % 64) + "\n").encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(body)) + body


@pytest.mark.parametrize(
    "shape",
    [[10**12], [2**40, 2**40], [2**62, 4], [0, 10**15], [-1, -40], [-40], [41], [39], [1e300], [10**400]],
    ids=lambda shape: str(shape)[:20],
)
def test_checkpoint_load_sets_no_memory_aside_for_a_shape_that_asks_for_the_sky(path, data, shape):
    meta = read_meta(data)
    meta["arrays"]["param/output.weight"]["shape"] = shape
    claimed = header("<f4", str(tuple(shape))) + bytes(160)
    members = members_of(data) | {"param/output.weight.npy": claimed, "meta.npy": signed(meta)}
    path.write_bytes(zipped(*members.items()))
    with little_memory():
        assert_refused(path, "in another size than its shape asks for")


@pytest.mark.parametrize("shape", [["4", "10"], [True] * 40, {"4": 10}, "4", None, [None], [[4], [10]]])
def test_checkpoint_load_refuses_a_shape_that_is_no_list_of_numbers(path, data, shape):
    meta = read_meta(data)
    meta["arrays"]["param/output.weight"]["shape"] = shape
    path.write_bytes(zipped(*(members_of(data) | {"meta.npy": signed(meta)}).items()))
    assert_refused(path)


@pytest.mark.parametrize(("fields", "reason"), [([20], "compressed"), ([24], "compressed"), ([20, 24], "is cut off")])
@pytest.mark.parametrize("size", [2**31, 2**32 - 2, 10_000])
def test_checkpoint_load_sets_no_memory_aside_for_a_member_that_claims_another_size(path, data, size, fields, reason):
    damaged = bytearray(data)
    for entry in entries_of(data):
        for field in fields:
            damaged[entry + field : entry + field + 4] = struct.pack("<I", size)
    path.write_bytes(damaged)
    with little_memory():
        assert_refused(path, reason)


@pytest.mark.parametrize("depth", [11, 300, 480, 900, 990, 20_000, 100_000])
@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_checkpoint_load_refuses_a_meta_entry_nested_too_deeply(path, data, depth, brackets):
    opening, closing = ("[", "]") if brackets == "[]" else ('{"a":', "}")
    text = json.dumps(read_meta(data) | {"about": "HERE"}).replace('"HERE"', opening * depth + "1" + closing * depth)
    path.write_bytes(zipped(*(members_of(data) | {"meta.npy": npy_of_text(text.encode())}).items()))
    assert_refused(path)


@pytest.mark.parametrize("depth", [10, 100, 300, 480])  # JSON itself can bear more
def test_checkpoint_load_refuses_a_meta_entry_nested_too_deeply_even_if_its_sum_is_right(path, data, depth):
    nested: Any = 1
    for _ in range(depth):
        nested = {"a": nested}
    path.write_bytes(forged(data, about=nested))
    assert_refused(path, "nested too deeply")


WRONG_FIELDS: list[dict[str, Any]] = [
    {"epoch": "1"},
    {"epoch": None},
    {"epoch": -1},
    {"batch": 1.5},
    {"step": [7]},
    {"step": -7},
    {"step": 10**400},
    {"config": []},
    {"config": "mnist.yaml"},
    {"totals": []},
    {"totals": {"loss": "0", "correct": 0, "images": 0}},
    {"totals": {"loss": None}},
    {"generators": None},
    {"best": []},
    {"best": 0},
    {"best": {}},
    {"best": {"epoch": 1}},
    {"best": {"epoch": "1", "loss": 1, "accuracy": 1}},
    {"best": {"epoch": 1, "loss": None, "accuracy": 1}},
    {"history": {}},
    {"history": None},
    {"history": [1]},
    {"history": [{}]},
    {"history": [{"epoch": "first"}]},
    {"about": "nnctl"},
    {"arrays": []},
    {"arrays": {}},
    {"unknown": 1},
    {"totals": {"loss": float("nan")}},
    {"totals": {"loss": float("inf")}},
    {"history": [ENTRY | {"loss": -0.5}]},
    {"history": [ENTRY | {"epoch": -1}]},
    {"history": [ENTRY | {"accuracy": "0.5"}]},
    {"history": [ENTRY | {"accuracy": [0.5]}]},
    {"history": [ENTRY | {"accuracy": True}]},
    {"history": [ENTRY | {"loss": float("nan")}]},
    {"history": [ENTRY | {"loss": float("inf")}]},
    {"history": [ENTRY, {name: value for name, value in ENTRY.items() if name != "epoch"}]},
    {"best": {"epoch": 1, "loss": float("nan"), "accuracy": 0.5}},
    {"best": {"epoch": 1, "loss": 0.5, "accuracy": -0.5}},
    {"generators": {"dropout": float("nan")}},
    {"config": {"seed": float("inf")}},
    {"config": CONFIG | {"data": {"dir": "x" * 2**14}}},
    {"about": {"a": [[[[[[[[[[1]]]]]]]]]]}},
    {"about": {"a": [0] * 750_000}},
]
"""What no checkpoint may say, neither when it is written nor when it is read."""
each_wrong_field = pytest.mark.parametrize("change", WRONG_FIELDS, ids=lambda change: str(change)[:60])


@each_wrong_field
def test_checkpoint_load_refuses_a_wrong_field_even_if_its_sum_is_right(path, data, change):
    path.write_bytes(forged(data, **change))
    assert_refused(path)


@pytest.mark.parametrize("field", [*STATE.values(), "config", "about", "arrays"])
def test_checkpoint_load_refuses_a_missing_field_even_if_the_sum_is_right(path, data, field):
    meta = read_meta(data)
    del meta[field]
    path.write_bytes(zipped(*(members_of(data) | {"meta.npy": signed(meta)}).items()))
    assert_refused(path, "missing or unknown fields")


def test_checkpoint_load_refuses_a_number_beyond_all_floats(path, data):
    text = json.dumps(read_meta(data)).replace("1e-17", "1e400")
    path.write_bytes(zipped(*(members_of(data) | {"meta.npy": npy_of_text(text.encode())}).items()))
    assert_refused(path)


FIELDS = {**{name: name for name in STATE.values()}, "config": "config", "about": "environment"}
"""The fields of a meta entry that whoever saves can set -> what a checkpoint calls them."""


@pytest.mark.parametrize(
    "change", [change for change in WRONG_FIELDS if change.keys() <= FIELDS.keys()], ids=lambda change: str(change)[:60]
)
def test_checkpoint_save_refuses_a_field_that_load_would_refuse_and_leaves_the_old_file(path, change):
    wrong = changed(**{FIELDS[name]: value for name, value in change.items()})
    assert_not_saved(path, wrong)


def assert_not_saved(path: Path, wrong: Checkpoint, reason: str = "") -> None:
    """Saving gives one error and writes nothing; a file that is there already stays as it is."""
    for old in (None, b"the old one"):
        if old is not None:
            path.write_bytes(old)
        with pytest.raises(CheckpointError) as caught:
            checkpoint.save(path, wrong)
        assert caught.value.message.startswith(f"{path}: is not saved, as it could not be loaded: it h")
        assert reason in caught.value.message
        assert len(caught.value.message) < len(str(path)) + 300
        assert list(path.parent.iterdir()) == ([] if old is None else [path])
        assert old is None or path.read_bytes() == old


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int32, np.bool_, np.complex64, ">f4", object])
@pytest.mark.parametrize("kind", ["params", "optimizer"])
def test_checkpoint_save_refuses_an_array_of_another_type_than_load_reads(path, kind, dtype):
    arrays = dict(getattr(STATE, kind))
    name = next(iter(arrays))
    arrays[name] = arrays[name].astype(dtype)
    assert_not_saved(path, changed(**{kind: arrays}), "not in float32")


def test_checkpoint_save_refuses_tuples_nested_deeper_than_load_reads_lists(path):
    nested: Any = (1,)
    for _ in range(9):
        nested = (nested,)
    assert_not_saved(path, changed(environment={"a": nested}), "nested too deeply")
    checkpoint.save(path, changed(environment={"a": nested[0][0]}))
    assert checkpoint.load(path).environment == {"a": [[[[[[[[1]]]]]]]]}


JSON = strategies.recursive(
    strategies.none()
    | strategies.booleans()
    | strategies.integers(-(2**70), 2**70)
    | strategies.floats()
    | strategies.text(max_size=5),
    lambda inner: (
        strategies.lists(inner, max_size=3)
        | strategies.dictionaries(strategies.sampled_from(["epoch", "loss", "accuracy", "a"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(name=strategies.sampled_from(list(FIELDS.values())), value=JSON)
@example("history", [{"epoch": 1, "loss": -0.0}])
@example("config", {"a": "\ud800"})
@settings(max_examples=300)
def test_checkpoint_load_takes_all_that_save_does_not_refuse(folder, name, value):
    path = folder / "any.npz"
    path.unlink(missing_ok=True)
    tried = changed(**{name: value})
    try:
        checkpoint.save(path, tried)
    except CheckpointError:
        assert not path.exists()
        return
    loaded = checkpoint.load(path)
    assert getattr(loaded if hasattr(loaded, name) else loaded.state, name) == value
    assert loaded.digest() == tried.digest()


@pytest.mark.parametrize("described", [None, 3, [], {}, {"shape": [4, 10]}, {"shape": None, "dtype": "x", "sha256": 1}])
def test_checkpoint_load_refuses_an_array_that_meta_does_not_describe(path, data, described):
    meta = read_meta(data)
    meta["arrays"]["param/output.weight"] = described
    path.write_bytes(zipped(*(members_of(data) | {"meta.npy": signed(meta)}).items()))
    assert_refused(path)


# Version 2: with what reading pictures needs

JUDGE = {"hidden.weight": RNG.normal(size=(3, 2)).astype(np.float32), "output.bias": np.ones(11, np.float32)}
READY = dataclasses.replace(SAVED, reading={"temperature": 1.25}, judge=JUDGE)


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of READY's file."""
    path = tmp_path_factory.mktemp("ready") / "state.npz"
    checkpoint.save(path, READY)
    return path.read_bytes()


@pytest.mark.parametrize("judge", [JUDGE, {}], ids=["judge", "no judge"])
def test_checkpoint_load_gives_back_a_temperature_and_a_judge_to_the_bit(path, judge):
    checkpoint.save(path, dataclasses.replace(READY, judge=judge))
    loaded = checkpoint.load(path)
    assert loaded.reading == {"temperature": 1.25}
    assert {name: array.tobytes() for name, array in loaded.judge.items()} == {
        name: array.tobytes() for name, array in judge.items()
    }
    assert loaded.state.values() == STATE.values()
    assert loaded.state.arrays().keys() == STATE.arrays().keys()
    assert loaded.format_version == read_meta(path.read_bytes())["format_version"] == 2


def test_checkpoint_of_version_2_can_be_read_by_plain_numpy(path, ready):
    path.write_bytes(ready)
    with np.load(path, allow_pickle=False) as file:
        assert {*file.files} == {"meta", *STATE.arrays(), "judge/hidden.weight", "judge/output.bias"}
        np.testing.assert_array_equal(file["judge/hidden.weight"], JUDGE["hidden.weight"], strict=True)
        assert json.loads(file["meta"].tobytes())["reading"] == {"temperature": 1.25}


def test_checkpoint_digest_does_not_depend_on_what_reading_pictures_needs(path, ready):
    assert READY.digest() == SAVED.digest() == load_bytes(path, ready).digest()


def test_checkpoint_without_them_is_written_as_before_there_was_a_version_2(path):
    before = ROOT / "tests" / "faults" / "checkpoints" / "format-1.npz"
    checkpoint.save(path, checkpoint.load(before))
    assert path.read_bytes() == before.read_bytes()


WRONG_READINGS: list[Any] = [
    {},
    {"temperature": 0.0},
    {"temperature": -1.0},
    {"temperature": float("nan")},
    {"temperature": float("inf")},
    {"temperature": 1},
    {"temperature": True},
    {"temperature": "1.25"},
    {"temperature": None},
    {"temperature": 1.25, "more": 1},
    {"more": 1.25},
    [1.25],
    1.25,
    None,
]
"""What no checkpoint of version 2 may say."""


@pytest.mark.parametrize("reading", WRONG_READINGS, ids=str)
def test_checkpoint_neither_loads_nor_saves_a_temperature_that_is_none(path, ready, reading):
    path.write_bytes(forged(ready, reading=reading))
    assert_refused(path)
    path.unlink()
    assert_not_saved(path, dataclasses.replace(READY, reading=reading))


def test_checkpoint_load_refuses_fields_and_arrays_of_another_version(path, data, ready):
    path.write_bytes(forged(data, reading={"temperature": 1.25}))
    assert_refused(path, "missing or unknown fields")
    path.write_bytes(forged(data, format_version=2))
    assert_refused(path, "missing or unknown fields")
    path.write_bytes(forged(ready, format_version=1))
    assert_refused(path, "missing or unknown fields")
    path.write_bytes(forged(data, {"judge/output.bias": np.ones(11, np.float32)}))
    assert_refused(path, "no part of a checkpoint")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_checkpoint_neither_loads_nor_saves_a_judge_that_is_not_finite(path, ready, value):
    wrong = np.full(11, value, np.float32)
    path.write_bytes(forged(ready, {"judge/output.bias": wrong}))
    assert_refused(path, "that are not finite")
    path.unlink()
    assert_not_saved(path, dataclasses.replace(READY, judge=JUDGE | {"output.bias": wrong}), "not finite")


def test_checkpoint_load_refuses_a_judge_of_another_type_or_with_other_bytes(path, ready):
    path.write_bytes(forged(ready, {"judge/output.bias": np.ones(11)}))
    assert_refused(path)
    other = members_of(ready) | {"judge/output.bias.npy": npy(np.zeros(11, np.float32))}
    path.write_bytes(zipped(*other.items()))
    assert_refused(path, "other bytes in 'judge/output.bias'")
