# Three images from one file:
#
#   export  torch and the export: makes bundles out of checkpoints, once
#   cpu     the service on the CPU, no torch
#   gpu     the service on NVIDIA GPUs, no torch; the last stage, and so the one that is built without --target
#
# docker-compose.yml builds and starts them; docs/containers.md explains everything.
#
# Why one base for all three, and no nvidia/cuda image for `gpu`: onnxruntime-gpu names CUDA 13 and cuDNN 9 as packages
# of pip. From there come only the libraries that it loads, in the versions that constraints.txt pins, for the same
# Python as on the CPU. The images with CUDA inside bring further libraries that nothing here loads, and a Python of
# another version. What must come from the host in both cases is the driver, through the NVIDIA container toolkit.

ARG PYTHON_IMAGE=python:3.11.15-slim-bookworm

# --- Where pip works. Of this stage and the next ones only folders are copied into an image. ---
FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
# The environment has no pip of its own: the one of the base image installs into it.
RUN python3 -m venv --without-pip /opt/bigbird
COPY pyproject.toml constraints.txt ./
# Every package with its version and the hashes of its files; deploy/container/lock_requirements.py writes them.
COPY deploy/container/requirements requirements

# Two secrets, both optional, for networks with a package index or a certificate authority of their own; they are there
# while the command runs and in no layer:
#   docker build --secret id=pip.conf,src=/etc/pip.conf --secret id=ca-certificates,src=/etc/ssl/certs/ca-certificates.crt
#
# Modules are compiled here, because the file systems of the running containers are read-only. Their caches are valid
# by definition ("unchecked-hash") and not by time stamps, so that the same input makes the same files. Files that are
# meant for a newer Python cannot be compiled, and are not imported either.
FROM build AS dependencies-cpu
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    --mount=type=secret,id=ca-certificates,target=/etc/ssl/certs/ca-certificates.crt \
    python3 -m pip --python /opt/bigbird/bin/python install --no-compile --only-binary :all: \
        --require-hashes --requirement requirements/cpu.txt \
    && { /opt/bigbird/bin/python -m compileall -qq --invalidation-mode unchecked-hash /opt/bigbird/lib || true; }

FROM build AS dependencies-gpu
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    --mount=type=secret,id=ca-certificates,target=/etc/ssl/certs/ca-certificates.crt \
    python3 -m pip --python /opt/bigbird/bin/python install --no-compile --only-binary :all: \
        --require-hashes --requirement requirements/gpu.txt \
    && { /opt/bigbird/bin/python -m compileall -qq --invalidation-mode unchecked-hash /opt/bigbird/lib || true; }

# An export verifies with onnxruntime on the CPU, so it needs what the service needs, and torch.
# TORCH_INDEX is a further index for pip: with the one for CPUs that PyTorch's start page names, the image does without
# the gigabytes of CUDA libraries that torch brings otherwise and that an export does not use. That torch is another file
# than PyPI's of the same version, so it is the one package that is pinned by its version and not by a hash.
# EXPORT_EXTRAS="export hub tensorflow" adds what checkpoints of google-research and Model Garden need.
FROM dependencies-cpu AS dependencies-export
ARG TORCH_INDEX=""
ARG EXPORT_EXTRAS="export hub"
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    --mount=type=secret,id=ca-certificates,target=/etc/ssl/certs/ca-certificates.crt \
    set -- \
    && for extra in ${EXPORT_EXTRAS}; do set -- "$@" --requirement "requirements/${extra}.txt"; done \
    && if [ -z "${TORCH_INDEX}" ]; then set -- "$@" --requirement requirements/torch.txt; fi \
    && python3 -m pip --python /opt/bigbird/bin/python install --no-compile --only-binary :all: \
        --require-hashes "$@" \
    && if [ -n "${TORCH_INDEX}" ]; then \
        python3 -m pip --python /opt/bigbird/bin/python install --no-compile --only-binary :all: \
            --constraint constraints.txt --extra-index-url "${TORCH_INDEX}" torch; \
    fi \
    && { /opt/bigbird/bin/python -m compileall -qq --invalidation-mode unchecked-hash /opt/bigbird/lib || true; }

