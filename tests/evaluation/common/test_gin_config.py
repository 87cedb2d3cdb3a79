"""Configs are read strictly: what is wrong is said with its place and the nearest right name."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import gin
import pytest

from evaluation.common import gin_config
from evaluation.common.errors import KitError


class Shape:
    pass


@gin.configurable
class Round(Shape):
    pass


@gin.configurable
class Square(Shape):
    pass


@gin.configurable
class Colour:
    pass


@gin.configurable(denylist=["canvas"])
def draw(
    canvas: str = "",
    sides: int = 1,
    scale: float = 1.0,
    filled: bool = False,
    label: str | None = None,
    style: Literal["thin", "thick"] = "thin",
    widths: Sequence[int] = (),
    size: tuple[int, int] = (1, 1),
    weights: Mapping[str, float] | None = None,
    shape: type[Shape] = Round,
    shapes: dict[str, type[Shape]] | None = None,
    anything=None,
) -> dict:
    return {name: value for name, value in locals().items() if name != "canvas"}


@pytest.fixture(autouse=True)
def _no_config() -> Iterator[None]:
    gin.clear_config()
    yield
    gin.clear_config()


@pytest.fixture
def written(tmp_path: Path):
    def write(text: str, name: str = "a.gin") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize(
    ("parameter", "text", "value"),
    [
        ("sides", "3", 3),
        ("sides", "-3", -3),
        ("scale", "1e-3", 1e-3),
        ("scale", "2", 2),
        ("filled", "True", True),
        ("label", "'a'", "a"),
        ("label", "None", None),
        ("style", "'thick'", "thick"),
        ("widths", "[]", []),
        ("widths", "(1, 2)", (1, 2)),
        ("size", "[4, 5]", [4, 5]),
        ("weights", "{'a': 1, 'b': 0.5}", {"a": 1, "b": 0.5}),
        ("anything", "[{'a': 1}, None]", [{"a": 1}, None]),
    ],
)
def test_values_of_the_right_kind_arrive(written, parameter, text, value) -> None:
    gin_config.load(written(f"draw.{parameter} = {text}"))
    assert draw()[parameter] == value
    assert type(draw()[parameter]) is type(value)


def test_references_arrive_as_the_classes_they_name(written) -> None:
    gin_config.load(written("draw.shape = @Square\ndraw.shapes = {'a': @Square, 'b': @Round}"))
    assert issubclass(draw()["shape"], Square)
    assert issubclass(draw()["shapes"]["b"], Round)


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("draw.side = 1", ["'draw.side'", "'draw.sides'"]),
        ("drow.sides = 1", ["'drow.sides'", "'draw.sides'"]),
        ("draw.canvas = 'a'", ["'draw.canvas'", "does not exist"]),
        ("draw.sides = 1.5", ["'draw.sides' is 1.5", "a whole number"]),
        ("draw.sides = True", ["'draw.sides' is True", "a whole number"]),
        ("draw.sides = '1'", ["'draw.sides' is '1'", "a whole number"]),
        ("draw.scale = False", ["'draw.scale'", "a number"]),
        ("draw.filled = 1", ["'draw.filled' is 1", "True or False"]),
        ("draw.label = 3", ["'draw.label'", "text in quotes or None"]),
        ("draw.style = 'thik'", ["'draw.style'", "one of 'thin', 'thick'", "nearest: 'thick'"]),
        ("draw.widths = 3", ["'draw.widths'", "a list, each a whole number"]),
        ("draw.widths = '123'", ["'draw.widths'", "a list, each a whole number"]),
        ("draw.widths = [1, 2.5]", ["'draw.widths'", "a list, each a whole number"]),
        ("draw.size = (1, 2, 3)", ["'draw.size'", "a list of 2, each a whole number"]),
        ("draw.weights = {'a': 'b'}", ["'draw.weights'", "a dictionary from text"]),
        ("draw.shape = @Squar", ["'@Squar'", "nearest name is '@Square'"]),
        ("draw.shape = @Colour", ["is @Colour", "one of @Round, @Square"]),
        ("draw.shape = 'Square'", ["is 'Square'", "one of @Round, @Square"]),
        ("draw.shape = @Square()", ["is @Square()", "one of @Round, @Square"]),
        ("draw.shapes = {'a': @Squar}", ["'@Squar'", "nearest name is '@Square'"]),
        ("draw.sides = %many", ["'draw.sides'", "macro '%many'"]),
        ("draw.sides = %one\none = [%two]\ntwo = %one", ["'%one'", "that macro itself"]),
        ("draw.sides", ["not a gin statement"]),
        ("draw.sides = [1", ["not a gin statement"]),
        ("draw.sides = one", ["not a gin statement"]),
        ("import no_such_module", ["cannot import no_such_module"]),
        ("include 'absent.gin'", ["absent.gin"]),
    ],
)
def test_what_is_wrong_is_named_with_its_line(written, line, parts) -> None:
    path = written(f"draw.filled = True  # fine\n\n{line}\n")
    with pytest.raises(KitError) as caught:
        gin_config.load(path)
    for part in parts:
        assert part in caught.value.problem
    if "absent" not in line and "[1" not in line:
        assert f"{path}:3" in caught.value.problem


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KitError, match="CONFIG-FILE"):
        gin_config.load(tmp_path / "absent.gin")


def test_the_last_of_two_bindings_wins_and_the_command_line_over_all(written) -> None:
    path = written("draw.sides = 1\ndraw.sides = 2\ndraw.scale = 3\n")
    gin_config.load(path)
    assert draw()["sides"] == 2
    gin_config.load(path, ["draw.sides = 5", "draw.sides = 6"])
    assert draw()["sides"] == 6
    assert draw()["scale"] == 3


def test_a_binding_of_the_command_line_is_checked_too() -> None:
    with pytest.raises(KitError, match=r"--binding 'draw.side = 1'.*nearest name is 'draw.sides'"):
        gin_config.load(None, ["draw.side = 1"])


def test_a_loading_leaves_nothing_of_the_one_before(written) -> None:
    gin_config.load(written("draw.sides = 7"))
    gin_config.load(written("draw.scale = 2.0", "b.gin"))
    assert draw()["sides"] == 1


def test_macros_may_be_set_after_their_use_and_are_checked(written) -> None:
    gin_config.load(written("draw.sides = %many\nmany = 4\n"))
    assert draw()["sides"] == 4
    with pytest.raises(KitError, match="a whole number"):
        gin_config.load(written("draw.sides = %many\nmany = 'four'\n"))


def test_an_included_file_lies_beside_the_file_that_includes_it(written) -> None:
    written("draw.sides = 8\ndraw.scale = 8", "other.gin")
    gin_config.load(written("include 'other.gin'\ndraw.scale = 9"))
    assert (draw()["sides"], draw()["scale"]) == (8, 9)


def test_files_that_include_each_other_are_one_line(written) -> None:
    written("include 'a.gin'", "b.gin")
    with pytest.raises(KitError, match=r"CONFIG-FILE.*a\.gin includes itself"):
        gin_config.load(written("include 'b.gin'", "a.gin"))
    written("draw.sides = 8", "common.gin")  # twice, but not in itself
    gin_config.load(written("include 'common.gin'\ninclude 'common.gin'", "c.gin"))
    assert draw()["sides"] == 8


def test_a_scope_changes_only_what_runs_under_it(written) -> None:
    gin_config.load(written("draw.sides = 3\nbig/draw.sides = 9"))
    with gin.config_scope("big"):
        assert draw()["sides"] == 9
    assert draw()["sides"] == 3


def test_the_effective_text_gives_the_same_configuration(written) -> None:
    path = written("many = 4\ndraw.sides = %many\ndraw.shape = @Square")
    gin_config.load(path, ["draw.scale = 2"])
    before = {**draw(), "shape": draw()["shape"].__name__}
    text = gin_config.effective()
    gin.clear_config()
    gin_config.load(written(text, "effective.gin"))
    assert {**draw(), "shape": draw()["shape"].__name__} == before


def test_whether_a_configurable_is_set(written) -> None:
    gin_config.load(written("big/draw.sides = 3"))
    assert gin_config.sets("draw")
    assert not gin_config.sets("get_eval_metrics")


def test_an_error_under_gin_stays_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    from evaluation.common.errors import run_command

    @gin.configurable("failing")
    def failing() -> None:
        raise KitError("TEST-CODE", "the problem", "The remedy")

    with pytest.raises(SystemExit) as caught:
        run_command(lambda _: failing())
    assert caught.value.code == 2
    assert capsys.readouterr().err == "error[TEST-CODE]: the problem. The remedy.\n"
