# The submission's image: `docker build .`, then `docker run --gpus all` as local_eval.sh --docker does.
# It builds on any Debian or Ubuntu whose python3 is 3.10 to 3.13. torch's wheels contain CUDA's
# libraries, so NVIDIA's smallest image is enough; it has the same version of CUDA as the wheels.
ARG BASE_IMAGE=nvidia/cuda:13.0.2-base-ubuntu24.04

# ---- base: the system and the packages; rebuilt only when requirements.txt changes --------------
FROM ${BASE_IMAGE} AS base
# hadolint ignore=DL3008 # BASE_IMAGE fixes the distribution, and with it these packages' versions
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3 python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1001 --create-home --shell /bin/bash aicrowd \
    && install --directory --owner=aicrowd --group=aicrowd /SHARED \
    && python3 -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
COPY requirements.txt /opt/requirements.txt
RUN --mount=type=cache,target=/root/.cache/pip pip install --requirement /opt/requirements.txt
# When the evaluator runs the image, only /tmp and /SHARED are writable, so caches go to /tmp.
ENV AICROWD_OUTPUT_PATH=/SHARED \
    DISENTANGLEMENT_LIB_DATA=/DATASET \
    MPLCONFIGDIR=/tmp/matplotlib \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    NVIDIA_VISIBLE_DEVICES=all \
    PYTHONUNBUFFERED=1
WORKDIR /home/aicrowd
# This is a batch job that ends with an exit status, so nobody needs a health check.
HEALTHCHECK NONE

# ---- test: the tests inside the image: docker build --target test --tag kit-test . ---------------
FROM base AS test
# hadolint ignore=DL3008 # as above
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git git-lfs redis-server \
    && rm -rf /var/lib/apt/lists/*
COPY tests/requirements.txt /opt/tests-requirements.txt
RUN --mount=type=cache,target=/root/.cache/pip pip install --requirement /opt/tests-requirements.txt
COPY --chown=aicrowd:aicrowd . .
USER 1001
CMD ["python", "-m", "pytest", "tests/evaluation", "tests/submission"]

# ---- runtime: what AIcrowd runs ------------------------------------------------------------------
FROM base AS runtime
COPY aicrowd.json run.sh ./
COPY evaluation evaluation
COPY submission submission
# Compares the bundled encoder with its manifest. Without a bundle, the build stops with a message.
RUN python -m submission bundle \
    && python -m compileall -q evaluation submission \
    && python -m evaluation.metrics.compile
USER 1001
# No entry point: the evaluator itself adds run.sh to the command, and an entry point would run it twice.
ENTRYPOINT []
CMD ["/home/aicrowd/run.sh"]
ARG BASE_IMAGE
LABEL org.opencontainers.image.title="Disentanglement submission" \
      org.opencontainers.image.description="A trained representation and the grader of the NeurIPS 2019 Disentanglement Challenge" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${BASE_IMAGE}"
