# Note for whoever passes the image on: PyAV's wheel contains x264 and x265, so that the image as a whole is under
# the GNU General Public License, version 2 or later. Reelstore's own code is Apache-2.0.
ARG PYTHON_VERSION=3.13

FROM python:${PYTHON_VERSION}-slim AS builder
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 UV_LINK_MODE=copy UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never
WORKDIR /build
COPY requirements/install.txt requirements/app.txt requirements/
RUN python -m venv /opt/install \
    && /opt/install/bin/pip install --no-cache-dir --require-hashes --requirement requirements/install.txt \
    && /opt/install/bin/uv venv --python /usr/local/bin/python /opt/reelstore \
    && /opt/install/bin/uv pip sync --python /opt/reelstore/bin/python --compile-bytecode --require-hashes \
        requirements/app.txt
# After the dependencies, so that a change of ours builds in seconds.
COPY pyproject.toml README.md LICENSE ./
COPY src src
COPY docs/problems docs/problems
RUN /opt/install/bin/uv pip install --python /opt/reelstore/bin/python --compile-bytecode --no-deps . \
        --build-constraints requirements/install.txt --require-build-hashes \
        --preview-features build-dependency-hashes

FROM python:${PYTHON_VERSION}-slim
LABEL org.opencontainers.image.title="Reelstore" \
      org.opencontainers.image.description="A distributed video storage system" \
      org.opencontainers.image.licenses="Apache-2.0 AND GPL-2.0-or-later"
# The data folder belongs to the user before it becomes a volume: a new volume copies its owner from here.
RUN groupadd --system --gid 10001 reelstore \
    && useradd --system --uid 10001 --gid reelstore --no-create-home --home-dir /data reelstore \
    && install --directory --owner reelstore --group reelstore --mode 0750 /data
COPY --from=builder /opt/reelstore /opt/reelstore
ENV PATH=/opt/reelstore/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 5000
# Alive, not ready: a gateway that waits for its metadata must not be restarted for it.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:5000/healthz', timeout=4)"]
ENTRYPOINT ["reelstore"]
CMD ["serve", "--host", "0.0.0.0", "--port", "5000", "--data", "/data"]
