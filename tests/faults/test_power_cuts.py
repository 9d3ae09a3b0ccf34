"""A power cut costs no checkpoint that was saved: each file is synced, named, and its folder synced, in this order.

Killing a process cannot show that a sync is missing, as the kernel still writes everything. So the system calls of
real commands are recorded by strace and checked for their order, then played back on a model of a disk that loses what
was not synced (`replay.py`). nnctl has to cope with whatever is left.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.faults.faulty import FULL, SMALL, amount, assert_spoken, needs_strace, on_linux, straced, verified
from tests.faults.replay import (
    CALLS,
    Call,
    Disk,
    File,
    Tree,
    is_final,
    read_trace,
    replayed,
    tells,
    write_tree,
)
from tests.support.files import contents
from tests.support.process import run_nnctl

pytestmark = [on_linux, needs_strace]

RUN = "made/by/train"
LAST = f"{RUN}/checkpoints/last.npz"
KEEP = 3
CUTS = amount(40, 500)
RESUMED = amount(2, 24)
SEED = 20260


@dataclass(frozen=True)
class Recording:
    """What was there before a command, what it did, and what was there after it."""

    before: Tree
    calls: list[Call]
    after: Tree


def record(folder: Path, *arguments: object, whole: bool = False, **variables: str) -> Recording:
    """Run nnctl in a folder under strace; with `whole`, the bytes that it writes are recorded too."""
    folder = folder.resolve()
    before = contents(folder)
    done = straced(
        ["-y", "-s", str(10**8 if whole else 0), "-e", f"trace={CALLS}"], *arguments, cwd=folder, **variables
    )
    assert done.returncode == 0, done.stderr
    trace = folder / "trace"
    calls = read_trace(trace, folder)
    trace.unlink()
    recording = Recording(before, calls, contents(folder))
    seen, there = replayed(before, calls).tree(), recording.after
    if not whole:  # zeros stand for the bytes
        seen, there = ({path: data and bytes(len(data)) for path, data in tree.items()} for tree in (seen, there))
    assert seen.keys() == there.keys(), "the trace misses calls that make names"
    assert [path for path in there if seen[path] != there[path]] == [], "the trace misses calls that write"
    return recording


@pytest.fixture(scope="module")
def train_options(drawn_dir: Path) -> tuple[object, ...]:
    """A small training that saves often, retains three checkpoints, and removes older ones."""
    return ("train", *SMALL, f"--set=train.keep={KEEP}", "--data-dir", drawn_dir, "--run-dir", RUN)


@pytest.fixture(scope="module")
def trained(train_options: tuple[object, ...], tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return record(tmp_path_factory.mktemp("trained"), *train_options, whole=True)


@pytest.fixture(scope="module")
def resumed(
    train_options: tuple[object, ...], trained: Recording, tmp_path_factory: pytest.TempPathFactory
) -> Recording:
    """A resume from what a power cut left of the first training, halfway."""
    folder = tmp_path_factory.mktemp("resumed")
    calls = trained.calls[: len(trained.calls) // 2]
    write_tree(replayed(trained.before, calls).after_cut(random.Random(SEED)), folder)
    recording = record(folder, *train_options, "--resume", whole=True)
    assert digest_of(recording.after) == digest_of(trained.after)
    return recording


def digest_of(tree: Tree) -> str:
    """What run.json says that training ended with."""
    info = json.loads(tree[f"{RUN}/run.json"] or b"")
    assert info["status"] == "finished"
    return str(info["digest"])


def broken_rules(recording: Recording) -> list[str]:
    """Where a command wrote in place, named what was not synced, or relied on a name that was not."""
    disk, broken = Disk(recording.before), []
    for number, call in enumerate(recording.calls):
        at = f"call {number}, {call.name} {' '.join(call.paths)}"
        node = disk.opened(call) if call.name in {"write", "truncate"} else disk.find(call.paths[0])
        if call.name in {"write", "truncate"} and any(map(is_final, names_of(disk, node))):
            broken.append(f"{at}: it has its final name already")
        if call.name == "open" and is_final(call.paths[0]) and ("O_TRUNC" in call.flags or node is None):
            broken.append(f"{at}: it is made under its final name")
        if call.name in {"rename", "link"} and is_final(call.paths[1]) and isinstance(node, File) and node.pending:
            broken.append(f"{at}: its bytes are not synced")
        if tells(call):
            broken += [f"{at}: {name} is not synced" for name in unsynced_names(disk)]
        disk.play(call)
    return broken + [f"at the end: {name} is not synced" for name in unsynced_names(disk)]


def names_of(disk: Disk, file: object) -> list[str]:
    """All names that a file has now."""
    return [name for folder in disk.folders().values() for name, node in folder.names.items() if node is file]


def unsynced_names(disk: Disk) -> list[str]:
    """The files and folders that a power cut would leave without their names."""
    return [
        str(Path(path, name))
        for path, folder in disk.folders().items()
        for change in folder.pending
        for name, node in change.items()
        if node is not None and is_final(name) and folder.names.get(name) is node
    ]


def broken_promises(disk: Disk, left: Tree) -> list[str]:
    """What a power cut left that is neither what was promised, nor anything newer that is complete."""
    broken = []
    for folder, promised in disk.folders().items():
        for name, nodes in promised.owed().items():
            path = str(Path(folder, name))
            whole = [node.data if isinstance(node, File) else None for node in nodes]
            if is_final(name) and left.get(path) not in whole:
                broken.append(f"{path}: {'missing' if path not in left else 'torn'}")
    return broken


def power_cut(recording: Recording, seed: int) -> tuple[Disk, Tree]:
    """The disk at a random moment of a command, or at its end, and what a power cut then leaves."""
    rng = random.Random(seed)
    kind = rng.choice(("write", "sync", "rename", "link", "unlink", "mkdir", "end"))  # writes are many, and much alike
    moments = [number for number, call in enumerate(recording.calls, 1) if call.name == kind]
    moment = rng.choice(moments or [len(recording.calls)])
    disk = replayed(recording.before, recording.calls[:moment])
    if moment == len(recording.calls):
        disk.tell()
    return disk, disk.after_cut(rng)


COMMANDS = {
    "config init": "config init my.yaml",
    "config init over a file": "config init old.yaml --force",
    "data export": "data export test:7 digit.png --dataset synthetic",
    "predict": f"predict old.png --checkpoint {RUN} --save-preprocessed what/was/seen",
    "data fetch": "data fetch synthetic --data-dir fresh/data --quiet",
    "train": " ".join(["train", *SMALL, "--set=train.epochs=1"]),
}


SLOW = pytest.mark.skipif(not FULL, reason="needs FAULTS=full, as it takes 8 s: no fetch of drawn digits was traced")


@pytest.mark.parametrize(
    "command", [pytest.param(name, marks=SLOW) if name == "data fetch" else name for name in COMMANDS]
)
def test_command_names_a_file_once_it_is_synced_and_then_syncs_its_folder(command, trained, drawn_dir, tmp_path):
    write_tree(trained.after, tmp_path)
    (tmp_path / "old.yaml").write_text("seed: 1\n")
    picture = Image.new("L", (60, 60), 255)
    picture.paste(0, (27, 10, 33, 50))
    picture.save(tmp_path / "old.png")
    recording = record(tmp_path, *COMMANDS[command].split(), NNCTL_DATA_DIR=str(drawn_dir))
    assert any(call.name == "rename" for call in recording.calls), "nothing was written"
    assert broken_rules(recording) == []


@pytest.mark.mnist
@pytest.mark.skipif("MNIST_MIRROR" not in os.environ, reason="needs MNIST_MIRROR: no download was traced")
def test_download_names_a_file_once_it_is_synced_and_then_syncs_its_folder(tmp_path):
    mirror = os.environ["MNIST_MIRROR"]
    recording = record(tmp_path, "data", "fetch", "--quiet", "--mirror", mirror, "--data-dir", "fresh/data")
    assert sum(call.name == "rename" for call in recording.calls) >= 4
    assert broken_rules(recording) == []


@pytest.mark.parametrize("which", ["trained", "resumed"])
def test_train_removes_and_reports_only_once_all_is_synced(which, request):
    assert broken_rules(request.getfixturevalue(which)) == []


@pytest.mark.parametrize("which", ["trained", "resumed"])
def test_older_checkpoint_is_removed_only_when_enough_newer_ones_are_safe(which, request):
    recording = request.getfixturevalue(which)
    disk, removed = Disk(recording.before), 0
    for call in recording.calls:
        if call.name == "unlink" and is_final(call.paths[0]):
            safe = disk.folders()[f"{RUN}/checkpoints"].safe
            others = safe.keys() - {"best.npz", Path(call.paths[0]).name}
            newer = {safe[name].safe for name in others if is_final(name)}
            assert len(newer) >= KEEP, f"{call.paths[0]} is removed, and {len(newer)} others are safe"
            removed += 1
        disk.play(call)
    assert removed > 2, "too few checkpoints were removed to say anything"


@pytest.mark.parametrize("which", ["trained", "resumed"])
def test_checkpoint_is_replaced_only_when_what_it_learned_is_safe_under_another_name(which, request):
    assert replaced_while_unsafe(request.getfixturevalue(which), learned) == []


def test_checkpoint_is_replaced_only_when_every_byte_of_it_is_safe_under_another_name(trained):
    assert replaced_while_unsafe(trained, bytes) == []


def replaced_while_unsafe(recording: Recording, what: Callable[[bytes], object]) -> list[str]:
    """The saves that took the name last.npz from a file while no checkpoint with a step's name held the same safely."""
    disk, unsafe, replaced = Disk(recording.before), [], 0
    for number, call in enumerate(recording.calls):
        old = disk.find(LAST)
        if call.name == "rename" and call.paths[1] == LAST and isinstance(old, File):
            names = disk.folders()[str(Path(LAST).parent)].safe
            safe = [node for name, node in names.items() if name.startswith("step-") and isinstance(node, File)]
            if what(old.data) not in [what(file.safe) for file in safe]:
                unsafe.append(f"call {number} with {', '.join(sorted(names))}")
            replaced += 1
        disk.play(call)
    assert replaced > 2, "too few checkpoints were replaced to say anything"
    return unsafe


