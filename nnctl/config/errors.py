"""Find what is wrong with a value, and say it in plain words, with the nearest right name."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from nnctl.config.models import FIELDS, SECTIONS, VARIANTS, Section
from nnctl.errors import ConfigError

# a file of some other program should not fill the screen
MAX_ERRORS = 50

# what other programs, and people in a hurry, call a key; only words that its spelling would not lead to it
OTHER_NAMES = {
    "seed": ("random_seed", "random_state", "rng"),
    "data.dir": ("root", "folder"),
    "data.validation": ("val", "holdout"),
    "data.train_limit": ("limit", "subset"),
    "data.augment": ("distortion", "transform", "transforms"),
    "network": ("model", "arch", "architecture"),
    "network.hidden": ("layers", "units", "neurons", "widths"),
    "network.activation": ("act", "nonlinearity"),
    "network.init": ("initializer", "initialization"),
    "loss": ("criterion", "cost", "objective"),
    "optimizer": ("opt", "solver"),
    "optimizer.learning_rate": ("lr", "eta", "max_lr"),
    "optimizer.weight_decay": ("wd", "l2", "decay"),
    "optimizer.epsilon": ("eps",),
    "schedule.factor": ("gamma",),
    "train.epochs": ("epoch", "max_iter", "iterations"),
    "train.batch_size": ("bs", "batchsize", "minibatch"),
    "train.patience": ("early_stopping", "early_stop"),
    "train.checkpoint_every": ("save_every",),
    "train.threads": ("jobs", "n_jobs", "workers", "cores"),
}
ALIASES = {word: path for path, words in OTHER_NAMES.items() for word in words}

HINT = "`nnctl config init` writes a file that explains every key"


@dataclass(frozen=True)
class Entry:
    """One value that somebody wrote; `where` says in which place: "my.yaml:3", "NNCTL_SEED", "--set"."""

    path: str
    value: object
    where: str


def key_named(word: str) -> str | None:
    """The dotted path that ends in this word, or that others call so; None if there is none."""
    if word in ALIASES:
        return ALIASES[word]
    return next((path for path in (*VARIANTS, *FIELDS) if last(path) == word != "name"), None)


def collected(errors: Sequence[str], hint: str) -> ConfigError:
    """One error that tells all errors, each on a line of its own."""
    if len(errors) == 1:
        return ConfigError(errors[0], hint)
    shown = list(errors[:MAX_ERRORS])
    if len(errors) > len(shown):
        shown.append(f"and {len(errors) - len(shown)} more")
    return ConfigError(f"{len(errors)} errors in the configuration", hint, shown)


def errors_of(entry: Entry, variants: Mapping[str, str | None]) -> Iterator[str]:
    """Say what is wrong with one entry; `variants` names the variant of each section, None where it is not known."""
    section, _, key = entry.path.rpartition(".")
    models = FIELDS.get(entry.path)
    variant = variants.get(section, "")
    if entry.path in SECTIONS:
        first = next(path for path in FIELDS if path.startswith(f"{entry.path}."))
        yield f"{entry.path}: must be a group of keys such as {first}, not {brief(entry.value)}"
    elif models is None:
        yield f"{shown(entry.path)}: unknown key{_nearest_key(entry.path, variants)}"
    elif section in VARIANTS and key == "name":
        if entry.value not in VARIANTS[section]:
            yield f"{entry.path}: {_wrong(entry.value, {'enum': VARIANTS[section]})}"
    elif variant is not None and variant not in models:
        yield f"{entry.path}: does not apply to {variant}; it belongs to {_either(models)}"
    else:
        model = models[variant] if variant is not None else next(iter(models.values()))
        yield from _wrong_value(entry, model, key)


def _wrong_value(entry: Entry, model: type[Section], key: str) -> Iterator[str]:
    try:
        model.model_validate({key: entry.value})
    except ValidationError as error:
        rule = model.model_json_schema()["properties"][key]
        places = [each["loc"][-1] for each in error.errors()]
        if isinstance(entry.value, list) and "items" in rule and places != [key]:
            for place in map(int, places):
                yield f"{entry.path}[{place}]: {_wrong(entry.value[place], rule['items'])}"
        else:
            yield f"{entry.path}: {_wrong(entry.value, rule)}"


def _wrong(value: object, rule: Mapping[str, Any]) -> str:
    choices = rule.get("enum") or [part["const"] for part in rule.get("anyOf", ()) if "const" in part]
    suggestion = did_you_mean(value.lower(), choices) if isinstance(value, str) else ""
    return f"must be {expected(rule)}, not {brief(value)}{suggestion}"


def expected(rule: Mapping[str, Any]) -> str:
    """Put the JSON Schema of a key into words: "a whole number from 1 to 60000"."""
    if "anyOf" in rule:
        return _either([word for part in rule["anyOf"] for word in part.get("enum") or [expected(part)]])
    if "enum" in rule:
        return _either(rule["enum"])
    if "const" in rule:
        return str(rule["const"])
    if rule["type"] == "array":
        return f"a list of at most {rule['maxItems']} entries, each {expected(rule['items'])}"
    if rule["type"] in ("integer", "number"):
        return _expected_number(rule)
    return {"boolean": "true or false", "null": "null", "string": "non-empty UTF-8 text"}[rule["type"]]


def _expected_number(rule: Mapping[str, Any]) -> str:
    words = {"minimum": "of at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    number = "a whole number" if rule["type"] == "integer" else "a number"
    if "minimum" in rule and "maximum" in rule:
        return f"{number} from {rule['minimum']} to {rule['maximum']}"
    return f"{number} " + " and ".join(f"{word} {rule[bound]}" for bound, word in words.items() if bound in rule)


def _either(words: Sequence[str] | Mapping[str, object]) -> str:
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


def _nearest_key(path: str, variants: Mapping[str, str | None]) -> str:
    section, _, key = path.rpartition(".")
    if key.lower() in ALIASES:
        return f"; did you mean {ALIASES[key.lower()]}?"
    variant = variants.get(section, "")
    known = [*(field for field, models in FIELDS.items() if variant is None or variant in models), *SECTIONS]
    siblings = {last(other): other for other in known if section and other.rpartition(".")[0] == section}
    everything = {other: other for other in (*SECTIONS, *FIELDS)}
    endings = {last(other): other for other in reversed(everything)}  # the first of two equal endings stays
    for word, names in ((key, siblings), ("" if siblings else path, everything), (key, endings)):
        near = _nearest(word, names)
        if near:
            return f"; did you mean {names[near]}?"
    owner = f"{section} {variant}" if variant else section
    return f"; {owner} has {', '.join(siblings)}" if siblings else ""


def did_you_mean(word: str, choices: Sequence[str] | Mapping[str, object]) -> str:
    """The nearest of the right words, as the end of a sentence; nothing if none is near."""
    near = _nearest(word, choices)
    return f"; did you mean {near}?" if near else ""


def _nearest(word: str, choices: Sequence[str] | Mapping[str, object]) -> str | None:
    return next(iter(difflib.get_close_matches(word, choices, n=1)), None)


def last(path: str) -> str:
    """The last part of a dotted path."""
    return path.rpartition(".")[2]


def shown(key: str) -> str:
    """A key that somebody wrote, fit to be printed."""
    return key if key and key.isprintable() and len(key) <= 80 else brief(key)


def brief(value: object) -> str:
    """Show a value in at most 40 printable characters."""
    if value is None:
        return "null (no value)"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a group of keys"
    if isinstance(value, int) and value.bit_length() > 128:
        return "a very large number"
    if isinstance(value, list):
        text = "[" + ", ".join("[...]" if isinstance(item, list) else brief(item) for item in value[:10]) + "]"
    else:
        text = repr(value[:60]) if isinstance(value, str) else str(value)
    return text if len(text) <= 40 else text[:37] + "..."
