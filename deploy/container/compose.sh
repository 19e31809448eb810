#!/usr/bin/env bash
# Bring the profile `cpu` of docker-compose.yml up with podman-compose and ask the server, then take it down. The images
# of Prometheus and Grafana come from a registry: where they are not, the export and the server are started without them.
# Needs the images that build.sh makes, podman, runc and podman-compose.
set -euo pipefail
cd "$(dirname "$0")/../.."
export CONTAINERS_CONF=$PWD/deploy/container/containers.conf
export PORT=${PORT:-8766} MODEL=${MODEL:-demo-qa} BUCKETS=${BUCKETS:-128,704} COMPOSE_PROFILES=cpu
compose=(podman-compose --project-name bigbird-try-$$ --file docker-compose.yml --file deploy/container/without-systemd.yml)

services=(export-cpu server-cpu)
for service in prometheus grafana; do
    image=$(sed -n "s/^    image: \(.*\/$service:.*\)/\1/p" docker-compose.yml)
    if podman image exists "$image"; then
        services+=("$service")
    else
        echo "not started, because $image is not here: $service"
    fi
done

trap '"${compose[@]}" down --volumes --timeout 40 > /dev/null 2>&1' EXIT
"${compose[@]}" up --detach --no-build "${services[@]}"
python3 deploy/container/ask.py "http://127.0.0.1:$PORT" || { "${compose[@]}" logs; exit 1; }
if [[ " ${services[*]} " == *" prometheus "* ]]; then
    echo "== Prometheus finds the server"
    for _ in {1..30}; do
        found=$("${compose[@]}" exec -T prometheus promtool query instant http://127.0.0.1:9090 'up{job="bigbird"} == 1')
        [ -n "$found" ] && break
        sleep 2
    done
    echo "${found:?it does not}"
fi
"${compose[@]}" ps