def learned(checkpoint: bytes) -> dict[str, bytes]:
    """The weights in a checkpoint and what the optimizer remembers."""
    with np.load(io.BytesIO(checkpoint)) as arrays:
        return {name: arrays[name].tobytes() for name in arrays.files if name != "meta"}


def test_power_cut_loses_nothing_saved_and_leaves_nothing_torn(trained, resumed):
    assert failing_cuts([trained, resumed], CUTS) == []


def failing_cuts(recordings: Sequence[Recording], count: int) -> list[str]:
    """The seeds of power cuts that broke a promise, and which."""
    failing = []
    for seed in range(SEED, SEED + count):
        if broken := broken_promises(*power_cut(recordings[seed % len(recordings)], seed)):
            failing.append(f"seed {seed}: {', '.join(broken)}")
    return failing


def test_checkpoint_verify_accepts_what_was_saved_and_refuses_what_is_torn(trained, resumed, tmp_path):
    left: dict[bytes, str] = {}  # the bytes of each checkpoint and of each temporary file beside one, and their origin
    for seed in range(SEED, SEED + CUTS):
        _, tree = power_cut((trained, resumed)[seed % 2], seed)
        left |= {
            data: f"seed {seed}: {path}" for path, data in tree.items() if data is not None and "checkpoints" in path
        }
    saved = saved_checkpoints(trained) | saved_checkpoints(resumed)
    files = {data: tmp_path / f"{hashlib.sha256(data).hexdigest()}.npz" for data in (*saved, *left)}
    for data, path in files.items():
        path.write_bytes(data)
    found = verified(list(files.values()))
    digests = {data: found[path] for data, path in files.items()}
    assert [left.get(data, "saved") for data in saved if digests[data] is None] == []
    known = {digests[data] for data in saved}
    assert [left[data] for data in left if digests[data] is not None and digests[data] not in known] == []

    refused = [data for data in left if digests[data] is None]
    assert refused, "no power cut tore a file"
    for data in random.Random(SEED).sample(refused, amount(1, 10)):
        (tmp_path / "torn.npz").write_bytes(data)
        assert_spoken(run_nnctl("checkpoint", "verify", "torn.npz", cwd=tmp_path), 4)


