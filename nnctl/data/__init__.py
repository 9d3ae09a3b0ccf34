"""Where digits come from: fetched, or drawn by nnctl itself; and how training looks at them."""

from typing import TYPE_CHECKING, Any

from nnctl.data.augment import Augmentation
from nnctl.data.examples import Examples

if TYPE_CHECKING:
    from nnctl.data.datasets import Dataset, load_dataset

__all__ = ["Augmentation", "Dataset", "Examples", "load_dataset"]


def __getattr__(name: str) -> Any:
    """Import what loads datasets when it is asked for: predictions do without, and start sooner."""
    if name in ("Dataset", "load_dataset"):
        from nnctl.data import datasets

        return getattr(datasets, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
