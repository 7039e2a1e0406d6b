// SPDX-License-Identifier: GPL-3.0-or-later
// Nothing to import: see CFuzzer.c.
