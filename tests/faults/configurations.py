"""Hostile configurations, made by hand and at random, and some that only look odd."""

from __future__ import annotations

import random
import re
from functools import cache
from pathlib import Path

from tests.support.files import CONFIGS


def laughs(levels: int) -> str:
    """Each alias is nine of the one before."""
    lines = ["a0: &a0 [lol]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(lines)


YAML: dict[str, str | bytes] = {
    # what YAML can do and a configuration need not
    "aliases": laughs(12),
    "anchor": "seed: &s 1\ntrain: {epochs: *s}",
    "alias to itself": "seed: &s [*s]",
    "alias to nothing": "seed: *s",
    "merge": "train: &t {epochs: 1}\nnetwork: {<<: *t}",
    "merge of a list": "train:\n  <<: [{epochs: 1}, {keep: 1}]",
    "Python object": "seed: !!python/object/apply:os.system ['echo harm']",
    "Python name": "seed: !!python/name:os.system",
    "Python tuple": "network:\n  hidden: !!python/tuple [1, 2]",
    "binary tag": "data:\n  dir: !!binary aGFybQ==",
    "custom tag": "seed: !seed 1",
    "tag of a number": 'seed: !!int "1"',
    "tag of a set": "train: !!set {epochs}",
    "tag of nothing": "seed: ! 1",
    "tag that is not defined": "seed: !a!b 1",
    "documents": "seed: 1\n---\nseed: 2",
    "10,000 documents": "---\nseed: 1\n" * 10_000,
    "document that ends": "seed: 1\n...\nseed: 2",
    "directive of version 9": "%YAML 9.9\n---\nseed: 1",
    "directive of nothing": "%HARM\n---\n- 1",
    "complex key": "? [seed, 1]\n: 1",
    "key that is a mapping": "{seed: 1}: 2",
    "key that is a number": "1: 2",
    "key that is null": "~: 2",
    "key that is true": "true: 2",
    "key of nothing": ": 2",
    "empty key": '"": 2',
    # values
    "unknown key": "sead: 1",
    "unknown key inside": "train:\n  epoch: 1",
    "same key twice": "seed: 1\nseed: 1",
    "same section twice": "train: {epochs: 1}\ntrain: {keep: 1}",
    "same key in quotes": "seed: 1\n'seed': 2",
    "dotted key": "train.epochs: 1",
    "text for a number": "seed: one",
    "number in quotes": "seed: '1'",
    "list for a number": "seed: [1]",
    "mapping for a number": "seed: {a: 1}",
    "number for a section": "train: 1",
    "list for a section": "train: [epochs]",
    "mapping for a list": "network: {hidden: {a: 1}}",
    "list of lists": "network: {hidden: [[1]]}",
    "list of 10,000": "network: {hidden: [" + "1, " * 10_000 + "]}",
    "list of null": "network: {hidden: [~]}",
    "not a number": "optimizer: {learning_rate: .nan}",
    "infinity": "optimizer: {learning_rate: .inf}",
    "less than infinity": "optimizer: {learning_rate: -.INF}",
    "1e999": "optimizer: {learning_rate: 1e999}",
    "nan as a word": "optimizer: {learning_rate: nan}",
    "true for a number": "seed: true",
    "yes": "data: {offline: yes}",
    "on": "data: {offline: on}",
    "no": "data: {offline: no}",
    "y for a name": "loss: y",
    "underscores": "seed: 1_000",
    "sixty": "seed: 1:30",
    "binary number": "seed: 0b11",
    "0x of nothing": "seed: 0x",
    "hexadecimal float": "optimizer: {learning_rate: 0x1p-3}",
    "10^5000": "seed: 1" + "0" * 5000,
    "1e5000": "seed: 1e5000",
    "10^90": "seed: 1" + "0" * 90,
    "10^-90": "seed: -1" + "0" * 90,
    "hexadecimal of 99 digits": "seed: 0x" + "f" * 97,
    "date": "seed: 2026-01-01",
    "time": "seed: 2026-01-01T00:00:00Z",
    "long string": "loss: " + "x" * 900_000,
    "long quoted string": 'loss: "' + "x" * 900_000 + '"',
    "long key": "x" * 900_000 + ": 1",
    "long quoted key": '? "' + "x" * 900_000 + '"\n: 1',
    "key of odd characters": '"\\0\\e[31m\\u2028\\U0001F600": 1',
    "value of odd characters": 'loss: "\\0\\e[31m\\u2028\\n\\U0001F600"',
    "folder of NUL": 'data: {dir: "a\\0b"}',
    "empty folder": 'data: {dir: ""}',
    "escape of no character": 'loss: "\\UFFFFFFFF"',
    "escape of a half character": 'loss: "\\uD800"',
    "key of a half character": '"\\uDFFF": 1',
    # the text itself
    "empty": "",
    "blank": "  \n\n   \n",
    "comment": "# later",
    "marks of a document": "---\n...\n",
    "null": "null",
    "list at the top": "- seed: 1",
    "text at the top": "seed",
    "number at the top": "1",
    "2,000 brackets": "a: " + "[" * 2000 + "]" * 2000,
    "2,000 braces": "{a: " * 2000 + "1" + "}" * 2000,
    "300,000 open brackets": "[" * 300_000,
    "2,000 steps": "\n".join(" " * n + "a:" for n in range(1000)),
    "2,000 dashes": "- " * 2000,
    "300,000 dashes": "- " * 300_000,
    "300,000 question marks": "? " * 300_000,
    "300,000 colons": ":" * 300_000,
    "100,000 keys": "".join(f"k{n}: 1\n" for n in range(90_000)),
    "5,000 unknown sections": "".join(f"k{n}: {{a: 1}}\n" for n in range(400)),
    "open bracket": "seed: [1",
    "open quote": 'loss: "mse',
    "open quote of 900 kB": 'loss: "' + "a\n" * 400_000,
    "closed bracket": "seed: ]",
    "tab": "train:\n\tepochs: 1",
    "tabs": "\t" * 500_000,
    "spaces": " " * 900_000 + "a",
    "blank lines": "\n" * 900_000,
    "wrong step": "train:\n  epochs: 1\n keep: 1",
    "percent": "%",
    "at sign": "seed: @1",
    "backquote": "seed: `1`",
    "block of text": "loss: |\n  mse\n  mse",
    "block of text that is folded": "loss: >9\n mse",
    "comma": "seed: {,}",
    "binary": bytes(range(256)),
    "ELF": b"\x7fELF\x02\x01\x01\xff" + bytes(100),
    "PNG": b"\x89PNG\r\n\x1a\n",
    "NUL": b"seed: 1\0",
    "half a character": "loss: é".encode()[:-1],
    "Latin 1": "loss: é".encode("latin-1"),
    "UTF-16": "seed: 1".encode("utf-16"),
    "UTF-16 without a mark": "seed: 1".encode("utf-16-le"),
    "UTF-32": "seed: 1".encode("utf-32"),
    "mark in the middle": "a: 1\n\ufeffseed: 1",
    "half characters": b"seed: \xed\xa0\x80",
    "control characters": "seed: \x01\x1b[31m",
    "delete": "seed: 1\x7f",
    "not a character": "seed: \uffff",
    "other line ends": "seed: 1\u2028train: 2\x85keep: 3",
    "JSON of an array": "[1, 2]",
    "TOML": "[train]\nepochs = 1",
    "HTML": "<!DOCTYPE html><html></html>",
    "1 MB of zeros": bytes(1_000_000),
}
TOML: dict[str, str | bytes] = {
    "empty": "",
    "comment": "# later",
    "same key twice": "seed = 1\nseed = 2",
    "same table twice": "[train]\n[train]",
    "table over a key": "seed = 1\n[seed]\na = 1",
    "dotted key over a table": "train.epochs = 1\n[train]\nkeep = 1",
    "inline table that grows": "train = {epochs = 1}\ntrain.keep = 1",
    "array of tables": "[[train]]\nepochs = 1",
    "array of tables over a table": "[train]\n[[train]]",
    "key of 40 dots": ".".join("a" * 500) + " = 1",
    "100,000 dots": "a" + ".a" * 100_000 + " = 1",
    "table of 100,000 dots": "[a" + ".a" * 100_000 + "]",
    "dots over many lines": "".join(f"[a{'.a' * 38}.b{n}]\n" for n in range(5000)),
    "dots inside tables": "".join(f"a{'.a' * 38}.b{n} = 1\n" for n in range(5000)),
    "2,000 brackets": "a = " + "[" * 2000 + "]" * 2000,
    "300,000 brackets": "a = " + "[" * 300_000,
    "2,000 braces": "a = " + "{a = " * 2000 + "1" + "}" * 2000,
    "100,000 keys": "".join(f"k{n} = 1\n" for n in range(80_000)),
    "100,000 tables": "".join(f"[k{n}]\n" for n in range(80_000)),
    "list of 200,000": "network.hidden = [" + "1," * 200_000 + "]",
    "not a number": "optimizer.learning_rate = nan",
    "infinity": "optimizer.learning_rate = -inf",
    "1e999": "optimizer.learning_rate = 1e999",
    "date": "seed = 2026-01-01",
    "date that is none": "seed = 2026-02-31",
    "time": "seed = 07:32:00",
    "date and time": "seed = 1979-05-27T00:32:00.999999-07:00",
    "leading zero": "seed = 012",
    "octal beyond": "seed = 0o8",
    "10^5000": "seed = 1" + "0" * 5000,
    "hexadecimal of 900,000 digits": "seed = 0x" + "f" * 900_000,
    "10^90": "seed = 1" + "0" * 90,
    "true for a number": "seed = true",
    "number in quotes": 'seed = "1"',
    "yes": "data.offline = yes",
    "key of dots in quotes": '"train.epochs" = 1',
    "empty key": '"" = 1',
    "key of odd characters": '"\\u0000\\u001b[31m\\u2028" = 1',
    "value of odd characters": 'loss = "\\u0000\\u001b[31m"',
    "escape of no character": 'loss = "\\UFFFFFFFF"',
    "escape of a half character": 'loss = "\\uD800"',
    "folder of NUL": 'data.dir = "a\\u0000b"',
    "long string": 'loss = "' + "x" * 900_000 + '"',
    "long key": "x" * 900_000 + " = 1",
    "open string": 'loss = "mse',
    "open text": 'loss = """mse',
    "open table": "[train",
    "no value": "seed =",
    "no key": "= 1",
    "two values": "seed = 1 2",
    "YAML": "seed: 1",
    "JSON": '{"seed": 1}',
    "tabs": "\t" * 900_000 + "a",
    "carriage returns": "seed = 1\rseed = 2",
    "control characters": "seed = 1 # \x01",
    "NUL": "seed = 1\0",
    "UTF-16": "seed = 1".encode("utf-16"),
    "Latin 1": 'loss = "é"'.encode("latin-1"),
    "two marks": "\ufeff\ufeffseed = 1",
    "binary": bytes(range(256)),
}
VALID: dict[str, str | bytes] = {
    "1e-3.yaml": "optimizer: {learning_rate: 1e-3}",
    "octal.yaml": "seed: 0o17",
    "hexadecimal.yaml": "seed: 0xff",
    "leading zeros.yaml": "seed: 012",
    "number that is great.yaml": "seed: 9223372036854775807",
    "two marks at the beginning.yaml": "\ufeff\ufeffseed: 1",
    "mark at the beginning.yaml": "\ufeffseed: 1",
    "Windows line ends.yaml": "seed: 1\r\ntrain:\r\n  epochs: 2\r\n",
    "JSON.yaml": '{"seed": 1, "train": {"epochs": 2}}',
    "words that are text.yaml": "data: {dir: on}",
    "folder of odd characters.yml": 'data: {dir: "a\\e\\n\\U0001F600"}',
    "one document with marks.yaml": "---\nseed: 1\n...\n",
    "sections that say nothing.yaml": "train:\nnetwork: ~\nseed: 1",
    "underscores.toml": "seed = 1_000",
    "hexadecimal of TOML.toml": "seed = 0xF",
    "binary of TOML.toml": "seed = 0b11",
    "mark before TOML.toml": "\ufeffseed = 1",
    "dotted key.toml": "train.epochs = 2\ntrain.keep = 1",
    "capital ending.TOML": "seed = 1",
}

CASES = (
    {f"{name}.yaml": content for name, content in YAML.items()}
    | {f"{name}.toml": content for name, content in TOML.items()}
    | VALID
)


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


# Configurations damaged at random

TOKENS = [
    *("seed", "train", "epochs", "network", "hidden", "optimizer", "name", "learning_rate", "data", "augment", "loss"),
    *("adam", "none", "null", "true", "yes", "~", "0", "-1", "1e-3", ".nan", "inf", "1_0", "0x1F", "1e999", "9" * 40),
    *(":", ": ", " ", "  ", "\n", "\n  ", "\t", "\r", "[", "]", "{", "}", ",", "=", " = ", ".", "- ", "? ", "#", " # "),
    *('"', "'", '"""', "|", ">", "&a ", "*a", "!!int ", "!", "%", "@", "`", "<<", "---\n", "...\n", "[[", "]]", "\\"),
    *("\0", "\ufeff", "\u2028", "\x85", "\x1b", "é", "\U0001f600", "\\u0000", "\\xFF", "2026-01-01", "12:30:00"),
]


def characters(text: str, rng: random.Random) -> str:
    for _ in range(rng.choice([1, 2, 10])):
        place = rng.randrange(len(text) + 1)
        text = text[:place] + rng.choice(["", chr(rng.randrange(128)), rng.choice(TOKENS)]) + text[place + 1 :]
    return text


def tokens(text: str, rng: random.Random) -> str:
    parts = re.split(r"(\W)", text)
    for _ in range(rng.choice([1, 2, 5])):
        place = rng.randrange(len(parts))
        parts[place] = rng.choice([rng.choice(TOKENS), rng.choice(parts), parts[place] * 2, ""])
    return "".join(parts)


def lines(text: str, rng: random.Random) -> str:
    parts = text.splitlines(keepends=True)
    for _ in range(rng.choice([1, 2, 5])):
        place = rng.randrange(len(parts))
        other = rng.choice(rng.choice(texts())[1].splitlines(keepends=True))
        parts[place] = rng.choice(["", parts[place] * 2, other, " " + parts[place], parts[place].strip(), other[::-1]])
    return "".join(parts) or "\n"


def cut(text: str, rng: random.Random) -> str:
    return text[: rng.randrange(len(text) + 1)]


@cache
def texts() -> list[tuple[str, str]]:
    """The ending and the text of each configuration that nnctl comes with, without its comments."""
    shipped = [(file.suffix, file.read_text("utf-8")) for file in sorted(CONFIGS.iterdir())]
    assert len(shipped) >= 5
    return [(end, re.sub(r"(?m)(^| +)#.*$", "", text)) for end, text in shipped]


def mutant(seed: int, folder: Path) -> Path:
    rng = random.Random(seed)
    end, text = rng.choice(texts())
    for change in rng.choices([characters, tokens, lines, cut], [4, 4, 4, 1], k=rng.choice([1, 1, 2])):
        text = change(text, rng) or "\n"
    data = bytearray(text.encode("utf-8"))
    if rng.random() < 0.05:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return written(folder / f"{seed:05}{end}", bytes(data))
