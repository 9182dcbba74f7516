# syntax=docker/dockerfile:1
#
# The service, without torch:    docker build --target service -t kindred .
# The service on CUDA:           docker build --target service --build-arg VARIANT=gpu -t kindred:cuda .
# Training:                      docker build --target training [--build-arg VARIANT=gpu] .
#   TORCH_INDEX: where to look for torch besides the usual index, such as that of its CPU builds.
ARG VARIANT=cpu

FROM python:3.11-slim-bookworm AS base-cpu

# onnxruntime-gpu links against CUDA 13 and cuDNN 9; faiss-gpu brings the CUDA 12 that it needs.
FROM nvidia/cuda:13.0.2-cudnn-runtime-ubuntu24.04 AS base-gpu
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 python3-venv \
 && rm -rf /var/lib/apt/lists/*

FROM base-${VARIANT} AS base
# ONNX Runtime would tell Microsoft about the models that it loads.
ENV PATH=/opt/kindred/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    ORT_DISABLE_TELEMETRY=1
WORKDIR /app

# What we depend on changes seldom and is large: a layer of its own, before our own files.
FROM base AS build
ARG VARIANT
RUN python3 -m venv /opt/kindred
COPY pyproject.toml ./
COPY requirements ./requirements
# Of the cpu variant each file is the one whose digest the lock has; there is no lock for gpu.
RUN --mount=type=cache,target=/root/.cache/pip \
    if [ "${VARIANT}" = cpu ]; then pip install --no-deps --require-hashes -r requirements/serving.lock; fi
RUN --mount=type=cache,target=/root/.cache/pip \
    python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; e = p['optional-dependencies']; print(*p['dependencies'], *e['service'], *e['${VARIANT}'][1:], sep='\n')" > /tmp/requirements.txt \
 && pip install -r /tmp/requirements.txt
COPY README.md LICENSE ./
COPY index ./index
COPY models_store ./models_store
COPY evaluation ./evaluation
COPY service ./service
COPY kindred ./kindred
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --no-deps --editable . \
 # Who runs it may write nothing here, and would compile all of it at each start.
 && python -m compileall -q index models_store evaluation service kindred

FROM build AS build-training
ARG TORCH_INDEX=
RUN --mount=type=cache,target=/root/.cache/pip \
    python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; print(*p['optional-dependencies']['training'], sep='\n')" > /tmp/requirements.txt \
 && pip install ${TORCH_INDEX:+--extra-index-url ${TORCH_INDEX}} -r /tmp/requirements.txt
COPY training ./training

FROM base AS training
RUN useradd --uid 10001 --user-group --create-home --shell /usr/sbin/nologin kindred \
 && install -d -o kindred -g kindred /runs
COPY --from=build-training /opt/kindred /opt/kindred
COPY --from=build-training /app /app
VOLUME /runs
USER 10001:10001
ENTRYPOINT ["python", "-m", "training"]
CMD ["--help"]

# Last, so that it is what a plain `docker build .` makes.
FROM base AS service
ARG VERSION=0.1.0
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="Kindred" \
      org.opencontainers.image.description="REST inference with a vector index for siamese and comparator networks" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${COMMIT}"
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin kindred \
 && install -d -o kindred -g kindred /data
COPY --from=build /opt/kindred /opt/kindred
COPY --from=build /app /app
ENV KINDRED_HOST=0.0.0.0 \
    KINDRED_PORT=8000 \
    KINDRED_DATA_DIR=/data
VOLUME /data
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f'http://127.0.0.1:{os.environ[\"KINDRED_PORT\"]}/health/live', timeout=2)"]
# Beyond loopback the service starts only with KINDRED_API_KEYS, KINDRED_API_KEYS_FILE or KINDRED_ALLOW_KEYLESS=true.
CMD ["python", "-m", "service"]
