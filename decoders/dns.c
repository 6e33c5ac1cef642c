/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/dns.h"

enum {
	HEADER = 12,
	FLAG_RESPONSE = 0x8000,
	FLAG_TRUNCATED = 0x0200,
	FLAG_AUTHENTICATED = 0x0020,
	MASK_OPCODE_RCODE = 0x780f,
	CLASS_IN = 1,
	TYPE_A = 1,
	TYPE_CNAME = 5,
	TYPE_MX = 15,
	TYPE_TXT = 16,
	TYPE_AAAA = 28,
	TYPE_RRSIG = 46,
	TYPE_TLSA = 52,
	ALIASES_MAX = 8, /* of one answer that are followed */
	RECORDS_MAX = 512,
};

struct alias {
	char from[DNS_NAME_MAX + 1], to[DNS_NAME_MAX + 1];
	uint32_t ttl;
};

struct record {
	char name[DNS_NAME_MAX + 1];
	uint16_t type, class;
	uint32_t ttl;
	size_t data_at; /* offset in the message: names inside may point back */
	struct span data;
};

/* One step of reading a message. */
struct reader {
	struct span message;
	size_t at;
	struct dns_answers *answers;
	struct alias aliases[ALIASES_MAX];
	unsigned alias_count;
};

/* The span of a name; strlen is none of the few functions that decoders may use. */
static struct span span_of_name(const char *name)
{
	const char *end = memchr(name, '\0', DNS_NAME_MAX + 1);
	return span_of(name, end == NULL ? DNS_NAME_MAX : (size_t)(end - name));
}

/* sizeof a literal counts its NUL. */
#define SPAN_OF_LITERAL(literal) span_of(literal, sizeof(literal) - 1)

