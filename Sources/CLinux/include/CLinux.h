// SPDX-License-Identifier: GPL-3.0-or-later
#ifndef COLDCLONE_CLINUX_H
#define COLDCLONE_CLINUX_H

#include <fcntl.h>
#include <linux/fs.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

// ioctl is variadic and its request macros carry types: Swift imports neither. One function a request.

/// Size of the block device in bytes. ioctl(2) BLKGETSIZE64.
static inline int cl_block_size_in_bytes(int fd, uint64_t *size) { return ioctl(fd, BLKGETSIZE64, size); }

/// Logical sector size in bytes. ioctl(2) BLKSSZGET.
static inline int cl_block_logical_sector_size(int fd, int *size) { return ioctl(fd, BLKSSZGET, size); }

/// Physical sector size in bytes. ioctl(2) BLKPBSZGET.
static inline int cl_block_physical_sector_size(int fd, unsigned int *size) { return ioctl(fd, BLKPBSZGET, size); }

/// Whether the block device is set read-only. ioctl(2) BLKROGET.
static inline int cl_block_get_read_only(int fd, int *read_only) { return ioctl(fd, BLKROGET, read_only); }

/// Sets the block device read-only in the kernel. ioctl(2) BLKROSET.
static inline int cl_block_set_read_only(int fd, const int *read_only) { return ioctl(fd, BLKROSET, read_only); }

// fcntl.h defines these for C only under _GNU_SOURCE, which Swift's importer does not set.
#ifndef O_DIRECT
#define O_DIRECT 040000
#endif
static inline int cl_o_direct(void) { return O_DIRECT; }

/// lseek(2) whence values that need _GNU_SOURCE.
static inline int cl_seek_data(void) { return 3; }
static inline int cl_seek_hole(void) { return 4; }

/// sync_file_range(2), flag SYNC_FILE_RANGE_WRITE: starts write-back without waiting for it.
int cl_start_writeback(int fd, int64_t offset, int64_t length);

/// statfs(2), f_type: which file system `path` is on; -1 on error, errno set.
int64_t cl_file_system_magic(const char *path);

/// Makes a range of a file share the storage of another file's. ioctl(2) FICLONERANGE.
static inline int cl_clone_range(int to, int64_t to_offset, int from, int64_t from_offset, int64_t length) {
  struct file_clone_range range = {
      .src_fd = from, .src_offset = (uint64_t)from_offset, .src_length = (uint64_t)length,
      .dest_offset = (uint64_t)to_offset};
  return ioctl(to, FICLONERANGE, &range);
}

/// copy_file_range(2), which needs _GNU_SOURCE.
int64_t cl_copy_file_range(int to, int64_t to_offset, int from, int64_t from_offset, size_t length);

/// Whether the file is on NFS, whose server copies by itself. fstatfs(2).
int cl_is_on_nfs(int fd);

/// memfd_create(2), MFD_CLOEXEC, which needs _GNU_SOURCE.
int cl_memory_file(const char *name);

/// A pipe whose ends no program inherits. pipe2(2) O_CLOEXEC.
int cl_pipe(int ends[2]);

/// Number of processors that this process may run on. sched_getaffinity(2).
int cl_processor_count(void);

/// Lets the calling thread, when it wakes, wait for its turn instead of interrupting who runs; or not, for 0.
/// sched(7), SCHED_BATCH, SCHED_OTHER.
int cl_schedule_as_batch(int is_batch);

static inline unsigned int cl_major(uint64_t device) { return gnu_dev_major(device); }
static inline unsigned int cl_minor(uint64_t device) { return gnu_dev_minor(device); }
static inline uint64_t cl_makedev(unsigned int major, unsigned int minor) { return gnu_dev_makedev(major, minor); }

#endif
