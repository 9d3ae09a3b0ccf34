"""What to do about an error, where the library's own hint cannot name an option of the command line."""

from __future__ import annotations

from nnctl.errors import NnctlError, NoDigitError, OfflineError, RunInUseError, RunUsedError

HINTS: dict[type[NnctlError], str] = {
    RunUsedError: "continue it with --resume, or choose another --run-dir",
    RunInUseError: "wait for it, or choose another --run-dir",
    OfflineError: "leave out --offline, NNCTL_DATA_OFFLINE or data.offline once, or say where the files are with "
    "--data-dir",
    NoDigitError: "{}, or have it read all the same with --force",
}
"""What to say instead of the library's hint, which stands where the braces are."""


def hint_of(error: NnctlError) -> str:
    """The hint to show below an error; it may be empty."""
    return HINTS.get(type(error), "{}").format(error.hint)
