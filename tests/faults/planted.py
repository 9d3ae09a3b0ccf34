"""Does the fault suite catch bugs? `python -m tests.faults.planted` plants them, one at a time, in a copy of nnctl.

Each bug is one expression, or one statement, in the place of another, and the tests that ought to fail by it. A place
is named by its module, its function and its code as `ast.unparse` writes it: lines, quotes and comments do not matter.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

from tests.support.files import ROOT

NEEDED = ("nnctl", "tests", "benchmarks", "configs", "pyproject.toml", "README.md", "requirements-dev.lock")


@dataclasses.dataclass(frozen=True)
class Bug:
    """What is wrong, where, and which file of tests/faults should notice.

    Attributes:
        name: what is wrong, in words.
        module: the file in nnctl/.
        function: its name, behind those of the classes and functions that it stands in: "Trainer.restore".
        right: an expression or a statement that the function holds once; `f(...)` is a call with any arguments.
        wrong: what stands there instead: an expression for an expression, statements for a statement.
        noticed_by: the tests that should fail, without "test_" and ".py".
    """

    name: str
    module: str
    function: str
    right: str
    wrong: str
    noticed_by: str


BUGS = (
    # saving
    Bug("no fsync of a file", "storage/durable.py", "atomic_file", "os.fsync(file.fileno())", "None", "power_cuts"),
    Bug(
        "no fsync of the folder", "storage/durable.py", "atomic_file", "sync_folder(path.parent)", "None", "power_cuts"
    ),
    Bug("write in place", "storage/durable.py", "atomic_file", "path.with_name(...)", "path", "saves"),
    Bug(
        "swallow write errors",
        "storage/durable.py",
        "atomic_file",
        'raise StorageError.from_os_error(f"write {path}", error) from error',
        "return",
        "saves",
    ),
    Bug("leave temporary files", "storage/durable.py", "sweep", "leftover.unlink()", "leftover.stat()", "saves"),
    Bug("no lock", "storage/durable.py", "locked", "lock.acquire(timeout=timeout)", "None", "kills"),
    Bug(
        "remove before saving",
        "run/runner.py",
        "_Run._save",
        "checkpoint.save(run.last, snapshot)",
        "run.last.unlink(missing_ok=True), checkpoint.save(run.last, snapshot)",
        "saves",
    ),
    # training and resuming
    Bug(
        "forget the optimizer's state",
        "train/trainer.py",
        "Trainer.restore",
        "state.arrays()",
        "own.arrays() | {n: a for n, a in state.arrays().items() if n.startswith('param/')}",
        "kills",
    ),
    Bug(
        "forget the random generators",
        "train/trainer.py",
        "Trainer.restore",
        "self.dropout, self.augmenting = streams",
        "pass",
        "kills",
    ),
    Bug(
        "forget how many steps were done",
        "train/trainer.py",
        "Trainer.restore",
        "self.optimizer.steps = state.step",
        "pass",
        "kills",
    ),
    Bug(
        "begin the epoch again",
        "train/trainer.py",
        "Trainer.batches",
        "shuffled[self.batch * self.batch_size:]",
        "shuffled",
        "kills",
    ),
    Bug(
        "ignore SIGTERM",
        "cli/signals.py",
        "stop_asked",
        "{number: signal.getsignal(number) for number in NUMBERS}",
        "{number: signal.getsignal(number) for number in NUMBERS if number != signal.SIGTERM}",
        "kills",
    ),
    Bug(
        "train on when the loss is no number",
        "train/trainer.py",
        "Trainer.step",
        "not math.isfinite(loss)",
        "False",
        "runaways",
    ),
    Bug(
        "save numbers that are not finite",
        "train/trainer.py",
        "Trainer.state",
        "not all(np.isfinite(vector).all() for vector in vectors)",
        "False",
        "runaways",
    ),
    # reading checkpoints
    Bug(
        "believe any array",
        "checkpoint.py",
        "_read_array",
        "_describe(array) != described",
        "False",
        "hostile_checkpoints",
    ),
    Bug(
        "believe any number",
        "checkpoint.py",
        "_check_array",
        "not np.isfinite(array).all()",
        "False",
        "hostile_checkpoints",
    ),
    Bug(
        "believe any meta entry",
        "checkpoint.py",
        "_read_meta",
        'canonical.sha256(meta | {"format_version": version}) != sha256',
        "False",
        "hostile_checkpoints",
    ),
    Bug(
        "read any format version",
        "checkpoint.py",
        "_read_meta",
        "version not in FORMAT_VERSIONS",
        "False",
        "old_checkpoints",
    ),
    # fetching
    Bug(
        "go on from refused connections alone",
        "data/download.py",
        "_Fetch.from_any_mirror",
        "faults[mirror] = str(fault)",
        "faults[mirror] = str(fault)\nif 'refuse' not in str(fault):\n    break",
        "mirrors",
    ),
    Bug(
        "take any bytes from a mirror",
        "data/download.py",
        "_Fetch.from_mirror",
        "digest.hexdigest() != file.sha256",
        "False",
        "mirrors",
    ),
    Bug("wait for a mirror for ever", "data/download.py", "_Fetch.pieces", "items.get(...)", "items.get()", "mirrors"),
    Bug(
        "believe any file in the cache",
        "data/cache.py",
        "_examine",
        "digest == (file.gz_sha256 if gzipped else file.sha256)",
        "True",
        "mirrors",
    ),
    # reading what users have
    Bug(
        "decode pictures of any size", "picture/decode.py", "_decoded", "_refuse_if_huge(...)", "None", "hostile_images"
    ),
    Bug(
        "let decoders raise what they like", "picture/decode.py", "_decoded", "Exception", "EOFError", "hostile_images"
    ),
    Bug(
        "let the last of two equal keys win",
        "config/files.py",
        "_YamlReader._mapping",
        "self.repeated if key in mapping else self.lines",
        "self.lines",
        "hostile_configs",
    ),
)


def planted(bug: Bug, source: str) -> str:
    """The module with the bug in its one place; LookupError says what is missing, or is there more than once."""
    functions = dict(functions_of(ast.parse(source)))
    where = f"{bug.name}: nnctl/{bug.module}"
    if bug.function not in functions:
        raise LookupError(f"{where} has no function {bug.function}")
    pattern = parsed(bug.right)
    found = list(places_of(pattern, functions[bug.function]))
    if len(found) != 1:
        elsewhere = [name for name, function in functions.items() if list(places_of(pattern, function))]
        raise LookupError(
            f"{where}, {bug.function}: {ast.unparse(pattern)!r} is there {len(found)} times, not once; "
            f"of all functions these hold it: {', '.join(elsewhere) or 'none'}"
        )
    (place,) = found
    if isinstance(place, ast.expr):
        return replaced(source, place, f"({bug.wrong})")
    return replaced(source, place, textwrap.indent(bug.wrong, " " * place.col_offset).lstrip())


def functions_of(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.AST]]:
    """Every function below a node, under its qualified name."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            if not isinstance(child, ast.ClassDef):
                yield prefix + child.name, child
            yield from functions_of(child, f"{prefix}{child.name}.")
        else:
            yield from functions_of(child, prefix)


