// SPDX-License-Identifier: GPL-3.0-or-later
#include <ext2fs/ext2fs.h>
