"""Docker, or Podman where only that is there: what running a submission asks of them."""

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
    """The flags that shut a container in."""
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
    """A container engine, by its command's name."""

    name: str

    def gpu_flags(self, wanted: str | None) -> list[str]:
        """Flags that hand GPUs over; none, said aloud, where they are wanted and not found."""
        if wanted is None:
            return []
        if shutil.which("nvidia-smi") is None or _quiet("nvidia-smi", "--list-gpus") != 0:
            console.print(f"No NVIDIA GPU is found here: going on without --gpus {wanted}.")
            return []
        if self.name == "docker":
            return [f"--gpus={wanted}"]
        return [f"--device=nvidia.com/gpu={wanted}"]

    def build(self, folder: Path, image: str, flags: Sequence[str], log: Path) -> None:
        """Builds `image` from the Dockerfile in `folder`.

        Raises:
            KitError: `CONTAINER-BUILD`, with the log's path.
        """
        # HEALTHCHECK is Docker's; Podman drops it from its own format.
        formats = ["--format=docker"] if self.name == "podman" else []
        command = [self.name, "build", *formats, f"--tag={image}", *flags, str(folder)]
        if _logged(command, log) != 0:
            raise KitError("CONTAINER-BUILD", "the image does not build", f"Read the end of {log}")

    @contextmanager
    def containers(self, *names: str) -> Iterator[None]:
        """Makes a volume for each name, and removes it and the container so named at the end.

        Volumes, and not folders of ours: they take over the owner of the image's folder, and leave
        no files behind that only root could remove.
        """
        try:
            for name in names:
                if _quiet(self.name, "volume", "create", name) != 0:
                    raise KitError(
                        "CONTAINER-VOLUME",
                        f"{self.name} makes no volume {name}",
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
        """Runs `command` in a container `name`, which is left there, and returns its exit status.

        Raises:
            KitError: `CONTAINER-TIME`, it took longer than `seconds` and was ended.
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

        Links are left out: whoever made them there had other files than ours in mind, or just ours.

        Raises:
            KitError: `CONTAINER-RESULT`, there is no such folder.
        """
        command = [self.name, "cp", f"{container}:{folder}/.", "-"]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdout is not None
            with suppress(tarfile.ReadError):  # nothing came, as the status says
                _unpack_files(process.stdout, target)
            process.stdout.read()  # the padding: an engine that cannot write it fails
        if process.returncode != 0:
            raise KitError(
                "CONTAINER-RESULT", f"{container} left nothing in {folder}", "Read its log"
            )


def find_engine() -> Engine:
    """Docker where its daemon answers, else Podman.

    Raises:
        KitError: `CONTAINER-ENGINE`, neither does.
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
    """Runs `command`, its output on the terminal and in `log`; returns its exit status."""
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
            process.kill()  # leaving the block would wait for it
            raise
    return process.returncode
