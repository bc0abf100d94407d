# Sourced by demo.sh and test.sh: what Debian 12 must have, and one function that installs what is missing.
# Works as root without sudo and as a user with sudo; asks the network only when something is missing.
# SPDX-License-Identifier: Apache-2.0

packages_build="cmake ninja-build gcc g++ pkg-config libc6-dev libdcmtk-dev ocl-icd-opencl-dev libclblast-dev libxml2-dev
    libcjson-dev libopenjp2-7-dev libsqlite3-dev libssl-dev libpng-dev libjpeg62-turbo-dev
    libpango1.0-dev libcairo2-dev fontconfig fonts-dejavu-core pocl-opencl-icd"
packages_demo="dcmtk"
packages_test="dcmtk dicom3tools orthanc curl sqlite3 clang-format git procps python3-jsonschema"

say() { printf '\n== %s\n' "$*"; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null 2>&1; then sudo "$@"
    else
        echo "This step needs root (to install packages) and there is no sudo: run it as root, or ask an administrator for: $*" >&2
        exit 5
    fi
}

# Services of freshly installed packages (orthanc) are not started: the tests start their own, on free ports.
install_packages() {
    missing=
    for package in "$@"; do
        case $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) in
        "install ok installed") ;;
        *) missing="$missing $package" ;;
        esac
    done
    [ -n "$missing" ] || return 0
    say "Installing:$missing"
    policy=/usr/sbin/policy-rc.d
    [ -e $policy ] || { printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null && as_root chmod 755 $policy; ours=1; }
    rc=0
    as_root apt-get update -q >"${TMPDIR:-/tmp}/stepcot-apt.log" 2>&1 || true # an old index may still do
    # shellcheck disable=SC2086 # a list of words
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing \
        >>"${TMPDIR:-/tmp}/stepcot-apt.log" 2>&1 || rc=$?
    [ -z "${ours-}" ] || as_root rm -f $policy
    if [ $rc != 0 ]; then
        tail -n 15 "${TMPDIR:-/tmp}/stepcot-apt.log" >&2
        echo "apt-get could not install:$missing (its messages are above and in ${TMPDIR:-/tmp}/stepcot-apt.log)" >&2
        exit 5
    fi
}

# PoCL asks /sys for processors and memory and ends the process without it; a bare debootstrap tree has none mounted.
need_sys() {
    [ -d /sys/devices/system/cpu ] && return 0
    say "Mounting /sys (PoCL needs it)"
    if ! as_root mount -t sysfs sysfs /sys || [ ! -d /sys/devices/system/cpu ]; then
        echo "There is no /sys here and it cannot be mounted; PoCL does not run without it. Mount it from outside: mount -t sysfs sysfs TREE/sys" >&2
        exit 5
    fi
}

# Two compilers at most, or as many as there is memory for (DCMTK's headers need about 700 MB each).
jobs() {
    cores=$(nproc)
    room=$(awk '/MemAvailable/ { print int($2 / 900000) }' /proc/meminfo)
    [ "$room" -ge 1 ] || room=1
    [ "$cores" -le "$room" ] && echo "$cores" || echo "$room"
}
