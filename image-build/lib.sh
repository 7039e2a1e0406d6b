# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
#
# What the scripts here, Tests/run and .ci/run share. Sourced, never run.

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)

fail() {
    echo "${0##*/}: $*" >&2
    exit 1
}

# quietly COMMAND...: runs COMMAND; on a terminal as it is, elsewhere with no more than its last line unless it fails.
quietly() {
    local log status=0
    if [[ -t 2 ]]; then
        "$@"
        return
    fi
    log=$(mktemp)
    if "$@" >"$log" 2>&1; then
        tail -n 1 "$log"
    else
        status=$?
        cat "$log"
    fi
    rm -f "$log"
    return "$status"
}

# build_program PRODUCT OUT LIMIT [LIBRARY...]: builds PRODUCT statically, checks it, and puts it at OUT.
#
# Both programs are built with the same flags in one folder, so that the second finds every shared room and package
# compiled; a folder of its own, because other flags than the debug build's would rebuild all of that as well.
build_program() {
    local product=$1 out=$2 limit=$3 flags built version library
    shift 3
    command -v swift >/dev/null || fail "swift is not in PATH; see https://www.swift.org/install/linux"
    "$root/image-build/packages" build
    # lld, because GNU ld reads each archive once and these refer to each other. -s strips while linking, and functions
    # of the same code are kept once: nobody here compares their addresses, and virtual media are slow.
    flags=(
        --package-path "$root" --scratch-path "$root/.build-static" -c release
        --static-swift-stdlib -Xswiftc -static-executable -Xswiftc -use-ld=lld -Xlinker -s -Xlinker --icf=all
        --explicit-target-dependency-import-check error
    )
    swift build "${flags[@]}" --product "$product" >&2 || fail "$product does not build"
    built=$(swift build "${flags[@]}" --show-bin-path)/$product

    check_static "$built" "$limit"
    version=$("$built" --version </dev/null) || fail "$product --version fails with exit code $?"
    for library; do
        [[ $version == *"$library"* ]] || fail "$product --version does not name $library: $version"
    done

    # Renamed into place: a copy that is running keeps its old file.
    mkdir -p -- "$(dirname -- "$out")"
    cp -- "$built" "$out.new"
    mv -f -- "$out.new" "$out"
    echo "$(realpath --relative-to="$PWD" -- "$out"): static, stripped, $(stat -c %s "$out") bytes"
}

# check_static PROGRAM LIMIT: checks that PROGRAM runs on a machine without any library, and is at most LIMIT MiB.
check_static() {
    local program=$1 limit=$2 kind size
    kind=$(file -b "$program")
    [[ $kind == *"statically linked"* ]] || fail "$program is not statically linked: $kind"
    [[ $kind == *", stripped" ]] || fail "$program is not stripped: $kind"
    LC_ALL=C readelf -d "$program" | grep -q 'There is no dynamic section' ||
        fail "$program has a dynamic section: it asks for shared libraries"
    size=$(stat -c %s "$program")
    ((size <= limit << 20)) || fail "$program is $size bytes, more than $limit MiB"
}
