"""The configuration: what is accepted, what is refused and in which words, and which source wins."""

import functools
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from nnctl import config
from nnctl.config import Config, Resolved, files
from nnctl.config.errors import ALIASES, OTHER_NAMES
from nnctl.config.gather import OTHER_VARIABLES
from nnctl.config.models import FIELDS, LATER, SECTIONS, AdamConfig, DataConfig, NetworkConfig, SGDConfig, TrainConfig
from nnctl.errors import ConfigError
from tests.support.configs import choices, listed
from tests.support.files import CONFIGS


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Write `text` to my.yaml (or `name`) in an empty current folder and load it, with no variables but those given."""
    monkeypatch.chdir(tmp_path)

    def loaded(text=None, *overrides, name="my.yaml", options=None, environ=None) -> Resolved:
        if text is None:
            return config.load(None, overrides, options, environ or {})
        Path(name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return config.load(Path(name), overrides, options, environ or {})

    return loaded


@pytest.fixture
def refusal(load):
    """Load what must be refused; give the message."""

    def message(*arguments, **keywords) -> str:
        with pytest.raises(ConfigError) as caught:
            load(*arguments, **keywords)
        assert caught.value.hint
        assert all(line.isprintable() for line in str(caught.value).split("\n"))
        return str(caught.value)

    return message


# the values themselves


def test_config_defaults_are_the_recipe_mnist_yaml():
    assert config.load(CONFIGS / "mnist.yaml", environ={}).config == Config()
    assert set(config.load(CONFIGS / "mnist.yaml", environ={}).origin.values()).isdisjoint({"default"})


@pytest.mark.parametrize(
    ("name", "hidden", "loss"),
    [
        ("tiny.toml", (32,), "cross_entropy"),
        ("softmax_regression.yaml", (), "cross_entropy"),
        ("3blue1brown.toml", (16, 16), "mse"),
        ("fashion.yaml", (256, 128), "cross_entropy"),
    ],
)
def test_recipes_load_as_they_stand(name, hidden, loss):
    recipe = config.load(CONFIGS / name, environ={}).config
    assert (recipe.network.hidden, recipe.loss) == (hidden, loss)


def test_recipes_are_all_tested():
    recipes = {path.name for path in CONFIGS.iterdir()}
    assert recipes == {"mnist.yaml", "tiny.toml", "softmax_regression.yaml", "3blue1brown.toml", "fashion.yaml"}


def test_yaml_and_toml_say_the_same(load):
    in_yaml = load("seed: 7\nnetwork: {hidden: [16, 16]}\noptimizer: {name: adam, learning_rate: 1e-3}\n")
    in_toml = load(
        'seed = 7\nnetwork.hidden = [16, 16]\n[optimizer]\nname = "adam"\nlearning_rate = 1e-3\n', name="my.toml"
    )
    assert in_yaml.config == in_toml.config
    assert in_yaml.config.optimizer == AdamConfig(learning_rate=0.001)


def test_config_cannot_be_changed():
    with pytest.raises(ValidationError):
        Config().train.epochs = 3


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "0.001", "1.0e-3", ".001", "+1e-3", '"0.001"'])
def test_numbers_have_many_spellings_and_quotes_make_text(load, text):
    if text.startswith('"'):
        with pytest.raises(ConfigError, match=r"not '0\.001'"):
            load(f"optimizer: {{learning_rate: {text}}}")
    else:
        assert load(f"optimizer: {{learning_rate: {text}}}").config.optimizer.learning_rate == 0.001


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"), ("yes", "yes"), ("No", "No"), ("2024-01-31", "2024-01-31"), ("1_000", "1_000"), ("1:30", "1:30"),
        ("012", 12), ("0o14", 12), ("0x1F", 31), ("-3", -3), ("TRUE", True), ("~", None),
        ("", None), ("-.inf", -float("inf")),
        ("1.", 1.0), ("[1, a, [true]]", [1, "a", [True]]), ("{a: 1}", {"a": 1}), ("'12'", "12"),
    ],
)  # fmt: skip
def test_parse_value_types_plain_words_by_the_core_schema_of_yaml_1_2(text, value):
    found = files.parse_value(text)
    assert found == value
    assert type(found) is type(value)


def test_load_accepts_a_whole_number_for_a_fraction(load):
    rate = load("optimizer: {learning_rate: 1}").config.optimizer.learning_rate
    assert (rate, type(rate)) == (1.0, float)


def test_load_ignores_an_empty_section(load):
    assert load("seed: 3\ntrain:\n  # epochs: 5\n").config == Config(seed=3)


def test_load_accepts_a_byte_order_mark(load):
    assert load("\ufeffseed: 3\n").config.seed == 3
    assert load("\ufeffseed = 3\n", name="my.toml").config.seed == 3


# errors, each in one line with its place


ANY_COUNT = "a whole number from 1 to 100000"
SEED = "a whole number from 0 to 9223372036854775807"
RATE = "a number above 0"
ACTIVATIONS = listed("network.activation")
OPTIMIZERS = listed("optimizer.name")
UNITS = "a whole number from 1 to 65536"
THREADS = "auto or a whole number from 1 to 1024"


@pytest.mark.parametrize(
    ("path", "text", "expected", "shown"),
    [
        ("train.epochs", "ten", ANY_COUNT, "'ten'"),
        ("train.epochs", '"10"', ANY_COUNT, "'10'"),
        ("train.epochs", "true", ANY_COUNT, "true"),
        ("train.epochs", "1.0", ANY_COUNT, "1.0"),
        ("train.epochs", "0", ANY_COUNT, "0"),
        ("train.epochs", "", ANY_COUNT, "null (no value)"),
        ("train.patience", "0", "a whole number of at least 1 or null", "0"),
        ("train.threads", "two", THREADS, "'two'"),
        ("train.threads", "[1]", THREADS, "[1]"),
        ("data.validation", "59_001", "a whole number from 0 to 59999", "'59_001'"),
        ("data.offline", "yes", "true or false", "'yes'"),
        ("data.offline", "1", "true or false", "1"),
        ("data.dir", "5", "non-empty UTF-8 text", "5"),
        ("data.dir", "''", "non-empty UTF-8 text", "''"),
        ("data.dir", r'"a\0b"', "non-empty UTF-8 text", r"'a\x00b'"),
        ("network.activation", "rellu", ACTIVATIONS, "'rellu'; did you mean relu?"),
        ("network.activation", "TANH", ACTIVATIONS, "'TANH'; did you mean tanh?"),
        ("network.activation", "swish", ACTIVATIONS, "'swish'"),
        ("network.hidden", "128", f"a list of at most 64 entries, each {UNITS}", "128"),
        ("network.hidden", "[[16]]", UNITS, "[16]"),
        ("network.hidden", f"[{'8, ' * 65}]", f"a list of at most 64 entries, each {UNITS}", f"[{'8, ' * 9}8]"),
        ("network.hidden", "[true]", UNITS, "true"),
        ("network.hidden", "['1']", UNITS, "'1'"),
        ("network.dropout", "1", "a number of at least 0 and below 1", "1"),
        ("optimizer.learning_rate", "0", RATE, "0"),
        ("optimizer.learning_rate", "true", RATE, "true"),
        ("optimizer.learning_rate", ".nan", RATE, "nan"),
        ("optimizer.learning_rate", ".inf", RATE, "inf"),
        ("optimizer.learning_rate", "1e999", RATE, "inf"),
        ("optimizer.learning_rate", "{}", RATE, "a group of keys"),
        ("optimizer.name", "adm", OPTIMIZERS, "'adm'; did you mean adam?"),
        ("optimizer.name", "[sgd]", OPTIMIZERS, "['sgd']"),
    ],
)
def test_config_error_of_a_wrong_value_says_what_it_must_be(refusal, path, text, expected, shown):
    section, key = path.split(".")
    message = refusal(f"{section}:\n  {key}: {text}\n").replace("hidden[0]", "hidden")
    assert message == f"my.yaml:2: {path}: must be {expected}, not {shown}"


@pytest.mark.parametrize("value", ["0", "1e-46", "1e-31"])
def test_load_refuses_an_epsilon_that_would_be_zero_in_float32(refusal, value):
    message = refusal(None, "optimizer.name=adam", f"optimizer.epsilon={value}")
    assert "optimizer.epsilon: must be a number from 1e-30 to 1, not" in message


def test_config_error_of_a_wrong_seed_says_what_it_must_be(refusal):
    assert refusal("seed: -1") == f"my.yaml:1: seed: must be {SEED}, not -1"
    assert refusal("seed: {a: 1}") == f"my.yaml:1: seed: must be {SEED}, not a group of keys"
    assert refusal("seed: 9223372036854775808") == f"my.yaml:1: seed: must be {SEED}, not 9223372036854775808"
    assert refusal("seed: " + "9" * 5000) == f"my.yaml:1: seed: must be {SEED}, not '{'9' * 36}..."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("optimizer:\n  momentun: 0.1", "my.yaml:2: optimizer.momentun: unknown key; did you mean optimizer.momentum?"),
        ("seed: 1\nlearning_rate: 0.1", "my.yaml:2: learning_rate: unknown key; did you mean optimizer.learning_rate?"),
        ("epoch: 3", "my.yaml:1: epoch: unknown key; did you mean train.epochs?"),
        ("optimiser: {name: adam}", "my.yaml:1: optimiser: unknown key; did you mean optimizer?"),
        ("name: adam", "my.yaml:1: name: unknown key; did you mean data.augment.name?"),
        ("zzz: 3", "my.yaml:1: zzz: unknown key"),
        (
            "network: {zzz: 3}",
            "my.yaml:1: network.zzz: unknown key; network has hidden, activation, init, dropout, output",
        ),
        ("train.epochs: 3", "my.yaml:1: train.epochs: a key holds no dot; write it as a key inside a section"),
        ("optimizer: adam", "my.yaml:1: optimizer: must be a group of keys such as optimizer.name, not 'adam'"),
        ("schedule: {factor: 0}", "my.yaml:1: schedule.factor: does not apply to one_cycle; it belongs to step"),
        ("optimizer: {beta1: 0.5}", "my.yaml:1: optimizer.beta1: does not apply to sgd; it belongs to adam or adamw"),
        ("train:\n  epochs: 1\n  epochs: 2", "my.yaml:3: train.epochs: is given twice; first on line 2"),
        ("loss: mse\nloss: mse", "my.yaml:2: loss: is given twice; first on line 1"),
        ("", "my.yaml: is empty"),
        ("# nothing\n", "my.yaml: is empty"),
        ("- seed: 1\n", "my.yaml:1: holds a list where keys and values belong"),
        ("seed", "my.yaml:1: holds a single value where keys and values belong"),
        ("seed: 1\n b: 2: 3", "my.yaml:2:3: is not valid YAML: mapping values are not allowed here"),
        ("seed: &a 1", "my.yaml:1:7: anchors and aliases (& and *) are not supported; write the value out"),
        ("seed: *a", "my.yaml:1:7: anchors and aliases (& and *) are not supported; write the value out"),
        ("train:\n  <<: {epochs: 1}", "my.yaml:2:3: merge keys (<<) are not supported; write the keys out"),
        ("seed: !!int 3", "my.yaml:1:7: tags (!) are not supported"),
        ("seed: 1\n---\nseed: 2", "my.yaml:2:1: a second document starts here; a config file holds one"),
        ("1: 2", "my.yaml:1:1: a key must be a word"),
        ("? [a]\n: 2", "my.yaml:1:3: a key must be a word"),
        ("seed: 1\nloss: \x07", r"my.yaml:2:7: is not valid YAML: it holds the character '\x07'"),
        (r'data: {dir: "\UFFFFFFFF"}', "my.yaml:1:1: is not valid YAML: an escape names no character"),
        ("seed: 1\0", "my.yaml: is not text: it holds NUL characters"),
        (b"\x89PNG\r\n\x1a\n\0\0", "my.yaml: is not UTF-8 text (see byte 0)"),
        (bytes(range(256)) * 10, "my.yaml: is not UTF-8 text (see byte 128)"),
        ("seed: 1\n".encode("utf-16"), "my.yaml: is not UTF-8 text (see byte 0)"),
        ("#" * 1_000_001, "my.yaml: is larger than 1,000,000 bytes, so it is no config file"),
    ],
)  # fmt: skip
def test_config_error_in_yaml_is_one_line_with_its_place(refusal, text, message):
    assert refusal(text) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "my.toml: is empty"),
        ("seed = ", "my.toml: is not valid TOML: Invalid value"),
        ("seed = 1\nloss = mse\n", "my.toml:2:8: is not valid TOML: Invalid value"),
        ("seed = 1\nseed = 2\n", "my.toml:2:9: is not valid TOML: Cannot overwrite a value"),
        ("seed = " + "9" * 5000, "my.toml: is not valid TOML: Exceeds the limit"),
        ("[train]\nepochs = 2024-01-31", f"my.toml: train.epochs: must be {ANY_COUNT}, not 2024-01-31"),
        ("seed = 0x" + "f" * 5000, f"my.toml: seed: must be {SEED}, not a very large number"),
        ("optimizer.learning_rate = nan", f"my.toml: optimizer.learning_rate: must be {RATE}, not nan"),
        ("optimiser.name = 'adam'", "my.toml: optimiser: unknown key; did you mean optimizer?"),
        ("seed = 1\n" + "a." * 40 + "b.c = 1", "my.toml:2: holds more than 40 dots"),
        ("seed = 1\r\n" + "a." * 40 + "b.c = 1", "my.toml:2: holds more than 40 dots"),
        ("x = '\u2028\x85'\n" + "a." * 40 + "b.c = 1", "my.toml:2: holds more than 40 dots"),
    ],
)  # fmt: skip
def test_config_error_in_toml_is_one_line_with_its_place(refusal, text, message):
    assert refusal(text, name="my.toml") == message


def test_toml_comment_may_have_any_number_of_dots(load):
    assert load("  # a comment" + "." * 100 + "\nseed = 3\n", name="my.toml").config.seed == 3


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("my.yaml", "[" * 2000),
        ("my.yaml", "seed: " + "[" * 2000 + "]" * 2000),
        ("my.yaml", "{a: " * 2000),
        ("my.yaml", "- " * 2000),
        ("my.yaml", "? " * 2000),
        ("my.yaml", "".join(" " * depth + "a:\n" for depth in range(1200))),
        ("my.yaml", "a: b\n" * 100_000),
        ("my.yaml", "network: {hidden: [" + "1," * 300_000 + "]}"),
        ("my.toml", "seed = " + "[" * 2000 + "]" * 2000),
        ("my.toml", "seed = " + "{a = " * 2000),
        ("my.toml", "a." * 400_000 + "b = 1"),
        *(("my.toml", ("a." * 38 + f"'{c}'.") * 1000 + "b = 1") for c in ("\u2028", "\u2029", "\x85")),
        ("my.toml", "a = ['''\n#''', {" + "a." * 60_000 + "b = 1}]"),
        ("my.toml", "".join(f"a{number} = 1\n" for number in range(50_000))),
    ],
)
def test_load_refuses_a_monstrous_file_at_once(refusal, name, text):
    start = time.process_time()  # the processor's, so that a busy machine does not count
    message = refusal(text, name=name)
    assert time.process_time() - start < 2
    assert message.startswith(name)
    assert "\n" not in message
    assert len(message) < 150


def test_config_errors_of_all_sources_come_at_once(refusal):
    text = "train:\n  epochs: 0\n  batch: 3\nnetwork: {hidden: [0, 16, 2.5]}\noptimizer: {name: adm, momentum: -1}\n"
    environ = {"NNCTL_SEED": "1.5", "NNCTL_SED": "1", "NNCTL_LOSS": "[mse"}
    message = refusal(text, "train.batch_size=none", "seed", options={"train.threads": 0}, environ=environ)
    count, *errors = message.split("\n  ")
    assert count == "12 errors in the configuration"
    assert set(errors) == {
        "my.yaml:2: train.epochs: must be a whole number from 1 to 100000, not 0",
        "my.yaml:3: train.batch: unknown key; did you mean train.batch_size?",
        "my.yaml:4: network.hidden[0]: must be a whole number from 1 to 65536, not 0",
        "my.yaml:4: network.hidden[2]: must be a whole number from 1 to 65536, not 2.5",
        f"my.yaml:5: optimizer.name: must be {OPTIMIZERS}, not 'adm'; did you mean adam?",
        "my.yaml:5: optimizer.momentum: must be a number of at least 0 and below 1, not -1",
        "--set: train.batch_size: must be a whole number from 1 to 60000, not 'none'",
        "--set: must be KEY=VALUE, not 'seed'",
        "--threads: train.threads: must be auto or a whole number from 1 to 1024, not 0",
        "NNCTL_SEED: seed: must be a whole number from 0 to 9223372036854775807, not 1.5",
        "NNCTL_SED: unknown variable; did you mean NNCTL_SEED?",
        "NNCTL_LOSS: loss: cannot read '[mse': is not valid YAML: expected ',' or ']', but got '<stream end>'",
    }


def test_config_error_in_a_file_counts_although_an_override_hides_it(refusal):
    assert refusal("seed: one", "seed=1").startswith("my.yaml:1: seed:")


def test_config_errors_of_other_sources_show_beside_a_broken_file(refusal):
    message = refusal("[", "train.epochs=0")
    assert "my.yaml:1:2: is not valid YAML" in message
    assert "--set: train.epochs: must be" in message


def test_config_errors_of_a_foreign_file_do_not_fill_the_screen(refusal):
    message = refusal("".join(f"key{number}: 1\n" for number in range(300)))
    assert message.startswith("300 errors")
    assert message.endswith("and 250 more")
    assert len(message.splitlines()) == 52


def test_config_errors_show_long_values_and_control_characters_safely(refusal):
    message = refusal('"\\e[31m": 1\nloss: "\\e[0m' + "x" * 500 + '"\n')
    assert "\x1b" not in message
    assert r"'\x1b[31m': unknown key" in message
    assert all(len(line) < 120 for line in message.splitlines())


# files that cannot be read


def test_load_suggests_the_nearest_name_for_a_missing_file(tmp_path):
    (tmp_path / "mnist.yaml").touch()
    with pytest.raises(ConfigError, match=r"mnits\.yaml: no such file") as caught:
        config.load(tmp_path / "mnits.yaml", environ={})
    assert caught.value.hint == f"did you mean {tmp_path / 'mnist.yaml'}?"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nowhere/my.yaml", "my.yaml: no such file"),
        (".", ".: is a folder, not a config file"),
        ("my.json", "my.json: is neither YAML (.yaml, .yml) nor TOML (.toml) by its name"),
        ("a\0.yaml", "'a\\x00.yaml': cannot be read: "),
    ],
)
def test_load_refuses_what_is_no_config_file(tmp_path, monkeypatch, path, message):
    monkeypatch.chdir(tmp_path)
    Path("my.json").write_text("{}")
    with pytest.raises(ConfigError) as caught:
        config.load(Path(path), environ={})
    assert message in caught.value.message
    assert caught.value.hint


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_load_refuses_a_named_pipe_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(ConfigError, match="is not a regular file"):
        config.load(tmp_path / "pipe.yaml", environ={})


def test_load_refuses_an_unreadable_file(tmp_path, monkeypatch):
    (tmp_path / "my.yaml").write_text("seed: 1")

    def denied(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(ConfigError, match="cannot be read: Permission denied"):
        config.load(tmp_path / "my.yaml", environ={})


# which source wins


def test_load_lays_options_over_variables_over_the_file_over_defaults(load):
    text = "seed: 1\ntrain:\n  epochs: 1\n  batch_size: 1\n  threads: 1\n"
    environ = {"NNCTL_TRAIN_EPOCHS": "2", "NNCTL_TRAIN_BATCH_SIZE": "2", "NNCTL_TRAIN_THREADS": "2", "HOME": "/"}
    loaded = load(
        text,
        "train.batch_size=3",
        "train.batch_size=4",
        "train.threads=3",
        options={"train.threads": 4},
        environ=environ,
    )
    train = loaded.config.train
    assert (loaded.config.seed, train.epochs, train.batch_size, train.threads, train.patience) == (1, 2, 4, 4, None)
    origins = [loaded.origin[path] for path in ("seed", "train.epochs", "train.batch_size", "train.threads")]
    assert origins == ["my.yaml:1", "NNCTL_TRAIN_EPOCHS", "--set", "--threads"]
    assert loaded.origin["train.patience"] == "default"


def flat(tree, prefix=""):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key


def test_override_of_a_section_with_variants_sets_its_name(load):
    loaded = load("optimizer: {momentum: 0.5}\n", "optimizer=adam", "data.augment=none").config
    assert (loaded.optimizer.name, loaded.data.augment.name) == ("adam", "none")


def test_nested_section_is_checked_like_any_other(load):
    with pytest.raises(ConfigError) as caught:
        load("data:\n  augment:\n    rotaton: 3\n", name="my.yaml")
    assert caught.value.message == ("my.yaml:3: data.augment.rotaton: unknown key; did you mean data.augment.rotation?")


def test_origin_is_known_of_every_key_in_force(load):
    loaded = load("schedule: {name: step}\n", "optimizer.name=adamw", name="my.yaml")
    assert set(loaded.origin) == set(flat(config.to_mapping(loaded.config)))
    assert load("seed = 1", name="my.toml").origin["seed"] == "my.toml"


def test_option_that_was_not_given_changes_nothing(load):
    assert load("data: {offline: true}", options={"data.offline": None, "data.dir": None}).config.data.offline is True


def test_override_is_a_yaml_value(load):
    loaded = load(None, "optimizer.learning_rate=3e-3", "network.hidden=[16, 16]", "train.patience=null", " seed = 4 ")
    assert loaded.config.optimizer.learning_rate == 0.003
    assert loaded.config.network.hidden == (16, 16)
    assert loaded.config.seed == 4


@pytest.mark.parametrize("text", ["/mnt/my data #2", "C:\\data: old", "2024", "null", "[x]", "*", "'/mnt/my data #2'"])
def test_data_dir_is_taken_as_it_is_written(load, text):
    assert load(None, f"data.dir={text}").config.data.dir == text.strip("'")
    assert load(None, environ={"NNCTL_DATA_DIR": text}).config.data.dir == text.strip("'")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("network.droput=1", "--set: network.droput: unknown key; did you mean network.dropout?"),
        ("training.epochs=1", "--set: training.epochs: unknown key; did you mean train.epochs?"),
        ("optimizer=adm", f"--set: optimizer.name: must be {OPTIMIZERS}, not 'adm'; did you mean adam?"),
        ("train=5", "--set: train: must be a group of keys such as train.epochs, not 5"),
        ("seed=[1", "--set: seed: cannot read '[1': is not valid YAML: expected ',' or ']', but got '<stream end>'"),
        ("seed=" + "[" * 2000, f"--set: seed: cannot read '{'[' * 36}...: is nested deeper than 20 levels"),
        ("=1", "--set: '': unknown key"),
    ],
)  # fmt: skip
def test_config_error_in_an_override_names_it(refusal, override, message):
    assert refusal(None, override) == message


@pytest.mark.parametrize(
    ("override", "meant"),
    [
        ("optimizer.lr=3", "optimizer.learning_rate"),
        ("lr=3", "optimizer.learning_rate"),
        ("train.LR=3", "optimizer.learning_rate"),
        ("wd=1", "optimizer.weight_decay"),
        ("bs=1", "train.batch_size"),
        ("network.layers=[16]", "network.hidden"),
        ("network.act=tanh", "network.activation"),
        ("model=1", "network"),
    ],
)
def test_alias_leads_to_the_key(refusal, override, meant):
    key = override.partition("=")[0]
    assert refusal(None, override) == f"--set: {key}: unknown key; did you mean {meant}?"


def test_alias_leads_to_the_variable(refusal):
    message = refusal(None, environ={"NNCTL_OPTIMIZER_LR": "3"})
    assert message == "NNCTL_OPTIMIZER_LR: unknown variable; did you mean NNCTL_OPTIMIZER_LEARNING_RATE?"


def test_aliases_name_nothing_else_and_stand_for_something():
    assert OTHER_NAMES.keys() <= {*FIELDS, *SECTIONS}
    assert len(ALIASES) == sum(map(len, OTHER_NAMES.values()))
    assert ALIASES.keys().isdisjoint(path.rpartition(".")[2] for path in (*FIELDS, *SECTIONS))


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("optimizer: {zzz: 1}", "optimizer sgd has name, learning_rate, momentum, nesterov, weight_decay"),
        (
            "optimizer: {name: adam, zzz: 1}",
            "optimizer adam has name, learning_rate, weight_decay, beta1, beta2, epsilon",
        ),
        ("data: {augment: {zzz: 1}}", "data.augment affine has name, rotation, scale, shear, shift, pen"),
        ("data: {zzz: 1}", "data has dataset, dir, offline, validation, train_limit, mix, augment"),
    ],
)
def test_unknown_key_lists_the_keys_of_the_variant_in_force(refusal, text, keys):
    assert refusal(text).endswith(f"zzz: unknown key; {keys}")


def test_optimizer_name_drops_what_lower_sources_said_of_another_optimizer(load):
    text = "optimizer:\n  name: sgd\n  learning_rate: 0.5\n  momentum: 0.8\nschedule: {name: step, factor: 0.3}\n"
    loaded = load(text, "optimizer.name=adam", "optimizer.beta1=0.8", environ={"NNCTL_OPTIMIZER_MOMENTUM": "0.7"})
    assert loaded.config.optimizer == AdamConfig(beta1=0.8)
    assert loaded.origin["optimizer.learning_rate"] == "default"
    assert loaded.config.schedule.factor == 0.3  # the other section still has its keys


def test_optimizer_name_given_again_drops_nothing(load):
    text = "optimizer: {learning_rate: 0.5}"
    assert load(text, "optimizer.name=sgd").config.optimizer == SGDConfig(learning_rate=0.5)


def test_key_of_another_variant_is_refused_in_the_same_or_a_higher_source(refusal):
    message = "optimizer.momentum: does not apply to adam; it belongs to sgd"
    assert refusal(None, "optimizer.momentum=0.5", "optimizer.name=adam") == f"--set: {message}"
    environ = {"NNCTL_OPTIMIZER_MOMENTUM": "0.5"}
    assert refusal("optimizer: {name: adam}", environ=environ) == f"NNCTL_OPTIMIZER_MOMENTUM: {message}"


def test_variable_of_every_key_is_unique_and_sets_it(load):
    names = {config.variable(path) for path in FIELDS}
    assert len(names) == len(FIELDS)
    assert names.isdisjoint(OTHER_VARIABLES)
    environ = {"NNCTL_OPTIMIZER_LEARNING_RATE": "3e-3", "NNCTL_NETWORK_HIDDEN": "[16]", "NNCTL_MIRRORS": "file:///x"}
    loaded = load(None, environ=environ)
    assert loaded.config.optimizer.learning_rate == 0.003
    assert loaded.config.network.hidden == (16,)


# how a configuration is saved and described

numbers = {"allow_nan": False, "allow_infinity": False}
shares = st.floats(0, 1, exclude_max=True)
folders = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
optimizers = st.one_of(
    st.builds(SGDConfig, learning_rate=st.floats(0, 1000, exclude_min=True), momentum=shares, nesterov=st.booleans()),
    st.builds(AdamConfig, beta1=shares, epsilon=st.floats(1e-30, 1), weight_decay=st.floats(0, 10)),
)
networks = st.builds(NetworkConfig, hidden=st.lists(st.integers(1, 65_536), max_size=64).map(tuple), dropout=shares)
configs = st.builds(
    lambda folder, threads, **parts: Config(data=DataConfig(dir=folder), train=TrainConfig(threads=threads), **parts),
    folder=folders | st.sampled_from(["on", "null", "1e3", "0o14", "09", "~", "2024-01-31", "a: b", " # ", "No", "y"]),
    threads=st.just("auto") | st.integers(1, 1024),
    seed=st.integers(0, 2**63 - 1),
    optimizer=optimizers,
    network=networks,
)


@given(configs)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_to_yaml_gives_the_same_config_back(tmp_path_factory, original):
    assume(not list(original.conflicts()))
    path = tmp_path_factory.getbasetemp() / "saved.yaml"
    text = config.to_yaml(original)
    path.write_bytes(text.encode())
    assert config.load(path, environ={}).config == original
    assert yaml.safe_load(text) == config.to_mapping(original)  # readers of YAML 1.1 understand the same
    assert config.from_mapping(json.loads(json.dumps(config.to_mapping(original)))) == original


def test_format_value_writes_what_every_reader_takes_for_a_number():
    assert files.format_value(1e-5) == "1.0e-05"
    assert files.format_value(1.5e-7) == "1.5e-07"
    assert files.format_value(1e22) == "1.0e+22"
    assert files.format_value(0.1) == "0.1"


def test_data_dir_that_is_not_unicode_is_refused_and_not_garbled(refusal):
    message = r"--data-dir: data.dir: must be non-empty UTF-8 text, not '/mnt/\udcff'"
    assert refusal(None, options={"data.dir": "/mnt/\udcff"}) == message


def test_from_mapping_refuses_errors_in_the_same_words():
    with pytest.raises(ConfigError, match="2 errors") as caught:
        config.from_mapping({"train": {"epochs": 0}, "sede": 1}, where="last.npz")
    assert "last.npz: sede: unknown key; did you mean seed?" in str(caught.value)


def test_starter_is_the_default_and_explains_every_key(load):
    text = config.starter()
    assert load(text).config == Config()
    for path in FIELDS:
        assert f"{path.rpartition('.')[2]}: " in text
    for words in (ACTIVATIONS, OPTIMIZERS, listed("schedule.name"), "a whole number from 1 to 60000"):
        assert words in text


@pytest.mark.parametrize(
    ("section", "variant"),
    [(section, variant) for section in ("optimizer", "schedule") for variant in choices(f"{section}.name")[1:]],
)
def test_starter_shows_every_other_variant_ready_to_be_switched_on(load, section, variant):
    lines = config.starter().splitlines()
    start = lines.index(f"  #name: {variant}")
    end = next(at for at in range(start, len(lines)) if lines[at] in ("", "  #"))
    chosen = [line.replace("#", "", 1) for line in lines[start:end] if not line.startswith("  # ")]
    loaded = load("\n".join([f"{section}:", *chosen]))
    assert getattr(loaded.config, section) == getattr(load(None, f"{section}.name={variant}").config, section)
    assert "default" not in {value for key, value in loaded.origin.items() if key.startswith(section)}


def test_schema_tells_an_editor_what_it_needs():
    schema = config.schema()
    assert schema["$schema"].endswith("2020-12/schema")
    assert schema["additionalProperties"] is False
    assert schema["properties"]["loss"]["enum"] == choices("loss")
    sections = schema["$defs"]
    assert sections["NetworkConfig"]["properties"]["activation"]["enum"] == choices("network.activation")
    assert sections["NetworkConfig"]["properties"]["hidden"]["items"] == {
        "maximum": 65536,
        "minimum": 1,
        "type": "integer",
    }
    assert sections["TrainConfig"]["properties"]["epochs"]["default"] == Config().train.epochs
    for section in (schema, *sections.values()):
        assert section["additionalProperties"] is False
        assert all(rule["description"] and "default" in rule for rule in section["properties"].values())
    # without a name only the default variant fits, so that an editor can tell the variants apart
    assert "required" not in sections["SGDConfig"]
    assert sections["AdamConfig"]["required"] == sections["CosineConfig"]["required"] == ["name"]
    json.dumps(schema)


def test_config_import_loads_neither_yaml_nor_numpy():
    code = "import sys, nnctl.config; print(sorted({'yaml', 'numpy', 'click'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


# any input

PIECES = [
    "seed: 1\n",
    "train:\n",
    "  epochs: ",
    "[",
    "]",
    "{",
    "}",
    "- ",
    "? ",
    "&a ",
    "*a",
    "!",
    "|",
    "'",
    '"',
    "\\U",
    "\t",
]
texts = st.text() | st.lists(st.sampled_from(PIECES)).map("".join)


def refusal_of(*arguments, **keywords) -> str:
    try:
        config.load(*arguments, **keywords)
    except ConfigError as error:
        return str(error)
    return ""


@given(st.binary() | texts.map(str.encode), st.sampled_from(["yaml", "toml"]))
@settings(deadline=None, max_examples=300)
def test_load_turns_any_file_into_a_config_or_a_printable_error(tmp_path_factory, data, suffix):
    path = tmp_path_factory.getbasetemp() / f"any.{suffix}"
    path.write_bytes(data)
    assert all(line.isprintable() for line in refusal_of(path, environ={}).split("\n"))


@given(texts, st.sampled_from(tuple(FIELDS)) | st.text())
@settings(deadline=None, max_examples=150)
def test_load_turns_any_override_into_a_config_or_a_printable_error(text, path):
    refusal = refusal_of(None, [f"{path}={text}"], environ={config.variable(path): text, f"NNCTL_{path}": text})
    assert all(line.isprintable() for line in refusal.split("\n"))


def test_config_error_names_keys_that_do_not_go_together(refusal):
    message = refusal(
        None,
        *("network.hidden=[65536,65536]", "network.output=linear", "train.patience=2", "data.validation=0"),
    )
    assert message.split("\n  ") == [
        "3 errors in the configuration",
        "--set: network.output: linear does not go with loss cross_entropy, which wants softmax or sigmoid",
        "--set: network.hidden: makes 4,347,133,962 parameters; 250,000,000 are the limit",
        "--set: train.patience: waits for a better validation, but data.validation is 0",
    ]


# Configurations that are older than a key


def older(original: Config, *without: str) -> dict[str, Any]:
    """What an nnctl that did not know these keys would have saved."""
    tree = config.to_mapping(original)
    for path in without:
        *sections, key = path.split(".")
        del functools.reduce(lambda branch, section: branch[section], sections, tree)[key]
    return tree


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("without", [["data.mix"], ["judge"], ["data.mix", "judge"], [*LATER]], ids=" ".join)
def test_whole_configuration_that_is_older_than_a_key_means_what_it_meant(load, optimizer, without):
    saved = older(load(None, f"optimizer={optimizer}").config, *without)
    text = yaml.safe_dump(saved)
    for read in (load(text).config, config.from_mapping(saved)):
        assert read.data.mix == (0 if "data.mix" in without else 0.2)
        assert read.judge == ("judge" not in without)
        assert read.network.output == "softmax"
    origin = load(text).origin
    assert {origin[path] for path in without} == {"my.yaml, which is older than this key"}
    assert load(text, "data.mix=0.5").config.data.mix == 0.5


@pytest.mark.parametrize("others", [["train.keep"], ["optimizer.name"], ["data.augment.shift", "seed"]], ids=" ".join)
def test_configuration_that_leaves_out_other_keys_too_gets_todays_defaults(load, others):
    saved = older(Config(), "data.mix", "judge", *others)
    assert load(yaml.safe_dump(saved)).config == Config() == config.from_mapping(saved)


def test_later_keys_are_keys_and_their_values_are_allowed(load):
    assert LATER.keys() <= FIELDS.keys()
    for path, value in LATER.items():
        load(None, f"{path}={json.dumps(value)}")


@pytest.mark.parametrize("value", ["-0.1", "1.1", "true", "a quarter"])
def test_mix_is_a_share(refusal, value):
    assert "data.mix: must be a number from 0 to 1, not " in refusal(None, f"data.mix={value}")


@pytest.mark.parametrize("value", ["1", "maybe", "null"])
def test_judge_is_true_or_false(refusal, value):
    assert "judge: must be true or false, not " in refusal(None, f"judge={value}")
