"""Saving, stopped or refused at an exact system call: what was saved stays intact, and training goes on from there.

A traced run tells every call that touches the run directory, in order, and so what must lie there before each of them:
nothing less, and nothing else.
"""

from __future__ import annotations

import random
import re
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.faults.faulty import FULL, SMALL, amount, digests, needs_strace, on_linux, straced
from tests.support.process import run_nnctl
from tests.support.runs import info, metrics

pytestmark = [on_linux, needs_strace]

SEED = 20
# saves after 0 (the first), 6, 10 (the best), 12, 18 and 20 steps (the final one); from 12 on one is removed each time
TRAIN = ("train", *SMALL, "--set=train.epochs=2", "--set=train.checkpoint_every=6", "--set=train.keep=3")
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
LEFTOVER = ".nnctl-0123456789abcdef.tmp"
ERRORS = ("ENOSPC", "EIO", "EDQUOT", "EROFS", "EACCES", "EMFILE")
AT_ONCE = 24  # faults whose files lie on the disk at the same time

# a question mark lets pass what a processor's Linux does not have: some know only the names that end in `at`
NAMES = ("openat", "write", "fsync", "rename", "renameat", "unlink", "unlinkat", "link", "linkat", "mkdir", "mkdirat")
TRACED = ["-y", "-e", "trace=" + ",".join(f"?{name}" for name in NAMES)]
CALL = re.compile(rf"(?P<process>\d+) +(?P<name>{'|'.join(NAMES)})\((?P<rest>.*)")
RANDOM_NAME = re.compile(r"\.nnctl-[0-9a-f]{16}\.tmp")


@dataclass(frozen=True)
class Call:
    """A system call that touches the run directory.

    Attributes:
        name: of the call.
        number: among all calls of that name that the process makes, from 1; strace calls it `when`.
        paths: what it names; temporary files are all called TEMPORARY.
        flags: of openat.
        in_vain: whether it fails even undisturbed: what it is to create is there already.
    """

    name: str
    number: int
    paths: tuple[str, ...]
    flags: str
    in_vain: bool

    @property
    def kind(self) -> str:
        """Its name on most processors."""
        return self.name if self.name == "openat" else self.name.removesuffix("at")

    @property
    def identity(self) -> tuple[str, int, tuple[str, ...]]:
        """What is the same when it is made again."""
        return self.name, self.number, self.paths

    @property
    def dispensable(self) -> bool:
        """Whether success is right even if it fails.

        So it is where it lists a folder to find what may go, or removes what a killed process left behind: the next
        save or run does so again. And where it makes a folder or a lock file that is there, or where filelock asks for
        a file without a name to see whether locks work here: it asks for a named one next.
        """
        sweeps = self.kind == "unlink" and self.paths[0].endswith("TEMPORARY")
        return sweeps or self.in_vain or any(flag in self.flags for flag in ("O_DIRECTORY", "O_TMPFILE"))

    @property
    def reads(self) -> bool:
        """Whether it opens what an earlier save has left, to go on from there or to measure the best network."""
        return "O_RDONLY" in self.flags and self.paths[0].endswith((".yaml", ".json", ".jsonl", ".npz"))


@dataclass(frozen=True)
class Scene:
    """A training run, from what lies there before it begins to what must lie there in the end.

    Attributes:
        before: the run directory to begin with; missing for a new run.
        begun: digests of its checkpoints, by name.
        calls: all that touch the run directory, in order.
        digests: of the state at each save, in order, those included that were made before.
        saved: how many of these were made before.
        final: digests of the checkpoints at the end, by name.
        metrics: the lines of metrics.jsonl at the end, see `metrics`.
    """

    before: Path
    begun: dict[str, str]
    calls: tuple[Call, ...]
    digests: tuple[str, ...]
    saved: int
    final: dict[str, str]
    metrics: list[dict[str, object]]

    def checkpoints(self, done: int) -> dict[str, str]:
        """The digests, by name, of the checkpoints that must be there after so many calls."""
        files, saved = dict(self.begun), self.saved
        for call in self.calls[:done]:
            match call.kind, *(Path(path).name for path in call.paths):
                case "rename", _, "best.npz":
                    if saved < len(self.digests):  # in the end its state is saved once more, with a temperature
                        files["best.npz"] = self.digests[saved]
                case "rename", _, "last.npz":
                    files["last.npz"] = self.digests[saved]
                    saved += 1
                case "link", old, new:
                    files[new] = files[old]
                case "unlink", name:
                    files.pop(name, None)
        return files


