"""TorchScript archives whose bytes depend on the module alone.

PyTorch writes into an archive where the sources lie on this machine, and lists a class's constants
in the order of Python's hashes, which differ from process to process. Neither is needed to load
it. Classes of one name are numbered as the process met them: the same command numbers them alike.
"""

import io
import re
import zipfile

_NOT_NEEDED = (".debug_pkl", "/.data/serialization_id")
_NUMBER = re.compile(rb"\.___torch_mangle_\d+")
_CONSTANTS = re.compile(rb"(?:^  \w+ : Final\[.*\n)+", re.MULTILINE)


def canonical(archive: bytes) -> bytes:
    """The same TorchScript archive, as the same command on any machine would write it."""
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
            # ZipInfo's own time is that of 1980.
            rewritten.writestr(zipfile.ZipInfo(name), content)
    return target.getvalue()


def same_module(archive: bytes, other: bytes) -> bool:
    """Whether two archives differ in nothing but the numbers that classes of one name have."""
    return archive == other or _unnumbered(archive) == _unnumbered(other)


def _unnumbered(archive: bytes) -> list[tuple[bytes, bytes]] | None:
    """The names and contents of an archive's members, in order; None where it is none."""
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
