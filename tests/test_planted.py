"""Every bug that `tests/faults/planted.py` plants still has its place in nnctl, however the code is written."""

import ast
import re

import pytest

from tests.faults.planted import BUGS, Bug, planted
from tests.support.files import ROOT

SOURCE = """
class Cup:
    def drink(self):
        for sip in self.sips:  # naïve
            if   sip.hot( 1 ,
                          two=2):
                self.wait()
            self.swallow(sip)
            self.left = 'é'; self.put(self.left)
"""


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_planted_finds_the_place_of_every_bug(bug: Bug) -> None:
    right = (ROOT / "nnctl" / bug.module).read_text("utf-8")
    wrong = planted(bug, right)
    assert ast.dump(ast.parse(wrong)) != ast.dump(ast.parse(right))
    assert (ROOT / "tests" / "faults" / f"test_{bug.noticed_by}.py").exists()


@pytest.mark.parametrize(
    ("right", "wrong", "expected"),
    [
        ("sip.hot(1, two=2)", "False", "if False:\n    self.wait()"),
        ("sip.hot(...)", "sip.cold()", "if sip.cold():\n    self.wait()"),
        ('self.left = "é"', "self.left = 0", "self.left = 0\nself.put(self.left)"),
        ("self.swallow(sip)", "self.spill(), 1", "(self.spill(), 1)"),
        (
            "if sip.hot(1, two=2):\n    self.wait()",
            "self.blow()\nself.blow()",
            "self.blow()\nself.blow()\nself.swallow",
        ),
    ],
)
def test_planted_finds_a_place_by_its_code_not_by_its_text(right: str, wrong: str, expected: str) -> None:
    found = ast.unparse(ast.parse(planted(bug_of("Cup.drink", right, wrong), SOURCE)))
    assert expected in re.sub(r"(?m)^ {12}", "", found)


@pytest.mark.parametrize(
    ("function", "right", "reason"),
    [
        ("Cup.pour", "self.wait()", "thirst: nnctl/cup.py has no function Cup.pour"),
        ("Cup.drink", "self.stir()", "Cup.drink: 'self.stir()' is there 0 times, not once; of all functions"),
        ("Cup.drink", "sip", "Cup.drink: 'sip' is there 3 times, not once; of all functions these hold it: Cup.drink"),
    ],
)
def test_planted_refuses_a_place_that_is_not_there_exactly_once(function: str, right: str, reason: str) -> None:
    with pytest.raises(LookupError, match=re.escape(reason)):
        planted(bug_of(function, right, "None"), SOURCE)


def bug_of(function: str, right: str, wrong: str) -> Bug:
    return Bug("thirst", "cup.py", function, right, wrong, "kills")
