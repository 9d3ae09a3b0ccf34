"""Play back what a process did to its files, and work out what a power cut could have left of it.

The model keeps only what a file system promises: the bytes of a file are safe once the file is synced, a name is safe
once its folder is synced. Of all that came since, anything may be there or not:

- The bytes of a file may be missing, cut at any block, zero in some blocks, or those of an earlier moment.
- The changes of a folder may have reached the disk up to some point, or each by itself. One rename is one change.

A real file system is kinder, each in its own way.
"""

from __future__ import annotations

import ast
import os
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

CALLS = (
    "openat,write,pwrite64,lseek,fsync,fdatasync,ftruncate,renameat,renameat2,linkat,unlinkat,mkdirat"
    ",?open,?creat,?rename,?link,?unlink,?rmdir,?mkdir"  # which newer processors lack
)
LOG, LOCK = "metrics.jsonl", ".lock"
"""Not atomic: the log of epochs is appended to, and resuming repairs it; the lock holds nothing."""

_FINISHED = re.compile(r"(?P<call>\w+)\((?P<arguments>.*)\)\s+= (?P<result>\d+)(?:<.*>)?$", re.DOTALL)
_PATH = re.compile(r'(?:(?:AT_FDCWD|\d+)<([^>]*)>, )?"((?:[^"\\]|\\.)*)"')
_DESCRIPTOR = re.compile(r"(\d+)<([^>]*)>")

Tree = dict[str, bytes | None]
"""The files below a folder, with their bytes, and the folders, with None; by path."""


@dataclass(frozen=True)
class Call:
    """A system call that succeeded.

    Attributes:
        name: open, write, seek, truncate, sync, rename, link, unlink or mkdir.
        paths: what it names, relative to the root; a rename and a link name two.
        descriptor: what it goes through, or what open returned.
        flags: of open.
        position: where a pwrite writes, where a seek ends, to what size a truncate cuts.
        data: what is written.
    """

    name: str
    paths: tuple[str, ...]
    descriptor: int = -1
    flags: str = ""
    position: int = -1
    data: bytes = b""


def read_trace(trace: Path, root: Path) -> list[Call]:
    """The calls that touch what lies in the folder `root`, which the process ran in, from a report of `strace -f -y`.

    Bytes that `strace -s` cut off are taken to be zero.
    """
    calls = []
    for text in _whole_lines(trace):
        match = _FINISHED.match(text)
        if match is not None and (call := _parsed(match, root)) is not None:
            calls.append(call)
    return calls


def _whole_lines(trace: Path) -> Iterator[str]:
    """The lines without their process ids; a call that was interrupted by another thread's is put together again."""
    begun: dict[str, str] = {}
    for line in trace.read_text(encoding="ascii").splitlines():
        process, _, text = line.partition(" ")
        text = text.lstrip()
        if text.endswith(" <unfinished ...>"):
            begun[process] = text.removesuffix(" <unfinished ...>")
        elif text.startswith("<... "):
            yield begun.pop(process) + text.partition(" resumed>")[2]
        else:
            yield text


def _parsed(match: re.Match[str], root: Path) -> Call | None:
    """A line of the trace, or None if it is about something else than the files below the root."""
    called, arguments, result = match["call"], match["arguments"], int(match["result"])
    if called in {"write", "pwrite64", "lseek", "fsync", "fdatasync", "ftruncate"}:
        through = _DESCRIPTOR.match(arguments)
        if through is None or (path := _inside(root, through[2].removesuffix(" (deleted)"))) is None:
            return None
        descriptor, last = int(through[1]), arguments.rpartition(", ")[2]
        if called in {"write", "pwrite64"}:
            quoted = arguments[arguments.index('"') : arguments.rindex('"') + 1]
            data = ast.literal_eval("b" + quoted)[:result].ljust(result, b"\0")
            return Call("write", (path,), descriptor, position=int(last) if called == "pwrite64" else -1, data=data)
        if called == "lseek":
            return Call("seek", (path,), descriptor, position=result)
        if called == "ftruncate":
            return Call("truncate", (path,), descriptor, position=int(last))
        return Call("sync", (path,), descriptor)
    named = [
        str(Path(base or root, ast.literal_eval(f'b"{path}"').decode())) for base, path in _PATH.findall(arguments)
    ]
    paths = tuple(path for path in (_inside(root, path) for path in named) if path is not None)
    if not paths:
        return None
    assert len(paths) == len(named), f"something was moved into the folder or out of it: {match[0]}"
    if called in {"openat", "open", "creat"}:
        flags = "O_WRONLY|O_CREAT|O_TRUNC" if called == "creat" else arguments.rpartition('", ')[2]
        return Call("open", paths, result, flags=flags)
    name = {"rmdir": "unlink"}.get(called, called.removesuffix("2").removesuffix("at"))
    return Call(name, paths)


