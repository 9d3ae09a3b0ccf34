"""Read YAML and TOML text into plain nested dictionaries, strictly, and write YAML values back.

Both readers keep to what a configuration needs. YAML follows the core schema of YAML 1.2
(https://yaml.org/spec/1.2.2/#103-core-schema): `1e-3` is a number, `on` is a word and `012` is twelve. Keys given
twice, anchors, tags and further documents are refused rather than half understood.
"""

from __future__ import annotations

import difflib
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from nnctl.errors import ConfigError

if TYPE_CHECKING:
    from yaml import Event, Mark
    from yaml._yaml import Mark as CMark

SUFFIXES = (".yaml", ".yml", ".toml")
MAX_BYTES = 1_000_000
MAX_DEPTH = 20
MAX_NODES = 1_000
# tomllib's time grows with the square of the parts of a dotted key; a path such as ../../data has dots as well
MAX_TOML_DOTS = 40

START_HINT = "`nnctl config init` writes a file to start from"

_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_CONSTANTS = {"null": None, "true": True, "false": False}
_CONSTANTS = {cased: value for word, value in _CONSTANTS.items() for cased in (word, word.capitalize(), word.upper())}
_CONSTANTS |= {"": None, "~": None}

# words that YAML 1.1 or 1.2 reads as something else than text
_AMBIGUOUS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


@dataclass(frozen=True)
class Document:
    """What a file says.

    Attributes:
        tree: its keys and values, nested as in the file.
        lines: the line on which a dotted path stands; empty for TOML, whose reader does not tell.
        repeated: dotted path -> the line that gives this key once more.
    """

    tree: dict[str, object]
    lines: dict[str, int] = field(default_factory=dict)
    repeated: dict[str, int] = field(default_factory=dict)


def read(path: Path) -> Document:
    """Read a .yaml, .yml or .toml file; raise ConfigError, naming file, line and column, if that cannot be done."""
    text = _decode(path, _read_bytes(path))
    document = _parse_toml(path, text) if path.suffix.lower() == ".toml" else _parse_yaml(path, text)
    keys = len(document.tree) + sum(len(value) for value in document.tree.values() if isinstance(value, dict))
    if keys > MAX_NODES:
        raise ConfigError(f"{path}: holds {keys} keys, far more than a configuration has", START_HINT)
    return document


def parse_value(text: str) -> object:
    """Read one YAML value, such as `3e-3` or `[16, 16]`; raise ConfigError if it is not one."""
    try:
        return _YamlReader(text).value_of_only_document()
    except _YamlError as problem:
        raise ConfigError(problem.reason) from None


def format_value(value: object) -> str:
    """Write a value so that readers of YAML 1.1 and of YAML 1.2 both get it back exactly.

    Args:
        value: None, a bool, an int, a finite float, a str, or a list of these.
    """
    if isinstance(value, list):
        return "[" + ", ".join(map(format_value, value)) + "]"
    if isinstance(value, float):
        # YAML 1.1 takes 1e-05 for text: it wants a point in a number
        return repr(value) if "." in repr(value) else repr(value).replace("e", ".0e")
    if isinstance(value, str):
        plain = re.fullmatch("[a-z][a-z0-9_./-]*", value) and value not in _AMBIGUOUS
        return value if plain else f'"{"".join(map(_escape, value))}"'
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _escape(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02X}" if code < 0x100 else f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"


def _read_bytes(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise ConfigError(f"{path}: is a folder, not a config file", _nearest_file(path, path))
        # opening a pipe or a device could wait without end
        if not stat.S_ISREG(mode):
            raise ConfigError(f"{path}: is not a regular file", "give a .yaml or .toml file")
        if path.suffix.lower() not in SUFFIXES:
            raise ConfigError(f"{path}: is neither YAML (.yaml, .yml) nor TOML (.toml) by its name", "rename the file")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file", _nearest_file(path.parent, path)) from None
    except (OSError, ValueError) as error:  # ValueError: the name itself cannot be one
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{str(path)!r}: cannot be read: {reason}", "check the name and its permissions") from None
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path}: is larger than {MAX_BYTES:,} bytes, so it is no config file", START_HINT)
    return data


def _nearest_file(folder: Path, wanted: Path) -> str:
    try:
        names = sorted(entry.name for entry in folder.iterdir() if entry.suffix.lower() in SUFFIXES)
    except OSError:
        names = []
    near = difflib.get_close_matches(wanted.name, names, n=1, cutoff=0.5)
    return f"did you mean {folder / near[0]}?" if near else START_HINT


def _decode(path: Path, data: bytes) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (see byte {error.start})", "is it a binary file?") from None
    if "\0" in text:
        raise ConfigError(f"{path}: is not text: it holds NUL characters", "is it a binary file?")
    return text


