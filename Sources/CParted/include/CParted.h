// SPDX-License-Identifier: GPL-3.0-or-later
#ifndef COLDCLONE_CPARTED_H
#define COLDCLONE_CPARTED_H
#include <parted/parted.h>
#endif
