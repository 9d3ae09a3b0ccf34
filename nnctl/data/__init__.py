"""Where digits come from: fetched, or drawn by nnctl itself; and how training looks at them."""

from nnctl.data.augment import Augmentation
from nnctl.data.datasets import Dataset, load_dataset
from nnctl.data.examples import Examples

__all__ = ["Augmentation", "Dataset", "Examples", "load_dataset"]
