/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/readable.h"

void buffer_add_endpoint(struct buffer *buffer, const struct endpoint *endpoint)
{
	char text[IP_ADDR_TEXT];
	size_t len = ip_addr_text(&endpoint->addr, text);
	bool brackets = endpoint->port != 0 && endpoint->addr.version == 6;
	buffer_add_text(buffer, brackets ? "[" : "");
	buffer_add(buffer, text, len);
	buffer_add_text(buffer, brackets ? "]" : "");
	if (endpoint->port != 0) {
		buffer_add_char(buffer, ':');
		buffer_add_u64(buffer, endpoint->port);
	}
}

void buffer_add_short_time(struct buffer *buffer, int64_t time_ns)
{
	size_t at = buffer->len;
	buffer_add_time(buffer, time_ns);
	if (buffer->failed)
		return;
	buffer->bytes[at + 10] = ' ';
	buffer_truncate(buffer, at + 19);
}