static uint8_t host_byte(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return (uint8_t)(c - 'A' + 'a');
	bool host =
	    (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '*';
	return host ? c : (uint8_t)'?';
}

/*
 * Reads the name at *at and moves *at behind it. A pointer (RFC 1035 4.1.4)
 * must lead to before where its part of the name began, so each is followed
 * once and the way ends.
 */
static enum parse_result read_name(struct span message, size_t *at, char name[DNS_NAME_MAX + 1])
{
	size_t position = *at, part = *at, len = 0;
	bool jumped = false;

	for (;;) {
		if (position >= message.len)
			return PARSE_MORE;
		size_t label = message.ptr[position];
		if (label >= 0xc0) {
			if (position + 1 >= message.len)
				return PARSE_MORE;
			size_t target = (label & 0x3f) << 8 | message.ptr[position + 1];
			if (target >= part)
				return PARSE_MALFORMED;
			if (!jumped)
				*at = position + 2;
			jumped = true;
			position = part = target;
			continue;
		}
		if (label > 63)
			return PARSE_MALFORMED;
		position++;
		if (label == 0)
			break;
		if (message.len - position < label)
			return PARSE_MORE;
		if (len + label + (len > 0) > DNS_NAME_MAX)
			return PARSE_MALFORMED;
		if (len > 0)
			name[len++] = '.';
		for (size_t i = 0; i < label; i++)
			name[len++] = (char)host_byte(message.ptr[position + i]);
		position += label;
	}
	name[len] = '\0';
	if (!jumped)
		*at = position;
	return PARSE_DONE;
}

static enum parse_result read_record(struct reader *reader, struct record *record)
{
	enum parse_result result = read_name(reader->message, &reader->at, record->name);
	if (result != PARSE_DONE)
		return result;
	struct cursor c = cursor_of(span_skip(reader->message, reader->at));
	record->type = cursor_u16(&c);
	record->class = cursor_u16(&c);
	record->ttl = cursor_u32(&c);
	size_t len = cursor_u16(&c);
	record->data_at = reader->at + 10;
	record->data = cursor_take(&c, len);
	if (c.failed)
		return PARSE_MORE;
	if (record->ttl > INT32_MAX)
		record->ttl = 0; /* RFC 2181 8 */
	reader->at = record->data_at + len;
	return PARSE_DONE;
}

static struct dns_fact *add_fact(struct reader *reader, const struct record *record,
				 enum dns_fact_kind kind, const char *name)
{
	struct dns_answers *answers = reader->answers;
	if (answers->count == DNS_FACTS_MAX) {
		answers->dropped++;
		return NULL;
	}
	struct dns_fact *fact = &answers->facts[answers->count++];
	*fact = (struct dns_fact){.kind = kind, .ttl = record->ttl};
	size_t len = span_of_name(name).len;
	memcpy(fact->name, name, len + 1);
	return fact;
}

static bool same_name(const char *a, const char *b)
{
	return span_equal(span_of_name(a), span_of_name(b));
}

static void read_address(struct reader *reader, const struct record *record)
{
	bool v4 = record->type == TYPE_A;
	if (record->data.len != (v4 ? 4 : 16))
		return;
	struct dns_fact *fact = add_fact(reader, record, DNS_FACT_ADDRESS, record->name);
	if (fact == NULL)
		return;
	fact->address.version = v4 ? 4 : 6;
	memcpy(fact->address.bytes, record->data.ptr, record->data.len);
	/* Back along the aliases to the name that was asked for; each is taken once. */
	const char *name = record->name;
	for (unsigned i = reader->alias_count; i > 0; i--) {
		if (!same_name(reader->aliases[i - 1].to, name))
			continue;
		name = reader->aliases[i - 1].from;
		if (reader->aliases[i - 1].ttl < fact->ttl)
			fact->ttl = reader->aliases[i - 1].ttl;
	}
	memcpy(fact->target, name, span_of_name(name).len + 1);
}

static void read_alias(struct reader *reader, const struct record *record)
{
	if (reader->alias_count == ALIASES_MAX)
		return;
	struct alias *alias = &reader->aliases[reader->alias_count];
	size_t at = record->data_at;
	if (read_name(reader->message, &at, alias->to) != PARSE_DONE ||
	    at != record->data_at + record->data.len)
		return;
	memcpy(alias->from, record->name, sizeof alias->from);
	alias->ttl = record->ttl;
	reader->alias_count++;
}

static void read_mx(struct reader *reader, const struct record *record)
{
	char target[DNS_NAME_MAX + 1];
	size_t at = record->data_at + 2;
	if (record->data.len < 3 || read_name(reader->message, &at, target) != PARSE_DONE ||
	    at != record->data_at + record->data.len || target[0] == '\0')
		return; /* nonsense, or a null MX (RFC 7505) */
	struct dns_fact *fact = add_fact(reader, record, DNS_FACT_MX, record->name);
	if (fact != NULL)
		memcpy(fact->target, target, sizeof fact->target);
}

/* "v=STSv1;" at the beginning of the first string (RFC 8461 3.1). */
static void read_txt(struct reader *reader, const struct record *record)
{
	static const char label[] = "_mta-sts.";
	static const char version[] = "v=STSv1;";
	struct span name = span_of_name(record->name);
	struct span text = span_skip(record->data, 1);
	if (!span_equal(span_head(name, sizeof label - 1), SPAN_OF_LITERAL(label)) ||
	    !span_equal(span_head(text, sizeof version - 1), SPAN_OF_LITERAL(version)) ||
	    record->data.ptr[0] < sizeof version - 1)
		return;
	(void)add_fact(reader, record, DNS_FACT_STS, record->name + sizeof label - 1);
}

static void read_tlsa(struct reader *reader, const struct record *record)
{
	struct span name = span_of_name(record->name);
	static const char tcp[] = "._tcp.";
	uint32_t port = 0;
	size_t at = 1;
	while (at < name.len && at < 6 && name.ptr[at] >= '0' && name.ptr[at] <= '9')
		port = port * 10 + (uint32_t)(name.ptr[at++] - '0');
	if (name.len < 2 || name.ptr[0] != '_' || port == 0 || port > UINT16_MAX ||
	    !span_equal(span_head(span_skip(name, at), sizeof tcp - 1), SPAN_OF_LITERAL(tcp)) ||
	    record->data.len < 4)
		return;
	struct dns_fact *fact =
	    add_fact(reader, record, DNS_FACT_TLSA, record->name + at + sizeof tcp - 1);
	if (fact == NULL)
		return;
	fact->port = (uint16_t)port;
	fact->usage = record->data.ptr[0];
	fact->selector = record->data.ptr[1];
	fact->matching = record->data.ptr[2];
	struct span data = span_skip(record->data, 3);
	if (fact->matching == 1 && data.len == sizeof fact->data) {
		fact->data_len = sizeof fact->data;
		memcpy(fact->data, data.ptr, sizeof fact->data);
	}
}

static void read_answer(struct reader *reader, const struct record *record)
{
	if (record->class != CLASS_IN)
		return;
	switch (record->type) {
	case TYPE_A:
	case TYPE_AAAA:
		read_address(reader, record);
		break;
	case TYPE_CNAME:
		read_alias(reader, record);
		break;
	case TYPE_MX:
		read_mx(reader, record);
		break;
	case TYPE_TXT:
		read_txt(reader, record);
		break;
	case TYPE_TLSA:
		read_tlsa(reader, record);
		break;
	case TYPE_RRSIG:
		if (reader->answers->trust == DNS_TRUST_NONE)
			reader->answers->trust = DNS_TRUST_SIGNED;
		break;
	default:
		break;
	}
}

/*
 * Addresses that came with an MX answer for its hosts. What else stands in the additional
 * section is of no concern (RFC 2181 5.4.1).
 */
static void read_additional(struct reader *reader, const struct record *record)
{
	if (record->class != CLASS_IN || (record->type != TYPE_A && record->type != TYPE_AAAA))
		return;
	for (uint32_t i = 0; i < reader->answers->count; i++) {
		const struct dns_fact *fact = &reader->answers->facts[i];
		if (fact->kind == DNS_FACT_MX && same_name(fact->target, record->name)) {
			read_address(reader, record);
			return;
		}
	}
}

enum parse_result dns_read(struct span message, struct dns_answers *answers)
{
	struct reader reader = {.message = message, .at = HEADER, .answers = answers};
	answers->count = answers->dropped = 0;
	answers->trust = DNS_TRUST_NONE;

	struct cursor c = cursor_of(message);
	cursor_skip(&c, 2);
	uint16_t flags = cursor_u16(&c);
	unsigned questions = cursor_u16(&c);
	unsigned answered = cursor_u16(&c);
	unsigned authority = cursor_u16(&c);
	unsigned records = answered + authority + cursor_u16(&c);
	if (c.failed)
		return PARSE_MORE;
	if ((flags & FLAG_RESPONSE) == 0 || (flags & MASK_OPCODE_RCODE) != 0)
		return PARSE_MALFORMED;
	if (questions > 1 || records > RECORDS_MAX)
		return PARSE_MALFORMED;
	if (questions == 1) {
		char name[DNS_NAME_MAX + 1];
		enum parse_result result = read_name(message, &reader.at, name);
		if (result != PARSE_DONE)
			return result;
		if (message.len - reader.at < 4)
			return PARSE_MORE;
		reader.at += 4;
	}
	if ((flags & FLAG_AUTHENTICATED) != 0)
		answers->trust = DNS_TRUST_AUTHENTICATED;
	for (unsigned i = 0; i < records; i++) {
		struct record record;
		enum parse_result result = read_record(&reader, &record);
		if (result == PARSE_MORE && (flags & FLAG_TRUNCATED) != 0)
			break;
		if (result == PARSE_MALFORMED)
			answers->count = 0;
		if (result != PARSE_DONE)
			return result;
		if (i < answered)
			read_answer(&reader, &record);
		else if (i >= answered + authority)
			read_additional(&reader, &record);
	}
	return PARSE_DONE;
}
