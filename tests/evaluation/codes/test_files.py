"""Tables of codes in files of every kind, and what is refused, each in one line."""

import io
import math
import os
import time
import zipfile
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from evaluation.codes.files import open_table
from evaluation.codes.store import digest_of_codes, read_codes
from evaluation.common.errors import KitError
from evaluation.common.npy import header_of, read_header
from evaluation.data.ground_truth import ImageGrid

CODES = np.random.RandomState(0).normal(size=(24, 3)).astype(np.float32)


def grid() -> ImageGrid:
    images = np.zeros((24, 64, 64, 3), dtype=np.uint8)
    return ImageGrid("small", images, (4, 3, 2), ("a", "b", "c"), "0")


def read(path: Path) -> NDArray:
    return read_codes(path, grid())


def refusal(path: Path) -> KitError:
    with pytest.raises(KitError) as refused:
        read(path)
    assert str(path) in refused.value.problem
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400
    return refused.value


@pytest.mark.parametrize(
    "codes",
    [
        CODES,
        CODES.astype(np.float64),
        CODES.astype(">f4"),
        CODES.astype(">i2"),
        np.asfortranarray(CODES),
        CODES[:, :1],
        np.arange(72, dtype=np.uint8).reshape(24, 3),
    ],
)
def test_tables_of_every_type_are_read(tmp_path: Path, codes: NDArray) -> None:
    np.save(tmp_path / "codes.npy", codes)
    np.savez(tmp_path / "stored.npz", codes)
    np.savez_compressed(tmp_path / "compressed.npz", codes=codes, factors=np.zeros(3))
    for name in ("codes.npy", "stored.npz", "compressed.npz"):
        found = read(tmp_path / name)
        np.testing.assert_array_equal(found, codes)
        assert found.dtype.kind == "f"
        assert found.dtype.isnative


@pytest.mark.parametrize(
    "kind", [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64]
)
def test_tensors_are_read(tmp_path: Path, kind: torch.dtype) -> None:
    codes = (torch.arange(72).reshape(24, 3) / 2).to(kind)
    torch.save(codes, tmp_path / "codes.pt")
    np.testing.assert_array_equal(read(tmp_path / "codes.pt"), codes.to(torch.float64).numpy())
    torch.save(codes.t().contiguous().t(), tmp_path / "codes.pt")
    np.testing.assert_array_equal(read(tmp_path / "codes.pt"), codes.to(torch.float64).numpy())


def test_a_parameter_is_a_tensor(tmp_path: Path) -> None:
    torch.save(torch.nn.Parameter(torch.from_numpy(CODES)), tmp_path / "codes.pt")
    np.testing.assert_array_equal(read(tmp_path / "codes.pt"), CODES)


@pytest.mark.parametrize(
    "content",
    [
        {"codes": torch.zeros(24, 3)},
        [torch.zeros(24, 3)],
        OrderedDict(a=torch.zeros(24, 3)),
        torch.zeros(24, 3).to_sparse(),
        torch.nn.Linear(2, 2),
        torch.zeros(24, 3, device="meta"),
        "codes",
    ],
)
def test_files_of_torch_that_hold_something_else(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "codes.pt")
    error = refusal(tmp_path / "codes.pt")
    assert error.code == "CODES-UNREADABLE"
    assert "one plain tensor" in error.problem


def test_torchscript_is_no_table(tmp_path: Path) -> None:
    torch.jit.script(torch.nn.Flatten()).save(str(tmp_path / "codes.pt"))
    assert refusal(tmp_path / "codes.pt").code == "CODES-UNREADABLE"


def test_a_file_of_torch_runs_nothing(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "made"),)

    torch.save(Hostile(), tmp_path / "codes.pt")
    np.save(tmp_path / "codes.npy", np.array([Hostile()]), allow_pickle=True)
    for name in ("codes.pt", "codes.npy"):
        assert refusal(tmp_path / name).code in ("CODES-UNREADABLE", "CODES-SHAPE")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("code", "codes"),
    [
        ("CODES-DTYPE", CODES.astype(np.longdouble)),
        ("CODES-DTYPE", CODES > 0),
        ("CODES-DTYPE", CODES.astype(complex)),
        ("CODES-DTYPE", CODES.astype(str)),
        ("CODES-DTYPE", np.zeros((24, 3), dtype=[("a", float)])),
        ("CODES-DTYPE", np.zeros((24, 3), dtype="datetime64[s]")),
        ("CODES-DTYPE", np.full((24, 3), None)),
        ("CODES-SHAPE", np.array(3.0)),
        ("CODES-SHAPE", np.zeros(24)),
        ("CODES-SHAPE", np.zeros((24, 3, 1, 1))),
        ("CODES-SHAPE", np.zeros((24, 0))),
        ("CODES-SHAPE", np.zeros((0, 3))),
        ("CODES-SHAPE", np.zeros((23, 3))),
        ("CODES-SHAPE", np.zeros((24, 2049), np.float16)),
    ],
)
def test_arrays_that_are_no_tables(tmp_path: Path, code: str, codes: NDArray) -> None:
    np.save(tmp_path / "codes.npy", codes, allow_pickle=True)
    np.savez(tmp_path / "codes.npz", codes)
    assert refusal(tmp_path / "codes.npy").code == code
    assert refusal(tmp_path / "codes.npz").code == code


def with_header(text: str, content: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + content


def saying(kind: str = "'<f4'", shape: str = "(24, 3)") -> bytes:
    header = f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}}}\n"
    return with_header(header, bytes(24 * 3 * 4))


