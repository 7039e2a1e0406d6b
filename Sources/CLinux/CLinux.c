// SPDX-License-Identifier: GPL-3.0-or-later
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <sched.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "CLinux.h"

int cl_start_writeback(int fd, int64_t offset, int64_t length) {
    return sync_file_range(fd, offset, length, SYNC_FILE_RANGE_WRITE);
}

int64_t cl_file_system_magic(const char *path) {
    struct statfs status;
    return statfs(path, &status) == 0 ? (int64_t)status.f_type : -1;
}

int cl_processor_count(void) {
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

int cl_schedule_as_batch(int is_batch) {
    struct sched_param none = {0};
    // Whoever has chosen something else for the whole program, such as chrt --idle, is not overruled.
    int policy = sched_getscheduler(0);
    if (policy != SCHED_OTHER && policy != SCHED_BATCH) return -1;
    return sched_setscheduler(0, is_batch ? SCHED_BATCH : SCHED_OTHER, &none);
}

int cl_memory_file(const char *name) { return memfd_create(name, MFD_CLOEXEC); }

int cl_pipe(int ends[2]) { return pipe2(ends, O_CLOEXEC); }

int64_t cl_copy_file_range(int to, int64_t to_offset, int from, int64_t from_offset, size_t length) {
    off64_t source = from_offset, target = to_offset;
    return copy_file_range(from, &source, to, &target, length, 0);
}

int cl_is_on_nfs(int fd) {
    struct statfs status;
    return fstatfs(fd, &status) == 0 && status.f_type == NFS_SUPER_MAGIC;
}