@dataclass
class Fault:
    """A call that is not to succeed: strace's words for how (`inject`), where it is tried, and what was wrong then."""

    scene: Scene
    index: int
    inject: str
    folder: Path
    data: Path
    wrong: list[str] = field(default_factory=list)

    @property
    def call(self) -> Call:
        return self.scene.calls[self.index]

    @property
    def run(self) -> Path:
        return self.folder / "run"

    def strike(self) -> CompletedProcess[str]:
        """Train until the call, and see that it was this one."""
        if self.scene.before.exists():
            shutil.copytree(self.scene.before, self.run)
        options = ["-e", f"inject={self.call.name}:{self.inject}:when={self.call.number}"]
        if self.inject.startswith("error"):
            options.append("--seccomp-bpf")  # twice as fast, but no signal can be injected so
        done = traced(self.folder, self.data, options)
        reached = [call.identity for call in calls(self.folder)[: self.index + 1]]
        assert reached == [call.identity for call in self.scene.calls[: self.index + 1]], (
            f"{self.inject} at {self.call}"
        )
        injected = "(INJECTED)" in (self.folder / "cwd" / "trace").read_text(errors="replace")
        assert injected == self.inject.startswith("error"), f"{self.inject} at {self.call}"
        return done

    def resume(self) -> CompletedProcess[str]:
        """Train again in that run directory, undisturbed."""
        places = (f"--run-dir={self.run}", f"--data-dir={self.data}")
        return run_nnctl(*TRAIN, *places, "--resume", cwd=self.folder, **ONE_THREAD)

    def expect(self, what: str, found: object, right: bool) -> None:
        """Note what is not right."""
        if not right:
            run = "resumed" if self.scene.saved else "new"
            self.wrong.append(f"{self.inject} at call {self.index} of the {run} run, {self.call}: {what}: {found}")

    def expect_complete(self, found: dict[str, str]) -> None:
        """All that an undisturbed run leaves is there.

        One older checkpoint may be there too: what could not be removed after a save is removed after the next one.
        """
        final = self.scene.final
        complete = final.items() <= found.items() and len(found) <= len(final) + 1 and "damaged" not in found.values()
        self.expect("not complete", found, complete)

    def expect_same_end(self, done: CompletedProcess[str], found: dict[str, str]) -> None:
        """A run that was resumed ended as if nothing had happened, and without leftovers."""
        self.expect("resuming failed", done, done.returncode == 0)
        if done.returncode == 0:
            self.expect_complete(found)
            self.expect("not swept", temporary(self.run), not temporary(self.run))
            self.expect("other metrics", history(self.run), history(self.run) == self.scene.metrics)
            self.expect("not finished", info(self.run), info(self.run)["status"] == "finished")


def traced(folder: Path, data: Path, options: Sequence[str] = ()) -> CompletedProcess[str]:
    """Train under strace in the run directory `run`, going on if there is something to go on from."""
    places = (f"--run-dir={folder / 'run'}", f"--data-dir={data}")
    resume = ["--resume"] if (folder / "run").exists() else []
    cwd = folder / "cwd"  # nothing is made in it: Python would look for modules there again, by one more openat
    cwd.mkdir(parents=True)
    compiled = {"PYTHONDONTWRITEBYTECODE": "1"}  # or the first run would make calls that no other makes
    return straced([*TRACED, *options], *TRAIN, *places, *resume, cwd=cwd, **ONE_THREAD, **compiled)


