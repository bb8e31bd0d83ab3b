# Three images of one program:
#   --target=manager           the native one; its arguments are those of "lockstep manager"
#   --target=reload            takes the place of an existing Reloader image; its arguments are that system's flags
#   --target=graph-controller  takes the place of an existing kro image; its arguments are that system's flags
FROM golang:1.26 AS build
WORKDIR /src
COPY go.work go.mod go.sum ./
COPY api/go.mod api/go.sum api/
RUN go mod download
COPY . .
# Without Ceph the program needs nothing else in its image. With it, it opens the C library librados when it first needs it.
RUN CGO_ENABLED=0 go build -trimpath -tags=noceph -o /lockstep-static ./cmd/lockstep && \
    CGO_ENABLED=0 go build -trimpath -o /lockstep ./cmd/lockstep

FROM scratch AS static
# Alerts and webhooks are sent over TLS.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /lockstep-static /lockstep
USER 65534:65534

FROM static AS reload
ENTRYPOINT ["/lockstep", "reload"]

FROM static AS graph-controller
ENTRYPOINT ["/lockstep", "graph-controller"]

FROM debian:12-slim AS manager
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates librados2 && rm -rf /var/lib/apt/lists/*
COPY --from=build /lockstep /lockstep
USER 65534:65534
ENTRYPOINT ["/lockstep", "manager"]
