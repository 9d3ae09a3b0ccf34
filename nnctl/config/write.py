"""Write a configuration out: as YAML that replays it, as a starter to edit, as a schema for editors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nnctl.config import files
from nnctl.config.errors import expected
from nnctl.config.models import FIELDS, SECTIONS, VARIANTS, Config, Section, models_of


def to_mapping(config: Config) -> dict[str, Any]:
    """Give the configuration as plain nested values, ready for JSON."""
    return config.model_dump(mode="json")


def to_yaml(config: Config, origin: Mapping[str, str] | None = None) -> str:
    """Write the whole configuration as YAML that gives an equal Config when loaded.

    Args:
        config: what to write.
        origin: dotted path -> where its value came from, to be said in comments.
    """
    lines = dict(_lines(to_mapping(config)))
    if origin is not None:
        width = max(map(len, lines.values()))
        lines |= {path: f"{lines[path]:<{width}}  # {where}" for path, where in origin.items()}
    return "\n".join(lines.values()) + "\n"


def _lines(tree: Mapping[str, Any], path: str = "", indent: str = "") -> Iterator[tuple[str, str]]:
    """Each dotted path of a nested mapping, and its line of YAML."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield f"{path}{key}", f"{indent}{key}:"
            yield from _lines(value, f"{path}{key}.", indent + "  ")
        else:
            yield f"{path}{key}", f"{indent}{key}: {files.format_value(value)}"


def schema() -> dict[str, Any]:
    """Give the JSON Schema (draft 2020-12) with which editors complete and check a configuration."""
    document = Config.model_json_schema()
    for section, (_, *others) in VARIANTS.items():
        for variant in others:  # without a name a section is of its default variant, and of no other
            document["$defs"][FIELDS[f"{section}.name"][variant].__name__]["required"] = ["name"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **document}


def starter() -> str:
    """Write the defaults as YAML in which a comment explains every key."""
    lines = ["# A configuration for nnctl; these are the defaults, and what you remove keeps them."]
    for key in Config.model_fields:
        lines += ["", *_explained(key, Config)]
    return "\n".join(lines) + "\n"


def _explained(path: str, model: type[Section]) -> Iterator[str]:
    """A key as YAML below a comment; a section with all its keys, those of any variant but the default as comments."""
    key = path.rpartition(".")[2]
    info = model.model_fields[key]
    if path not in SECTIONS:
        rule = model.model_json_schema()["properties"][key]
        section = path.removesuffix(".name")
        choices = expected({"enum": VARIANTS[section]} if section in VARIANTS else rule)
        yield from (f"# {rule['description']} ({choices})", f"{key}: {files.format_value(rule['default'])}")
        return
    yield from (f"# {info.description}", f"{key}:")
    for number, variant in enumerate(models_of(info.annotation)):
        lines = [line for name in variant.model_fields for line in _explained(f"{path}.{name}", variant)]
        if number:
            title = (variant.__doc__ or "").rstrip(".")
            name, *others = lines[1:]  # its name needs no explanation again
            lines = ["#", f"# in place of the above: {title}", f"#{name}"]
            lines += [line if line.startswith("#") else f"#{line}" for line in others]
        yield from (f"  {line}" for line in lines)
