#!/usr/bin/env bash
# A stand-in for the Dockerfile's base image, for machines that reach Debian's packages but no image registry:
# Debian bookworm with its own Python 3.11 and pip, as the official image is Debian bookworm with a Python 3.11 and pip.
# Needs root, debootstrap and buildah. MIRROR names another mirror of Debian.
set -euo pipefail
image=${1:-localhost/bigbird-base:bookworm}

if buildah images --quiet "$image" > /dev/null 2>&1; then
    echo "$image is there already"
    exit
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
debootstrap --variant=minbase --include=ca-certificates,python3,python3-pip bookworm "$folder/root" ${MIRROR:+"$MIRROR"}
# What apt keeps for itself is in no image that is meant for others.
rm -rf "$folder"/root/var/lib/apt/lists/* "$folder"/root/var/cache/apt/* "$folder"/root/var/log/*
container=$(buildah from scratch)
buildah add --quiet "$container" "$folder/root" /
buildah config --env PATH=/usr/local/bin:/usr/bin:/bin --cmd python3 "$container"
buildah commit --quiet --rm "$container" "$image"
