"""Print the section of one version in the changelog: `python .github/release_notes.py 0.1.0 [CHANGELOG.md]`.

A workflow publishes it with the release.
"""

import re
import sys
from pathlib import Path


def section(changelog: str, version: str) -> str:
    """What stands below the heading of a version, such as `## [0.1.0] - 2026-01-31`, up to the next heading.

    Raises:
        ValueError: the version has no section, an empty one or two, or no date yet.
    """
    parts = re.split(r"^## (.*)\n", changelog, flags=re.MULTILINE)
    found = [
        (heading, body.strip())
        for heading, body in zip(parts[1::2], parts[2::2], strict=True)
        if heading.startswith(f"[{version}]")
    ]
    if len(found) != 1:
        raise ValueError(f"the changelog has {len(found)} sections of version {version}")
    heading, body = found[0]
    if not re.fullmatch(r"\[[^]]+\] - [0-9]{4}-[0-9]{2}-[0-9]{2}", heading.strip()):
        raise ValueError(f"the changelog gives no date to version {version}: ## {heading}")
    if not body:
        raise ValueError(f"the changelog says nothing of version {version}")
    return f"{body}\n"


if __name__ == "__main__":
    try:
        sys.stdout.write(section(Path(*sys.argv[2:] or ["CHANGELOG.md"]).read_text("utf-8"), sys.argv[1]))
    except ValueError as error:
        sys.exit(str(error))
