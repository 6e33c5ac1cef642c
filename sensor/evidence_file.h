/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the evidence of an alert as a small capture of its own, by libpcap. */
#ifndef SENSOR_EVIDENCE_FILE_H
#define SENSOR_EVIDENCE_FILE_H

#include "decoders/digest.h"
#include "decoders/span.h"

#define EVIDENCE_PATH_MAX 4096

/*
 * Writes DIRECTORY/ID.pcap (nanoseconds) from what evidence_collect() gave, in one rename, so that
 * nobody sees half of it. A file has one link type: frames of another than the first
 * one's are left out. Sets path and the file's SHA-256. False with errno set.
 */
bool evidence_file_write(const char *directory, const char *id, struct span frames,
			 struct digester *digester, char path[EVIDENCE_PATH_MAX],
			 uint8_t sha256[DIGEST_SHA256_SIZE]);

#endif
