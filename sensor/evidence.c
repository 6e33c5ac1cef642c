/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/evidence.h"

#include "sensor/limits.h"

#include <string.h>

#define TLS_RECORD_HEADER 5U
#define BLANK             'x'

static const char MARKER[] = "[redacted]";
#define MARKER_LEN (sizeof(MARKER) - 1)

/* One packet in the ring; its bytes follow. */
struct entry {
	uint64_t previous; /* position + 1 of the session's packet before; 0: none */
	struct evidence_frame frame;
	uint32_t checked_at; /* where the TCP header begins in the frame */
	uint32_t payload_at; /* where the payload begins */
	uint32_t shown_len;  /* first bytes of the payload that may be shown: TLS records */
	uint32_t side;       /* enum side */
};

void evidence_ring_init(struct evidence_ring *ring, struct budget *budget, size_t size)
{
	*ring = (struct evidence_ring){.bytes = budget_alloc(budget, size)};
	ring->size = ring->bytes ? size : 0;
}

void evidence_ring_free(struct evidence_ring *ring, struct budget *budget)
{
	budget_free(budget, ring->bytes, ring->size);
	*ring = (struct evidence_ring){0};
}

static bool record_header(const uint8_t *bytes, uint32_t *len, bool *shown)
{
	uint32_t body = (uint32_t)bytes[3] << 8 | bytes[4];

	/* ChangeCipherSpec, alert, handshake, application data (RFC 8446 5.1). */
	if (bytes[0] < 20 || bytes[0] > 23 || bytes[1] != 3 || bytes[2] > 4)
		return false;
	if (body == 0 || body > 16384 + 2048)
		return false;
	*len = body;
	*shown = bytes[0] != 23;
	return true;
}

/*
 * The first bytes of a TLS payload that belong to records which may be shown. A
 * payload that neither continues the record before nor begins with a header has
 * none: it may be a late copy of plaintext.
 */
static uint32_t shown_records(struct evidence_records *records, uint32_t seq, struct span payload)
{
	uint32_t at = 0;
	uint32_t shown_len = 0;
	bool all_shown = true;

	if (seq != records->next_seq)
		*records = (struct evidence_records){.next_seq = seq};
	while (at < payload.len) {
		uint32_t rest = (uint32_t)payload.len - at;

		if (records->left == 0) {
			if (rest < TLS_RECORD_HEADER ||
			    !record_header(payload.ptr + at, &records->left, &records->shown))
				break;
			records->left += TLS_RECORD_HEADER;
		}
		uint32_t step = records->left < rest ? records->left : rest;

		at += step;
		records->left -= step;
		all_shown = all_shown && records->shown;
		if (all_shown)
			shown_len = at;
	}
	records->next_seq = seq + at;
	return shown_len;
}

/* Where a part of the frame begins; false if it is none of the frame's. */
static bool offset_in(struct span frame, struct span part, uint32_t *offset)
{
	uintptr_t frame_at = (uintptr_t)frame.ptr;
	uintptr_t part_at = (uintptr_t)part.ptr;

	if (!part.ptr || part_at < frame_at || part_at - frame_at > frame.len ||
	    part.len > frame.len - (part_at - frame_at))
		return false;
	*offset = (uint32_t)(part_at - frame_at);
	return *offset <= LIMIT_EVIDENCE_HEADERS;
}

static uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

void evidence_keep(struct evidence_ring *ring, struct evidence_trail *trail,
		   const struct evidence_packet *packet)
{
	const struct tcp_segment *segment = packet->segment;
	struct entry entry = {
	    .previous = trail->last,
	    .frame = {.time_ns = packet->time_ns,
		      .link_type = packet->link_type,
		      .wire_len = packet->wire_len},
	    .side = packet->side,
	};

	if (!offset_in(packet->frame, segment->checked, &entry.checked_at))
		return;
	/* An empty payload need not point anywhere: it is at the end of the header. */
	entry.payload_at = entry.checked_at + (uint32_t)segment->checked.len;
	if (segment->payload.len > 0 &&
	    !offset_in(packet->frame, segment->payload, &entry.payload_at))
		return;
	if (packet->payload == EVIDENCE_TLS && segment->payload.len > 0)
		entry.shown_len =
		    shown_records(&trail->records[packet->side], segment->seq, segment->payload);
	/* What the link layer has behind the payload is padding, with whatever was in it. */
	uint32_t payload_len = min_u32((uint32_t)segment->payload.len, LIMIT_EVIDENCE_PAYLOAD);

	entry.frame.captured_len = entry.payload_at + payload_len;
	size_t need = sizeof(entry) + entry.frame.captured_len;

	if (need > ring->size)
		return;
	size_t offset = ring->written % ring->size;

	if (need > ring->size - offset) { /* entries lie in one piece */
		ring->written += ring->size - offset;
		offset = 0;
	}
	memcpy(ring->bytes + offset, &entry, sizeof(entry));
	memcpy(ring->bytes + offset + sizeof(entry), packet->frame.ptr, entry.frame.captured_len);
	trail->last = ring->written + 1;
	ring->written += need;
}

/* The entry at position - 1; false if it was overwritten. */
static bool read_entry(const struct evidence_ring *ring, uint64_t position, struct entry *entry)
{
	if (position == 0 || ring->written - (position - 1) > ring->size)
		return false;
	memcpy(entry, ring->bytes + (position - 1) % ring->size, sizeof(*entry));
	return true;
}

/* How much of a line may stay: its first and its last bytes. */
struct shown_part {
	size_t head, tail;
};

