"""The feature table: what is in it, when it is made anew, and how it comes through a SIGKILL."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.decomposition import IncrementalPCA
from torch import nn

from evaluation.common.devices import Placement
from evaluation.common.environment import REPOSITORY
from evaluation.common.errors import KitError
from evaluation.data.ground_truth import ImageGrid
from evaluation.data.storage.blocks import ArrayInFile
from evaluation.data.storage.stored import open_given
from submission.features import inference
from submission.features.aggregation import (
    AggregatedFeatureExtractor,
    AverageTransform,
    IdentityTransform,
    MaximumTransform,
    RMACTransform,
)
from submission.features.backbones import Backbone, build_network
from submission.features.extraction import extract, require_colour, select_images
from submission.features.inference import extraction_placement
from submission.features.whitening import fit_whitening

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = Placement("cpu")
BF16 = Placement("cpu", "bf16")


@pytest.fixture
def grid() -> ImageGrid:
    random_state = np.random.RandomState(0)
    images = random_state.randint(256, size=(150, 64, 64, 3)).astype(np.uint8)
    return ImageGrid("random", images, (15, 10), ("row", "column"), "fingerprint")


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    network = build_network("VGG11")
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network


@pytest.fixture
def backbone(network: nn.Module) -> Backbone:
    """Features in a moment: 16x16 images, 128 maps of 8x8."""
    return Backbone("VGG11", network, (16, 16), stage=2).eval()


def plainly(module: nn.Module, grid: ImageGrid, indices: NDArray[np.int64]) -> NDArray[np.float32]:
    """Features one image at a time, as anyone would write it."""
    with torch.no_grad():
        rows = [
            module(torch.from_numpy(grid.images[i] / np.float32(255)).permute(2, 0, 1)[None])[0]
            for i in indices
        ]
    return torch.stack(rows).numpy()


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("transform", [MaximumTransform(), RMACTransform(config="1-3-G"), None])
def test_the_table_holds_the_features_of_each_image(
    grid: ImageGrid, backbone: Backbone, transform: nn.Module | None, cached: bool, tmp_path: Path
) -> None:
    indices = select_images(len(grid), 70, sequential=False, seed=3)
    table = extract(
        grid,
        indices,
        backbone,
        transform,
        features_dir=tmp_path if cached else None,
        placement=CPU,
    )
    whole = nn.Sequential(backbone, transform or nn.Identity())
    assert table.dtype == np.float32
    assert isinstance(table, np.memmap) == cached
    np.testing.assert_allclose(table, plainly(whole, grid, indices), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("side", [24, 64, 128])
def test_images_of_any_size_and_type_have_features(backbone: Backbone, side: int) -> None:
    images = np.random.RandomState(0).randint(256, size=(12, side, side, 3)).astype(np.uint8)
    as_bytes = ImageGrid("bytes", images, (12,), ("number",), "0")
    as_floats = ImageGrid("floats", images / np.float32(255), (12,), ("number",), "1")
    options = {"features_dir": None, "placement": CPU}
    table = extract(as_bytes, np.arange(12), backbone, MaximumTransform(), **options)
    again = extract(as_floats, np.arange(12), backbone, MaximumTransform(), **options)
    np.testing.assert_array_equal(table, again)
    whole = nn.Sequential(backbone, MaximumTransform())
    expected = plainly(whole, as_bytes, np.arange(12))
    np.testing.assert_allclose(table, expected, rtol=1e-4, atol=1e-5)


def test_images_without_colour_are_refused_in_one_line() -> None:
    grey = ImageGrid("grey", np.zeros((4, 96, 32, 1), np.uint8), (4,), ("number",), "0")
    with pytest.raises(KitError, match=r"grey are 96x32x1, but .* need 3 channels") as refused:
        require_colour(grey)
    assert refused.value.code == "FEATURES-CHANNELS"


def test_learned_aggregation_and_bfloat16(grid: ImageGrid, backbone: Backbone) -> None:
    torch.manual_seed(1)
    extractor = AggregatedFeatureExtractor(
        backbone, [32, 16], [3, 6], [1, 1], [0, 0], dropout=0.5, l2_normalize=True
    ).eval()
    indices = np.arange(40)
    expected = plainly(extractor, grid, indices)
    options = {"features_dir": None, "placement": CPU}
    plain = extract(grid, indices, extractor, IdentityTransform(), **options)
    in_bf16 = extraction_placement(extractor, BF16)
    options |= {"placement": in_bf16}
    rough = extract(grid, indices, extractor, IdentityTransform(), **options)
    np.testing.assert_allclose(plain, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(rough, expected, atol=0.02)
    assert np.array_equal(rough, plain) != in_bf16.in_bf16


def test_batches_leave_no_trace(
    grid: ImageGrid, backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image's features do not depend on what is in its batch, nor on how large it is."""
    indices = np.arange(len(grid))
    tables = []
    for images in (7, 150):
        monkeypatch.setattr(inference, "_IMAGES_A_BATCH", {"cpu": images})
        tables.append(
            extract(grid, indices, backbone, AverageTransform(), features_dir=None, placement=CPU)
        )
    np.testing.assert_allclose(*tables, rtol=1e-5, atol=1e-6)


