# The operator's image: `docker build --tag imageops .` The release gives both digests and labels as build arguments.
#
# A base is named by a tag here, for whoever builds at home; a release passes `name@sha256:…`, which it has looked up.
ARG PYTHON_IMAGE=docker.io/library/python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
# Times in the wheel come from this, so that the same source makes the same bytes.
ARG SOURCE_DATE_EPOCH=0
ENV SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH} PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1
WORKDIR /src
COPY requirements-build.lock requirements-operator.lock ./
RUN ["python", "-m", "venv", "/build"]
RUN ["/build/bin/pip", "install", "--no-deps", "--require-hashes", "--requirement", "requirements-build.lock"]
RUN ["python", "-m", "venv", "--without-pip", "/opt/imageops"]
RUN ["/build/bin/pip", "--python", "/opt/imageops/bin/python", "install", "--no-deps", "--require-hashes", "--only-binary", ":all:", "--requirement", "requirements-operator.lock"]
COPY pyproject.toml README.md LICENSE ./
COPY operator operator
RUN ["/build/bin/pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", "/wheels", "."]
RUN ["/build/bin/pip", "--python", "/opt/imageops/bin/python", "install", "--no-deps", "--no-index", "--find-links", "/wheels", "imageops"]
# The wheel is installed without looking at what it needs: this tells of a lock that lacks some of it.
RUN ["/build/bin/pip", "--python", "/opt/imageops/bin/python", "check"]
# Compiled here, as the root is read-only where it runs; by content, as times would differ from build to build.
RUN ["python", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "/opt/imageops/lib"]

FROM ${PYTHON_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=""
ARG CREATED=""
LABEL org.opencontainers.image.title="imageops" \
      org.opencontainers.image.description="Image pull, push, tag and promotion as Kubernetes objects" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/imageops/imageops" \
      org.opencontainers.image.documentation="https://github.com/imageops/imageops/tree/main/docs" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
COPY --from=build /opt/imageops /opt/imageops
ENV PATH=/opt/imageops/bin:/usr/local/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65532:65532
WORKDIR /
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/healthz', timeout=4)"]
ENTRYPOINT ["imageops"]
CMD ["operator"]
