"""Frozen, typed configuration <-> YAML and TOML; overrides; schema; every error reported at once.

models    every key: type, bounds, default, meaning
files     text -> plain values, strictly
gather    file, variables and options, merged into one configuration
errors  what is wrong with a value, in plain words
write     a configuration -> text
"""

from nnctl.config.errors import key_named
from nnctl.config.gather import OPTIONS, Resolved, from_mapping, load, variable
from nnctl.config.models import Config
from nnctl.config.write import schema, starter, to_mapping, to_yaml

__all__ = [
    "OPTIONS",
    "Config",
    "Resolved",
    "from_mapping",
    "key_named",
    "load",
    "schema",
    "starter",
    "to_mapping",
    "to_yaml",
    "variable",
]
