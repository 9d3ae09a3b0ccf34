"""`nnctl config`: show what is in force and why, check files, write a starter."""

import json
from pathlib import Path

import pytest

from nnctl.config import Config, load, schema, starter, to_mapping, to_yaml
from tests.support.cli import Cli
from tests.support.configs import listed
from tests.support.files import CONFIGS

# show


def test_show_prints_the_defaults_as_yaml(cli: Cli) -> None:
    assert cli("config", "show") == (0, to_yaml(Config()), "")


def test_show_lays_override_over_variable_over_file(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("my.toml").write_text("seed = 1\n[train]\nepochs = 1\nbatch_size = 1\n")
    monkeypatch.setenv("NNCTL_TRAIN_BATCH_SIZE", "2")
    monkeypatch.setenv("NNCTL_TRAIN_EPOCHS", "2")
    code, out, _ = cli("config", "show", "my.toml", "--set", "train.epochs=3", "--json")
    assert code == 0
    shown = json.loads(out)["config"]
    assert (shown["seed"], shown["train"]["batch_size"], shown["train"]["epochs"]) == (1, 2, 3)


def test_show_prints_what_can_be_loaded_again(cli: Cli) -> None:
    settings = ("--set=optimizer.name=adamw", "--set=optimizer.learning_rate=3e-5", "--set=data.dir=a: #b")
    _, out, _ = cli("config", "show", *settings)
    Path("shown.yaml").write_text(out, "utf-8")
    assert cli("config", "show", "shown.yaml") == (0, out, "")
    assert load(Path("shown.yaml")).config.optimizer.learning_rate == 3e-5


def test_origin_says_where_each_value_comes_from(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("my.yaml").write_text("# mine\ntrain:\n  epochs: 7\n")
    monkeypatch.setenv("NNCTL_SEED", "5")
    code, out, _ = cli("config", "show", "my.yaml", "--set", "network.hidden=[16, 16]", "--origin")
    assert code == 0
    values = [line for line in out.splitlines() if not line.endswith(":")]
    origins = {line.split(":")[0].strip(): line.rpartition("# ")[2] for line in values}
    assert origins["seed"] == "NNCTL_SEED"
    assert origins["epochs"] == "my.yaml:3"
    assert origins["hidden"] == "--set"
    assert origins["activation"] == "default"
    assert len({line.rindex("# ") for line in values}) == 1
    Path("shown.yaml").write_text(out, "utf-8")
    assert cli("config", "show", "shown.yaml")[1] == cli("config", "show", "my.yaml", "--set=network.hidden=[16,16]")[1]


def test_origin_is_in_the_json_too(cli: Cli) -> None:
    _, out, _ = cli("config", "show", "--set", "seed=3", "--origin", "--json")
    shown = json.loads(out)
    assert shown["config"] == to_mapping(Config(seed=3))
    assert shown["origin"]["seed"] == "--set"
    assert shown["origin"]["train.epochs"] == "default"


def test_train_uses_what_show_shows(cli: Cli, small: tuple[object, ...], drawn_dir: Path) -> None:
    assert cli("train", *small, "--quiet", "--run-dir", "run")[0] == 0
    *settings, _, _, _ = small  # but for --threads=1, --data-dir and the folder
    _, shown, _ = cli("config", "show", *settings, f"--set=data.dir={drawn_dir}", "--set=train.threads=1")
    assert Path("run/config.yaml").read_text("utf-8") == shown


# check


def test_check_accepts_what_init_writes_and_every_recipe(cli: Cli) -> None:
    recipes = sorted(CONFIGS.iterdir())
    assert len(recipes) >= 5
    assert cli("config", "init", "my.yaml")[0] == 0
    code, out, err = cli("config", "check", "my.yaml", *recipes)
    assert (code, err) == (0, "")
    assert out.splitlines() == [f"{path}: ok" for path in ("my.yaml", *recipes)]


def test_check_reports_every_error_of_every_file(cli: Cli) -> None:
    Path("one.yaml").write_text("sed: 1\ntrain:\n  epochs: ten\n")
    Path("good.yaml").write_text("seed: 1\n")
    Path("two.toml").write_text("[network]\nactivation = 'rélu'\n", "utf-8")
    code, out, err = cli("config", "check", "one.yaml", "good.yaml", "two.toml")
    assert (code, out) == (2, "good.yaml: ok\n")
    assert "one.yaml:1: sed: unknown key; did you mean seed?" in err
    assert "one.yaml:3: train.epochs: must be a whole number" in err
    assert f"two.toml: network.activation: must be {listed('network.activation')}" in err
    assert "did you mean relu?" in err
    assert err.splitlines()[-1].startswith("hint: ")


def test_check_is_about_the_file_alone(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("my.yaml").write_text("optimizer: {name: adam}\n")
    monkeypatch.setenv("NNCTL_SEED", "one")
    monkeypatch.setenv("NNCTL_NONSENSE", "1")
    assert cli("config", "check", "my.yaml") == (0, "my.yaml: ok\n", "")
    assert cli("config", "show", "my.yaml")[0] == 2


def test_show_reads_scientific_notation_as_a_number(cli: Cli) -> None:
    Path("my.yaml").write_text("optimizer:\n  learning_rate: 1e-3\n")
    assert "learning_rate: 0.001" in cli("config", "show", "my.yaml")[1]


# schema


def test_schema_is_the_json_schema_of_the_configuration(cli: Cli) -> None:
    code, out, err = cli("config", "schema")
    assert (code, err) == (0, "")
    assert json.loads(out) == schema()


# init


def test_init_writes_the_defaults_with_a_comment_for_every_key(cli: Cli) -> None:
    assert cli("config", "init", "my.yaml")[0] == 0
    assert load(Path("my.yaml")).config == Config()
    lines = Path("my.yaml").read_text("utf-8").splitlines()
    keys = [number for number, line in enumerate(lines) if line.partition(":")[0].strip().isidentifier()]
    assert len(keys) > 20
    assert all(lines[number - 1].lstrip().startswith("#") for number in keys)


def test_init_without_a_name_prints(cli: Cli) -> None:
    assert cli("config", "init") == (0, starter(), "")


def test_init_overwrites_nothing_unless_forced(cli: Cli) -> None:
    Path("my.yaml").write_text("seed: 1\n")
    code, out, err = cli("config", "init", "my.yaml")
    assert (code, out) == (2, "")
    assert "exists already" in err
    assert Path("my.yaml").read_text() == "seed: 1\n"
    assert cli("config", "init", "my.yaml", "--force")[0] == 0
    assert Path("my.yaml").read_text("utf-8") == starter()


def test_init_writes_no_yaml_under_another_name(cli: Cli) -> None:
    code, _, err = cli("config", "init", "my.toml")
    assert code == 2
    assert "the starter is YAML" in err
    assert not Path("my.toml").exists()
