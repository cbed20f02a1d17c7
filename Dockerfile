# SPDX-License-Identifier: MPL-2.0
# All programs of zfarm in a small image. Works with the classic builder and with BuildKit.
#
# Any Debian with apt will do as BASE; where no registry is in reach, tests/cluster/run makes one.
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
      gcc libc6-dev meson ninja-build pkg-config libzmq3-dev libczmq-dev libxxhash-dev \
      libsqlite3-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /zfarm
COPY . .
RUN meson setup build --prefix=/usr/local -Dtests=false \
 && ninja -C build \
 && meson install -C build --no-rebuild --strip --destdir /out

FROM ${BASE}
RUN apt-get update \
 && apt-get install -y --no-install-recommends libzmq5 libczmq4 libxxhash0 libsqlite3-0 \
 && apt-get clean \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin \
 && install -d -m 1777 /keys /keys-of/ventilator /keys-of/sink /keys-of/worker \
      /tasks /store /scratch /results
# These are for volumes (containers/farm). Whoever a container runs as has to make its files there: a new
# volume gets the mode from here, and each is mounted only where it is needed.
COPY --from=build /out/usr/local/ /usr/local/
COPY containers/farm /usr/local/bin/
# Nobody in particular, and not root. A number needs no entry in /etc/passwd.
USER 10001:10001
STOPSIGNAL SIGTERM
CMD ["zfarm", "--help"]