def test_a_table_is_used_again_until_something_it_depends_on_changes(
    grid: ImageGrid,
    backbone: Backbone,
    network: nn.Module,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def made_new(**changes) -> bool:
        arguments = {
            "dataset": grid,
            "indices": np.arange(20),
            "extractor": backbone,
            "transform": RMACTransform(config="1-2-G"),
            "features_dir": tmp_path,
            "placement": CPU,
            **changes,
        }
        before = len(list(tmp_path.glob("*/features.npy")))
        extract(**arguments)
        new = len(list(tmp_path.glob("*/features.npy"))) - before == 1
        assert ("Reusing" in capsys.readouterr().out) == (not new)
        return new

    assert made_new()
    assert not made_new()
    renewed = ImageGrid("random", grid.images, (15, 10), ("row", "column"), "another")
    assert made_new(dataset=renewed)
    assert made_new(indices=np.arange(1, 21))
    assert made_new(extractor=Backbone("VGG11", network, (16, 16), stage=1).eval())
    assert made_new(extractor=Backbone("VGG11", network, (20, 16), stage=2).eval())
    assert made_new(transform=RMACTransform(config="1-3-G"))
    assert made_new(transform=RMACTransform(config="1-2-G", l2_normalize=False))
    assert made_new(placement=BF16)
    with torch.no_grad():
        backbone.features[0].weight[0, 0, 0, 0] += 1e-3
    assert made_new()


def test_images_are_chosen_in_order_or_drawn() -> None:
    assert select_images(5, 0, sequential=True, seed=0).tolist() == [0, 1, 2, 3, 4]
    assert select_images(5, 3, sequential=True, seed=0).tolist() == [0, 1, 2]
    drawn = select_images(50, 20, sequential=False, seed=1)
    assert len(set(drawn.tolist())) == 20
    assert drawn.tolist() != sorted(drawn.tolist())
    assert drawn.tolist() == select_images(50, 20, sequential=False, seed=1).tolist()
    assert drawn.tolist() != select_images(50, 20, sequential=False, seed=2).tolist()
    with pytest.raises(KitError, match="the dataset has 5 images"):
        select_images(5, 6, sequential=True, seed=0)


def test_a_disk_without_room_is_noticed_before(
    grid: ImageGrid, backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("submission.features.tables.free_bytes", lambda _: 1000)
    with pytest.raises(KitError, match="FEATURES-DISK"):
        extract(grid, np.arange(20), backbone, None, features_dir=tmp_path, placement=CPU)


def test_a_transform_that_does_not_fit_writes_nothing(
    grid: ImageGrid, backbone: Backbone, tmp_path: Path
) -> None:
    with pytest.raises(KitError, match="kernel 9 does not fit maps of 8x8"):
        extract(
            grid,
            np.arange(20),
            backbone,
            RMACTransform(config="9"),
            features_dir=tmp_path,
            placement=CPU,
        )
    assert list(tmp_path.iterdir()) == []


def test_whitening_equals_scikit_learns_on_all_regions(
    grid: ImageGrid, backbone: Backbone, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    transform = RMACTransform(config="1-3-G")
    arguments = {"features_dir": tmp_path, "placement": CPU}
    whitening = fit_whitening(grid, np.arange(50), backbone, transform, **arguments)

    images = torch.from_numpy(grid.images[:50] / np.float32(255)).permute(0, 3, 1, 2)
    with torch.no_grad():
        pooled = transform.pooled(backbone(images))
    regions = torch.cat([each.movedim(1, 3).flatten(0, 2) for each in pooled]).numpy()
    pca = IncrementalPCA(128).fit(regions)
    np.testing.assert_allclose(whitening.mean, pca.mean_, rtol=1e-4, atol=1e-6)
    # The axes with little variance are noise in either; the others agree up to their sign.
    scales = pca.explained_variance_**0.5
    for axis in range(5):
        cosine = whitening.components[axis].numpy() @ pca.components_[axis]
        assert abs(cosine) == pytest.approx(1, abs=0.01)
        assert whitening.scale[axis] == pytest.approx(scales[axis], rel=0.01)

    capsys.readouterr()
    again = fit_whitening(grid, np.arange(50), backbone, transform, **arguments)
    assert "Reusing" in capsys.readouterr().out
    assert torch.equal(again.components, whitening.components)
    (path,) = tmp_path.glob("*/whitening.npz")
    whole = path.read_bytes()
    for damaged in (
        b"",
        whole[: len(whole) // 2],
        bytes(len(whole)),
        whole[:5000] + bytes(byte ^ 0xFF for byte in whole[5000:5004]) + whole[5004:],
        whole.replace("fingerprint".encode("utf-32-le"), "another one".encode("utf-32-le")),
    ):
        assert damaged != whole
        path.write_bytes(damaged)
        again = fit_whitening(grid, np.arange(50), backbone, transform, **arguments)
        assert f"{path} is damaged: fitting it again" in capsys.readouterr().out
        assert torch.equal(again.components, whitening.components)
        assert path.read_bytes() == whole
    with pytest.raises(KitError, match=r"main\.transform_class is AverageTransform"):
        fit_whitening(grid, np.arange(50), backbone, AverageTransform(), **arguments)
    with pytest.raises(KitError, match="5 regions are too few"):
        fit_whitening(grid, np.arange(5), backbone, RMACTransform(config="G"), **arguments)


def test_memory_does_not_grow_with_the_dataset(
    network: nn.Module, tmp_path: Path, resident_bytes: Callable[[], int]
) -> None:
    """A third of a gigabyte of images and a third of features pass through less than 100 MB."""
    count = 25_000
    path = tmp_path / "images.npy"
    mapped = np.lib.format.open_memmap(path, "w+", np.uint8, (count, 64, 64, 3))
    images, _ = open_given(
        "many", tmp_path, path, ArrayInFile(mapped.offset, mapped.shape, "uint8")
    )
    grid = ImageGrid("many", images, (count,), ("number",), "fingerprint")
    backbone = Backbone("VGG11", network, (8, 8), stage=1).eval()
    before = resident_bytes()
    table = extract(grid, np.arange(count), backbone, None, features_dir=tmp_path, placement=CPU)
    assert table.nbytes > 300e6
    assert resident_bytes() - before < 100e6


EXTRACTION = textwrap.dedent("""
    import sys
    import numpy as np, torch
    from pathlib import Path
    from evaluation.common.devices import Placement
    from evaluation.data.ground_truth import ImageGrid
    from submission.features.aggregation import MaximumTransform
    from submission.features.backbones import Backbone, build_network
    from submission.features.extraction import extract
    from submission.runtime import distributed

    torch.set_num_threads(1)
    images = np.load(sys.argv[1], mmap_mode="r")
    grid = ImageGrid("many", images, (len(images),), ("number",), "fingerprint")
    torch.manual_seed(0)
    backbone = Backbone("VGG11", build_network("VGG11"), (32, 32), stage=1).eval()
    with distributed.process_group(Placement("cpu")) as own:
        extract(grid, np.arange(len(grid)), backbone, MaximumTransform(),
                features_dir=Path(sys.argv[2]), placement=own)
""")


@pytest.fixture
def many_images(tmp_path: Path) -> Path:
    path = tmp_path / "images.npy"
    images = np.random.RandomState(0).randint(256, size=(3000, 64, 64, 3), dtype=np.uint8)
    np.save(path, images)
    return path


def start(images: Path, folder: Path, processes: int = 1) -> subprocess.Popen:
    script = folder.with_suffix(".py")
    script.write_text(EXTRACTION)
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return subprocess.Popen(
        [sys.executable, *(torchrun if processes > 1 else []), script, images, folder],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_killed_extraction_goes_on_and_two_processes_do_as_one(
    many_images: Path, tmp_path: Path
) -> None:
    plain = start(many_images, tmp_path / "plain")
    assert plain.wait(120) == 0

    killed = start(many_images, tmp_path / "killed")
    deadline = time.monotonic() + 120
    # Digests of batches follow the number of rows in each, eight bytes.
    digests = (tmp_path / "killed").glob
    while not any(any(each.read_bytes()[8:]) for each in digests("*/features.digests")):
        assert time.monotonic() < deadline and killed.poll() is None
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not list((tmp_path / "killed").glob("*/features.npy"))
    # What a killed process began, two go on with.
    resumed = start(many_images, tmp_path / "killed", processes=2)
    output, _ = resumed.communicate(timeout=120)
    assert resumed.returncode == 0
    assert "Continuing " in output

    first, second = (
        next((tmp_path / name).glob("*/features.npy")).read_bytes() for name in ("plain", "killed")
    )
    assert first == second
    assert not list((tmp_path / "killed").glob("*/.features*"))


def test_a_full_gpu_cuts_batches_and_the_table_is_the_same(
    grid: ImageGrid, backbone: Backbone, capsys: pytest.CaptureFixture[str]
) -> None:
    class Full(MaximumTransform):
        def transform(self, maps: torch.Tensor) -> torch.Tensor:
            if len(maps) > 10:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return super().transform(maps)

    options = {"features_dir": None, "placement": CPU}
    whole = extract(grid, np.arange(100), backbone, MaximumTransform(), **options)
    capsys.readouterr()
    cut = extract(grid, np.arange(100), backbone, Full(), **options)
    np.testing.assert_allclose(cut, whole, rtol=1e-4, atol=1e-5)
    said = capsys.readouterr().out
    assert said.count("The GPU's memory takes 8 images at once") == 1