def calls(folder: Path) -> tuple[Call, ...]:
    """The calls of a traced run that touch its run directory, up to where it ended."""
    counts: Counter[str] = Counter()
    touching = []
    lines = (folder / "cwd" / "trace").read_text(errors="replace").splitlines()
    matches = [match for line in lines if (match := CALL.match(line))]
    for match in matches:
        if match["process"] != matches[0]["process"]:
            continue  # strace counts the calls of each process on its own, and nnctl asks `uname` for the processor
        name, rest = match["name"], match["rest"]
        counts[name] += 1
        found = re.findall(r"^\d+<([^>]*)>", rest) if name in ("write", "fsync") else re.findall(r'"([^"]*)"', rest)
        if found and all(path.startswith(f"{folder}/run") for path in found):
            paths = (RANDOM_NAME.sub("TEMPORARY", path.removeprefix(f"{folder}/")) for path in found)
            flags = re.search(r'", (O_[A-Z_|]+)', rest)
            in_vain = rest.endswith("= -1 EEXIST (File exists)")
            touching.append(Call(name, counts[name], tuple(paths), flags[1] if flags else "", in_vain))
    return tuple(touching)


def temporary(run: Path) -> set[Path]:
    return {path.relative_to(run) for path in run.rglob(".nnctl-*.tmp")}


def history(run: Path) -> list[dict[str, object]]:
    """The lines of metrics.jsonl as far as a checkpoint's history can make up for a lost one."""
    lost = ("seconds", "images_per_second", "best")
    return [{key: value for key, value in line.items() if key not in lost} for line in metrics(run)]


