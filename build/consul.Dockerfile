# The agent and the operator's command line, with what the start-up script of the consul-client container
# needs (sh, curl, jq), and with consul-ecs for who starts it without a script.
#
#   docker buildx build --platform linux/amd64,linux/arm64 -f build/consul.Dockerfile -t consul:0.1.0 .

FROM --platform=$BUILDPLATFORM golang:1.26.8 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY cmd cmd
COPY internal internal
ARG TARGETARCH
ARG BUILD_DATE=1970-01-01T00:00:00Z
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=linux GOARCH=$TARGETARCH go build -trimpath \
    -ldflags "-s -w -X github.com/lictor/lictor/internal/version.BuildDate=$BUILD_DATE" \
    -o /out/bin/ ./cmd/consul ./cmd/consul-ecs
RUN mkdir -p /out/volumes/consul/config /out/volumes/consul/data /out/inject/consul-inject

FROM alpine:3.22.2
RUN apk add --no-cache ca-certificates curl jq \
    && addgroup -g 65532 consul \
    && adduser -D -H -u 65532 -G consul consul
COPY --from=build /out/bin/ /bin/
# A task's containers share these volumes: ECS gives them the owner that they have here.
COPY --from=build --chown=65532:65532 /out/volumes/ /
COPY --from=build --chown=65532:65532 /out/inject/ /bin/
VOLUME ["/consul", "/bin/consul-inject"]

ARG VERSION=0.1.0
ARG REVISION=unknown
ARG BUILD_DATE=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="consul" \
      org.opencontainers.image.description="The agent and the operator's command line" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/lictor/lictor" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$BUILD_DATE"

# server, gossip, API, xDS, DNS
EXPOSE 8300 8301 8301/udp 8500 8501 8502 8503 8600 8600/udp
# ECS looks at the health check of the task definition only.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["consul-ecs", "client", "-check"]
USER 65532:65532
ENTRYPOINT ["/bin/consul"]
CMD ["agent", "-config-dir", "/consul/config", "-data-dir", "/consul/data"]
