"""The list of errors: none that the code raises is missing from it."""

import re

from docs.made import errors
from evaluation.common.environment import REPOSITORY


def test_every_code_that_stands_in_the_code_is_listed() -> None:
    listed = {refusal.code for refusal in errors.refusals()}
    named = set()
    for house in ("evaluation", "submission"):
        for path in (REPOSITORY / house).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            named |= set(re.findall(r'\(\s*"([A-Z]{3,}(?:-[A-Z0-9]{2,})+)",', text))
    assert named - listed == set()
    assert {"DATA-NAME", "REPRESENTATION-DIMS", "CONFIG-SCHEDULE"} <= listed


def test_an_entry_says_what_is_wrong_and_what_to_do() -> None:
    found = {one.source: one for one in errors.refusals() if one.code == "DATA-NAME"}
    one = found["evaluation/data/__init__.py"]
    assert one.problem == "There is no dataset …"
    assert one.remedy == "Choose one of …"
