"""Train from a configuration to a result, in a run directory."""

from nnctl.run.resuming import MAY_CHANGE, restore
from nnctl.run.runner import Result, Stop, train_run

__all__ = ["MAY_CHANGE", "Result", "Stop", "restore", "train_run"]
