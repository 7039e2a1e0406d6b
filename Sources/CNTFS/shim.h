// SPDX-License-Identifier: GPL-3.0-or-later
#ifndef COLDCLONE_CNTFS_H
#define COLDCLONE_CNTFS_H
// libntfs-3g's headers rely on its own configuration for these.
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <ntfs-3g/types.h>

#include <ntfs-3g/attrib.h>
#include <ntfs-3g/device.h>
#include <ntfs-3g/dir.h>
#include <ntfs-3g/inode.h>
#include <ntfs-3g/logfile.h>
#include <ntfs-3g/logging.h>
#include <ntfs-3g/volume.h>

// The handler takes a va_list, which Swift does not import.
static inline void cn_silence(void) { ntfs_log_set_handler(ntfs_log_handler_null); }
// Macros on d_state.
static inline void cn_set_open(struct ntfs_device *device) {
    NDevSetOpen(device);
    NDevSetReadOnly(device);
}
static inline void cn_clear_open(struct ntfs_device *device) { NDevClearOpen(device); }
// AT_UNNAMED is an array without a length, which Swift does not import.
static inline ntfs_attr *cn_open_data(ntfs_inode *inode) { return ntfs_attr_open(inode, AT_DATA, AT_UNNAMED, 0); }
// Enumerators of little-endian values, and a bit field.
static inline int cn_is_directory(ntfs_inode *inode) { return (inode->mrec->flags & MFT_RECORD_IS_DIRECTORY) != 0; }
static inline int cn_is_reparse_point(ntfs_inode *inode) { return (inode->flags & FILE_ATTR_REPARSE_POINT) != 0; }
static inline int cn_is_encrypted(ntfs_inode *inode) { return (inode->flags & FILE_ATTR_ENCRYPTED) != 0; }
// Flags of an unclean volume, and of one that a check was not done with.
static inline int cn_needs_check(ntfs_volume *volume) {
    return (volume->flags
            & (VOLUME_IS_DIRTY | VOLUME_RESIZE_LOG_FILE | VOLUME_UPGRADE_ON_MOUNT | VOLUME_REPAIR_OBJECT_ID
               | VOLUME_CHKDSK_UNDERWAY | VOLUME_MODIFIED_BY_CHKDSK)) != 0;
}

#endif
