"""The commands of Docker or Podman that build the image and run its containers."""

import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from evaluation.common.errors import KitError
from evaluation.common.terminal import console
from evaluation.container.limits import ContainerLimits


def hardening(limits: ContainerLimits) -> list[str]:
    """The engine's flags that take away network, privileges and write access, and set limits."""
    return [
        "--no-healthcheck",
        "--network=none",
        "--read-only",
        "--tmpfs=/tmp",
        "--user=1001",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        f"--pids-limit={limits.container_pids}",
        f"--memory={limits.container_memory_gib}g",
        f"--shm-size={limits.container_shm_gib}g",
    ]


@dataclass(frozen=True)
class Engine:
    """A container engine.

    Args:
        name: Its command: "docker" or "podman".
    """

    name: str

    def gpu_flags(self, wanted: str | None) -> list[str]:
        """The flags that give a container GPUs; empty, with a message, if no GPU is found.

        Args:
            wanted: A value of Docker's flag `--gpus`; None for no GPU.
        """
        if wanted is None:
            return []
        if shutil.which("nvidia-smi") is None or _quiet("nvidia-smi", "--list-gpus") != 0:
            console.print(f"No NVIDIA GPU is found here: continuing without --gpus {wanted}.")
            return []
        if self.name == "docker":
            return [f"--gpus={wanted}"]
        return [f"--device=nvidia.com/gpu={wanted}"]

    def build(self, folder: Path, image: str, flags: Sequence[str], log: Path) -> None:
        """Builds `image` from the Dockerfile in `folder`.

        Raises:
            KitError: `CONTAINER-BUILD`, the build failed; the message names the log.
        """
        # Podman's own format has no HEALTHCHECK, so Podman would drop it.
        formats = ["--format=docker"] if self.name == "podman" else []
        command = [self.name, "build", *formats, f"--tag={image}", *flags, str(folder)]
        if _logged(command, log) != 0:
            raise KitError("CONTAINER-BUILD", "the image does not build", f"Read the end of {log}")

    @contextmanager
    def containers(self, *names: str) -> Iterator[None]:
        """Makes a volume for each name. At the end, removes the volumes and containers so named.

        Volumes are used, not folders of the host: a volume gets the owner of the image's folder,
        and leaves no files that only root could remove.

        Raises:
            KitError: `CONTAINER-VOLUME`, the engine cannot make a volume.
        """
        try:
            for name in names:
                if _quiet(self.name, "volume", "create", name) != 0:
                    raise KitError(
                        "CONTAINER-VOLUME",
                        f"{self.name} cannot make the volume {name}",
                        f"Try it by hand: {self.name} volume create {name}",
                    )
            yield
        finally:
            for kind in ([], ["volume"]):
                for name in names:
                    _quiet(self.name, *kind, "rm", "--force", name)

    def run(
        self,
        name: str,
        image: str,
        flags: Sequence[str],
        command: Sequence[str],
        log: Path,
        seconds: float,
    ) -> int:
        """Runs `command` in a new container `name`, and returns its exit status.

        The container is kept, so that its files can be copied.

        Raises:
            KitError: `CONTAINER-TIME`, the container ran longer than `seconds` and was ended.
        """
        ran_out = threading.Event()

        def end() -> None:
            ran_out.set()
            _quiet(self.name, "kill", name)

        timer = threading.Timer(seconds, end)
        timer.start()
        try:
            status = _logged([self.name, "run", f"--name={name}", *flags, image, *command], log)
        finally:
            timer.cancel()
        if ran_out.is_set():
            raise KitError(
                "CONTAINER-TIME",
                f"the container {name} was ended after {seconds:g} s",
                f"Look at {log}, or allow more with --max-container-seconds",
            )
        return status

    def copy_out(self, container: str, folder: str, target: Path) -> None:
        """Copies the plain files in a container's `folder` into `target`.

        Links are not copied: here they could point to files of the host.

        Raises:
            KitError: `CONTAINER-RESULT`, the container has no such folder.
        """
        command = [self.name, "cp", f"{container}:{folder}/.", "-"]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdout is not None
            with suppress(tarfile.ReadError):  # no archive came; the exit status is checked below
                _unpack_files(process.stdout, target)
            process.stdout.read()  # the archive's padding: the engine fails if nobody reads it
        if process.returncode != 0:
            raise KitError(
                "CONTAINER-RESULT", f"{container} wrote nothing to {folder}", "Read its log"
            )


def find_engine() -> Engine:
    """Docker if its daemon answers, else Podman.

    Raises:
        KitError: `CONTAINER-ENGINE`, neither of them answers.
    """
    for name in ("docker", "podman"):
        if shutil.which(name) and _quiet(name, "info") == 0:
            return Engine(name)
    raise KitError(
        "CONTAINER-ENGINE",
        "neither a Docker daemon nor Podman answers",
        "Install Docker, or start it, or install Podman",
    )


def _unpack_files(archive: IO[bytes], target: Path) -> None:
    with tarfile.open(fileobj=archive, mode="r|") as members:
        for member in members:
            content = members.extractfile(member) if member.isfile() else None
            if content is not None:
                path = target / member.name
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("wb") as stream:
                    shutil.copyfileobj(content, stream)


def _quiet(*command: str) -> int:
    return subprocess.run(command, capture_output=True, check=False).returncode


def _logged(command: Sequence[str], log: Path) -> int:
    """Runs `command` and returns its exit status; its output goes to the terminal and to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open("w", encoding="utf-8") as stream,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process,
    ):
        assert process.stdout is not None
        try:
            for line in process.stdout:
                stream.write(line)
                stream.flush()
                console.print(line, end="", markup=False)
        except BaseException:
            process.kill()  # otherwise the end of the block waits for the process
            raise
    return process.returncode