/* The text of a dialogue line of that side; false for one of the other side. */
static bool dialogue_text(struct span line, enum side side, struct span *text)
{
	if (line.len < 3 || line.ptr[0] != (side == SIDE_CLIENT ? 'C' : 'S') ||
	    line.ptr[1] != ':' || line.ptr[2] != ' ')
		return false;
	*text = span_of(line.ptr + 3, line.len - 3);
	return true;
}

/* As far as line and the shown text have the same bytes in front of and behind its markers. */
static struct shown_part compare(struct span line, struct span text)
{
	struct shown_part part = {0};
	const uint8_t *first = memmem(text.ptr, text.len, MARKER, MARKER_LEN);

	if (!first) {
		if (line.len == text.len && memcmp(line.ptr, text.ptr, line.len) == 0)
			part.head = line.len;
		return part;
	}
	size_t head = (size_t)(first - text.ptr);
	size_t tail = 0;

	while (tail + MARKER_LEN + head <= text.len &&
	       memcmp(text.ptr + text.len - tail - MARKER_LEN, MARKER, MARKER_LEN) != 0)
		tail++;
	if (head + tail > line.len || memcmp(line.ptr, text.ptr, head) != 0)
		return part;
	if (memcmp(line.ptr + line.len - tail, text.ptr + text.len - tail, tail) != 0)
		return part;
	return (struct shown_part){.head = head, .tail = tail};
}

static struct shown_part shown_part_of(struct span line, enum side side, struct span dialogue)
{
	struct shown_part best = {0};

	while (dialogue.len > 0) {
		const uint8_t *end = memchr(dialogue.ptr, '\n', dialogue.len);
		size_t len = end ? (size_t)(end - dialogue.ptr) : dialogue.len;
		struct span text;

		if (dialogue_text(span_of(dialogue.ptr, len), side, &text)) {
			struct shown_part part = compare(line, text);

			if (part.head + part.tail > best.head + best.tail)
				best = part;
		}
		len += end != NULL;
		dialogue = span_of(dialogue.ptr + len, dialogue.len - len);
	}
	return best;
}

/* Blanks the text of a payload but for what the dialogue shows; line ends stay. */
static void blank_text(uint8_t *bytes, size_t len, enum side side, struct span dialogue)
{
	for (size_t at = 0; at < len;) {
		const uint8_t *end = memchr(bytes + at, '\n', len - at);
		size_t line_len = end ? (size_t)(end - (bytes + at)) : len - at;
		size_t next = at + line_len + (end != NULL);

		if (end && line_len > 0 && bytes[at + line_len - 1] == '\r')
			line_len--;
		/* Without its end a line is not known to be the one that the dialogue has. */
		struct shown_part part = {0};

		if (end)
			part = shown_part_of(span_of(bytes + at, line_len), side, dialogue);
		memset(bytes + at + part.head, BLANK, line_len - part.head - part.tail);
		at = next;
	}
}

/* The sum of 16-bit words of the checksum, of bytes that begin at an even or odd place of it. */
static uint32_t sum_words(const uint8_t *bytes, size_t len, bool odd)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i++) {
		sum += odd ? bytes[i] : (uint32_t)bytes[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
		odd = !odd;
	}
	return sum;
}

/* RFC 1624, equation 3: HC' = ~(~HC + ~m + m'). */
static void correct_checksum(uint8_t *checksum, uint32_t before, uint32_t after)
{
	uint32_t sum = (uint32_t)checksum[0] << 8 | checksum[1];

	if (before == after)
		return;
	sum = (~sum & 0xffff) + (~before & 0xffff) + after;
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	checksum[0] = (uint8_t)(~sum >> 8);
	checksum[1] = (uint8_t)~sum;
}

static void redact(uint8_t *frame, const struct entry *entry, struct span dialogue)
{
	size_t payload_len = entry->frame.captured_len - entry->payload_at;
	size_t shown_len = entry->shown_len < payload_len ? entry->shown_len : payload_len;
	uint8_t *payload = frame + entry->payload_at;
	bool odd = (entry->payload_at - entry->checked_at) % 2 != 0;
	uint32_t before = sum_words(payload, payload_len, odd);

	blank_text(payload + shown_len, payload_len - shown_len, (enum side)entry->side, dialogue);
	correct_checksum(frame + entry->checked_at + 16, before,
			 sum_words(payload, payload_len, odd));
}

size_t evidence_collect(struct evidence_ring *ring, const struct evidence_trail *trail,
			struct span dialogue, uint8_t *out, size_t cap)
{
	uint64_t positions[LIMIT_EVIDENCE_PACKETS];
	size_t count = 0;
	size_t need = 0;
	size_t len = 0;
	struct entry entry;

	uint64_t position = trail->last;

	while (position != 0 && count < LIMIT_EVIDENCE_PACKETS) {
		if (!read_entry(ring, position, &entry)) {
			ring->evicted++;
			break;
		}
		size_t size = sizeof(entry.frame) + entry.frame.captured_len;

		if (size > cap - need)
			break;
		need += size;
		positions[count++] = position;
		position = entry.previous;
	}
	while (count > 0) {
		position = positions[--count];

		(void)read_entry(ring, position, &entry);
		memcpy(out + len, &entry.frame, sizeof(entry.frame));
		len += sizeof(entry.frame);
		memcpy(out + len, ring->bytes + (position - 1) % ring->size + sizeof(entry),
		       entry.frame.captured_len);
		redact(out + len, &entry, dialogue);
		len += entry.frame.captured_len;
	}
	return len;
}
