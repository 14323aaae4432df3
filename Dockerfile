# unmask as a command in a container that needs no network, no root and no writable file system:
#
#   docker build --tag unmask .
#   docker run --rm --read-only --tmpfs /tmp --network none --user "$(id -u):$(id -g)" \
#     --volume "$PWD:/work" unmask predict bundle interview.mp4 --report interview.html
#
# `.ci/try-dockerfile` runs these steps in a plain Debian root, where there is no Docker.
FROM debian:trixie-slim AS build
RUN apt-get update && apt-get install --yes --no-install-recommends python3-venv
WORKDIR /source
COPY requirements.lock pyproject.toml README.md LICENSE ./
COPY data data
COPY features features
COPY models models
COPY pipeline pipeline
# The versions and digests of requirements.lock for what `unmask[all]` needs, and nothing else of it;
# wheels alone. ffmpeg is a part of it: the one that unmask is tested with, and one that decodes AV1.
# Debian's pip (25.1) does not take digests from a file of constraints; this one does.
RUN python3 -m venv /opt/build \
 && echo "pip==26.3 --hash=sha256:f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13" \
    > build.requirements \
 && /opt/build/bin/pip install --no-cache-dir --require-hashes --requirement build.requirements \
 && grep --after-context=99 '^setuptools==' requirements.lock \
    | sed '2,${/^ /!Q}' > build.requirements \
 && /opt/build/bin/pip install --no-cache-dir --require-hashes --requirement build.requirements \
 && /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels . \
 && python3 -m venv --without-pip /opt/unmask \
 && for wheel in /wheels/unmask-*.whl; do \
      echo "unmask[all] @ file://$wheel --hash=sha256:$(sha256sum "$wheel" | cut -d ' ' -f 1)"; \
    done > unmask.requirements \
 && /opt/build/bin/pip --python /opt/unmask/bin/python install --no-cache-dir --only-binary :all: \
    --require-hashes --constraint requirements.lock --requirement unmask.requirements

FROM debian:trixie-slim
RUN apt-get update && apt-get install --yes --no-install-recommends python3 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 1000 --create-home unmask \
 && mkdir /work \
 && chown unmask:unmask /work
COPY --from=build /opt/unmask /opt/unmask
# What libraries keep in a home, and unmask's own cache, are in /tmp, the one place that is writable.
ENV PATH=/opt/unmask/bin:/usr/local/bin:/usr/bin:/bin
ENV HOME=/tmp
ENV PYTHONDONTWRITEBYTECODE=1
# Ends it as Ctrl-C does: finished work is kept.
STOPSIGNAL SIGINT
USER unmask
WORKDIR /work
ENTRYPOINT ["unmask"]
CMD ["--help"]
