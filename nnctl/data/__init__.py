"""Where digits come from: fetched, or drawn by nnctl itself; and how training looks at them."""

from typing import TYPE_CHECKING, Any

from nnctl.data.examples import Examples

__all__ = ["Augmentation", "Dataset", "Examples", "load_dataset"]

if TYPE_CHECKING:
    from nnctl.data.augment import Augmentation
    from nnctl.data.datasets import Dataset, load_dataset
else:

    def __getattr__(name: str) -> Any:
        """Import what loads and distorts images when it is asked for: predictions do without, and start sooner."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        if name == "Augmentation":
            from nnctl.data.augment import Augmentation

            return Augmentation
        from nnctl.data import datasets

        return getattr(datasets, name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
