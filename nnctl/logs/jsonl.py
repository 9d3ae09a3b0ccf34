"""Write the metrics of a run as JSON Lines: an object for each epoch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nnctl.errors import StorageError
from nnctl.logs.listener import Listener
from nnctl.storage.durable import open_regular, write_atomic
from nnctl.train import EpochReport


class MetricsFile(Listener):
    """A file with a line for each epoch.

    Args:
        path: of the file; it is appended to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_epoch(self, report: EpochReport) -> None:
        """Add a line; raises StorageError."""
        try:
            with open_regular(self.path, "ab") as file:
                file.write(json.dumps(vars(report)).encode() + b"\n")
        except OSError as error:
            raise StorageError.from_os_error(f"write {self.path}", error) from error

    def rewind(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Make the file agree with the history of the checkpoint that training goes on from.

        Lines of epochs that will be run again are dropped; a line that was lost comes from the history.
        """
        known: dict[int, bytes] = {}
        try:
            with open_regular(self.path) as file:
                lines = file.read().splitlines()
        except FileNotFoundError:
            lines = []
        except OSError as error:
            raise StorageError.from_os_error(f"read {self.path}", error) from error
        for line in lines:
            try:
                known[json.loads(line)["epoch"]] = line
            except (ValueError, KeyError, TypeError, RecursionError):
                continue  # a line cut short by a crash
        lines = [known.get(entry["epoch"], json.dumps(entry).encode()) for entry in history]
        write_atomic(self.path, b"".join(line + b"\n" for line in lines))
