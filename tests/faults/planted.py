"""Does the fault suite catch bugs? `python tests/faults/planted.py` plants them, one at a time, in a copy of nnctl.

Each bug is one text in the place of another, which must occur exactly once, and the tests that ought to fail by it.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
NEEDED = ("nnctl", "tests", "benchmarks", "configs", "pyproject.toml", "README.md", "requirements-dev.lock")


@dataclasses.dataclass(frozen=True)
class Bug:
    """What is wrong, where, and which file of tests/faults should notice."""

    name: str
    module: str
    right: str
    wrong: str
    noticed_by: str


BUGS = (
    Bug("no fsync of a file", "storage/durable.py", "os.fsync(file.fileno())", "file.fileno()", "power_cuts"),
    Bug("no fsync of the folder", "storage/durable.py", "        sync_folder(path.parent)\n", "", "power_cuts"),
    Bug(
        "write in place",
        "storage/durable.py",
        'path.with_name(f"{_PREFIX}{os.urandom(8).hex()}{_SUFFIX}")',
        "path",
        "saves",
    ),
    Bug(
        "swallow write errors",
        "storage/durable.py",
        'raise StorageError.from_os_error(f"write {path}", error) from error\n\n\ndef write_whole',
        "return\n\n\ndef write_whole",
        "saves",
    ),
    Bug(
        "leave temporary files",
        "storage/durable.py",
        "            leftover.unlink()",
        "            leftover.stat()",
        "saves",
    ),
    Bug("no lock", "storage/durable.py", "        lock.acquire(timeout=timeout)", "        pass", "kills"),
    Bug(
        "remove before saving",
        "cli/train.py",
        "        checkpoint.save(run.last, snapshot)\n",
        "        run.last.unlink(missing_ok=True)\n        checkpoint.save(run.last, snapshot)\n",
        "saves",
    ),
    Bug(
        "forget the optimizer's state",
        "train.py",
        "build.restore(self.plan.optimizer.state, checkpoint.optimizer)",
        "pass",
        "kills",
    ),
    Bug(
        "forget the random generators",
        "train.py",
        "rng.bit_generator.state = meta.generators[purpose]",
        "meta.generators[purpose]",
        "kills",
    ),
    Bug("forget how many steps were done", "train.py", "self.plan.optimizer.steps = meta.step", "pass", "kills"),
    Bug("begin the epoch again", "train.py", "order[training.batch * plan.batch_size :]", "order", "kills"),
    Bug("ignore SIGTERM", "cli/signals.py", '("SIGINT", "SIGTERM", "SIGHUP")', '("SIGINT", "SIGHUP")', "kills"),
    Bug("train on when the loss is no number", "train.py", "if not math.isfinite(loss):", "if False:", "runaways"),
    Bug(
        "save numbers that are not finite",
        "train.py",
        "if not all(np.isfinite(vector).all() for vector in vectors):",
        "if False:",
        "runaways",
    ),
    Bug("believe any array", "checkpoint.py", "if _describe(array) != described:", "if False:", "hostile_checkpoints"),
    Bug("believe any number", "checkpoint.py", "if not np.isfinite(array).all():", "if False:", "hostile_checkpoints"),
    Bug(
        "believe any meta entry",
        "checkpoint.py",
        'if _sha256(meta | {"format_version": version}) != sha256:',
        "if False:",
        "hostile_checkpoints",
    ),
    Bug("read any format version", "checkpoint.py", "if version != FORMAT_VERSION:", "if False:", "old_checkpoints"),
    Bug(
        "go on from refused connections alone",
        "data/download.py",
        "if fault.lasting:",
        "if 'refuse' not in str(fault):\n                    break\n                if fault.lasting:",
        "mirrors",
    ),
    Bug(
        "take any bytes from a mirror",
        "data/download.py",
        "if digest.hexdigest() != file.sha256:",
        "if False:",
        "mirrors",
    ),
    Bug(
        "wait for a mirror for ever",
        "data/download.py",
        "items.get(timeout=max(0.0, min(window_end, self.deadline) - time.monotonic()))",
        "items.get()",
        "mirrors",
    ),
    Bug(
        "believe any file in the cache",
        "data/cache.py",
        "if digest == (file.gz_sha256 if gzipped else file.sha256):",
        "if True:",
        "mirrors",
    ),
    Bug(
        "decode pictures of any size",
        "picture/decode.py",
        "            _refuse_if_huge(picture, held_whole=limits.comes_in_passes(data))\n",
        "",
        "hostile_images",
    ),
    Bug(
        "let decoders raise what they like",
        "picture/decode.py",
        "except Exception as error:",
        "except EOFError as error:",
        "hostile_images",
    ),
    Bug(
        "let the last of two equal keys win",
        "config/files.py",
        "self.repeated if key in mapping else self.lines",
        "self.lines",
        "hostile_configs",
    ),
)


def copied(folder: Path) -> Path:
    """A copy of the project in `folder`; the path of its package."""
    for name in NEEDED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    return folder / "nnctl"


def passed(folder: Path, tests: str) -> bool:
    """Whether the copy of the project in `folder` passes these tests of its own."""
    file = folder / "tests" / "faults" / f"test_{tests}.py"
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", str(file)]
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(f"the tests could not be run: {done.stdout}{done.stderr}")
    return done.returncode == 0


def plant(bug: Bug, package: Path) -> None:
    """Put what is wrong in the place of what is right."""
    path = package / bug.module
    text = path.read_text("utf-8")
    if text.count(bug.right) != 1:
        raise SystemExit(f"{bug.name}: {bug.right!r} occurs {text.count(bug.right)} times in {bug.module}")
    path.write_text(text.replace(bug.right, bug.wrong), "utf-8")


def main() -> None:
    """Plant each bug, or those whose names hold a word, and say which were caught; without a bug, all must pass."""
    parser = argparse.ArgumentParser(description="Plant bugs one at a time: does the fault suite catch them?")
    parser.add_argument("word", nargs="?", default="", help="only bugs whose names hold it")
    bugs = [bug for bug in BUGS if parser.parse_args().word in bug.name]
    with tempfile.TemporaryDirectory() as folder:
        copied(Path(folder))
        for tests in dict.fromkeys(bug.noticed_by for bug in bugs):
            if not passed(Path(folder), tests):
                raise SystemExit(f"test_{tests}.py fails without any bug planted")
    escaped = 0
    for bug in bugs:
        with tempfile.TemporaryDirectory() as folder:
            plant(bug, copied(Path(folder)))
            found = not passed(Path(folder), bug.noticed_by)
        escaped += not found
        print(f"{'caught ' if found else 'ESCAPED'}  {bug.name}", flush=True)
    print(f"{len(bugs) - escaped} of {len(bugs)} caught")
    raise SystemExit(bool(escaped))


if __name__ == "__main__":
    main()