def _parse_toml(path: Path, text: str) -> Document:
    import tomllib

    # in TOML a line ends at "\n" alone, and "#" begins no comment within a text of several lines
    one_line_texts = '"""' not in text and "'''" not in text
    for number, line in enumerate(text.split("\n"), start=1):
        is_comment = one_line_texts and line.lstrip(" \t").startswith("#")
        if line.count(".") > MAX_TOML_DOTS and not is_comment:
            raise ConfigError(f"{path}:{number}: holds more than {MAX_TOML_DOTS} dots", "shorten the line")
    try:
        tree = tomllib.loads(text)
    except RecursionError:
        raise ConfigError(f"{path}: brackets are nested too deeply", "a configuration nests two levels") from None
    except ValueError as error:  # TOMLDecodeError, or an integer of more digits than Python converts
        reason = str(error).partition(" (")[0]
        line_and_column = re.search(r"line (\d+), column (\d+)", str(error))
        where = ":".join([str(path), *(line_and_column.groups() if line_and_column else ())])
        hint = "in TOML text needs quotes, and a key may be given only once"
        raise ConfigError(f"{where}: is not valid TOML: {reason}", hint) from None
    if not tree:
        raise ConfigError(f"{path}: is empty", START_HINT)
    return Document(tree)


def _parse_yaml(path: Path, text: str) -> Document:
    reader = _YamlReader(text)
    try:
        tree = reader.value_of_only_document()
    except _YamlError as problem:
        hint = "a config is plain keys and values, indented with spaces: `nnctl config init` writes one"
        raise ConfigError(f"{path}:{problem.line}:{problem.column}: {problem.reason}", hint) from None
    if tree is None:
        raise ConfigError(f"{path}: is empty", START_HINT)
    if not isinstance(tree, dict):
        kind = "a list" if isinstance(tree, list) else "a single value"
        raise ConfigError(f"{path}:1: holds {kind} where keys and values belong", START_HINT)
    return Document(tree, reader.lines, reader.repeated)


class _YamlError(Exception):
    def __init__(self, reason: str, line: int, column: int) -> None:
        self.reason, self.line, self.column = reason, line, column


class _YamlReader:
    """Builds plain values from PyYAML's events; these come one by one, so the limits hold before anything is built."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.lines: dict[str, int] = {}
        self.repeated: dict[str, int] = {}
        self.nodes = 0

    def value_of_only_document(self) -> object:
        import yaml

        events = self._events()
        next(events)  # the start of the stream
        if isinstance(next(events), yaml.StreamEndEvent):
            return None
        value = self._value(next(events), events, ())
        next(events)  # the end of the document
        after = next(events)
        if not isinstance(after, yaml.StreamEndEvent):
            self._refuse("a second document starts here; a config file holds one", after)
        return value

    def _events(self) -> Iterator[Event]:
        import yaml

        try:
            yield from yaml.parse(self.text, Loader=yaml.SafeLoader)
        except yaml.reader.ReaderError as error:
            before = self.text[: error.position].split("\n")
            reason = f"is not valid YAML: it holds the character {self.text[error.position]!r}"
            raise _YamlError(reason, len(before), len(before[-1]) + 1) from None
        except yaml.MarkedYAMLError as error:
            place = _place(error.problem_mark or error.context_mark)
            raise _YamlError(f"is not valid YAML: {error.problem or error.context}", *place) from None
        except (ValueError, OverflowError):  # an escape such as "\UFFFFFFFF" names no character
            raise _YamlError("is not valid YAML: an escape names no character", 1, 1) from None

    def _value(self, event: Event, events: Iterator[Event], path: tuple[str, ...]) -> object:
        import yaml

        self.nodes += 1
        if self.nodes > MAX_NODES:
            self._refuse("holds far more values than a configuration has", event)
        if len(path) > MAX_DEPTH:
            self._refuse(f"is nested deeper than {MAX_DEPTH} levels", event)
        if not isinstance(event, yaml.CollectionStartEvent | yaml.ScalarEvent) or event.anchor is not None:
            self._refuse("anchors and aliases (& and *) are not supported; write the value out", event)
        if event.tag is not None:
            self._refuse("tags (!) are not supported", event)
        if isinstance(event, yaml.ScalarEvent):
            return _resolve(event.value) if event.style is None else event.value
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(events, path)
        items: list[object] = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            items.append(self._value(event, events, (*path, str(len(items)))))
        return items

    def _mapping(self, events: Iterator[Event], path: tuple[str, ...]) -> dict[str, object]:
        import yaml

        mapping: dict[str, object] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            key = self._value(event, events, path) if isinstance(event, yaml.ScalarEvent) else None
            if not isinstance(key, str):
                self._refuse("a key must be a word", event)
            if key == "<<":
                self._refuse("merge keys (<<) are not supported; write the keys out", event)
            dotted = ".".join((*path, key))
            found = self.repeated if key in mapping else self.lines
            found[dotted] = _place(event.start_mark)[0]
            mapping[key] = self._value(next(events), events, (*path, key))
        return mapping

    def _refuse(self, reason: str, event: Event) -> NoReturn:
        raise _YamlError(reason, *_place(event.start_mark))


def _place(mark: Mark | CMark | None) -> tuple[int, int]:
    """Line and column, counted from 1."""
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)


def _resolve(text: str) -> object:
    """Give a plain (unquoted) scalar its type by the core schema of YAML 1.2."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if len(text) > 100:  # no number that anybody means
        return text
    if _INTEGER.fullmatch(text):
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    if _NOT_FINITE.fullmatch(text):
        return float(text.replace(".", ""))
    return float(text) if _FLOAT.fullmatch(text) else text
