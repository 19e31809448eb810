#!/usr/bin/env bash
# Run the images that build.sh built, as they are meant to be run, and see that they are what docs/containers.md says:
# the export makes a bundle, the doctor finds that it would be served, the server answers /qa, neither is root or can
# write anywhere but where it may, and the server has no torch. Needs podman and runc; listens on 127.0.0.1:PORT.
set -euo pipefail
cd "$(dirname "$0")/../.."
export CONTAINERS_CONF=$PWD/deploy/container/containers.conf
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
port=${PORT:-8765}
volume=bigbird-try-$$
server=bigbird-try-$$
# Host networking asks for nothing that a machine without bridges and packet filters would lack.
confined=(--read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges --no-healthcheck --network host)

clean_up() {
    podman rm --force --time 30 "$server" > /dev/null 2>&1 || true
    podman volume rm --force "$volume" > /dev/null 2>&1 || true
}
trap clean_up EXIT

fails() {  # the command must fail
    if "$@" > /dev/null 2>&1; then
        echo "should have failed: $*"
        exit 1
    fi
}

podman volume create "$volume" > /dev/null
echo "== export: a demo checkpoint, two buckets"
podman run --rm "${confined[@]}" --volume "$volume:/models" --env MODEL=demo-qa --env BUCKETS=128,704 \
    --entrypoint export-bundles "bigbird-serve:$version-export"
echo "== export: the second time there is nothing to do"
podman run --rm "${confined[@]}" --volume "$volume:/models" --env MODEL=demo-qa --env BUCKETS=128,704 \
    --entrypoint export-bundles "bigbird-serve:$version-export"

echo "== doctor, with one core and 2 GiB: it sees both limits, and that it is in a container"
podman run --rm "${confined[@]}" --cpus 1 --memory 2g --volume "$volume:/models:ro" "bigbird-serve:$version-cpu" \
    doctor --json /models/demo-qa | python3 -c '
import json, sys
report = json.load(sys.stdin)
cpu = report["cpu"]
assert report["serves"] and report["container"]["inside"], report
assert cpu["cores_available"] == 1 and cpu["memory_available_bytes"] <= 2 * 2**30, report
'

echo "== server"
podman run --detach --name "$server" "${confined[@]}" --volume "$volume:/models:ro" \
    --env BIGBIRD_HOST=127.0.0.1 --env "BIGBIRD_PORT=$port" "bigbird-serve:$version-cpu" > /dev/null
python3 deploy/container/ask.py "http://127.0.0.1:$port" || { podman logs "$server"; exit 1; }

echo "== the image's own health check"
mapfile -t health < <(podman image inspect --format '{{range .HealthCheck.Test}}{{println .}}{{end}}' \
    "bigbird-serve:$version-cpu" | sed '1d;/^$/d')
podman exec "$server" "${health[@]}"

echo "== who it is and what it may"
identity=$(podman exec "$server" id -u)
echo "user $identity"
[ "$identity" = 10001 ]
podman exec "$server" touch /tmp/may-be-written
fails podman exec "$server" touch /may-not-be-written
fails podman exec "$server" touch /models/may-not-be-written
fails podman exec "$server" touch /app/may-not-be-written
podman exec "$server" python3 -c "import onnxruntime"
fails podman exec "$server" python3 -c "import torch"
fails podman exec "$server" sh -c 'command -v gcc || command -v make'
podman exec "$server" grep -E '^(NoNewPrivs|CapEff):' /proc/1/status
podman exec "$server" grep -qE '^CapEff:\s+0+$' /proc/1/status
podman exec "$server" grep -qE '^NoNewPrivs:\s+1$' /proc/1/status

echo "== SIGTERM drains and ends it"
podman stop --time 40 "$server" > /dev/null
[ "$(podman inspect --format "{{.State.ExitCode}}" "$server")" = 0 ]

echo "== sizes"
for target in cpu export gpu; do
    image=bigbird-serve:$version-$target
    podman image exists "$image" || continue
    podman image inspect --format "$image: {{.Size}} bytes" "$image"
    podman history --format '{{.Size}}  {{.CreatedBy}}' "$image" | cut -c1-110
done
