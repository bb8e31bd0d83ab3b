# Three images of one binary:
#   --target=manager           the native one; its arguments are those of "lockstep manager"
#   --target=reload            takes the place of an existing Reloader image; its arguments are that system's flags
#   --target=graph-controller  takes the place of an existing kro image; its arguments are that system's flags
FROM golang:1.26 AS build
WORKDIR /src
COPY go.work go.mod go.sum ./
COPY api/go.mod api/go.sum api/
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -o /lockstep ./cmd/lockstep

FROM scratch AS base
# Alerts and webhooks are sent over TLS.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /lockstep /lockstep
USER 65534:65534

FROM base AS reload
ENTRYPOINT ["/lockstep", "reload"]

FROM base AS graph-controller
ENTRYPOINT ["/lockstep", "graph-controller"]

FROM base AS manager
ENTRYPOINT ["/lockstep", "manager"]
