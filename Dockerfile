# One image for every process; the command says which.

FROM python:3.11-slim AS build
WORKDIR /app
# For the scorer's core, which is compiled.
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
COPY requirements.lock ./
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md ./
COPY tools tools
COPY protos protos
COPY services services
COPY gateway gateway
COPY intake intake
COPY cli cli
COPY embedded embedded
RUN /venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation --editable . && /venv/bin/python tools/generate_stubs.py \
    && /venv/bin/python tools/compile_core.py

FROM python:3.11-slim
COPY --from=build /venv /venv
COPY --from=build /app /app
WORKDIR /app
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 LEADSCORE_HOST=0.0.0.0
RUN useradd --system --no-create-home leadscore
USER leadscore
CMD ["leadscore", "--help"]
