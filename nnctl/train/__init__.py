"""Train a network, and measure what it has learned; objects of NumPy only: no configuration, no files, no signals."""

from nnctl.nn.metrics import Evaluation
from nnctl.train.evaluation import evaluate
from nnctl.train.events import EpochReport, Step
from nnctl.train.state import Totals, TrainerState
from nnctl.train.trainer import Trainer

__all__ = ["EpochReport", "Evaluation", "Step", "Totals", "Trainer", "TrainerState", "evaluate"]
