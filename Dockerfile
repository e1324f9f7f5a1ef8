# syntax=docker/dockerfile:1
# certbound as an image: docs/deploy.md. The Python is the minor version that the tests run on.
# A tag moves with its security updates; for a fixed one: --build-arg PYTHON_IMAGE=…@sha256:…
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN ["python", "-m", "venv", "/opt/certbound"]
WORKDIR /src
# What is locked, by hash, and nothing that would have to be compiled.
COPY requirements.lock ./
RUN ["/opt/certbound/bin/python", "-m", "pip", "install", "--require-hashes", "--only-binary=:all:", "-r", "requirements.lock"]
COPY pyproject.toml README.md LICENSE ./
COPY app app
COPY migrations migrations
RUN ["/opt/certbound/bin/python", "-m", "pip", "install", "--no-deps", "--no-build-isolation", "."]
RUN ["/opt/certbound/bin/python", "-m", "compileall", "-q", "/opt/certbound/lib"]
# Only needed to build; the server installs nothing.
RUN ["/opt/certbound/bin/python", "-m", "pip", "uninstall", "--yes", "hatchling", "editables", "pip"]

FROM ${PYTHON_IMAGE}
# A number, so that Kubernetes can see that it is not root. The home is made for a volume to take
# over its owner; the second directory is where compose's first step leaves a password.
RUN groupadd --gid 10001 certbound \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/certbound --shell /usr/sbin/nologin certbound \
    && install -d -o certbound -g certbound -m 0700 /var/lib/certbound \
    && install -d -o certbound -g certbound -m 0755 /var/lib/certbound-database
COPY --from=build /opt/certbound /opt/certbound
ENV PATH=/opt/certbound/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    CERTBOUND_HOME=/var/lib/certbound \
    CERTBOUND_HOST=0.0.0.0 \
    CERTBOUND_LOG_FORMAT=json
USER 10001:10001
WORKDIR /var/lib/certbound
VOLUME ["/var/lib/certbound"]
EXPOSE 8443 9443
STOPSIGNAL SIGTERM
# The operations listener stays inside the container; urllib would ask a proxy, http.client does not.
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 9464, timeout=5); c.request('GET', '/readyz'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["certbound"]
CMD ["serve"]
