"""Train a network, and measure what it has learned; objects of NumPy only: no configuration, no files, no signals."""

from typing import TYPE_CHECKING, Any

from nnctl.train.state import Totals, TrainerState

__all__ = ["EpochReport", "Evaluation", "Step", "Totals", "Trainer", "TrainerState", "evaluate"]

if TYPE_CHECKING:
    from nnctl.nn.metrics import Evaluation
    from nnctl.train.evaluation import evaluate
    from nnctl.train.events import EpochReport, Step
    from nnctl.train.trainer import Trainer
else:

    def __getattr__(name: str) -> Any:
        """Import what trains and measures when it is asked for: predictions do without, and start sooner."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from nnctl.train import evaluation, trainer

        return getattr(evaluation if name in ("Evaluation", "evaluate") else trainer, name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
