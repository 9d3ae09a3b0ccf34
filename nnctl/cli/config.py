"""`nnctl config`: see, check and begin configurations."""

from __future__ import annotations

from pathlib import Path

import click

from nnctl.cli import console, options
from nnctl.cli.types import FILE, PATH
from nnctl.errors import ConfigError


@click.group()
def config() -> None:
    """Show, check and start configurations."""


@options.command(config, name="show", examples="nnctl config show\nnnctl config show configs/tiny.toml --origin")
@options.config_file
@options.overrides
@click.option("--origin", is_flag=True, help="Say where each value comes from.")
@options.as_json
def show(*, config_path: Path | None, overrides: tuple[str, ...], origin: bool, as_json: bool) -> None:
    """Print the resolved configuration: CONFIG, variables and overrides merged into the defaults."""
    from nnctl.config import load, to_mapping, to_yaml

    resolved = load(config_path, overrides)
    if as_json:
        console.result_json({"config": to_mapping(resolved.config), **({"origin": resolved.origin} if origin else {})})
    elif origin:
        origins = {path: console.printable(where) for path, where in resolved.origin.items()}
        console.result(to_yaml(resolved.config, origins).rstrip("\n"))
    else:
        console.result(to_yaml(resolved.config).rstrip("\n"))


@options.command(config, name="check", examples="nnctl config check configs/mnist.yaml configs/tiny.toml")
@click.argument("paths", metavar="CONFIG...", nargs=-1, required=True, type=PATH)
def check(paths: tuple[Path, ...]) -> None:
    """Validate configuration files, whatever the NNCTL_* variables say; every error of every file is reported."""
    from nnctl.config import load

    failed: list[ConfigError] = []
    for path in paths:
        try:
            load(path, environ={})
            console.result(f"{console.printable(path)}: ok")
        except ConfigError as error:
            failed.append(error)
    if len(failed) == 1:
        raise failed[0]
    if failed:
        details = [line for error in failed for line in error.details or [error.message]]
        raise ConfigError(f"{len(failed)} of {len(paths)} files cannot be used", failed[-1].hint, details)


@options.command(config, name="schema", examples="nnctl config schema > nnctl.schema.json")
def schema() -> None:
    """Print a JSON Schema, with which editors complete and check configurations."""
    import json

    from nnctl.config import schema as make

    console.result(json.dumps(make(), indent=2))


@options.command(config, name="init", examples="nnctl config init my.yaml")
@click.argument("file", metavar="[FILE]", required=False, type=FILE)
@click.option("--force", is_flag=True, help="Overwrite FILE.")
def init(file: Path | None, force: bool) -> None:
    """Write a commented starter configuration to FILE, or print it."""
    from nnctl.config import starter
    from nnctl.storage.durable import write_atomic

    if file is None:
        console.result(starter().rstrip("\n"))
        return
    if file.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"{file}: the starter is YAML", "choose a name that ends in .yaml")
    if file.exists() and not force:
        raise ConfigError(f"{file}: exists already", "choose another name, or overwrite it with --force")
    write_atomic(file, starter().encode())
    console.result(f"{console.printable(file)}: edit it, then {console.command_line(['nnctl', 'train', str(file)])}")