HOSTILE_HEADERS = {
    "a bracket that never closes": with_header("{'descr': (((\n"),
    "text that is indented wrongly": with_header("  {'a': 1}\n {'b'\n"),
    "what the parser has no memory for": saying(shape="(" + "-" * 9000 + "1,)"),
    "a type that is an empty tuple": saying("()"),
    "a type that numpy parses": saying("'(1,,2)f4,i4'"),
    "a unit of time that ends the process": saying("'<M8[s/0]'"),
    "the same, in two pieces": saying("'<M8[s' '\\x2f0]'"),
    "the same, in a field": saying("[('a', [('b', '<M8[s/0]')])]"),
    "a negative side": saying(shape="(24, -3)"),
    "a side that is true": saying(shape="(24, True)"),
    "a side beyond all numbers": saying(shape=f"(24, 3, {10**30})"),
    "a number of Python's that is too long": saying(shape=f"({'9' * 5000}, 3)"),
    "bytes behind the table": saying() + bytes(9),
}


@pytest.mark.parametrize("name", HOSTILE_HEADERS)
def test_hostile_headers_are_one_line(tmp_path: Path, name: str) -> None:
    """In a process of its own, which some of them would end."""
    (tmp_path / "codes.npy").write_bytes(HOSTILE_HEADERS[name])
    with zipfile.ZipFile(tmp_path / "codes.npz", "w") as archive:
        archive.writestr("codes.npy", HOSTILE_HEADERS[name])
    files = ["codes.npy"] if "behind" in name else ["codes.npy", "codes.npz"]
    for file in files:
        child = os.fork()
        if child == 0:
            refused = False
            with suppress(BaseException):
                refused = refusal(tmp_path / file).code == "CODES-UNREADABLE"
            os._exit(0 if refused else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.filterwarnings("ignore:Reading `.npy`")
def test_headers_of_python_2_and_of_time_are_read() -> None:
    long = io.BytesIO(saying(shape="(24L, 3L)"))
    assert read_header(long)[0] == (24, 3)
    assert read_header(io.BytesIO(saying("'<M8[25ns]'")))[2] == np.dtype("<M8[25ns]")


def test_a_damaged_archive_is_one_line(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "codes.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("codes.npy", saying())
    content = bytearray((tmp_path / "codes.npz").read_bytes())
    content[60:70] = bytes(byte ^ 0xFF for byte in content[60:70])
    (tmp_path / "codes.npz").write_bytes(content)
    assert refusal(tmp_path / "codes.npz").code == "CODES-UNREADABLE"


@pytest.mark.parametrize("shape", [(24, 2, 10**9), (24, 2, 2049), (24, 2048, 9)])
def test_tokens_have_the_limits_that_a_representation_has(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    path = tmp_path / "codes.npy"
    path.write_bytes(header_of(shape, np.float32))
    os.truncate(path, path.stat().st_size + 4 * math.prod(shape))
    with pytest.raises(KitError, match=r"CODES-SHAPE.*tokens of .* numbers"):
        digest_of_codes(path)
    torch.save(torch.zeros(1).expand(*shape), tmp_path / "codes.pt")
    assert refusal(tmp_path / "codes.pt").code == "CODES-SHAPE"


@pytest.mark.parametrize("kind", [torch.complex64, torch.bool])
def test_tensors_that_are_no_tables(tmp_path: Path, kind: torch.dtype) -> None:
    torch.save(torch.zeros(24, 3, dtype=kind), tmp_path / "codes.pt")
    assert refusal(tmp_path / "codes.pt").code == "CODES-DTYPE"
    torch.save(torch.zeros(1).expand(24, 400_000), tmp_path / "codes.pt")
    assert refusal(tmp_path / "codes.pt").code == "CODES-SHAPE"


def test_too_many_columns_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    path = tmp_path / "codes.npy"
    shape = (1_036_800, 400_000)  # 1.7 TB, of which the disk holds nothing
    with path.open("wb") as stream:
        np.lib.format.write_array_header_1_0(
            stream, {"descr": "<f4", "fortran_order": False, "shape": shape}
        )
        stream.truncate(stream.tell() + 4 * shape[0] * shape[1])
    start = time.process_time()
    with pytest.raises(KitError, match=r"400,000 dims; at most 2,048 .*--max-dims"):
        digest_of_codes(path)
    assert time.process_time() - start < 1
    assert open_table(path, 400_000).shape == shape


@pytest.mark.parametrize(
    "arrays", [{"a": CODES, "b": CODES}, {}, {"a": CODES, "b": CODES, "Codes": CODES}]
)
def test_an_archive_must_tell_which_array_it_is(tmp_path: Path, arrays: dict[str, NDArray]) -> None:
    np.savez(tmp_path / "codes.npz", **arrays)
    error = refusal(tmp_path / "codes.npz")
    assert "is called codes" in error.problem
    assert ", ".join(arrays) in error.problem


@pytest.mark.parametrize("name", ["codes.npy", "codes.npz", "compressed.npz", "codes.pt"])
@pytest.mark.parametrize("damage", ["empty", "cut", "zeroed", "text", "flipped"])
def test_damaged_files_are_one_line(tmp_path: Path, name: str, damage: str) -> None:
    path = tmp_path / name
    if name.endswith("pt"):
        torch.save(torch.from_numpy(CODES), path)
    else:
        {"codes.npy": np.save, "codes.npz": np.savez}.get(name, np.savez_compressed)(path, CODES)
    content = path.read_bytes()
    path.write_bytes(
        {
            "empty": b"",
            "cut": content[: len(content) // 2],
            "zeroed": bytes(len(content)),
            "text": b"version https://git-lfs.github.com/spec/v1\n",
            "flipped": bytes(byte ^ 0xFF for byte in content[:200]) + content[200:],
        }[damage]
    )
    assert refusal(path).code == "CODES-UNREADABLE"
