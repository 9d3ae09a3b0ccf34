"""A release says what the changelog says of it; a version that the changelog does not describe is not released."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.files import ROOT

CHANGELOG = """# Changelog

Words about the file.

## [1.1.0] - 2026-02-01

### Added

- One thing.

## [1.0.0] - 2026-01-31

- Another thing.

## [0.9.0] - unreleased

- Not yet.

## [0.8.0] - 2025-01-01

## [0.7.0] - 2024-01-01

- The first thing.
"""


def notes(version: str, changelog: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / ".github" / "release_notes.py"), version, str(changelog)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def changelog(tmp_path: Path) -> Path:
    path = tmp_path / "CHANGELOG.md"
    path.write_text(CHANGELOG, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("1.1.0", "### Added\n\n- One thing.\n"),
        ("1.0.0", "- Another thing.\n"),
        ("0.7.0", "- The first thing.\n"),
    ],
)
def test_release_notes_are_the_section_of_the_version(changelog: Path, version: str, expected: str) -> None:
    done = notes(version, changelog)
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, "")


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        ("2.0.0", "0 sections of version 2.0.0"),
        ("1.0", "0 sections"),
        ("1.0.0rc1", "0 sections"),
        ("0.9.0", "gives no date to version 0.9.0"),
        ("0.8.0", "says nothing of version 0.8.0"),
    ],
)
def test_release_notes_refuse_a_version_that_the_changelog_does_not_describe(
    changelog: Path, version: str, reason: str
) -> None:
    done = notes(version, changelog)
    assert (done.returncode, done.stdout) == (1, "")
    assert reason in done.stderr


def test_release_notes_refuse_a_version_with_two_sections(changelog: Path) -> None:
    changelog.write_text(CHANGELOG + "\n## [1.0.0] - 2026-01-31\n\n- Again.\n", encoding="utf-8")
    assert "2 sections of version 1.0.0" in notes("1.0.0", changelog).stderr


def test_release_notes_can_be_taken_from_the_changelog(tmp_path: Path) -> None:
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    newest = text.split("\n## [")[1]
    version = newest.partition("]")[0]
    (tmp_path / "CHANGELOG.md").write_text(text.replace("- unreleased", "- 2026-01-31"), encoding="utf-8")
    done = notes(version, tmp_path / "CHANGELOG.md")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == newest.partition("\n")[2].strip()
