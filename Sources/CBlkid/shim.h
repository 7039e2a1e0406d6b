// SPDX-License-Identifier: GPL-3.0-or-later
#include <blkid/blkid.h>
#include <sys/syscall.h>
#include <unistd.h>

/// An unnamed file in memory, closed on exec, or -1. memfd_create(2), flag MFD_CLOEXEC.
///
/// libblkid reads descriptors only; the C library declares this call under _GNU_SOURCE, which Swift's importer does
/// not set.
static inline int cb_memory_file(const char *name) { return (int)syscall(SYS_memfd_create, name, 1u); }
