"""Bad input, as one table: each case has an exit code, one message, one hint, and changes or loses nothing.

A case names what it needs in the test's folder: `bad` writes files there, `run` is a trained run to spoil.
"""

import ast
import errno
import os
import shutil
import stat
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import nnctl.errors
from nnctl.data.catalog import CATALOG
from nnctl.data.synthetic import draw
from tests.support.checkpoints import forged, members_of, npy, read_arrays, read_meta, zipped
from tests.support.cli import Cli
from tests.support.files import contents, failing
from tests.support.pictures import encoded

Arrays = dict[str, NDArray[Any]]

IMAGES, LABELS, TEST_IMAGES, TEST_LABELS = (f"{file.name}.gz" for file in CATALOG["mnist"].files)
BEST = Path("run/checkpoints/best.npz")


@dataclass(frozen=True)
class Case:
    """One case of bad input.

    Attributes:
        name: what is bad.
        command: the command line.
        code: the exit code.
        words: what the message must say.
        files: what lies in the folder: path -> content.
        spoil: what is done to the folder beforehand, where a content is not enough.
    """

    name: str
    command: str
    code: int
    words: str
    files: Mapping[str, str | bytes] | None = None
    spoil: Callable[[], None] | None = None

    def prepare(self) -> None:
        """Put the bad input into the current folder."""
        for path, content in (self.files or {}).items():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_bytes(content.encode() if isinstance(content, str) else content)
        if self.spoil is not None:
            self.spoil()


def yaml(name: str, text: str | bytes, words: str) -> Case:
    return Case(f"YAML with {name}", "train bad.yaml", 2, words, {"bad.yaml": text})


def toml(name: str, text: str, words: str) -> Case:
    return Case(f"TOML with {name}", "train bad.toml", 2, words, {"bad.toml": text})


CONFIGS = (
    yaml(
        "an unknown key", "optimizer:\n  learning_rat: 1\n", "bad.yaml:2: optimizer.learning_rat: unknown key; did you"
    ),
    yaml("an unknown section", "trian:\n  epochs: 1\n", "bad.yaml:1: trian: unknown key; did you mean train?"),
    yaml("a duplicate key", "seed: 1\nseed: 2\n", "bad.yaml:2: seed: is given twice; first on line 1"),
    yaml(
        "text for a number",
        "train:\n  epochs: ten\n",
        "train.epochs: must be a whole number from 1 to 100000, not 'ten'",
    ),
    yaml("a number in quotes", 'seed: "1"\n', "seed: must be a whole number"),
    yaml("a number for a section", "train: 3\n", "train: must be a group of keys"),
    yaml("nan", "optimizer:\n  learning_rate: .nan\n", "optimizer.learning_rate: must be a number above 0"),
    yaml("infinity", "optimizer:\n  learning_rate: .inf\n", "optimizer.learning_rate: must be a number above 0"),
    yaml("nothing in it", "", "bad.yaml: is empty"),
    yaml("only a comment", "# later\n", "bad.yaml: is empty"),
    yaml("a list at the top", "- seed\n- 1\n", "bad.yaml:1: holds a list where keys and values belong"),
    yaml("2,000 nested brackets", "a: " + "[" * 2000 + "]" * 2000, "bad.yaml:1:24: is nested deeper than 20 levels"),
    yaml("bytes of a program", b"\x7fELF\x02\x01\x00\xff\xfe", "bad.yaml: is not UTF-8 text"),
    yaml("bad syntax", "seed: [1\n", "bad.yaml:2:1: is not valid YAML"),
    toml("an unknown key", "[network]\nhiden = [16]\n", "network.hiden: unknown key; did you mean network.hidden?"),
    toml("a duplicate key", "seed = 1\nseed = 2\n", "bad.toml:2:9: is not valid TOML"),
    toml("nan", "[optimizer]\nlearning_rate = nan\n", "optimizer.learning_rate: must be a number above 0"),
    toml("nothing in it", "", "bad.toml: is empty"),
    toml("2,000 nested brackets", "a = " + "[" * 2000 + "]" * 2000, "bad.toml: brackets are nested too deeply"),
    toml("YAML in it", "seed: 1\n", "bad.toml:1:5: is not valid TOML"),
    Case("a config that is not there", "train mnits.yaml", 2, "mnits.yaml: no such file", {"mnist.yaml": "seed: 1\n"}),
    Case("a config in another format", "train bad.json", 2, "is neither YAML", {"bad.json": "{}"}),
    Case("an override without a value", "train --set seed", 2, "--set: must be KEY=VALUE, not 'seed'"),
    Case("an override of no key", "train --set sead=1", 2, "--set: sead: unknown key; did you mean seed?"),
    Case("an option out of range", "train --threads 0", 2, "'0' is neither auto nor a whole number from 1"),
)

