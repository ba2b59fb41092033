# docker build -t quietwire .
# docker run --rm -p 8000:8000 --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges quietwire
#
# Uploads over 8 MiB, over 1 MiB in forms, are spooled to /tmp, the only place that must be writable. `docker stop` kills after 10 s, and streams
# get 20 s to finish (QUIETWIRE_DRAIN_SECONDS): use `docker stop -t 25`, or run with `--stop-timeout 25`.

FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN python -m venv --without-pip /opt/quietwire
# The dependencies first and on their own, so that this layer is made again only when they change.
COPY pyproject.toml ./
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" > requirements.txt \
 && pip --python /opt/quietwire/bin/python install --only-binary :all: -r requirements.txt
COPY . .
RUN pip wheel --no-deps --wheel-dir /wheels . \
 && pip --python /opt/quietwire/bin/python install --no-deps /wheels/*.whl \
 && pip --python /opt/quietwire/bin/python check

FROM python:3.13-slim
LABEL org.opencontainers.image.title="Quietwire" \
      org.opencontainers.image.description="Streaming real-time speech denoising" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 quietwire \
 && useradd --uid 10001 --gid 10001 --no-log-init --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin quietwire
COPY --from=build /opt/quietwire /opt/quietwire
ENV PATH=/opt/quietwire/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
# Liveness: a full or draining server (503 from /readyz) is healthy. A proxy from the environment is not for this call, and a
# certificate is for another name.
HEALTHCHECK --interval=10s --timeout=5s --start-period=15s --retries=3 \
  CMD ["python", "-I", "-c", "import os, ssl; from urllib.request import *; \
secure = 's' if os.environ.get('QUIETWIRE_TLS_CERTIFICATE') else ''; \
opener = build_opener(ProxyHandler({}), HTTPSHandler(context=ssl._create_unverified_context())); \
opener.open(f\"http{secure}://127.0.0.1:{os.environ.get('QUIETWIRE_PORT', 8000)}/healthz\", timeout=4)"]
CMD ["quietwire", "serve", "--host", "0.0.0.0"]
