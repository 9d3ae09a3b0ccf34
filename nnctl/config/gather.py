"""Gather a configuration from its sources, each above the one before: file, NNCTL_* variables, command line."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnctl.config import files
from nnctl.config.errors import ALIASES, HINT, Entry, brief, collected, did_you_mean, errors_of, last, shown
from nnctl.config.models import FIELDS, LATER, SECTIONS, VARIANTS, Config
from nnctl.errors import ArgumentError, ConfigError

# the options of the command line that stand for a key
OPTIONS = {"data.dir": "--data-dir", "data.offline": "--offline", "train.threads": "--threads"}

# variables that begin with NNCTL_ and are no keys of the configuration
OTHER_VARIABLES = frozenset({"NNCTL_MIRRORS"})


@dataclass(frozen=True)
class Resolved:
    """A configuration, and for each of its dotted paths the place its value came from ("default", "my.yaml:3", ...)."""

    config: Config
    origin: dict[str, str]


def load(
    path: Path | str | None = None,
    overrides: Sequence[str] = (),
    options: Mapping[str, object] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Resolved:
    """Gather the configuration: options and overrides stand above variables, those above the file, that above defaults.

    Args:
        path: a YAML or TOML file, or None.
        overrides: "KEY=VALUE" with a dotted key and a YAML value; the last of two for one key counts. A section that
            comes in variants stands for its name: "optimizer=adam".
        options: dotted path -> value, for the keys in OPTIONS; None means that the option was not given.
        environ: variables; NNCTL_OPTIMIZER_LEARNING_RATE sets optimizer.learning_rate.

    Raises:
        ConfigError: with every error of every source.
    """
    if isinstance(overrides, str) or not all(isinstance(override, str) for override in overrides):
        raise ArgumentError("overrides are a list of KEY=VALUE", f"not {overrides!r:.60}")
    errors: list[str] = []
    hint = HINT
    layers = []
    if path is not None:
        try:
            layers.append(_from_file(Path(path), errors))
        except ConfigError as error:
            errors.append(error.message)
            hint = error.hint
    layers.append(_from_environ(environ, errors))
    given = [Entry(key, value, OPTIONS[key]) for key, value in (options or {}).items() if value is not None]
    layers.append(_from_overrides(overrides, errors) + given)
    return _resolve(layers, errors, hint)


def from_mapping(values: Mapping[str, object], where: str = "saved configuration") -> Config:
    """Turn nested plain values, such as `to_mapping` gives, into a Config; raise ConfigError on any error.

    A configuration that was saved before a key came goes on to mean what it meant; see `_as_then`.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where}: holds a {type(values).__name__} where keys and values belong", HINT)
    errors: list[str] = []
    return _resolve([_as_then(_flatten(values, lambda _: where, errors), where)], errors, HINT).config


def variable(path: str) -> str:
    """The environment variable of a dotted path: NNCTL_TRAIN_EPOCHS for train.epochs."""
    return "NNCTL_" + path.replace(".", "_").upper()


def _from_file(path: Path, errors: list[str]) -> list[Entry]:
    document = files.read(path)

    def where(key: str) -> str:
        return f"{path}:{document.lines[key]}" if key in document.lines else str(path)

    for key, line in document.repeated.items():
        errors.append(f"{path}:{line}: {shown(key)}: is given twice; first on line {document.lines[key]}")
    return _as_then(_flatten(document.tree, where, errors), str(path))


def _as_then(entries: list[Entry], where: str) -> list[Entry]:
    """What a whole configuration, as runs save it, means if it is older than some keys: what was done without them.

    It has every key but those. One that leaves out others as well was written by hand, and gets today's defaults.
    """
    given = {entry.path: entry.value for entry in entries}
    variants = {section: given.get(f"{section}.name") for section in VARIANTS}
    whole = {path for path, models in FIELDS.items() if variants.get(path.rpartition(".")[0], "") in [*models]}
    lacking = (whole | {f"{section}.name" for section in VARIANTS}) - given.keys()
    if not lacking <= LATER.keys():
        return entries
    return [*entries, *(Entry(path, LATER[path], f"{where}, which is older than this key") for path in sorted(lacking))]


