"""The README is right: its commands run as they stand, and every command of nnctl is among them."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from nnctl.cli import nnctl
from nnctl.data import load_dataset
from nnctl.picture.decode import to_png
from tests.support.cli import commands
from tests.support.files import ROOT
from tests.support.process import environment

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = {" ".join(("nnctl", *words)): command for words, command in commands(nnctl)}
UNJUDGED = {"NNCTL_JUDGE": "false"}  # to train a judge takes longer than all the rest; `default_run` has one


def shown() -> list[str]:
    """The command lines behind a $ in the README's console blocks, in order."""
    blocks = re.findall(r"^```console\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]


@pytest.mark.parametrize(("path", "command"), COMMANDS.items(), ids=COMMANDS)
def test_readme_shows_an_example_from_the_help_of_every_command(path: str, command: click.Command) -> None:
    examples = [line.strip() for line in (command.epilog or "").splitlines() if line.strip().startswith("nnctl")]
    assert examples, path
    for example in examples:
        assert example.startswith(path), example
    assert any(line == example for line in shown() for example in examples), path


@pytest.mark.mnist
@pytest.mark.skipif(sys.platform == "win32", reason="the README's console blocks are for a POSIX shell")
def test_readme_commands_run_as_they_stand(mnist_dir: Path, drawn_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    data = tmp_path / "datasets"
    data.mkdir()
    (data / "mnist").symlink_to(mnist_dir / "mnist")
    (data / "synthetic").symlink_to(drawn_dir / "synthetic")
    variables = {
        "NNCTL_DATA_DIR": str(data),
        "NNCTL_DATA_TRAIN_LIMIT": "3000",
        **UNJUDGED,
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
    }
    for name, content in re.findall(r"^```yaml\n# (\S+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL):
        (tmp_path / name).write_text(f"# {name}\n{content}")
    lines = shown()
    assert len(lines) > 20
    for line in lines:
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=tmp_path,
            env=environment(**variables),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == (2 if line in failing() else 0), f"{line}\n{done.stdout}\n{done.stderr}"


def failing() -> list[str]:
    """The command lines that the README shows for the errors they report."""
    return re.findall(r"^```console\n\$ ([^\n]*)\nnnctl: error: ", README, re.MULTILINE)


# as a library


def python_blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def scripts() -> list[str]:
    """The blocks that stand for themselves; the others are parts of the source."""
    return [block for block in python_blocks() if block.startswith("from ")]


def test_readme_excerpts_stand_in_the_source() -> None:
    source = [line.strip() for line in (ROOT / "nnctl" / "train" / "trainer.py").read_text("utf-8").splitlines()]
    excerpts = [block for block in python_blocks() if block not in scripts()]
    assert len(excerpts) == 2
    for block in excerpts:
        lines = [line.strip() for line in block.splitlines()]
        assert any(source[start : start + len(lines)] == lines for start in range(len(source))), block


def test_readme_script_is_short() -> None:
    assert len([line for line in scripts()[0].splitlines() if line.strip()]) <= 12


@pytest.mark.mnist
def test_readme_scripts_run_as_they_stand(mnist_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(mnist_dir)
    mnist = load_dataset("mnist", mnist_dir, offline=True)
    (tmp_path / "seven.png").write_bytes(to_png(mnist.test.images[0]))
    first, second = scripts()
    variables = environment(**UNJUDGED)
    for script in (first, second):
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=tmp_path, env=variables, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), script
        if script is first:
            *epochs, last = done.stdout.splitlines()
            assert [line.split(":")[0] for line in epochs] == [f"epoch {n}" for n in range(1, 6)]
            assert float(last.split()[0]) > 0.97
            assert last.split()[1] == "7"
        else:
            *_, measured, read = done.stdout.splitlines()
            assert measured.endswith("(3, 10)")
            assert (read.split()[0], read.split()[2]) == ("7", "None")
            assert (tmp_path / "runs" / "from-python" / "run.json").is_file()
