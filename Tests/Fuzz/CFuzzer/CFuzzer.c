// SPDX-License-Identifier: GPL-3.0-or-later
#include "CFuzzer.h"

#include <stddef.h>
#include <stdint.h>

// The package manager links an executable with `--defsym main=<target>_main`, which wins over the main of libFuzzer.
// So each target's main is here, and goes on to libFuzzer's driver.

int LLVMFuzzerRunDriver(int *argc, char ***argv, int (*one_input)(const uint8_t *data, size_t size));
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZER(target) \
    int target##_main(int argc, char **argv) { return LLVMFuzzerRunDriver(&argc, &argv, LLVMFuzzerTestOneInput); }

FUZZER(ChunkFileFuzz)
FUZZER(DiskLayoutFuzz)
FUZZER(FileSystemFuzz)
FUZZER(ISCSIFuzz)
FUZZER(ManifestFuzz)
FUZZER(Qcow2Fuzz)
