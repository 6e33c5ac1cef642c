/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-32C (Castagnoli), the checksum of iSCSI (RFC 3720 12.1) and of many journals. */
#ifndef ALERTS_CRC32C_H
#define ALERTS_CRC32C_H

#include "decoders/span.h"

/*
 * The checksum of bytes. crc is 0 for the first piece, and the value so far
 * for each further piece of the same data.
 */
uint32_t crc32c(uint32_t crc, struct span bytes);

/* The same for processors without an instruction for it; apart so that tests compare the two. */
uint32_t crc32c_by_tables(uint32_t crc, struct span bytes);

#endif