def parsed(code: str) -> ast.expr | ast.stmt:
    """The expression or, if it is none, the one statement."""
    (statement,) = ast.parse(code).body
    return statement.value if isinstance(statement, ast.Expr) else statement


def places_of(pattern: ast.expr | ast.stmt, function: ast.AST) -> Iterator[ast.expr | ast.stmt]:
    """What a function holds that is the same code as a pattern."""
    for node in ast.walk(function):
        match node, pattern:
            case ast.Call(), ast.Call(func=called, args=[ast.Constant(value=value)], keywords=[]) if value is ...:
                if ast.unparse(node.func) == ast.unparse(called):
                    yield node
            case (ast.expr() | ast.stmt(), _) if not isinstance(node, ast.Expr):  # which is no more than its value
                if ast.unparse(node) == ast.unparse(pattern):
                    yield node


def replaced(source: str, place: ast.expr | ast.stmt, code: str) -> str:
    """The source with other code in a place."""
    lines = source.encode().splitlines(keepends=True)  # columns are counted in bytes
    assert place.end_lineno is not None
    assert place.end_col_offset is not None
    before = b"".join(lines[: place.lineno - 1]) + lines[place.lineno - 1][: place.col_offset]
    after = lines[place.end_lineno - 1][place.end_col_offset :] + b"".join(lines[place.end_lineno :])
    return (before + code.encode() + after).decode()


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
    path.write_text(planted(bug, path.read_text("utf-8")), "utf-8")


def main() -> None:
    """Plant each bug, or those whose names hold a word, and say which were caught; without a bug, all must pass."""
    parser = argparse.ArgumentParser(description="Plant bugs one at a time: does the fault suite catch them?")
    parser.add_argument("word", nargs="?", default="", help="only bugs whose names hold it")
    bugs = [bug for bug in BUGS if parser.parse_args().word in bug.name]
    if "MNIST_MIRROR" not in os.environ:
        raise SystemExit("set MNIST_MIRROR to the URL of a mirror: without it the tests of mirrors are skipped")
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
