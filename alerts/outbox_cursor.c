/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/outbox_cursor.h"

#include "alerts/crc32c.h"
#include "alerts/outbox_record.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define SLOT_SIZE   32
#define CURSOR_MARK "SWCURSOR"
#define CRC_OFFSET  28

static bool slot_decode(struct span slot, uint64_t *generation, uint64_t *acknowledged)
{
	struct cursor c = cursor_of(slot);
	struct span mark = cursor_take(&c, 8);

	*generation = outbox_load_u64(&c);
	*acknowledged = outbox_load_u64(&c);
	uint32_t version = cursor_u32le(&c);
	uint32_t crc = cursor_u32le(&c);
	return !c.failed && span_equal(mark, span_str(CURSOR_MARK)) &&
	       version == OUTBOX_FORMAT_VERSION && crc == crc32c(0, span_head(slot, CRC_OFFSET));
}

int outbox_cursor_open(struct outbox_cursor *cursor, int directory)
{
	uint8_t slots[2 * SLOT_SIZE] = {0};

	*cursor = (struct outbox_cursor){
	    .fd = openat(directory, "cursor", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)};
	if (cursor->fd < 0)
		return errno;
	ssize_t n = pread(cursor->fd, slots, sizeof(slots), 0);
	if (n < 0) {
		int error = errno;
		outbox_cursor_close(cursor);
		return error;
	}
	for (size_t i = 0; i < 2; i++) {
		uint64_t generation;
		uint64_t acknowledged;
		struct span slot = span_of(slots + i * SLOT_SIZE, SLOT_SIZE);
		if (!slot_decode(slot, &generation, &acknowledged))
			continue;
		if (generation > cursor->generation) {
			cursor->generation = generation;
			cursor->acknowledged = acknowledged;
		}
	}
	return 0;
}

int outbox_cursor_store(struct outbox_cursor *cursor, uint64_t acknowledged)
{
	uint8_t slot[SLOT_SIZE];
	uint64_t generation = cursor->generation + 1;

	for (size_t i = 0; i < 8; i++)
		slot[i] = (uint8_t)CURSOR_MARK[i];
	uint8_t *at = outbox_store_u64(slot + 8, generation);
	at = outbox_store_u64(at, acknowledged);
	at = outbox_store_u32(at, OUTBOX_FORMAT_VERSION);
	(void)outbox_store_u32(at, crc32c(0, span_of(slot, CRC_OFFSET)));
	ssize_t n = pwrite(cursor->fd, slot, SLOT_SIZE, (off_t)(generation % 2) * SLOT_SIZE);
	if (n != SLOT_SIZE)
		return n < 0 ? errno : ENOSPC;
	cursor->generation = generation;
	cursor->acknowledged = acknowledged;
	return 0;
}

void outbox_cursor_close(struct outbox_cursor *cursor)
{
	if (cursor->fd >= 0)
		(void)close(cursor->fd);
	cursor->fd = -1;
}