# Our own code, apart from its dependencies: a new version is a small new layer.
FROM build AS application
COPY LICENSE README.md ./
COPY bigbird_cli bigbird_cli
COPY bigbird_inference bigbird_inference
COPY bulk bulk
COPY documents documents
COPY evaluation evaluation
COPY finetuning finetuning
COPY model_export model_export
COPY service service
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    --mount=type=secret,id=ca-certificates,target=/etc/ssl/certs/ca-certificates.crt \
    python3 -m pip --python /opt/bigbird/bin/python install --only-binary :all: \
        --require-hashes --requirement requirements/build.txt \
    && python3 -m pip --python /opt/bigbird/bin/python install --no-compile --no-deps --no-build-isolation \
        --target /app . \
    && /opt/bigbird/bin/python -m compileall -q --invalidation-mode unchecked-hash /app

# --- What all images have in common. ---
FROM ${PYTHON_IMAGE} AS runtime
# The user owns nothing but two folders, of bundles and of what an export downloads: volumes that are first mounted
# there belong to it.
# Its home is /tmp, the one place that stays writable when the root file system is read-only.
RUN echo 'bigbird:x:10001:10001:bigbird-serve:/tmp:/usr/sbin/nologin' >> /etc/passwd \
    && echo 'bigbird:x:10001:' >> /etc/group \
    && install --directory --owner=10001 --group=10001 --mode=0755 /models /cache
ENV PATH=/app/bin:/opt/bigbird/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    ORT_DISABLE_TELEMETRY=1 \
    HF_HUB_DISABLE_TELEMETRY=1
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="bigbird-serve" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
USER 10001:10001
ENTRYPOINT ["bigbird"]

# --- The service, whatever it runs on. ---
FROM runtime AS serve
# Every setting may be set as a variable; these three differ from the defaults.
ENV BIGBIRD_MODELS=/models \
    BIGBIRD_HOST=0.0.0.0 \
    BIGBIRD_PORT=8000
EXPOSE 8000
STOPSIGNAL SIGTERM
CMD ["serve"]
# Loading and warming up take their time: until the end of the start period a failure does not count.
HEALTHCHECK --interval=15s --timeout=5s --start-period=300s --retries=3 \
    CMD ["python3", "-I", "-S", "-c", "import os, urllib.request; urllib.request.build_opener(urllib.request.ProxyHandler({})).open('http://127.0.0.1:' + os.environ['BIGBIRD_PORT'] + '/health/live', timeout=4)"]

FROM runtime AS export
LABEL org.opencontainers.image.description="Exports BigBird checkpoints to bundles for bigbird-serve"
COPY --from=dependencies-export /opt/bigbird /opt/bigbird
ENV CHECKPOINT_FOLDER=/app/examples/checkpoints \
    BUNDLE_FOLDER=/models
COPY examples/checkpoints /app/examples/checkpoints
COPY --from=application /app /app
COPY --chmod=0755 deploy/container/export_bundles.py /app/bin/export-bundles
CMD ["export", "--help"]

FROM serve AS cpu
LABEL org.opencontainers.image.description="BigBird for long documents over HTTP, on the CPU"
COPY --from=dependencies-cpu /opt/bigbird /opt/bigbird
COPY --from=application /app /app

FROM serve AS gpu
LABEL org.opencontainers.image.description="BigBird for long documents over HTTP, on NVIDIA GPUs"
# What the NVIDIA container toolkit reads where no device request says it: all GPUs, the libraries for computing and,
# for memory and utilisation in the metrics, NVML.
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=dependencies-gpu /opt/bigbird /opt/bigbird
COPY --from=application /app /app