def _from_environ(environ: Mapping[str, str], errors: list[str]) -> list[Entry]:
    names = {variable(path): path for path in FIELDS}
    aliases = {variable(path.removesuffix(last(path)) + word): variable(path) for word, path in ALIASES.items()}
    entries = []
    for name in sorted(environ):
        if name in names:
            entries += _parsed(names[name], environ[name], name, errors)
        elif name.startswith("NNCTL_") and name not in OTHER_VARIABLES:
            near = did_you_mean(aliases.get(name, name), names)
            errors.append(f"{shown(name)}: unknown variable{near}")
    return entries


def _from_overrides(overrides: Sequence[str], errors: list[str]) -> list[Entry]:
    entries = []
    for override in overrides:
        path, equals, text = override.partition("=")
        if equals:
            key = path.strip()
            entries += _parsed(f"{key}.name" if key in VARIANTS else key, text, "--set", errors)
        else:
            errors.append(f"--set: must be KEY=VALUE, not {brief(override)}")
    return entries


def _parsed(path: str, text: str, where: str, errors: list[str]) -> list[Entry]:
    """Read the text of a variable or an override: a YAML value, but where the key wants text, that very text."""
    wants_text = any(model.model_fields[last(path)].annotation is str for model in FIELDS.get(path, {}).values())
    if wants_text and not text.startswith(('"', "'")):
        return [Entry(path, text, where)]
    try:
        return [Entry(path, files.parse_value(text), where)]
    except ConfigError as error:
        errors.append(f"{where}: {shown(path)}: cannot read {brief(text)}: {error.message}")
        return []


def _flatten(
    tree: Mapping[str, object], where: Callable[[str], str], errors: list[str], prefix: str = ""
) -> list[Entry]:
    """List the values of a nested tree with their dotted paths; an empty section says nothing."""
    entries: list[Entry] = []
    for key, value in tree.items():
        path = prefix + key
        if "." in key:
            errors.append(f"{where(path)}: {shown(path)}: a key holds no dot; write it as a key inside a section")
        elif path in SECTIONS and isinstance(value, dict):
            entries += _flatten(value, where, errors, f"{path}.")
        elif path not in SECTIONS or value is not None:
            entries.append(Entry(path, value, where(path)))
    return entries


def _resolve(layers: Sequence[Sequence[Entry]], errors: list[str], hint: str) -> Resolved:
    """Lay the layers over each other, the later above the earlier, and check every entry against its own layer.

    A layer that chooses another optimizer or schedule drops all that lower layers said of the former: a learning rate
    chosen for SGD is no advice for Adam.
    """
    variants: dict[str, str | None] = {section: names[0] for section, names in VARIANTS.items()}
    chosen: dict[str, Entry] = {}
    for layer in layers:
        for section, names in VARIANTS.items():
            wanted = [entry.value for entry in layer if entry.path == f"{section}.name"]
            if wanted and wanted[-1] != variants[section]:
                variants[section] = str(wanted[-1]) if wanted[-1] in names else None
                chosen = {path: entry for path, entry in chosen.items() if not path.startswith(f"{section}.")}
        for entry in layer:
            found = [f"{entry.where}: {error}" for error in errors_of(entry, variants)]
            errors += found
            if not found:
                chosen[entry.path] = entry
    if errors:
        raise collected(errors, hint)
    values: dict[str, object] = {f"{section}.name": variant for section, variant in variants.items()}
    values |= {path: entry.value for path, entry in chosen.items()}
    paths = [path for path, models in FIELDS.items() if variants.get(path.rpartition(".")[0], "") in models]
    origin = {path: chosen[path].where if path in chosen else "default" for path in paths}
    config = Config.model_validate(_nested(values))
    if conflicts := [f"{origin[path]}: {path}: {what}" for path, what in config.conflicts()]:
        raise collected(conflicts, hint)
    return Resolved(config, origin)


def _nested(values: Mapping[str, object]) -> dict[str, Any]:
    """Turn dotted paths into a tree: {"a.b": 1} -> {"a": {"b": 1}}."""
    tree: dict[str, Any] = {}
    for path, value in values.items():
        *sections, key = path.split(".")
        branch = tree
        for section in sections:
            branch = branch.setdefault(section, {})
        branch[key] = value
    return tree
