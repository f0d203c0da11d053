# syntax=docker/dockerfile:1

# One image for façade, workers and migrations; the command chooses. Nothing of it is started as root.

FROM python:3.13-slim-trixie AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app
RUN python -m venv /venv
# The dependencies first: they change less often than the code, and are then taken from the layer before.
# Postgres, Temporal and language models are services of their own here: nothing of the embedded stack comes along.
COPY requirements-server.lock ./
RUN /venv/bin/pip install --no-deps --require-hashes -r requirements-server.lock
COPY pyproject.toml README.md worker.py ./
COPY towpath towpath/
COPY activities activities/
COPY workflows workflows/
COPY api api/
COPY LICENSE ./
# Editable, in the place where the code stays: the migrations are files, not a package.
RUN /venv/bin/pip install --no-deps --no-build-isolation -e . && /venv/bin/python -m compileall -q /app

FROM python:3.13-slim-trixie
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/towpath towpath
COPY --from=build /venv /venv
COPY --from=build /app /app
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 TOWPATH_HOME=/var/lib/towpath TOWPATH_HOST=0.0.0.0 OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
WORKDIR /app
USER towpath
EXPOSE 8000
# Of the façade, the default command. `/health` names the part that does not answer.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=6 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
CMD ["towpath", "api"]
