// SPDX-License-Identifier: GPL-3.0-or-later
#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>
