"""What may stand where a file is expected: no regular file, or one of an odd name."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        here = Path.cwd()
        os.chdir(path.parent)  # the address of a socket has to be short
        try:
            listening.bind(path.name)
        finally:
            os.chdir(here)


def a_link_to(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


ODD_THINGS: dict[str, Callable[[Path], None]] = {
    "folder": Path.mkdir,
    "pipe": os.mkfifo,
    "socket": a_socket,
    "link to zeros": a_link_to("/dev/zero"),
    "link to a full device": a_link_to("/dev/full"),
    "link to memory": a_link_to("/proc/self/mem"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "link to nothing": a_link_to("nothing"),
}

ODD_NAMES = ("two\nlines", "\x1b[31mred\x07\r", "not UTF-8 \udcff\udc80")
