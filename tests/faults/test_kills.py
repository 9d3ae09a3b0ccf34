"""Whatever stops a training: no more than one save interval is lost, and `--resume` ends with the same bits."""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import select
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.faults.faulty import SMALL, amount, assert_spoken, digests, has_ended, processor_seconds
from tests.support.process import NNCTL, environment, run_nnctl, start_nnctl
from tests.support.runs import info, metrics

pty, termios = (
    pytest.importorskip(name, reason="needs POSIX signals and terminals: no training was stopped")
    for name in ("pty", "termios")
)

PATIENCE = 120.0  # seconds after which a process hangs, however busy the machine is
INTERVAL = 4  # SMALL's train.checkpoint_every
KILLS = amount(3, 5)  # of each run
LONG = ("--set=data.train_limit=3200", "--set=train.checkpoint_every=null", "--threads=1")  # 100 steps in an epoch
MOMENTS = ("training", "saving", "final evaluation")
PLACES = ("epoch end", "mid-epoch", "twice")
OPTIMIZERS, AUGMENTS = ("sgd", "adam", "adamw"), ("none", "affine", "elastic")
RECIPES = tuple(itertools.product(OPTIMIZERS, (0.0, 0.3), ("one_cycle", "cosine", "step", "constant")))
RESUMED = [*itertools.product(range(len(RECIPES)), PLACES)]


