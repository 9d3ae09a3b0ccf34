"""`nnctl checkpoint`: what a file holds, whether it is whole, and the number that identifies it."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import filelock
import pytest

from nnctl import checkpoint
from nnctl.data import Examples, synthetic
from nnctl.judge import train_judge
from nnctl.model import Model
from tests.support.cli import Cli
from tests.support.runs import info


def test_checkpoint_info_tells_what_a_checkpoint_holds(cli: Cli, small_run: Path) -> None:
    code, out, err = cli("checkpoint", "info", small_run)
    assert (code, err) == (0, "")
    lines = dict(line.split(None, 1) for line in out.splitlines() if not line.startswith("array"))
    assert lines["checkpoint"] == str(small_run / "checkpoints" / "best.npz")
    digests = cli("checkpoint", "digest", small_run)[1].splitlines()
    assert digests[0] == f"{lines['digest']}  {lines['checkpoint']}"
    assert digests[1].endswith("last.npz")
    assert lines["trained"].startswith("2 epochs, 64 steps")
    assert lines["best"].startswith("epoch 2: validation accuracy")
    assert "array       param/hidden1.weight (784, 16)" in out
    assert lines["pictures"] == f"no judge, temperature {Model.load(small_run).temperature:.3f}"
    assert "pictures" not in cli("checkpoint", "info", small_run / "checkpoints" / "last.npz").out


def test_checkpoint_info_names_the_judge(cli: Cli, own_run: Path) -> None:
    best = own_run / "checkpoints" / "best.npz"
    judge = train_judge(Examples(*synthetic.draw(10, 0)), 0).params()
    checkpoint.save(best, dataclasses.replace(checkpoint.load(best), judge=judge))
    answer = cli("checkpoint", "info", best)
    assert "\npictures    a judge, temperature " in answer.out
    assert "\narray       judge/hidden.weight (784, 256)\n" in answer.out
    assert cli("checkpoint", "info", best, "--json").json["arrays"]["judge/output.bias"] == [11]


def test_checkpoint_info_tells_programs_more(cli: Cli, small_run: Path) -> None:
    code, out, _ = cli("checkpoint", "info", small_run, "--json")
    assert code == 0
    told = json.loads(out)
    assert told["schema_version"] == 1
    assert told["format_version"] == 2
    assert told["reading"].keys() == {"temperature"}
    assert (told["epoch"], told["step"], told["batch"]) == (2, 64, 0)
    assert told["arrays"]["param/output.bias"] == [10]
    assert told["config"]["network"]["hidden"] == [16]
    assert [entry["epoch"] for entry in told["history"]] == [1, 2]


def test_checkpoint_digest_is_the_one_that_training_reported(cli: Cli, small_run: Path) -> None:
    reported = info(small_run)["digest"]
    last = small_run / "checkpoints" / "last.npz"
    assert cli("checkpoint", "digest", last) == (0, f"{reported}\n", "")


def test_checkpoint_verify_accepts_files_and_whole_runs(cli: Cli, own_run: Path) -> None:
    files = [own_run / "checkpoints" / name for name in ("best.npz", "last.npz")]
    expected = "".join(f"{file}: ok\n" for file in files)
    assert cli("checkpoint", "verify", *files) == (0, expected, "")
    assert cli("checkpoint", "verify", own_run) == (0, expected, "")


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_checkpoint_verify_names_the_damaged_among_the_good(as_json: bool, cli: Cli, own_run: Path) -> None:
    best, last = (own_run / "checkpoints" / name for name in ("best.npz", "last.npz"))
    content = bytearray(best.read_bytes())
    content[len(content) // 2] ^= 1  # a single bit, within an array
    best.write_bytes(content)
    code, out, err = cli("checkpoint", "verify", own_run, *(["--json"] if as_json else []))
    assert code == 4
    assert "1 of 2 checkpoints cannot be used" in err
    first, second = out.splitlines()
    if as_json:
        assert json.loads(first).items() >= {"path": str(best), "ok": False}.items()
        assert json.loads(second).items() >= {"path": str(last), "ok": True}.items()
    else:
        assert first.startswith(f"damaged: {best}: ")
        assert second == f"{last}: ok"


def test_checkpoint_verify_does_not_pass_over_a_folder_without_a_checkpoint(
    cli: Cli, own_run: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    code, out, err = cli("checkpoint", "verify", own_run / "checkpoints" / "last.npz", tmp_path / "empty")
    assert code == 4
    assert out.splitlines()[1].startswith(f"damaged: {tmp_path / 'empty'}: ")
    assert "1 of 2 checkpoints" in err


@pytest.fixture
def vanishing(own_run: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`vanishing("step-000000007.npz")`: listed like any other checkpoint, and removed before it is read."""
    load = checkpoint.load

    def vanish(*names: str) -> None:
        files = [own_run / "checkpoints" / name for name in names]
        for file in files:
            file.touch()

        def load_later(path: Path) -> checkpoint.Checkpoint:
            for file in files:
                file.unlink(missing_ok=True)
            return load(path)

        monkeypatch.setattr(checkpoint, "load", load_later)

    return vanish


