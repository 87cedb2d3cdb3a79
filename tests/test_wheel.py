"""The kit as a wheel: installed into a fresh environment that holds nothing but its own needs."""

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from packaging.requirements import Requirement

from evaluation.common.environment import REPOSITORY
from evaluation.common.extras import EXTRA_OF, KIT
from evaluation.data.ground_truth import ImageGrid

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the commands of an environment with the wheel in it, and no extra."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    subprocess.run([*build, str(REPOSITORY)], check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    bin_folder = folder / "venv" / "bin"
    subprocess.run(
        [
            *(bin_folder / "python", "-m", "pip", "install", "--quiet"),
            # The image's versions, so that the test installs the same on every day.
            *("--disable-pip-version-check", "--constraint", REPOSITORY / "requirements.txt"),
            wheel,
        ],
        check=True,
    )
    return bin_folder


@pytest.fixture
def run(installed: Path, data_root: Path, tmp_path: Path) -> Run:
    """Runs a command of that environment in an empty folder, as a user with an empty home."""

    def start(command: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        variables = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path / "home"),
            "DISENTANGLEMENT_LIB_DATA": str(data_root),
        }
        (tmp_path / "work").mkdir(exist_ok=True)
        return subprocess.run(
            [installed / command, *arguments],
            cwd=tmp_path / "work",
            env=variables,
            capture_output=True,
            text=True,
            check=False,
        )

    return start


def content_of(folder: Path) -> set[Path]:
    """The files under a folder, without the code that Python and numba compile there."""
    return {path for path in folder.rglob("*") if "__pycache__" not in path.parts}


def test_it_grades_a_table_of_codes_and_writes_nothing_beside_its_code(
    run: Run, installed: Path, mini: ImageGrid, tmp_path: Path
) -> None:
    codes = mini.factors_of(np.arange(len(mini))).astype(np.float32)
    np.save(tmp_path / "codes.npy", codes)
    before = content_of(installed.parent)
    done = run(
        "disentanglement-evaluation",
        *("--codes", tmp_path / "codes.npy", "--dataset", mini.name),
    )
    assert done.returncode == 0, done.stderr
    assert "factor_vae_metric" in done.stdout and "dci" in done.stdout
    assert (tmp_path / "work/scratch/shared/experiment/scores.json").is_file()
    assert content_of(installed.parent) == before


def test_the_metrics_are_functions_of_arrays(run: Run) -> None:
    program = """
import numpy as np
from evaluation.metrics.dci import dci
from evaluation.metrics.mig import mig
factors = np.random.RandomState(0).randint(3, size=(400, 2))
codes = factors + 0.01 * np.random.RandomState(1).rand(400, 2)
print(mig(codes, factors)["discrete_mig"] > 0.9)
print(dci(codes, factors, codes, factors)["disentanglement"] > 0.99)
"""
    done = run("python", "-c", program)
    assert (done.stdout, done.stderr) == ("True\nTrue\n", "")


@pytest.mark.parametrize(
    ("command", "arguments", "extra"),
    [
        ("disentanglement-evaluation", ["--representation", "model.pt"], "torch"),
        ("disentanglement-evaluation", ["--representation", "model.dill"], "dill"),
        ("disentanglement-evaluation", ["--representation", "folder"], "reference"),
        ("disentanglement-evaluation", ["--codes", "codes.npy", "--verify"], "reference"),
        ("disentanglement-evaluation", ["--codes", "codes.npy", "--config", "a.gin"], "gin"),
        ("disentanglement-submission", ["train", "a.gin", "experiment"], "train"),
    ],
)
def test_what_an_extra_brings_is_named_in_one_line(
    run: Run, tmp_path: Path, mini: ImageGrid, command: str, arguments: list[str], extra: str
) -> None:
    work = tmp_path / "work"
    (work / "folder").mkdir(parents=True)
    for name in ("model.pt", "model.dill", "a.gin", "folder/saved_model.pb"):
        (work / name).write_bytes(b"anything")
    np.save(work / "codes.npy", np.random.RandomState(0).rand(len(mini), 3))
    if command == "disentanglement-evaluation":
        arguments = [*arguments, "--dataset", mini.name]
    done = run(command, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("error[EXTRA-MISSING]: ")
    assert f"[{extra}]'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_needs_a_checkout_says_so(run: Run) -> None:
    for verb in ("bundle", "check", "package", "submit"):
        done = run("disentanglement-submission", verb)
        assert done.returncode == 2
        assert done.stderr.startswith("error[CHECKOUT-MISSING]: ")
        assert done.stderr.count("\n") == 1


def requirements_of(extra: str) -> list[Requirement]:
    """What an extra brings, with what it brings through other extras."""
    found = []
    for requirement in map(Requirement, EXTRAS[extra]):
        if requirement.name == KIT:
            found += [inner for other in requirement.extras for inner in requirements_of(other)]
        else:
            found.append(requirement)
    return found


def names_brought_by(extra: str) -> set[str]:
    """The packages of an extra, and those of the extras of these that it asks for."""
    names = set()
    for requirement in requirements_of(extra):
        names.add(requirement.name)
        for text in requires(requirement.name) or [] if requirement.extras else []:
            inner = Requirement(text)
            if any(
                inner.marker and inner.marker.evaluate({"extra": asked})
                for asked in requirement.extras
            ):
                names.add(inner.name)
    return names


def pins_in(name: str) -> list[Requirement]:
    lines = (REPOSITORY / name).read_text(encoding="utf-8").splitlines()
    texts = [line.partition("#")[0].strip() for line in lines]
    return [Requirement(text) for text in texts if text]


def test_the_image_has_one_version_of_each_within_the_wheels_range() -> None:
    ranges = [*map(Requirement, PROJECT["dependencies"]), *requirements_of("all")]
    allowed = {requirement.name: requirement.specifier for requirement in ranges}
    pins = pins_in("requirements.txt")
    assert {pin.name for pin in pins} == allowed.keys()
    for pin in pins:
        (exact,) = pin.specifier
        assert exact.operator == "=="
        assert allowed[pin.name].contains(exact.version), pin


def test_the_site_is_built_with_versions_within_the_extras_range() -> None:
    wanted = [one for one in map(Requirement, EXTRAS["docs"]) if one.name != KIT]
    allowed = {one.name: one.specifier for one in wanted}
    pins = pins_in("docs/requirements.txt")
    assert {pin.name for pin in pins} == allowed.keys()
    for pin in pins:
        (exact,) = pin.specifier
        assert exact.operator == "==" and allowed[pin.name].contains(exact.version), pin


def test_each_optional_package_names_the_extra_that_brings_it() -> None:
    distributions = packages_distributions()
    for module, extra in EXTRA_OF.items():
        brought = names_brought_by(extra)
        assert brought & set(distributions.get(module, [module])), module  # some have their name