class Watched:
    """`nnctl train` with its bar on a new terminal, so that each step is seen as soon as it is done.

    Attributes:
        process: the training.
        step: the last one that the bar has shown; -1 before training begins.
        written: all that came to the terminal.
    """

    def __init__(self, *arguments: object, cwd: Path) -> None:
        self._terminal, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, 80))  # tqdm draws no bar where there are no columns
        self.process = subprocess.Popen(
            [*NNCTL, "train", *map(str, arguments)],
            cwd=cwd,
            env=environment(TERM="xterm", TQDM_MININTERVAL="0"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=theirs,
        )
        os.close(theirs)
        self.step, self.written = -1, b""

    def __enter__(self) -> Watched:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._terminal)

    def _read(self, seconds: float) -> bool:
        """Take in what is written next; False if nothing came in time, or nothing will."""
        if not select.select([self._terminal], [], [], max(0.0, seconds))[0]:
            return False
        try:
            piece = os.read(self._terminal, 2**16)
        except OSError:  # Linux reports so that the other end is closed
            return False
        self.written += piece
        if shown := re.findall(rb"\| (\d+)/\d+ \[", self.written[-len(piece) - 80 :]):
            self.step = int(shown[-1])
        return bool(piece)

    def watch_to(self, step: int) -> None:
        """Return when so many steps are done."""
        while self.step < step:
            assert self._read(PATIENCE), f"ended, or hung, before step {step}: {self.written.decode()}"

    def watch_for(self, seconds: float) -> None:
        """Let it go on for a while."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and self._read(left):
            pass

    @property
    def stopped_after(self) -> int:
        """The step after which it says it has saved and stopped; 0 if it says no such thing."""
        found = re.search(rb"stopped after step ([\d,]+); everything is saved", self.written)
        return int(found[1].replace(b",", b"")) if found else 0

    def halt(self) -> None:
        """Freeze it where it is, until `end`."""
        self.process.send_signal(signal.SIGSTOP)
        _, status = os.waitpid(self.process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), f"ended before it was stopped: {self.written.decode()}"

    def go_on(self) -> None:
        """Undo `halt`."""
        self.process.send_signal(signal.SIGCONT)

    def end(self, number: signal.Signals, within: float = PATIENCE) -> int:
        """Send a signal, and return the exit code, which must cost no more than so many seconds of a processor."""
        before, latest = processor_seconds(self.process.pid), time.monotonic() + PATIENCE
        self.process.send_signal(number)
        self.go_on()
        while self._read(latest - time.monotonic()):
            pass
        while not has_ended(self.process.pid) and time.monotonic() < latest:
            time.sleep(0.002)
        spent = processor_seconds(self.process.pid) - before
        code = self.process.wait(max(0.01, latest - time.monotonic()))
        assert spent <= within, f"ended after {spent} s of a processor"
        return code


def finish(process: subprocess.Popen[str], code: int = 0) -> None:
    """Let a process come to its end, which must be this one."""
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, err


def resume(run: Path) -> int:
    """Let a stopped run go on until it is done, by the command that the hint names; return the step it went on from."""
    done = run_nnctl("train", "--resume", "--run-dir", run.name, cwd=run.parent)
    assert done.returncode == 0, done.stderr
    found = re.search(r"resuming after step ([\d,]+);", done.stderr)
    return int(found[1].replace(",", "")) if found else 0


def position(run: Path) -> dict[str, int]:
    """What `checkpoint info` says of last.npz: its step, epoch, batch and the rest."""
    done = run_nnctl("checkpoint", "info", "--json", run / "checkpoints" / "last.npz", cwd=run)
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout)
    return found


def intact(*runs: Path) -> list[dict[str, str]]:
    """The digest of each checkpoint, by file name, of each run; every one can be used, and none is half written."""
    found = digests(*runs)
    assert not [each for each in found if "damaged" in each.values()]
    assert not [path for run in runs for path in run.rglob("*.tmp")]
    return found


def losses(run: Path) -> list[tuple[int, float]]:
    """The epochs that metrics.jsonl has lines for, and the loss of each."""
    return [(entry["epoch"], entry["loss"]) for entry in metrics(run)]


def assert_as_if_nothing_had_happened(run: Path, whole: Path) -> None:
    """Both runs are finished, and hold the same checkpoints and the same line for each epoch."""
    ours, theirs = intact(run, whole)
    assert ours == theirs
    assert info(run)["status"] == "finished"
    assert losses(run) == losses(whole)


def settings(data: Path, *more: str) -> tuple[str, ...]:
    """Options of a small training that is free to draw its bar."""
    return (*(option for option in SMALL if option != "--quiet"), f"--data-dir={data}", *more)


@pytest.mark.parametrize("case", range(amount(2, 100)))
def test_killed_run_loses_one_save_interval_at_most_and_ends_with_the_same_bits(
    case: int, tmp_path: Path, drawn_dir: Path
) -> None:
    rng = random.Random(f"kill {case}")
    epochs = amount(16, 40)
    options = settings(
        drawn_dir,
        f"--set=train.epochs={epochs}",
        f"--set=seed={rng.randrange(2**32)}",
        f"--set=optimizer.name={OPTIMIZERS[case % 3]}",
        f"--set=data.augment.name={rng.choice(AUGMENTS)}",
        f"--set=train.keep={(1, 2, 5)[(case + case // 3) % 3]}",
    )
    run, whole = tmp_path / "run", tmp_path / "whole"
    uninterrupted = start_nnctl("train", *options, "--quiet", "--run-dir=whole", cwd=tmp_path)
    saved, arguments = 0, options
    for left in range(KILLS, 0, -1):
        target = rng.randint(saved, saved + (10 * epochs - saved) // (left + 1))
        with Watched(*arguments, "--run-dir=run", cwd=tmp_path) as trainer:
            trainer.watch_to(target)
            trainer.watch_for(rng.uniform(0, 0.01))
            assert trainer.end(signal.SIGKILL) == -signal.SIGKILL, trainer.written.decode()
        before, saved = saved, position(run)["step"]
        assert saved >= before
        # when the bar shows n, the step n + 1 may have been done, and even saved, but none after it
        assert trainer.step + 1 - INTERVAL <= saved <= trainer.step + 1
        arguments = ("--resume",)
    resume(run)
    finish(uninterrupted)
    assert_as_if_nothing_had_happened(run, whole)


@pytest.mark.parametrize(("case", "moment"), [(case, MOMENTS[case % 3]) for case in range(amount(3, 75))])
def test_terminated_training_has_saved_within_five_seconds(
    case: int, moment: str, tmp_path: Path, drawn_dir: Path
) -> None:
    rng = random.Random(f"terminate {case}")
    more = {
        "training": (*LONG, "--set=train.epochs=8"),
        "saving": ("--set=train.checkpoint_every=1", "--set=train.epochs=8", f"--set=train.keep={rng.randint(1, 3)}"),
        "final evaluation": ("--set=network.hidden=[400,400]", "--set=train.epochs=1", "--threads=1"),
    }[moment]
    options = settings(drawn_dir, f"--set=seed={case}", f"--set=optimizer.name={rng.choice(OPTIMIZERS)}", *more)
    run, whole = tmp_path / "run", tmp_path / "whole"
    uninterrupted = start_nnctl("train", *options, "--quiet", "--run-dir=whole", cwd=tmp_path)
    with Watched(*options, "--run-dir=run", cwd=tmp_path) as trainer:
        if moment == "training":
            trainer.watch_to(rng.randint(0, 400))
            trainer.watch_for(rng.uniform(0, 0.001))
        elif moment == "saving":
            trainer.watch_to(rng.randint(0, 10))
            halt_in_a_save(trainer, run, rng)
        else:
            while not (run / "metrics.jsonl").exists():
                assert trainer.process.poll() is None, trainer.written.decode()
                trainer.watch_for(0.001)
            trainer.watch_for(rng.uniform(0, 0.03))
        shown = trainer.step
        assert trainer.end(signal.SIGTERM, within=5) == 143, trainer.written.decode()
    assert "last.npz" in intact(run)[0]
    assert info(run)["status"] != "finished"
    resumed = resume(run)
    assert resumed >= shown
    assert resumed == trainer.stopped_after or moment == "final evaluation"
    finish(uninterrupted)
    assert_as_if_nothing_had_happened(run, whole)


def halt_in_a_save(trainer: Watched, run: Path, rng: random.Random) -> None:
    """Freeze a training while the temporary file of a checkpoint lies there."""
    while True:
        trainer.halt()
        if list(run.glob("checkpoints/*.tmp")):
            return
        trainer.go_on()
        trainer.watch_for(rng.uniform(0, 0.003))


class Dripping(BaseHTTPRequestHandler):
    """A mirror that needs a minute for MNIST's first file, and says to `server.sent` how far it is."""

    size, piece = 9_912_422, 2**14  # bytes

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(self.size))
        self.end_headers()
        for _ in range(self.size // self.piece):
            try:
                self.wfile.write(b"\x1f" * self.piece)
            except OSError:  # the reader is gone
                return
            self.server.sent.release()  # type: ignore[attr-defined]
            time.sleep(0.01)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def dripping_mirror() -> Iterator[tuple[str, threading.Semaphore]]:
    """Serve on a port of this machine; give its URL, and what is released for each 16 kB sent."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Dripping) as server:
        server.sent = sent = threading.Semaphore(0)  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", sent
        server.shutdown()


@pytest.mark.parametrize("case", range(amount(1, 25)))
def test_terminated_download_leaves_nothing_broken(case: int, tmp_path: Path, drawn_dir: Path) -> None:
    rng = random.Random(f"download {case}")
    with dripping_mirror() as (url, sent):
        if case % 2:
            fetching = start_nnctl("train", "--run-dir=run", "--data-dir=data", cwd=tmp_path, NNCTL_MIRRORS=url)
        else:
            fetching = start_nnctl("data", "fetch", "--mirror", url, "--data-dir=data", cwd=tmp_path)
        pieces = rng.randint(1, 40)
        for _ in range(pieces):
            assert sent.acquire(timeout=PATIENCE), "nothing was fetched"
        fetching.send_signal(signal.SIGTERM)
        _, err = fetching.communicate(timeout=PATIENCE)
        while sent.acquire(blocking=False):
            pieces += 1
    assert pieces < Dripping.size // Dripping.piece, "it waited for the file"
    assert fetching.returncode == 143, err
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {".lock"}
    # the folder of a run that did not begin is as good as new
    begun = run_nnctl("train", *settings(drawn_dir), "--run-dir=run", "--quiet", cwd=tmp_path)
    assert begun.returncode == 0, begun.stderr


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, drawn_dir: Path) -> Path:
    """A run of a second or more, which no other came near."""
    folder = tmp_path_factory.mktemp("undisturbed")
    finish(start_nnctl("train", *contended(drawn_dir), "--quiet", "--run-dir=run", cwd=folder))
    return folder / "run"


def contended(data: Path) -> tuple[str, ...]:
    """Options of a training that is long enough for another to come while it lasts."""
    return settings(data, *LONG, "--set=train.epochs=40", "--set=data.augment.name=none")


@pytest.mark.parametrize("case", range(amount(2, 100)))
def test_run_directory_lets_one_of_two_trainers_train_and_the_other_leave(
    case: int, tmp_path: Path, drawn_dir: Path, undisturbed: Path
) -> None:
    trainers = [start_nnctl("train", *contended(drawn_dir), "--quiet", "--run-dir=run", cwd=tmp_path) for _ in range(2)]
    latest = time.monotonic() + PATIENCE
    while all(trainer.poll() is None for trainer in trainers) and time.monotonic() < latest:
        time.sleep(0.002)
    loser, winner = sorted(trainers, key=lambda trainer: trainer.poll() is None)
    assert winner.poll() is None, f"case {case}: none left while the other trained"
    out, err = loser.communicate(timeout=PATIENCE)
    finish(winner)
    assert_spoken(subprocess.CompletedProcess(loser.args, loser.returncode, out, err), 8)
    assert_as_if_nothing_had_happened(tmp_path / "run", undisturbed)


@pytest.mark.parametrize("case", range(amount(1, 100)))
def test_killed_trainer_leaves_no_lock(case: int, tmp_path: Path, drawn_dir: Path, undisturbed: Path) -> None:
    rng = random.Random(f"lock {case}")
    with Watched(*contended(drawn_dir), "--run-dir=run", cwd=tmp_path) as holder:
        holder.watch_to(rng.randint(0, 2500))
        assert holder.end(signal.SIGKILL) == -signal.SIGKILL, holder.written.decode()
        resume(tmp_path / "run")
    assert_as_if_nothing_had_happened(tmp_path / "run", undisturbed)


@pytest.mark.parametrize(("recipe", "place"), RESUMED[:: amount(80, 1)])
def test_resumed_run_ends_with_the_same_bits_wherever_it_stopped(
    recipe: int, place: str, tmp_path: Path, drawn_dir: Path
) -> None:
    rng = random.Random(f"resume {recipe} {place}")
    optimizer, dropout, schedule = RECIPES[recipe]
    options = settings(
        drawn_dir,
        *LONG,
        "--set=train.epochs=8",
        f"--set=seed={recipe}",
        f"--set=optimizer.name={optimizer}",
        f"--set=network.dropout={dropout}",
        f"--set=schedule.name={schedule}",
        f"--set=data.augment.name={AUGMENTS[recipe % 3]}",
    )
    run, whole = tmp_path / "run", tmp_path / "whole"
    uninterrupted = start_nnctl("train", *options, "--quiet", "--run-dir=whole", cwd=tmp_path)
    number = signal.SIGKILL if place == "epoch end" else signal.SIGTERM
    arguments, stops, step = options, 0, 0
    while stops == 0 or (place == "mid-epoch" and step % 100 == 0) or (place == "twice" and stops < 2):
        with Watched(*arguments, "--run-dir=run", cwd=tmp_path) as trainer:
            trainer.watch_to(step + rng.randint(101, 250))  # the first epoch has been saved by then
            code = trainer.end(number)
            assert code == (143 if number == signal.SIGTERM else -number), trainer.written.decode()
        arguments, stops, step = ("--resume",), stops + 1, trainer.stopped_after
    resumed = resume(run)
    if place == "epoch end":
        assert (resumed > 0, resumed % 100) == (True, 0)
    else:
        assert resumed == step
    finish(uninterrupted)
    assert_as_if_nothing_had_happened(run, whole)
