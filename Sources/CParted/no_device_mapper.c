// SPDX-License-Identifier: GPL-3.0-or-later
//
// libparted.a calls libdevmapper, which Debian has no static library of. Every call here answers "no device-mapper":
// mapped devices are read from sysfs, and nothing of ours may ever create or remove one.
#include "CParted.h"

#define NO_DEVICE_MAPPER(name) \
    long name(void);           \
    long name(void) { return 0; }

NO_DEVICE_MAPPER(dm_get_next_target)
NO_DEVICE_MAPPER(dm_set_dev_dir)
NO_DEVICE_MAPPER(dm_task_add_target)
NO_DEVICE_MAPPER(dm_task_create)
NO_DEVICE_MAPPER(dm_task_destroy)
NO_DEVICE_MAPPER(dm_task_get_deps)
NO_DEVICE_MAPPER(dm_task_get_info)
NO_DEVICE_MAPPER(dm_task_get_name)
NO_DEVICE_MAPPER(dm_task_get_uuid)
NO_DEVICE_MAPPER(dm_task_no_open_count)
NO_DEVICE_MAPPER(dm_task_retry_remove)
NO_DEVICE_MAPPER(dm_task_run)
NO_DEVICE_MAPPER(dm_task_set_cookie)
NO_DEVICE_MAPPER(dm_task_set_major_minor)
NO_DEVICE_MAPPER(dm_task_set_name)
NO_DEVICE_MAPPER(dm_task_set_uuid)
NO_DEVICE_MAPPER(dm_task_update_nodes)
NO_DEVICE_MAPPER(dm_udev_set_sync_support)
NO_DEVICE_MAPPER(dm_udev_wait)
