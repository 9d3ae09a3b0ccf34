"""What nnctl is built and tested with is pinned, byte for byte."""

import re
import tomllib

from tests.support.files import ROOT

LOCK = (ROOT / "requirements-dev.lock").read_text("utf-8")


def name_of(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found is not None, requirement
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def test_lock_pins_every_library_with_hashes() -> None:
    entries = re.split(r"\n(?=\S)", LOCK.strip())
    assert len(entries) > 20
    for entry in entries:
        assert re.match(r"[a-z0-9-]+==[^ ]+", entry), entry
        assert re.findall(r"--hash=sha256:[0-9a-f]{64}(?!\S)", entry), entry


def test_lock_holds_all_that_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    required = {name_of(each) for each in [*project["dependencies"], *project["optional-dependencies"]["dev"]]}
    locked = {name_of(line) for line in LOCK.splitlines() if line and not line.startswith(" ")}
    assert required <= locked


def test_lock_names_no_place_to_fetch_from() -> None:
    assert "://" not in LOCK
    assert "--index-url" not in LOCK
