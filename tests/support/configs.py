"""The names that the configuration knows, so that no test has to be changed where one more is added."""

import typing

from nnctl.config.models import FIELDS, VARIANTS


def choices(path: str) -> list[str]:
    """The names that a key may have: "network.activation", "optimizer.name"."""
    section, _, key = path.rpartition(".")
    if section in VARIANTS and key == "name":
        return list(VARIANTS[section])
    (model,) = FIELDS[path].values()
    return list(typing.get_args(model.model_fields[key].annotation))


def listed(path: str) -> str:
    """These names as a message says them: "relu, sigmoid or tanh"."""
    *others, last = choices(path)
    return f"{', '.join(others)} or {last}"