def _inside(root: Path, path: str) -> str | None:
    """The path relative to the root, or None if it lies elsewhere."""
    relative = os.path.relpath(os.path.normpath(path), root)
    return None if relative.startswith("..") else relative


@dataclass(eq=False)
class File:
    """Its bytes as processes see them, those that are safe, and the changes in between: (offset, bytes), or a size."""

    data: bytes = b""
    safe: bytes = b""
    pending: list[tuple[int, bytes] | int] = field(default_factory=list)

    def change(self, change: tuple[int, bytes] | int) -> None:
        self.data = _changed(self.data, change)
        self.pending.append(change)

    def sync(self) -> None:
        self.safe = self.data
        self.pending.clear()

    def after_cut(self, rng: random.Random) -> bytes:
        """Bytes that a power cut could leave."""
        if not self.pending:
            return self.data
        block = rng.choice((512, 4096))
        match rng.choice(("missing", "cut", "zero", "mixed", "earlier", "whole")):
            case "missing":
                return self.safe
            case "cut":
                return self.data[: block * rng.randint(0, len(self.data) // block)]
            case "zero":
                return self.safe + bytes(max(0, len(self.data) - len(self.safe)))
            case "mixed":
                before = self.safe.ljust(len(self.data), b"\0")
                starts = range(0, len(self.data), block)
                return b"".join(rng.choice((before, self.data))[start : start + block] for start in starts)[
                    : len(self.data)
                ]
            case "earlier":
                data = self.safe
                for change in self.pending[: rng.randrange(len(self.pending))]:
                    data = _changed(data, change)
                return data
        return self.data


def _changed(data: bytes, change: tuple[int, bytes] | int) -> bytes:
    if isinstance(change, int):
        return data[:change].ljust(change, b"\0")
    offset, new = change
    return data[:offset].ljust(offset, b"\0") + new + data[offset + len(new) :]


@dataclass(eq=False)
class Folder:
    """Its names as processes see them, those that are safe, and the changes in between; None takes a name away.

    `told` counts the changes that the process has already relied on, or told its user of.
    """

    names: dict[str, File | Folder] = field(default_factory=dict)
    safe: dict[str, File | Folder] = field(default_factory=dict)
    pending: list[dict[str, File | Folder | None]] = field(default_factory=list)
    told: int = 0

    def change(self, change: dict[str, File | Folder | None]) -> None:
        self.names = _renamed(self.names, change)
        self.pending.append(change)

    def sync(self) -> None:
        self.safe = dict(self.names)
        self.pending.clear()
        self.told = 0

    def after_cut(self, rng: random.Random) -> dict[str, File | Folder]:
        """Names that a power cut could leave."""
        written = self.pending[: rng.randint(0, len(self.pending))]
        if rng.random() < 0.5:
            chance = rng.choice((0.2, 0.5, 0.8))
            written = [change for change in self.pending if rng.random() < chance]
        names = self.safe
        for change in written:
            names = _renamed(names, change)
        return names

    def owed(self) -> dict[str, list[File | Folder | None]]:
        """What each name may mean after a power cut: what it meant when it was last relied on, or anything since."""
        due = self.safe
        for change in self.pending[: self.told]:
            due = _renamed(due, change)
        since = self.pending[self.told :]
        names = due.keys() | {name for change in since for name in change}
        return {name: [due.get(name), *(change[name] for change in since if name in change)] for name in names}


def _renamed(names: dict[str, File | Folder], change: dict[str, File | Folder | None]) -> dict[str, File | Folder]:
    return {name: node for name, node in (names | change).items() if node is not None}


def is_final(path: str) -> bool:
    """Whether a file of this name must be complete: all but temporary files, the log and the lock."""
    name = Path(path).name
    return name not in {LOG, LOCK} and not (name.startswith(".nnctl-") and name.endswith(".tmp"))


class Disk:
    """A folder and what lies below it, while calls are played back on it.

    Args:
        tree: what is there, and safe, at the start.
    """

    def __init__(self, tree: Tree) -> None:
        self.root = Folder()
        for path, data in sorted(tree.items()):
            folder, name = self._place(path)
            folder.names[name] = Folder() if data is None else File(data, data)
            folder.safe[name] = folder.names[name]
        self._open: dict[int, tuple[File | Folder, int, bool]] = {}  # descriptor -> what, position, whether it appends

    def _place(self, path: str) -> tuple[Folder, str]:
        """The folder that holds a path, and the name in it."""
        folder = self.find(str(Path(path).parent))
        assert isinstance(folder, Folder), path
        return folder, Path(path).name

    def find(self, path: str) -> File | Folder | None:
        node: File | Folder | None = self.root
        for part in Path(path).parts:
            node = node.names.get(part) if isinstance(node, Folder) else None
        return node

    def opened(self, call: Call) -> File | Folder:
        """What the descriptor of a call stands for."""
        return self._open[call.descriptor][0]

    def play(self, call: Call) -> None:
        """Do what the process did."""
        if tells(call):
            self.tell()
        match call.name:
            case "open":
                self._play_open(call)
            case "seek":
                node, _, appends = self._open[call.descriptor]
                self._open[call.descriptor] = node, call.position, appends
            case "write":
                node, position, appends = self._open[call.descriptor]
                assert isinstance(node, File)
                offset = call.position if call.position >= 0 else len(node.data) if appends else position
                node.change((offset, call.data))
                if call.position < 0:
                    self._open[call.descriptor] = node, offset + len(call.data), appends
            case "truncate":
                node = self.opened(call)
                assert isinstance(node, File)
                node.change(call.position)
            case "sync":
                self.opened(call).sync()
            case "mkdir" | "unlink":
                folder, name = self._place(call.paths[0])
                folder.change({name: Folder() if call.name == "mkdir" else None})
            case "rename" | "link":
                (source, old), (folder, new) = map(self._place, call.paths)
                assert source is folder, f"names are safe apart from each other in two folders: {call.paths}"
                folder.change({new: source.names[old]} | ({old: None} if call.name == "rename" else {}))
            case _:
                raise AssertionError(f"{call.name} is not modelled")

    def _play_open(self, call: Call) -> None:
        node = self.find(call.paths[0])
        if node is None:
            folder, name = self._place(call.paths[0])
            node = File()
            folder.change({name: node})
        elif "O_TRUNC" in call.flags and isinstance(node, File) and node.data:
            node.change(0)
        self._open[call.descriptor] = node, 0, "O_APPEND" in call.flags

    def tell(self) -> None:
        """From here on the process, or its user, relies on all names being there."""
        for folder in self.folders().values():
            folder.told = len(folder.pending)

    def folders(self) -> dict[str, Folder]:
        """Every folder by its path; the root is the empty one."""
        found = {"": self.root}
        waiting = [""]
        while waiting:
            above = waiting.pop()
            for name, node in found[above].names.items():
                if isinstance(node, Folder):
                    found[str(Path(above, name))] = node
                    waiting.append(str(Path(above, name)))
        return found

    def tree(self) -> Tree:
        """What processes see."""
        return dict(_leaves(self.root))

    def after_cut(self, rng: random.Random) -> Tree:
        """What a power cut at this moment could leave."""
        return dict(_leaves(self.root, rng))


def _leaves(
    folder: Folder, rng: random.Random | None = None, above: str = "", known: dict[File, bytes] | None = None
) -> Iterator[tuple[str, bytes | None]]:
    """Path and bytes of all that is in a folder: now, or, with a random generator, after a power cut."""
    known = {} if known is None else known  # a file under two names has the same bytes under both
    for name, node in (folder.names if rng is None else folder.after_cut(rng)).items():
        path = str(Path(above, name))
        if isinstance(node, Folder):
            yield path, None
            yield from _leaves(node, rng, path, known)
        else:
            if node not in known:
                known[node] = node.data if rng is None else node.after_cut(rng)
            yield path, known[node]


def tells(call: Call) -> bool:
    """Whether a call shows that the process relies on what it saved before: an epoch is logged, an old file removed."""
    if call.name == "write":
        return Path(call.paths[0]).name == LOG
    return call.name == "unlink" and is_final(call.paths[0])


def replayed(tree: Tree, calls: Sequence[Call]) -> Disk:
    """A disk that held the tree, after the calls."""
    disk = Disk(tree)
    for call in calls:
        disk.play(call)
    return disk


def write_tree(tree: Tree, root: Path) -> None:
    """Put it into a real folder."""
    for path, data in sorted(tree.items()):
        if data is None:
            (root / path).mkdir()
        else:
            (root / path).write_bytes(data)