MNIST = "train --offline --data-dir d --set data.dataset=mnist"


def put_a_file_in_its_place() -> None:
    Path("d").write_text("not a folder")


DATA = (
    Case("no IDX files", MNIST, 3, f"{IMAGES} is missing"),
    Case("a truncated IDX file", MNIST, 3, "has 20 bytes instead of 28,881", {f"d/{LABELS}": b"\x1f\x8b" + b"x" * 18}),
    Case("an empty IDX file", MNIST, 3, "is empty", {f"d/mnist/{LABELS}": ""}),
    Case("a web page as IDX file", MNIST, 3, "is not gzipped: it begins with 3c 68 74 6d", {f"d/{IMAGES}": "<html>"}),
    Case("foreign bytes of the right size", MNIST, 3, "is damaged", {f"d/{TEST_LABELS}": b"\x1f\x8b" + bytes(4540)}),
    Case(
        "damaged MNIST, which is no reason to fall back",
        "train --offline --data-dir d",
        3,
        "is empty",
        {f"d/{LABELS}": ""},
    ),
    Case("a file as data folder", MNIST, 3, "d is not a folder", spoil=put_a_file_in_its_place),
)


DIGIT = encoded(Image.fromarray(draw(1, seed=0)[0][0]))
WIDE = encoded(Image.new("1", (20_000, 20)))
SCRIBBLE = encoded(Image.effect_noise((64, 64), 80))


def picture(name: str, content: str | bytes, words: str) -> Case:
    return Case(name, "predict bad.png --checkpoint run", 5, words, {"bad.png": content})


