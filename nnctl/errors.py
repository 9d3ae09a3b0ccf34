"""Every error nnctl can report, as one tree; each has the exit code that a shell sees.

NnctlError
├── ConfigError          2  a config file, a variable, an override or an option cannot be used
│   └── RunUsedError     2  a run has begun in this directory already
├── ArgumentError        2  a function of the library was given something it cannot work with
├── DataError            3  dataset files are missing, damaged, foreign or cannot be fetched
│   └── OfflineError     3  files are missing, and the network must not be used
├── CheckpointError      4  a checkpoint is missing, damaged or of another format
├── ImageError           5  a picture cannot be read as one digit
│   └── NoDigitError     5  it shows something else than one digit, or is too blurred
├── StorageError         6  the file system refused: no space, no permission, read-only
├── DivergedError        7  the loss is no longer a finite number
├── RunInUseError        8  another process is training in this run directory
├── BelowThresholdError  9  the accuracy is below the one asked for
└── StoppedError       128+  SIGHUP (129), SIGINT (130) or SIGTERM (143), after a valid save

0 is success, 1 an internal error (always a bug in nnctl), 141 a closed pipe on standard output.
"""

from __future__ import annotations

from collections.abc import Sequence


class NnctlError(Exception):
    """An error that its user can mend: what happened and where, then what to do about it.

    Args:
        message: what went wrong and where, in one line without a final full stop.
        hint: what to do next, in one line; may be empty when the message says it all.
        details: the errors one by one, where several are reported at once.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "", details: Sequence[str] = ()) -> None:
        super().__init__("\n  ".join([message, *details]))
        self.message = message
        self.hint = hint
        self.details = details
        if hint:
            self.add_note(f"hint: {hint}")  # below the message, where Python shows an error


class ConfigError(NnctlError):
    """A config file, an override, an environment variable or an option cannot be used."""

    exit_code = 2


class RunUsedError(ConfigError):
    """A run has begun in this directory already; a new one would overwrite it."""


class ArgumentError(NnctlError, ValueError):
    """A function of the library was given something it cannot work with."""

    exit_code = 2


class DataError(NnctlError):
    """Dataset files are missing, damaged, foreign or cannot be fetched."""

    exit_code = 3


class OfflineError(DataError):
    """Dataset files are missing, and the network must not be used."""


class CheckpointError(NnctlError):
    """A checkpoint is missing, damaged or of another format."""

    exit_code = 4


class ImageError(NnctlError):
    """A picture cannot be read, or does not hold one digit."""

    exit_code = 5


class NoDigitError(ImageError):
    """A picture shows something else than one digit, or is too blurred to tell."""


class StorageError(NnctlError):
    """The file system refused: no space, no permission, read-only."""

    exit_code = 6

    @classmethod
    def from_os_error(cls, action: str, error: OSError) -> StorageError:
        """Say which action failed and why, in the operating system's words."""
        return cls(f"cannot {action}: {error.strerror or error}", "check the path, its permissions and the free space")

    @classmethod
    def no_thread(cls) -> StorageError:
        """Say that the system lets no other thread be started."""
        return cls(
            "cannot start a thread", "are memory, processes or threads limited (ulimit -a), or a container's pids?"
        )


class DivergedError(NnctlError):
    """The loss is no longer a finite number."""

    exit_code = 7


class RunInUseError(NnctlError):
    """Another process is training in this run directory."""

    exit_code = 8


class BelowThresholdError(NnctlError):
    """The accuracy is below the one asked for."""

    exit_code = 9


class StoppedError(NnctlError):
    """A signal asked the program to stop; what was done so far has been saved.

    Args:
        signum: the number of the signal; the exit code is 128 + signum, as shells expect.
    """

    def __init__(self, message: str, hint: str, signum: int) -> None:
        super().__init__(message, hint)
        self.exit_code = 128 + signum
