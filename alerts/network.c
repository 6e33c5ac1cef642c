/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/network.h"

bool number_parse(struct span text, unsigned max, unsigned *number)
{
	unsigned value = 0;

	if (text.len == 0 || text.len > 6)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] < '0' || text.ptr[i] > '9')
			return false;
		value = value * 10 + (unsigned)(text.ptr[i] - '0');
	}
	if (value > max)
		return false;
	*number = value;
	return true;
}

bool network_parse(struct span text, struct network *network)
{
	const uint8_t *slash = text.len == 0 ? NULL : memchr(text.ptr, '/', text.len);
	size_t len = slash == NULL ? text.len : (size_t)(slash - text.ptr);
	struct network read;

	if (len == 0 || !ip_addr_parse((const char *)text.ptr, len, &read.addr))
		return false;
	read.prefix_len = read.addr.version == 4 ? 32 : 128;
	if (slash != NULL &&
	    !number_parse(span_skip(text, len + 1), read.prefix_len, &read.prefix_len))
		return false;
	read.addr = ip_addr_network(&read.addr, read.prefix_len);
	*network = read;
	return true;
}

bool network_covers(const struct network *network, const struct ip_addr *addr)
{
	if (network->addr.version == 0)
		return true;
	struct ip_addr masked = ip_addr_network(addr, network->prefix_len);
	return network->addr.version == addr->version && ip_addr_equal(&network->addr, &masked);
}