IMAGE_FILES = (
    picture("an empty picture", "", "bad.png: the file is empty"),
    picture("a truncated picture", SCRIBBLE[: len(SCRIBBLE) // 2], "bad.png: "),
    picture("a picture 20,000 px wide", WIDE, "bad.png: the picture is 20000 x 20 pixels"),
    picture("a text as picture", "Dear Sir or Madam,\n", "bad.png: not a PNG, JPEG, BMP, GIF or WebP picture"),
    picture("a blank page", encoded(Image.new("L", (200, 200), 255)), "bad.png: "),
    Case("a picture that is not there", "predict no.png --checkpoint run", 5, "no.png: cannot be read: No such file"),
    Case("a folder without pictures", "predict d --checkpoint run", 5, "d: holds no pictures", {"d/notes.txt": "none"}),
    Case("standard input without a picture", "predict - --checkpoint run", 5, "standard input: the file is empty"),
)


def rewrite(change: Callable[[Arrays, dict[str, Any]], None]) -> Callable[[], None]:
    """A checkpoint in which arrays or meta are changed, and every hash is right again."""

    def spoil() -> None:
        data = BEST.read_bytes()
        arrays, meta = read_arrays(data), read_meta(data)
        change(arrays, meta)
        BEST.write_bytes(forged(data, arrays, **meta))

    return spoil


def another_version(_: Arrays, meta: dict[str, Any]) -> None:
    meta["format_version"] = 3


def another_network(_: Arrays, meta: dict[str, Any]) -> None:
    meta["config"]["network"]["hidden"] = [32]


def not_finite(arrays: Arrays, _: dict[str, Any]) -> None:
    arrays["param/output.bias"][3] = np.nan


def too_large(arrays: Arrays, _: dict[str, Any]) -> None:
    for name in arrays:
        arrays[name] = arrays[name] * np.float32(1e37)


def another_key(_: Arrays, meta: dict[str, Any]) -> None:
    meta["config"]["optimizer"]["lr"] = 0.1


def cut_off() -> None:
    BEST.write_bytes(BEST.read_bytes()[:-1000])


def reshaped() -> None:
    members = members_of(BEST.read_bytes())
    array = read_arrays(BEST.read_bytes())["param/hidden1.weight"].reshape(16, 784)
    BEST.write_bytes(zipped(*(members | {"param/hidden1.weight.npy": npy(array)}).items()))


def holding_an_object() -> None:
    class Canary:
        def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
            return os.mkdir, ("canary",)  # a new folder would show that it ran

    canary = npy(np.array([Canary()], object), allow_pickle=True)
    BEST.write_bytes(zipped(*(members_of(BEST.read_bytes()) | {"param/hidden1.bias.npy": canary}).items()))


def holding_a_member_twice() -> None:
    with zipfile.ZipFile(BEST, "a") as archive:
        content = archive.read("param/output.bias.npy")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("param/output.bias.npy", content)


def checkpoint(name: str, spoil: Callable[[], None], words: str) -> Case:
    return Case(f"a checkpoint {name}", "eval run", 4, f"{BEST}: {words}", spoil=spoil)


def replaced_by(content: bytes) -> Callable[[], None]:
    def spoil() -> None:
        BEST.write_bytes(content)

    return spoil


CHECKPOINTS = (
    checkpoint("that is truncated", cut_off, "is not a whole checkpoint"),
    checkpoint("of another format version", rewrite(another_version), "is of format version 3; this nnctl reads"),
    checkpoint("holding objects", holding_an_object, "holds 'param/hidden1.bias' in another size"),
    checkpoint("with a changed shape", reshaped, "holds 'param/hidden1.weight' with another header"),
    checkpoint("with a duplicate member", holding_a_member_twice, "holds 'param/output.bias' twice"),
    checkpoint("with NaN", rewrite(not_finite), "holds numbers in 'param/output.bias' that are not finite"),
    checkpoint("of another network than its arrays", rewrite(another_network), "its configuration does not fit"),
    checkpoint("with weights too large to compute with", rewrite(too_large), "its outputs are not finite numbers"),
    Case(
        "a checkpoint with weights too large to read with",
        "predict good.png --checkpoint run",
        4,
        f"{BEST}: its outputs are not finite numbers",
        {"good.png": DIGIT},
        rewrite(too_large),
    ),
    checkpoint("with a key of another program", rewrite(another_key), "optimizer.lr: unknown key"),
    checkpoint("that is empty", replaced_by(b""), "is not a whole checkpoint"),
    checkpoint("that is a text", replaced_by(b"weights\n"), "is not a whole checkpoint"),
    Case("a checkpoint that is not there", "eval nowhere", 4, "nowhere: no such file"),
    Case("a folder without a checkpoint", "eval empty", 4, "empty: holds no checkpoint", {"empty/notes.txt": ""}),
    Case("no run at all", "eval", 4, "no run found in runs/"),
)

RUNS = (Case("a run directory that is used", "train --run-dir run", 2, "run: holds a run already"),)

CASES = (*CONFIGS, *DATA, *IMAGE_FILES, *CHECKPOINTS, *RUNS)


def here() -> dict[str, bytes | None]:
    """What lies in the current folder, but for locks."""
    return {path: data for path, data in contents(Path.cwd()).items() if Path(path).name != ".lock"}


def check(answer: tuple[int, str, str], code: int, words: str) -> None:
    """One message that says so, one hint, the right exit code, and no result."""
    left, out, err = answer
    first, *between, last = err.splitlines()
    assert (left, out) == (code, ""), err
    assert first.startswith("nnctl: error: ")
    assert all(line.startswith("  ") for line in between)
    assert last.startswith("hint: ")
    assert len(last) > len("hint: ")
    assert words in err
    assert "Traceback" not in err
    assert "internal error" not in err


@pytest.fixture
def run(cli: Cli, small_run: Path) -> Cli:
    """`cli`, in a folder that holds a trained run."""
    shutil.copytree(small_run, "run")
    return cli


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_gets_one_message_and_changes_nothing(case: Case, run: Cli) -> None:
    case.prepare()
    before = here()
    check(run(*case.command.split()), case.code, case.words)
    assert here() == before


def test_errors_that_nnctl_raises_all_have_a_hint() -> None:
    errors = {name for name, value in vars(nnctl.errors).items() if name.endswith("Error") and isinstance(value, type)}
    modules = sorted(Path(nnctl.__file__).parent.rglob("*.py"))
    calls = [
        (path.name, ast.unparse(node), len(node.args) + len(node.keywords))
        for path in modules
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in errors
    ]
    assert len(calls) > 60
    # no user of a command meets an ArgumentError, whose message says what is expected; the caller of files.parse_value
    # says where the value stood, and adds a hint
    bare = [call[:2] for call in calls if call[2] < 2 and not call[1].startswith("ArgumentError")]
    assert bare == [("files.py", "ConfigError(problem.reason)")]


def test_config_show_reads_1e_3_as_a_number_though_yaml_1_1_does_not(cli: Cli) -> None:
    Path("good.yaml").write_text("optimizer:\n  learning_rate: 1e-3\n")
    assert "learning_rate: 0.001\n" in cli("config", "show", "good.yaml")[1]


def test_train_reports_all_config_errors_at_once(cli: Cli) -> None:
    Path("bad.yaml").write_text("sed: 1\ntrain:\n  epochs: 0\n")
    answer = cli("train", "bad.yaml", "--set", "loss=none", "--set", "data.validation=-1")
    check(answer, 2, "4 errors in the configuration")
    assert answer[2].count("\n  ") == 4


@pytest.mark.mnist
def test_train_recognises_swapped_mnist_files(cli: Cli, mnist_files: Path) -> None:
    swapped = dict(
        zip((IMAGES, LABELS, TEST_IMAGES, TEST_LABELS), (IMAGES, TEST_LABELS, TEST_IMAGES, LABELS), strict=True)
    )
    Path("d").mkdir()
    for name, origin in swapped.items():
        shutil.copy(mnist_files / origin, Path("d") / name)
    check(cli(*MNIST.split()), 3, f"{LABELS} holds t10k-labels-idx1-ubyte of MNIST")


def test_train_leaves_a_run_directory_in_use_alone(run: Cli) -> None:
    before = here()
    with filelock.FileLock("run/.lock"):
        check(run("train", "--resume", "--run-dir", "run"), 8, "run: another process is training here")
    assert here() == before


# What the file system refuses

SAVING = {
    "train": "train --resume --run-dir run --set train.epochs=3 --quiet",
    "export": "data export test:7 digit.png --dataset synthetic",
    "predict": "predict digit.png --checkpoint run --save-preprocessed run",
    "init": "config init my.yaml",
}


@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO], ids=os.strerror)
@pytest.mark.parametrize("command", SAVING)
def test_commands_report_a_failed_write_and_lose_nothing(
    command: str, reason: int, run: Cli, drawn_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NNCTL_DATA_DIR", str(drawn_dir))
    Path("digit.png").write_bytes(DIGIT)
    before = here()
    monkeypatch.setattr("nnctl.storage.durable.os.fsync", failing(reason))
    check(run(*SAVING[command].split()), 6, os.strerror(reason))
    assert here() == before


@pytest.mark.skipif(os.name == "nt", reason="needs a limit on the size of files")
def test_train_keeps_the_last_checkpoint_when_the_disk_fills_up(run: Cli) -> None:
    import resource

    before = here()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))  # config.yaml fits, a checkpoint does not
    try:
        code, out, err = run("train", "--resume", "--run-dir", "run", "--set", "train.epochs=3", "--quiet")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    _, _, error = err.partition("\n")  # the first line warns that more epochs bend the schedule
    check((code, out, error), 6, os.strerror(errno.EFBIG))
    assert ".npz: " in error
    assert here()["run/checkpoints/last.npz"] == before["run/checkpoints/last.npz"]
    assert run("checkpoint", "verify", "run")[0] == 0
    assert run("train", "--resume", "--run-dir", "run", "--quiet")[0] == 0


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("command", SAVING)
def test_commands_report_a_read_only_folder(
    command: str, run: Cli, drawn_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NNCTL_DATA_DIR", str(drawn_dir))
    Path("digit.png").write_bytes(DIGIT)
    folders = [Path(), Path("run"), Path("run/checkpoints")]
    for folder in folders:
        folder.chmod(stat.S_IREAD | stat.S_IEXEC)
    try:
        check(run(*SAVING[command].split()), 6, os.strerror(errno.EACCES))
    finally:
        for folder in folders:
            folder.chmod(stat.S_IRWXU)
