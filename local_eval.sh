#!/usr/bin/env bash
# The whole local job: set up, train, export, grade. See usage() below.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

usage() {
  cat <<'EOF'
usage: ./local_eval.sh [--open]          train submission/configs/quick.gin, export it, grade it;
                                         --open shows the page of the scores in a browser
       ./local_eval.sh test [ARG...]     lint, type-check and test (arguments go to pytest)
       ./local_eval.sh test --gpu        compare a GPU's results with the CPU's, and nothing else
       ./local_eval.sh setup             only make or update .venv
       ./local_eval.sh docs [--build]    build the site strictly, and serve it on 127.0.0.1:8000
                                         (--build: only build it, into scratch/site)
       ./local_eval.sh --docker [ARG...] build the image, run it as the evaluator does, and grade
                                         what it exports (--docker --help lists the options)

All results are written to scratch/. A second run reuses results that are still valid.
EOF
}

die() {
  echo "error[$1]: $2" >&2
  exit 2
}

find_python() {
  local candidate
  for candidate in python3 python3.13 python3.12 python3.11 python3.10; do
    if "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' \
      2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  die SETUP-PYTHON "no Python 3.10 to 3.13 found on PATH (looked for python3 and python3.10 to \
python3.13). Install one of them, or install uv, which can install Python itself."
}

make_venv() {
  if command -v uv >/dev/null; then
    uv venv --quiet --clear --python '>=3.10,<3.14' .venv
    return
  fi
  local python
  python=$(find_python)
  "$python" -m venv --clear .venv || die SETUP-VENV "$python cannot make a virtual environment. \
Install its venv module (on Debian and Ubuntu: the package python3-venv)."
}

# On a terminal pip and uv show their progress. In a log, pip prints a line for each package, and uv
# prints a summary.
install_requirements() {
  if command -v uv >/dev/null; then
    uv pip install --python .venv/bin/python -r "$1"
  else
    local bar=off
    if [[ -t 1 ]]; then bar=on; fi
    .venv/bin/python -m pip install --disable-pip-version-check --root-user-action=ignore \
      --progress-bar="$bar" -r "$1"
  fi
}

# Installs programs that tests run and that no wheel contains. Without a program its tests are
# skipped, with a message that names the command to install it.
require_programs() {
  local packages
  read -ra packages < <(.venv/bin/python -m tests.real_parts)
  if ((${#packages[@]} == 0)); then return; fi
  if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
    echo "Installing ${packages[*]} with apt-get."
    if apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
      apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null; then
      return
    fi
  fi
  echo "Some tests will be skipped. To run them, as root: apt-get install ${packages[*]}" >&2
}

# Installs a list of requirements, unless .venv holds a copy of it. The copy is made after the
# installation, so a killed installation, or one of an older list, is repeated.
require() {
  local list=$1 installed=.venv/installed-${1//\//-}
  if cmp --silent "$list" "$installed"; then return; fi
  echo "Installing $list into .venv (about 6 GB the first time, most of it CUDA libraries)."
  install_requirements "$list" || die SETUP-INSTALL "$list could not be installed into .venv. \
The lines above say why. Correct the cause and run the same command again."
  cp "$list" "$installed"
}

setup() {
  # The lock stops a second setup from changing .venv at the same time.
  exec 9>.venv.lock
  if command -v flock >/dev/null; then flock 9; fi
  local needed=sys
  # `python -m venv` installs pip last. If pip is missing, it was killed, and .venv is made again.
  command -v uv >/dev/null || needed=sys,pip
  if ! .venv/bin/python -c \
    "import $needed; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))" 2>/dev/null; then
    make_venv
  fi
  require requirements.txt
  if [[ ${1:-} == test ]]; then require tests/requirements.txt; fi
  .venv/bin/python -m evaluation.metrics.compile
  exec 9>&-
}

main_job() {
  export AICROWD_EVALUATION_NAME=${AICROWD_EVALUATION_NAME:-quick}
  export AICROWD_DATASET_NAME=${AICROWD_DATASET_NAME:-mpi3d_sim_real_mini}
  export AICROWD_OUTPUT_PATH=${AICROWD_OUTPUT_PATH:-$PWD/scratch/shared}
  local config=submission/configs/quick.gin
  local experiment=$AICROWD_OUTPUT_PATH/$AICROWD_EVALUATION_NAME

  .venv/bin/python -m submission finetune "$config" "$AICROWD_EVALUATION_NAME"
  .venv/bin/python -m submission train "$config" "$AICROWD_EVALUATION_NAME"
  .venv/bin/python -m submission export --untrained "$config" "$AICROWD_EVALUATION_NAME"
  .venv/bin/python -m evaluation \
    --representation "$experiment/representation" \
    --baseline "$experiment/representation-untrained" \
    --dataset "$AICROWD_DATASET_NAME" \
    --output "$experiment" "$@"
}

case ${1:-} in
  "" | --open)
    setup
    main_job "$@"
    ;;
  test)
    shift
    setup test
    if [[ ${1:-} == --gpu ]]; then
      shift
      .venv/bin/python -m evaluation doctor --gpu
      exec .venv/bin/python -m pytest -m gpu tests/gpu "$@"
    fi
    require_programs
    .venv/bin/ruff check .
    .venv/bin/ruff format --check .
    .venv/bin/mypy
    # loadfile: the tests of a file share fixtures, so one process gets the whole file.
    .venv/bin/pytest --numprocesses auto --maxprocesses 4 --dist loadfile "$@"
    ;;
  setup) setup test ;;
  docs)
    shift
    setup
    require docs/requirements.txt
    export NO_MKDOCS_2_WARNING=1 # of a version that docs/requirements.txt does not take
    case ${1:-} in
      "") exec .venv/bin/python -m mkdocs serve --strict --dev-addr 127.0.0.1:8000 ;;
      --build) exec .venv/bin/python -m mkdocs build --strict ;;
      *) die USAGE "'./local_eval.sh docs' takes no argument but --build, not '$1'. Leave it out." ;;
    esac
    ;;
  --docker)
    shift
    setup
    exec .venv/bin/python -m evaluation.container "$@"
    ;;
  -h | --help) usage ;;
  *)
    usage >&2
    die USAGE "unknown argument '$1'. Use one of the commands above."
    ;;
esac
