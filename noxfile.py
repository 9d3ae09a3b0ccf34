"""The checks of the project as sessions of nox; `nox --no-venv` runs them in the environment that nox is in."""

import sys

import nox

nox.options.sessions = ["quick", "lint"]
nox.options.reuse_existing_virtualenvs = True


def python(session: nox.Session) -> str:
    """The interpreter that has nnctl: that of a fresh environment, or the one that runs nox."""
    if session.virtualenv.is_sandboxed:
        session.install("-e", ".[dev]")
        return "python"
    return sys.executable


@nox.session
def quick(session: nox.Session) -> None:
    """The tests of the README's command: about two minutes on two cores."""
    session.run(python(session), "-m", "pytest", "-n", "2", *session.posargs, external=True)


@nox.session
def tests(session: nox.Session) -> None:
    """All tests, slow ones and the quick part of the fault suite too."""
    interpreter = python(session)
    session.run(interpreter, "-m", "pytest", "-n", "2", "-m", "slow or not slow", *session.posargs, external=True)
    session.run(interpreter, "-m", "pytest", "tests/faults", external=True)


@nox.session
def faults(session: nox.Session) -> None:
    """The whole fault suite, which takes long; on Linux it needs strace."""
    session.env["FAULTS"] = "full"
    session.run(python(session), "-m", "pytest", "tests/faults", *session.posargs, external=True)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, format and types."""
    interpreter = python(session)
    session.run(interpreter, "-m", "ruff", "check", external=True)
    session.run(interpreter, "-m", "ruff", "format", "--check", external=True)
    session.run(interpreter, "-m", "mypy", "--strict", "nnctl", external=True)
    session.run(interpreter, "-m", "mypy", "tests", external=True)
