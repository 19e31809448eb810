#!/usr/bin/env bash
# Build targets of the Dockerfile with buildah, without a container engine or an image registry:
#
#   deploy/container/build.sh cpu export
#
# The images are bigbird-serve:<version>-<target>, based on the stand-in that make_base_image.sh makes. Where pip needs
# this machine's certificates, configuration or wheels, name them; they are there while pip runs, and in no image:
#
#   HOST_CA_CERTIFICATES=/etc/ssl/certs/ca-certificates.crt HOST_PIP_CONF=/etc/pip.conf deploy/container/build.sh cpu
#   HOST_WHEELS="folder folder"   folders that pip.conf points to, seen under the same paths
#   TORCH_INDEX=URL               where torch for CPUs comes from; without it an export's image has PyPI's with CUDA
set -euo pipefail
cd "$(dirname "$0")/../.."
export CONTAINERS_CONF=$PWD/deploy/container/containers.conf
base=localhost/bigbird-base:bookworm
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)

wheels=()
for folder in ${HOST_WHEELS:-}; do
    wheels+=(--volume "$folder:$folder:ro")
done

deploy/container/make_base_image.sh "$base"
for target in "${@:-cpu}"; do
    buildah bud --isolation chroot --pull-never --layers --format docker \
        --target "$target" --tag "bigbird-serve:$version-$target" \
        --build-arg "PYTHON_IMAGE=$base" --build-arg "VERSION=$version" \
        --build-arg "REVISION=$(git rev-parse HEAD 2> /dev/null || echo unknown)" \
        ${TORCH_INDEX:+--build-arg "TORCH_INDEX=$TORCH_INDEX"} \
        ${HOST_CA_CERTIFICATES:+--secret "id=ca-certificates,src=$HOST_CA_CERTIFICATES"} \
        ${HOST_PIP_CONF:+--secret "id=pip.conf,src=$HOST_PIP_CONF"} \
        ${wheels[@]+"${wheels[@]}"} \
        .
done
buildah images --filter "label=org.opencontainers.image.title=bigbird-serve"
