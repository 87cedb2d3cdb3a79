"""Fails unless the main job has all scores and the trained encoder beats the untrained one."""

import json
import math
import sys
from pathlib import Path

CHALLENGE = ("factor_vae_metric", "dci", "sap_score", "mig", "irs")

result = json.loads(Path(sys.argv[1]).read_text())
scores, untrained = result["scores"], result["baselines"]["untrained"]
for metric in CHALLENGE:
    if not (math.isfinite(scores[metric]) and 0 <= scores[metric] <= 1):
        sys.exit(f"{metric} is {scores[metric]}, not a number in [0, 1]")
for metric in ("factor_vae_metric", "dci"):
    if scores[metric] <= untrained[metric]:
        sys.exit(f"{metric}: trained {scores[metric]} does not beat untrained {untrained[metric]}")
print("all scores are there, and the trained encoder beats the untrained one")
