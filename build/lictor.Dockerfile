# Everything in one program: set-up, task definitions, the doctor, and lictor dev.
#
#   docker buildx build --platform linux/amd64,linux/arm64 -f build/lictor.Dockerfile -t lictor:0.1.0 .

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
    -o /out/bin/ ./cmd/lictor
RUN mkdir -p -m 1777 /out/volumes/tmp

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/bin/ /bin/
# lictor dev keeps its data there.
COPY --from=build --chown=65532:65532 /out/volumes/ /

ARG VERSION=0.1.0
ARG REVISION=unknown
ARG BUILD_DATE=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="lictor" \
      org.opencontainers.image.description="The control plane for workloads on AWS ECS" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/lictor/lictor" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$BUILD_DATE"

ENV PATH=/bin
USER 65532:65532
ENTRYPOINT ["/bin/lictor"]