def saved_checkpoints(recording: Recording) -> set[bytes]:
    """The bytes of every file that training named as a checkpoint."""
    disk, saved = Disk(recording.before), set()
    for call in recording.calls:
        if call.name == "rename" and call.paths[1].endswith(".npz"):
            node = disk.find(call.paths[0])
            assert isinstance(node, File)
            saved.add(node.data)
        disk.play(call)
    return saved


@pytest.mark.parametrize("seed", range(SEED, SEED + RESUMED))
def test_train_resumes_from_what_a_power_cut_left_to_the_same_digest(seed, train_options, trained, resumed, tmp_path):
    _, left = power_cut((trained, resumed)[seed % 2], seed)
    write_tree(left, tmp_path)
    done = run_nnctl(*train_options, "--resume", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    tree = contents(tmp_path)
    assert digest_of(tree) == digest_of(trained.after)
    assert [json.loads(line)["epoch"] for line in (tree[f"{RUN}/metrics.jsonl"] or b"").splitlines()] == [1, 2, 3]
    assert [path for path in tree if path.endswith(".tmp")] == []


def unsynced_files(calls: list[Call]) -> list[Call]:
    return [call for call in calls if call.name != "sync" or not call.paths[0].endswith(".tmp")]


def unsynced_folders(calls: list[Call]) -> list[Call]:
    return [call for call in calls if call.name != "sync" or call.paths[0].endswith(".tmp")]


def unsynced_parents(calls: list[Call]) -> list[Call]:
    parents = {str(Path(call.paths[0]).parent) for call in calls if call.name == "mkdir"} - {RUN}
    return [call for call in calls if call.name != "sync" or call.paths[0] not in parents]


def named_before_synced(calls: list[Call]) -> list[Call]:
    changed: list[Call] = []
    waiting: dict[str, Call] = {}
    for call in calls:
        if call.name == "sync" and call.paths[0].endswith(".tmp"):
            waiting[call.paths[0]] = call
            continue
        changed.append(call)
        if call.name == "rename":
            changed.append(waiting.pop(call.paths[0]))
    return changed


@pytest.mark.parametrize("spoil", [unsynced_files, unsynced_folders, unsynced_parents, named_before_synced])
def test_missing_or_late_sync_breaks_the_rules_and_loses_files(spoil: Callable[[list[Call]], list[Call]], trained):
    spoilt = replace(trained, calls=spoil(trained.calls))
    assert broken_rules(spoilt)
    assert any(broken_promises(*power_cut(spoilt, seed)) for seed in range(SEED, SEED + 500))
