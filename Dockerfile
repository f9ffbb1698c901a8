# The base, which an installation pins by digest: --build-arg PYTHON=python:3.13-slim@sha256:…
ARG PYTHON=python:3.13-slim

# The wheel is built in one image and installed in another, which has neither compiler nor sources.
FROM ${PYTHON} AS build
WORKDIR /src
RUN pip install --no-cache-dir --disable-pip-version-check hatchling==1.33.0
COPY pyproject.toml README.md LICENSE ./
COPY reactor reactor
COPY sql sql
RUN python -m hatchling build -t wheel -d /wheels

FROM ${PYTHON}
LABEL org.opencontainers.image.title="reactor" \
      org.opencontainers.image.description="Event-driven automation for many tenants on PostgreSQL" \
      org.opencontainers.image.licenses="Apache-2.0"
# What it depends on, by version and hash: the same in each build, and a layer that a change of the code leaves alone.
COPY deploy/requirements.txt /tmp/requirements.txt
RUN pip install --no-cache-dir --disable-pip-version-check --no-deps --require-hashes -r /tmp/requirements.txt
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir --disable-pip-version-check --no-deps /wheels/*.whl \
    && pip check --disable-pip-version-check && rm -r /wheels /tmp/requirements.txt

# A number, so that Kubernetes can see that it is not root. Nothing is written to disk.
USER 65532:65532
# Where modules of an app are looked for: COPY them here, and name the app with CMD ["run", "--app", "shop:app"].
WORKDIR /app
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    REACTOR_LOG_FORMAT=json \
    REACTOR_HTTP_HOST=0.0.0.0 \
    REACTOR_HTTP_PORT=8080
EXPOSE 8080
# Docker's and Compose's; Kubernetes has probes of its own.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s CMD ["reactor", "health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["reactor"]
CMD ["run"]
