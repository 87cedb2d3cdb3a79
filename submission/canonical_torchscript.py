"""Rewrites TorchScript archives so that their bytes depend only on the module.

PyTorch stores this machine's source paths in an archive. It also lists a class's constants in the
order of Python's hashes, which differs between processes. Neither is needed to load the archive.
PyTorch numbers classes of the same name in the order in which the process compiles them. The same
command gives the same numbers.
"""

import io
import re
import zipfile

_NOT_NEEDED = (".debug_pkl", "/.data/serialization_id")
_NUMBER = re.compile(rb"\.___torch_mangle_\d+")
_CONSTANTS = re.compile(rb"(?:^  \w+ : Final\[.*\n)+", re.MULTILINE)


def canonical(archive: bytes) -> bytes:
    """The same TorchScript archive, with the bytes that every machine would write."""
    target = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(archive)) as source,
        zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as rewritten,
    ):
        for name in source.namelist():
            if name.endswith(_NOT_NEEDED):
                continue
            content = source.read(name)
            if name.endswith(".py"):
                content = _CONSTANTS.sub(_in_order, content)
            # ZipInfo sets the same time, in 1980, for every member.
            rewritten.writestr(zipfile.ZipInfo(name), content)
    return target.getvalue()


def same_module(archive: bytes, other: bytes) -> bool:
    """Whether two archives are equal, apart from the numbers of classes with the same name."""
    return archive == other or _unnumbered(archive) == _unnumbered(other)


def _unnumbered(archive: bytes) -> list[tuple[bytes, bytes]] | None:
    """The sorted names and contents of an archive's members; None if it is not an archive."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as members:
            return sorted(
                (
                    _NUMBER.sub(b"", name.replace("/", ".").encode()),
                    _NUMBER.sub(b"", members.read(name)),
                )
                for name in members.namelist()
            )
    except zipfile.BadZipFile:
        return None


def _in_order(constants: re.Match[bytes]) -> bytes:
    return b"".join(sorted(constants[0].splitlines(keepends=True)))
