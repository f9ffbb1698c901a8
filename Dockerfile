# The wheel is built in one image and installed in another, which has neither compiler nor sources.
FROM python:3.13-slim AS build
WORKDIR /src
RUN pip install --no-cache-dir --disable-pip-version-check 'hatchling>=1.27'
COPY pyproject.toml README.md LICENSE ./
COPY reactor reactor
COPY sql sql
RUN python -m hatchling build -t wheel -d /wheels

FROM python:3.13-slim
LABEL org.opencontainers.image.title="reactor" \
      org.opencontainers.image.description="Event-driven automation for many tenants on PostgreSQL" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir --disable-pip-version-check /wheels/*.whl && rm -r /wheels

# A number, so that Kubernetes can see that it is not root. Nothing is written to disk.
USER 65532:65532
WORKDIR /app
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    REACTOR_LOG_FORMAT=json \
    REACTOR_HTTP_HOST=0.0.0.0 \
    REACTOR_HTTP_PORT=8080
EXPOSE 8080
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s CMD ["reactor", "health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["reactor"]
CMD ["run"]
