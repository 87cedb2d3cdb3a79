"""Representations of all three kinds: found, run in the worker, and equal to the model itself."""

import os
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from evaluation.common.errors import KitError
from evaluation.common.files import sha256_of
from evaluation.representation import contract
from evaluation.representation.finding import Found, by_name, find, only
from evaluation.representation.limits import Limits
from evaluation.representation.loading import OPTIMISED, PLAIN
from evaluation.representation.resources import processes
from evaluation.representation.running import RunningRepresentation
from tests.evaluation.representation.bad_submissions import dilled

IMAGES = np.random.RandomState(0).randint(256, size=(32, 64, 64, 3), dtype=np.uint8)


def network() -> torch.nn.Module:
    """Strided convolutions with batch norms whose statistics are not the initial ones."""
    torch.manual_seed(0)
    made = torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 4, 4),
        torch.nn.BatchNorm2d(16),
        torch.nn.ReLU(),
        torch.nn.Conv2d(16, 32, 4, 4),
        torch.nn.BatchNorm2d(32),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(512, 10),
    )
    made(torch.rand(64, 3, 64, 64))
    return made.eval()


def traced(module: torch.nn.Module, path: Path) -> Found:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(module, torch.rand(2, 3, 64, 64)).save(str(path))
    return Found(path, "torchscript")


def eager(module: torch.nn.Module, images: NDArray[np.uint8]) -> NDArray:
    with torch.no_grad():
        batch = torch.from_numpy(images.astype(np.float32) / np.float32(255))
        return module(batch.permute(0, 3, 1, 2).contiguous()).numpy()


def test_torchscript_gives_the_codes_of_the_module(tmp_path: Path) -> None:
    module = network()
    found = traced(module, tmp_path / "pytorch_model.pt")
    with RunningRepresentation(found) as representation:
        plain = representation.encode(IMAGES)
        representation.form = OPTIMISED
        optimised = representation.encode(IMAGES)
        assert representation.sha256 == sha256_of(found.path)
        assert list(contract.violations(representation, IMAGES)) == []
    np.testing.assert_array_equal(plain, eager(module, IMAGES))
    np.testing.assert_allclose(optimised, plain, atol=1e-5)
    assert plain.dtype == np.float32


def test_dill_sees_what_the_contract_says_and_nothing_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    dilled(
        """
        import os
        import numpy as np
        def represent(images):
            assert images.shape[1:] == (3, 64, 64) and images.dtype == np.float32
            assert "AWS_SECRET_ACCESS_KEY" not in os.environ
            if not os.listdir("."):
                open("note", "w").write("a folder to write to")
            return images.mean((2, 3))
        """
    )(tmp_path)
    with RunningRepresentation(find(tmp_path)[0]) as representation:
        codes = representation.encode(IMAGES)
        assert representation.forms == [PLAIN]
    np.testing.assert_allclose(codes, IMAGES.mean((1, 2)) / 255, rtol=1e-5)


def test_limits_hold_between_two_requests(tmp_path: Path) -> None:
    dilled(
        """
        import threading, time
        def hoard():
            hoarded = b"x" * (2 << 30)
            time.sleep(20)
        def represent(images):
            threading.Timer(0.2, hoard).start()
            return images.mean((2, 3))
        """
    )(tmp_path)
    others = set(processes.descendants(os.getpid()))
    with RunningRepresentation(find(tmp_path)[0], limits=Limits(memory_gib=1)) as representation:
        representation.encode(IMAGES)
        deadline = time.monotonic() + 20
        while set(processes.descendants(os.getpid())) - others:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        with pytest.raises(KitError, match="REPRESENTATION-MEMORY"):
            representation.encode(IMAGES)


def test_saved_model(tmp_path: Path) -> None:
    import tensorflow as tf

    model = tf.Module()
    model.represent = tf.function(
        lambda images: {"default": tf.reduce_mean(images, (1, 2)), "size": tf.shape(images)},
        input_signature=[tf.TensorSpec((None, 64, 64, 3), tf.float32, name="images")],
    )
    folder = tmp_path / "representation" / "tfhub"
    tf.saved_model.save(model, str(folder), signatures={"representation": model.represent})
    (found,) = find(tmp_path)
    assert found == Found(folder, "savedmodel")
    with RunningRepresentation(found) as representation:
        codes = representation.encode(IMAGES)
    np.testing.assert_allclose(codes, IMAGES.mean((1, 2)) / 255, rtol=1e-5)


def test_found_by_path_experiment_and_folder_of_many(tmp_path: Path) -> None:
    def touch(name: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        return path

    module = touch("first/representation/pytorch_model.pt")
    function = touch("second/representation/python_model.dill")
    saved = touch("third/saved_model.pb").parent
    loose = touch("loose.pt")
    touch("first/checkpoint.pt")
    touch("notes/README")

    assert find(module) == find(tmp_path / "first") == [Found(module, "torchscript")]
    assert find(function.parent) == [Found(function, "dill")]
    assert find(saved) == [Found(saved, "savedmodel")]
    assert [found.path for found in find(tmp_path)] == [module, loose, function, saved]
    assert list(by_name(find(tmp_path))) == ["first", "loose", "second", "third"]
    assert only(tmp_path / "second").path == function
    with pytest.raises(KitError, match="AMBIGUOUS") as refused:
        only(tmp_path)
    assert "first, loose, second, third" in refused.value.problem


@pytest.mark.parametrize(
    "names",
    [
        {"/a/run1/model.pt": "run1/model", "/a/run2/model.pt": "run2/model", "/a/x.pt": "x"},
        {"/a/model.pt": "model.pt", "/a/model.dill": "model.dill"},
        {
            "/a/run/representation/pytorch_model.pt": "a/run",
            "/b/run/representation/pytorch_model.pt": "b/run",
        },
        {"/run/model.pt": "run/model.pt", "/b/run/model.pt": "b/run/model"},
        {"/representation/pytorch_model.pt": "pytorch_model"},
        {"/a/../b/model.pt": "model"},
    ],
)
def test_names_are_the_shortest_that_tell_apart(names: dict[str, str]) -> None:
    found = [
        Found(Path(path), "dill" if path.endswith("dill") else "torchscript") for path in names
    ]
    for given in (found, found[::-1], found * 2):
        named = {name: str(one.path) for name, one in by_name(given).items()}
        assert named == {name: path for path, name in names.items()}


@pytest.mark.parametrize("name", ["nowhere.pt", "README", "folder"])
def test_what_is_no_representation_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "README").touch()
    (tmp_path / "folder").mkdir()
    codes = {"nowhere.pt": "MISSING", "README": "KIND", "folder": "MISSING"}
    with pytest.raises(KitError) as refused:
        find(tmp_path / name)
    assert refused.value.code == f"REPRESENTATION-{codes[name]}"


def test_a_gpu_that_is_full_is_said_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The worker itself cannot print: the number of images at once comes with each answer."""
    dilled("""
        def represent(images):
            import gc
            from evaluation.common.parts import Parts
            for found in gc.get_objects():
                if isinstance(found, Parts):
                    found.at_once = 3
            return images.reshape(len(images), -1)[:, :4]
    """)(tmp_path)
    with RunningRepresentation(only(tmp_path)) as representation:
        for _ in range(3):
            assert representation.encode(IMAGES[:8]).shape == (8, 4)
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("The GPU's memory takes 3 images of") == 1
