"""Broken factors as .npy and .npz: one line each."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.common.errors import KitError
from evaluation.data.own import open_own


def npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def npz(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return stream.getvalue()


SOUND = npy(np.arange(40) % 4)
LONG = npy(np.arange(41) % 4)
HUGE = npy(np.zeros(1)).replace(b"'shape': (1,), }", b"'shape': (900000000000,), }")

NPY: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "cut": lambda: SOUND[: len(SOUND) // 2],
    "no array": lambda: b"factors",
    "objects": lambda: npy(np.array([{"a": 1}] * 40, dtype=object)),
    "three axes": lambda: npy(np.zeros((10, 2, 2))),
    "one number": lambda: npy(np.float64(3)),
    "complex": lambda: npy(np.ones(40, dtype=complex)),
    "missing values": lambda: npy(np.full((40, 2), np.nan)),
    "longer than it says": lambda: HUGE,
}
NPZ: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "cut": lambda: npz(a=SOUND, b=SOUND)[:-40],
    "no archive": lambda: SOUND[::-1],
    "no member": npz,
    "objects": lambda: npz(a=npy(np.array([{"a": 1}] * 40, dtype=object)), b=SOUND),
    "other lengths": lambda: npz(a=SOUND, b=LONG),
    "three axes": lambda: npz(a=npy(np.zeros((10, 2, 2)))),
    "longer than it says": lambda: npz(a=HUGE),
}


@pytest.mark.parametrize("what", NPY)
def test_broken_npy(what: str, tmp_path: Path) -> None:
    refuse(tmp_path / "factors.npy", NPY[what]())


@pytest.mark.parametrize("what", NPZ)
def test_broken_npz(what: str, tmp_path: Path) -> None:
    refuse(tmp_path / "factors.npz", NPZ[what]())


def refuse(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(KitError) as refusal:
        open_own(None, path)
    assert refusal.value.code.startswith(("FACTORS-", "DATA-"))
    assert "\n" not in str(refusal.value) and str(path) in str(refusal.value)
    assert list(path.parent.iterdir()) == [path]
