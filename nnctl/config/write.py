"""Write a configuration out: as YAML that replays it, as a starter to edit, as a schema for editors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nnctl.config import files
from nnctl.config.mistakes import expected
from nnctl.config.models import FIELDS, KINDS, SECTIONS, Config, Section, models_of


def to_mapping(config: Config) -> dict[str, Any]:
    """Give the configuration as plain nested values, ready for JSON."""
    return config.model_dump(mode="json")


def to_yaml(config: Config, origin: Mapping[str, str] | None = None) -> str:
    """Write the whole configuration as YAML that gives an equal Config when loaded.

    Args:
        config: what to write.
        origin: dotted path -> where its value came from, to be said in comments.
    """
    lines: dict[str, str] = {}  # dotted path -> its line
    for key, value in to_mapping(config).items():
        if isinstance(value, dict):
            lines[key] = f"{key}:"
            lines |= {f"{key}.{name}": f"  {name}: {files.format_value(leaf)}" for name, leaf in value.items()}
        else:
            lines[key] = f"{key}: {files.format_value(value)}"
    if origin is not None:
        width = max(map(len, lines.values()))
        lines |= {path: f"{lines[path]:<{width}}  # {where}" for path, where in origin.items()}
    return "\n".join(lines.values()) + "\n"


def schema() -> dict[str, Any]:
    """Give the JSON Schema (draft 2020-12) with which editors complete and check a configuration."""
    document = Config.model_json_schema()
    for section, (_, *others) in KINDS.items():
        for kind in others:  # without a name a section is of its default kind, and of no other
            document["$defs"][FIELDS[f"{section}.name"][kind].__name__]["required"] = ["name"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **document}


def starter() -> str:
    """Write the defaults as YAML in which a comment explains every key."""
    lines = ["# A configuration for nnctl; these are the defaults, and what you remove keeps them.", ""]
    rules = Config.model_json_schema()["properties"]
    for key, info in Config.model_fields.items():
        if key in SECTIONS:
            lines += [f"# {info.description}", f"{key}:"]
            lines += [f"  {line}" for model in models_of(info.annotation) for line in _explained_section(key, model)]
        else:
            lines += _explained(key, rules[key], key)
        lines.append("")
    return "\n".join(lines[:-1]) + "\n"


def _explained_section(section: str, model: type[Section]) -> Iterator[str]:
    """Explain the keys of one section; the keys of another kind than the default are commented out."""
    rules = model.model_json_schema()["properties"]
    kind = model.model_fields["name"].default if section in KINDS else ""
    mark = ""
    if section in KINDS and kind != KINDS[section][0]:
        mark = "#"
        yield from ("#", f"# in place of the above: {(model.__doc__ or '').rstrip('.')}", f"#name: {kind}")
        del rules["name"]
    for name, rule in rules.items():
        yield from _explained(f"{section}.{name}", rule, mark + name)


def _explained(path: str, rule: Mapping[str, Any], key: str) -> tuple[str, str]:
    section = path.removesuffix(".name")
    choices = expected({"enum": KINDS[section]} if section in KINDS else rule)
    return f"# {rule['description']} ({choices})", f"{key}: {files.format_value(rule['default'])}"
