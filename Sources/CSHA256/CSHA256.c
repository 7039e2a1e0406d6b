// SPDX-License-Identifier: GPL-3.0-or-later
//
// SHA-256 of two messages at once. FIPS 180-4.
//
// Each of the processor's SHA instructions waits for the result of the one before, so that one message leaves the unit
// idle half of the time. A second message of the same length fills the gaps: both together take little longer than one.
//
// Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2: SHA256RNDS2, SHA256MSG1, SHA256MSG2.
#include "CSHA256.h"

#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

#define USES_SHA __attribute__((target("sha,sse4.1,ssse3")))

enum { block_length = 64, lanes = 2 };

// Constants of the 64 rounds. FIPS 180-4, 4.2.2.
static const uint32_t round_constants[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

/// The eight working variables as the instructions take them, the first letter in the highest word.
struct state {
    __m128i abef, cdgh;
};

/// Returns the four words behind the sixteen in `w`, of which `step` modulo 4 holds the oldest. FIPS 180-4, 6.2.2, 1.
USES_SHA static inline __m128i next_words(const __m128i w[4], int step) {
    __m128i oldest = w[step & 3], newest = w[(step + 3) & 3];
    __m128i seven_back = _mm_alignr_epi8(newest, w[(step + 2) & 3], 4);
    __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(oldest, w[(step + 1) & 3]), seven_back);
    return _mm_sha256msg2_epu32(sum, newest);
}

/// Takes `count` blocks of each message into its state.
USES_SHA static void take_blocks(struct state state[lanes], const uint8_t *const message[lanes], size_t count) {
    const __m128i big_endian = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
    struct state s[lanes] = {state[0], state[1]};
    for (size_t block = 0; block < count; block++) {
        const struct state before[lanes] = {s[0], s[1]};
        __m128i w[lanes][4];
#pragma clang loop unroll(full)
        for (int step = 0; step < 16; step++) {
            const __m128i constants = _mm_load_si128((const __m128i *)(const void *)(round_constants + 4 * step));
#pragma clang loop unroll(full)
            for (int lane = 0; lane < lanes; lane++) {
                __m128i words;
                if (step < 4) {
                    const uint8_t *place = message[lane] + block * block_length + 16 * (size_t)step;
                    words = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)place), big_endian);
                } else {
                    words = next_words(w[lane], step);
                }
                w[lane][step & 3] = words;
                // Two rounds each; what was a, b, e, f is c, d, g, h then.
                const __m128i inputs = _mm_add_epi32(words, constants);
                s[lane].cdgh = _mm_sha256rnds2_epu32(s[lane].cdgh, s[lane].abef, inputs);
                s[lane].abef =
                    _mm_sha256rnds2_epu32(s[lane].abef, s[lane].cdgh, _mm_unpackhi_epi64(inputs, inputs));
            }
        }
        for (int lane = 0; lane < lanes; lane++) {
            s[lane].abef = _mm_add_epi32(s[lane].abef, before[lane].abef);
            s[lane].cdgh = _mm_add_epi32(s[lane].cdgh, before[lane].cdgh);
        }
    }
    state[0] = s[0];
    state[1] = s[1];
}

/// Writes the state's words a to h, big-endian. FIPS 180-4, 6.2.2.
USES_SHA static void store_digest(const struct state *state, uint8_t *digest) {
    const __m128i reversed = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m128i abcd = _mm_unpackhi_epi64(state->cdgh, state->abef);
    const __m128i efgh = _mm_unpacklo_epi64(state->cdgh, state->abef);
    _mm_storeu_si128((__m128i *)(void *)digest, _mm_shuffle_epi8(abcd, reversed));
    _mm_storeu_si128((__m128i *)(void *)(digest + 16), _mm_shuffle_epi8(efgh, reversed));
}

USES_SHA void cs_digest_pair(
    const void *first, const void *second, size_t length, uint8_t *first_digest, uint8_t *second_digest) {
    // FIPS 180-4, 5.3.3.
    const struct state initial = {
        _mm_set_epi32(0x6a09e667, (int)0xbb67ae85, 0x510e527f, (int)0x9b05688c),
        _mm_set_epi32(0x3c6ef372, (int)0xa54ff53a, 0x1f83d9ab, 0x5be0cd19),
    };
    struct state state[lanes] = {initial, initial};
    const uint8_t *const message[lanes] = {first, second};
    const size_t blocks = length / block_length, rest = length % block_length;
    take_blocks(state, message, blocks);

    // What is left, a one, zeros, and the length in bits. FIPS 180-4, 5.1.1.
    const size_t last_blocks = rest + 9 > block_length ? 2 : 1;
    const uint64_t bits = (uint64_t)length * 8;
    uint8_t last[lanes][2 * block_length] = {{0}};
    for (int lane = 0; lane < lanes; lane++) {
        if (rest > 0) memcpy(last[lane], message[lane] + blocks * block_length, rest);
        last[lane][rest] = 0x80;
        for (size_t byte = 0; byte < 8; byte++)
            last[lane][last_blocks * block_length - 1 - byte] = (uint8_t)(bits >> (8 * byte));
    }
    const uint8_t *const ends[lanes] = {last[0], last[1]};
    take_blocks(state, ends, last_blocks);
    store_digest(&state[0], first_digest);
    store_digest(&state[1], second_digest);
}

int cs_can_digest_pairs(void) {
    unsigned int eax, ebx, ecx, edx;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & bit_SSSE3) || !(ecx & bit_SSE4_1)) return 0;
    return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && (ebx & bit_SHA) ? 1 : 0;
}

#else

int cs_can_digest_pairs(void) { return 0; }

void cs_digest_pair(
    const void *first, const void *second, size_t length, uint8_t *first_digest, uint8_t *second_digest) {
    // Nobody calls this: there are no such instructions.
    (void)first, (void)second, (void)length;
    memset(first_digest, 0, 32);
    memset(second_digest, 0, 32);
}

#endif
