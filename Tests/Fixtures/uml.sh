# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# What scripts share that run as init of User Mode Linux, on the host's own root, read-only: see
# Tests/TestSupport/UMLMachine.swift.

# The machine's end: power goes off beside this process.
uml_finish() {
    trap - EXIT
    sync
    echo o >/proc/sysrq-trigger
    read -r -t 30 <>/run/never || true
}

# uml_boot FOLDER MODULE...: makes a system of it, with the host's FOLDER as /run/out. It ends with the script.
uml_boot() {
    local module
    mount -t proc proc /proc
    trap uml_finish EXIT
    mount -t sysfs sysfs /sys
    mountpoint -q /dev || mount -t devtmpfs devtmpfs /dev
    mount -t tmpfs tmpfs /run
    mkfifo /run/never
    mkdir -p /run/out /run/modules/lib
    mount -t hostfs -o "$1" none /run/out
    mount -t tmpfs tmpfs /tmp
    # The module files stand where modprobe does not look, and the kernel calls modprobe itself as well.
    ln -s /usr/lib/uml/modules /run/modules/lib/modules
    printf '#!/bin/sh\nexec /sbin/modprobe -d /run/modules "$@"\n' >/run/modprobe
    chmod +x /run/modprobe
    echo /run/modprobe >/proc/sys/kernel/modprobe
    for module in "${@:2}"; do /run/modprobe "$module"; done
}