@pytest.fixture(scope="module")
def new_run(drawn_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """A run from its beginning: one traced, and one that retains every checkpoint to know their digests."""
    every, folder = tmp_path_factory.mktemp("every"), tmp_path_factory.mktemp("new")
    places = (f"--run-dir={every / 'run'}", f"--data-dir={drawn_dir}")
    done = run_nnctl(*TRAIN, *places, "--set=train.keep=9", cwd=every, **ONE_THREAD)
    assert done.returncode == 0, done.stderr
    done = traced(folder, drawn_dir)
    assert done.returncode == 0, done.stderr
    final, retained = digests(folder / "run", every / "run")
    assert sorted(final) == ["best.npz", "last.npz", "step-000000012.npz", "step-000000018.npz"]
    steps = tuple(retained[name] for name in sorted(retained) if name.startswith("step-"))
    return Scene(folder / "none", {}, calls(folder), (*steps, retained["last.npz"]), 0, final, history(folder / "run"))


@pytest.fixture(scope="module")
def resumed_run(new_run: Scene, drawn_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """The same run after it was killed while saving: it begins with what was saved, and with leftovers."""
    folder = tmp_path_factory.mktemp("resumed")
    renames = [i for i, call in enumerate(new_run.calls) if call.kind == "rename" and "last.npz" in call.paths[1]]
    killed = Fault(new_run, renames[3], "signal=SIGKILL", folder / "killed", drawn_dir)
    killed.strike()
    (killed.run / LEFTOVER).write_bytes(b"half")
    assert len(temporary(killed.run)) == 2
    shutil.copytree(killed.run, folder / "again" / "run")
    done = traced(folder / "again", drawn_dir)
    assert done.returncode == 0, done.stderr
    final, begun = digests(folder / "again" / "run", killed.run)
    assert final == new_run.final
    return Scene(killed.run, begun, calls(folder / "again"), new_run.digests, 3, final, new_run.metrics)


@pytest.fixture(scope="module")
def scenes(new_run: Scene, resumed_run: Scene) -> list[tuple[Scene, int]]:
    """Every call to disturb: all of the new run, and of the resumed one what is its own, up to its first save."""
    first_save = next(i for i, call in enumerate(resumed_run.calls) if call.kind == "link")
    return [(new_run, i) for i in range(len(new_run.calls))] + [(resumed_run, i) for i in range(first_save)]


def drawn(points: Sequence[tuple[Scene, int]], count: int) -> list[tuple[Scene, int]]:
    """So many of the calls at random, and as many of one name as of another as far as there are."""
    seen: Counter[tuple[str, str]] = Counter()
    ranked: list[tuple[int, int, Scene, int]] = []
    for scene, index in random.Random(SEED).sample(points, len(points)):
        kind = (scene.calls[index].kind, scene.calls[index].flags)  # opened for writing is not opened for reading
        seen[kind] += 1
        ranked.append((seen[kind], len(ranked), scene, index))
    return [(scene, index) for *_, scene, index in sorted(ranked, key=lambda rank: rank[:2])[:count]]


def examine(
    faults: Sequence[Fault],
    judge: Callable[[Fault, CompletedProcess[str], dict[str, str]], None],
    resumed: Callable[[Fault], bool] = lambda _: True,
) -> None:
    """Let all faults happen, judge what each has left, go on with those to be resumed, and judge where that ends."""
    wrong = []
    with ThreadPoolExecutor(2) as pool:
        for first in range(0, len(faults), AT_ONCE):
            several = faults[first : first + AT_ONCE]
            ended = list(pool.map(Fault.strike, several))
            for fault, done, found in zip(several, ended, digests(*[fault.run for fault in several]), strict=True):
                judge(fault, done, found)
            again = list(filter(resumed, several))
            ended = list(pool.map(Fault.resume, again))
            for fault, done, found in zip(again, ended, digests(*[fault.run for fault in again]), strict=True):
                fault.expect_same_end(done, found)
            for fault in several:
                wrong += fault.wrong
                shutil.rmtree(fault.folder)  # hundreds of them would fill the disk
    assert not wrong, f"{len(wrong)} things went wrong:\n" + "\n".join(wrong)


def test_last_and_best_checkpoint_are_never_away_once_they_are_there(scenes: list[tuple[Scene, int]]) -> None:
    for scene, index in scenes:
        there, then = scene.checkpoints(index), scene.checkpoints(index + 1)
        assert there.keys() & {"best.npz", "last.npz"} <= then.keys(), scene.calls[index]


def test_killed_run_retains_what_it_saved_and_goes_on_to_the_same_end(
    scenes: list[tuple[Scene, int]], drawn_dir: Path, tmp_path: Path
) -> None:
    faults = [
        Fault(scene, index, "signal=SIGKILL", tmp_path / str(n), drawn_dir)
        for n, (scene, index) in enumerate(drawn(scenes, amount(8, len(scenes))))
    ]

    def judge(fault: Fault, done: CompletedProcess[str], found: dict[str, str]) -> None:
        fault.expect("not killed", done, done.returncode == -signal.SIGKILL)
        fault.expect("other checkpoints", found, found == fault.scene.checkpoints(fault.index))

    examine(faults, judge)


def test_refused_run_says_so_retains_what_it_saved_and_goes_on_to_the_same_end(
    scenes: list[tuple[Scene, int]], drawn_dir: Path, tmp_path: Path
) -> None:
    saving = [(scene, index) for scene, index in scenes if not scene.calls[index].reads]
    faults = [
        Fault(scene, index, f"error={error}", tmp_path / f"{n}-{error}", drawn_dir)
        for n, (scene, index) in enumerate(drawn(saving, amount(8, len(saving))))
        for error in (ERRORS if FULL else [ERRORS[n % len(ERRORS)]])
    ]

    def judge(fault: Fault, done: CompletedProcess[str], found: dict[str, str]) -> None:
        leftovers = temporary(fault.run) - temporary(fault.scene.before)
        fault.expect("temporary files left", leftovers, not leftovers)
        if done.returncode == 0 and fault.call.dispensable:
            fault.expect_complete(found)
            return
        spoken = re.fullmatch(r"nnctl: error: .+\nhint: .+\n", done.stderr) is not None
        fault.expect("not refused", done, done.returncode == 6 and spoken and not done.stdout)
        fault.expect("other checkpoints", found, found == fault.scene.checkpoints(fault.index))

    # of the six errors at a call one, in turn, is enough to go on after: what they leave is the same
    examine(faults, judge, lambda fault: not FULL or fault.inject.endswith(ERRORS[fault.index % len(ERRORS)]))
