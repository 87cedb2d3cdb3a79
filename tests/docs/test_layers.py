"""The layers of the code, as the page Inside draws them."""

from docs.made import layers


def test_a_layer_uses_only_those_below_it() -> None:
    below: set[str] = set()
    for layer in layers.layers():
        for group in layer:
            for part in group:
                assert layers.uses()[part] <= below | set(group), part
        below |= {part for group in layer for part in group}
    assert below == layers.uses().keys()
    assert layers.layers()[0][0] == ("evaluation/common",)


def test_a_part_says_what_it_uses() -> None:
    assert "evaluation/codes" in layers.uses()["evaluation/grading"]
    assert "| `evaluation/grading` | The main path" in layers.table_of_uses()