@pytest.mark.parametrize("command", ["verify", "digest"])
def test_what_a_training_has_removed_since_it_was_listed_is_passed_over(
    command: str, cli: Cli, own_run: Path, vanishing: Callable[..., None]
) -> None:
    expected = cli("checkpoint", command, own_run)
    vanishing("a.npz", "step-000000007.npz")
    assert expected[0] == 0
    assert cli("checkpoint", command, own_run) == expected


@pytest.mark.parametrize("command", ["verify", "digest"])
def test_what_was_named_and_is_gone_is_an_error(
    command: str, cli: Cli, own_run: Path, vanishing: Callable[..., None]
) -> None:
    vanishing("a.npz")
    code, out, err = cli("checkpoint", command, own_run / "checkpoints" / "a.npz")
    assert code == 4
    assert "a.npz: no such file" in out + err


@pytest.mark.parametrize("command", ["verify", "digest"])
def test_a_run_of_which_nothing_is_left_is_an_error(
    command: str, cli: Cli, own_run: Path, vanishing: Callable[..., None]
) -> None:
    vanishing("best.npz", "last.npz")
    assert cli("checkpoint", command, own_run)[0] == 4


@pytest.mark.parametrize("command", ["verify", "digest"])
def test_a_link_to_nowhere_is_not_passed_over(command: str, cli: Cli, own_run: Path) -> None:
    (own_run / "checkpoints" / "a.npz").symlink_to("nowhere")
    code, out, err = cli("checkpoint", command, own_run)
    assert code == 4
    assert "a.npz: no such file" in out + err


@pytest.mark.parametrize("command", ["info", "digest", "verify"])
def test_checkpoint_commands_refuse_arrays_that_are_not_those_of_the_configuration(
    command: str, cli: Cli, own_run: Path
) -> None:
    path = own_run / "checkpoints" / "last.npz"
    saved = checkpoint.load(path)
    config = {**saved.config, "network": saved.config["network"] | {"hidden": [17]}}
    checkpoint.save(path, dataclasses.replace(saved, config=config))
    code, out, err = cli("checkpoint", command, path)
    assert code == 4
    assert "its configuration does not fit its arrays" in out + err


@pytest.mark.parametrize("command", ["info", "digest", "verify"])
def test_checkpoint_commands_take_a_name_that_no_file_can_have_for_that_of_no_checkpoint(
    command: str, cli: Cli
) -> None:
    assert cli("checkpoint", command, "n" * 300)[0] == 4


def test_checkpoint_verify_leaves_a_name_of_two_lines_on_one(cli: Cli, own_run: Path) -> None:
    odd = own_run.with_name("odd\nname")
    own_run.rename(odd)
    code, out, _ = cli("checkpoint", "verify", odd)
    assert (code, len(out.splitlines())) == (0, 2)
    assert "odd\\nname" in out


@pytest.mark.parametrize("command", ["info", "digest"])
def test_checkpoint_commands_take_the_newest_run_unless_another_is_named(command: str, cli: Cli, own_run: Path) -> None:
    relative = own_run.relative_to(Path.cwd())
    assert cli("checkpoint", command) == cli("checkpoint", command, relative)
    assert cli("checkpoint", command)[0] == 0


def test_checkpoint_commands_need_neither_the_data_nor_the_lock(
    cli: Cli, own_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(own_run.rglob("*"))
    monkeypatch.setattr("nnctl.data.datasets.load_dataset", None)
    with filelock.FileLock(own_run / ".lock"):
        for command in ("info", "digest", "verify"):
            assert cli("checkpoint", command, own_run)[0] == 0
    assert sorted(own_run.rglob("*")) == before
