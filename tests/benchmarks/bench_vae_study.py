"""What a study of 24 VAEs on the same features takes, with its report: four betas, six seeds.

    python -m tests.benchmarks.bench_vae_study --workers 2 --output /tmp/vae-study

The extractor is that of quick.gin, tuned and trained on as in stage2_quick.gin. Codes come from
features, so no grading encodes images. It prints seconds of the clock and of the processor: on a
machine that others share, only the latter says something.
"""

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from evaluation.common.environment import REPOSITORY, SCRATCH, data_root
from evaluation.data import open_dataset

DATASETS = ("mpi3d_sim_toy_mini", "mpi3d_sim_realistic_mini", "mpi3d_sim_real_mini")

CONFIG = f"""
include '{REPOSITORY}/submission/configs/stage2_quick.gin'
get_feature_extractor.model_name = 'AggSmallCNN'
AggregatedFeatureExtractor.features = [256]
AggregatedFeatureExtractor.kernel_sizes = [4]
AggregatedFeatureExtractor.strides = [1]
AggregatedFeatureExtractor.paddings = [0]
"""

STUDY = """
config = "vae.gin"
[grid]
"BetaSchedule.beta1" = {betas}
[train]
datasets = ["mpi3d_sim_real_mini"]
seeds = {seeds}
[grade]
codes_from = "features"
"""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--output", type=Path, default=SCRATCH / "vae_study", help="empty or new")
    parser.add_argument("--betas", type=float, nargs="+", default=[0.1, 0.4, 1.6, 6.4])
    parser.add_argument("--seeds", type=int, default=6)
    arguments = parser.parse_args(argv)
    folder = arguments.output.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    for name in DATASETS:
        open_dataset(name)
    (folder / "vae.gin").write_text(CONFIG, encoding="utf-8")
    seeds = list(range(1, arguments.seeds + 1))
    study = STUDY.format(betas=arguments.betas, seeds=seeds)
    (folder / "vaes.toml").write_text(study, encoding="utf-8")
    words = [sys.executable, "-m", "submission", "study", str(folder / "vaes.toml")]
    words += ["--workers", str(arguments.workers), "--output", str(folder / "out")]
    words += ["--features-dir", str(folder / "features"), "--device", "cpu"]
    variables = {"TORCH_HOME": str(folder / "torch"), "DISENTANGLEMENT_LIB_DATA": str(data_root())}
    start, before = time.monotonic(), _processor()
    subprocess.run(words, env={**os.environ, **variables}, cwd=REPOSITORY, check=True)
    seconds, processor = time.monotonic() - start, _processor() - before
    logs = "".join(path.read_text() for path in (folder / "out/shared").glob("*/log.txt"))
    logs += "".join(path.read_text() for path in (folder / "out/runs").glob("*/log.txt"))
    runs = len(arguments.betas) * arguments.seeds
    print(f"{runs} VAEs with {arguments.workers} workers: {seconds:.0f} s of the clock,")
    print(f"{processor:.0f} s of the processor; features were made {_made(logs)} time(s)")
    return 0


def _processor() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _made(logs: str) -> int:
    return logs.count(" of features to ")


if __name__ == "__main__":
    raise SystemExit(main())
