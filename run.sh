#!/usr/bin/env bash
# AIcrowd's entry point.
#
#   ./run.sh                     submit the bundled encoder; if there is none, train
#                                submission/configs/quick.gin and submit the result
#   ./run.sh CONFIG EXPERIMENT [FLAG...]
#                                train CONFIG, export to $AICROWD_OUTPUT_PATH/EXPERIMENT, and grade;
#                                flags are those of `python -m submission train`, such as
#                                --precision bf16; paths in flags must be absolute
#
# The environment variables AICROWD_* and DISENTANGLEMENT_LIB_DATA are used if they are set. After a
# failure the evaluator gets an event, and run.sh ends with the status of the failed step.
set -euo pipefail

if (($# == 1)); then
  echo "error[USAGE]: run.sh takes no arguments, or CONFIG and EXPERIMENT." >&2
  exit 2
fi
config=submission/configs/quick.gin
if (($# > 0)); then
  config=$(realpath "$1")
  export AICROWD_EVALUATION_NAME=$2
fi
cd "$(dirname "$(realpath "${BASH_SOURCE[0]}")")"

python=python3
if [[ -x .venv/bin/python ]]; then python=.venv/bin/python; fi

child=
# Runs a step in the background and waits for it: then bash handles a signal at once.
step() {
  local status=0
  "$python" -m "$@" &
  child=$!
  wait "$child" || status=$?
  child=
  return "$status"
}

finish() {
  local status=$?
  trap - EXIT
  trap '' INT TERM
  if [[ -n $child ]]; then
    kill "$child" 2>/dev/null || true
    wait "$child" 2>/dev/null || true
  fi
  if ((status != 0)); then
    "$python" -m submission.aicrowd execution_error "run.sh ended with status $status" || true
  fi
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

step submission.aicrowd execution_started
# Says whether a GPU is here, and why it cannot be used. Without one the job goes on on the CPU.
"$python" -m evaluation doctor --gpu || true
if (($# == 0)) && [[ -e submission/bundle/manifest.json ]]; then
  step submission deliver
else
  name=${AICROWD_EVALUATION_NAME:-experiment}
  step submission finetune "$config" "$name" "${@:3}"
  step submission train "$config" "$name" "${@:3}"
fi
if (($# > 0)); then
  step evaluation --representation "${AICROWD_OUTPUT_PATH:-scratch/shared}/$name/representation"
fi
step submission.aicrowd submit
