// SPDX-License-Identifier: GPL-3.0-or-later
#ifndef COLDCLONE_CSHA256_H
#define COLDCLONE_CSHA256_H

#include <stddef.h>
#include <stdint.h>

/// Whether this processor can do what `cs_digest_pair` needs. CPUID, leaves 1 and 7.
int cs_can_digest_pairs(void);

/// Computes the SHA-256 of two messages of `length` bytes each, at the same time. FIPS 180-4.
///
/// Only where `cs_can_digest_pairs` says so. The messages may be the same and at any alignment; each digest takes 32
/// bytes.
void cs_digest_pair(
    const void *first, const void *second, size_t length, uint8_t *first_digest, uint8_t *second_digest);

#endif
