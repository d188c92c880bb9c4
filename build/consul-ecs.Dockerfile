# What runs inside an ECS task beside the application. It holds one program and the CA certificates that AWS's
# endpoints need.
#
#   docker buildx build --platform linux/amd64,linux/arm64 -f build/consul-ecs.Dockerfile -t consul-ecs:0.1.0 .

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
    -o /out/bin/ ./cmd/consul-ecs
RUN mkdir -p /out/volumes/consul

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/bin/ /bin/
# A task's containers share this volume: ECS gives it the owner that it has here.
COPY --from=build --chown=65532:65532 /out/volumes/ /
VOLUME ["/consul"]

ARG VERSION=0.1.0
ARG REVISION=unknown
ARG BUILD_DATE=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="consul-ecs" \
      org.opencontainers.image.description="What runs inside an ECS task beside the application" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/lictor/lictor" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$BUILD_DATE"

# The consul that a start-up script puts into the shared volume comes first.
ENV PATH=/bin/consul-inject:/bin
USER 65532:65532
ENTRYPOINT ["/bin/consul-ecs"]
