/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/sentence.h"

static void add(struct finding *finding, const char *bytes, size_t len)
{
	size_t at = strlen(finding->message);
	size_t room = sizeof finding->message - 1 - at;
	if (len > room)
		len = room;
	memcpy(finding->message + at, bytes, len);
	finding->message[at + len] = '\0';
}

void sentence_text(struct finding *finding, const char *text)
{
	add(finding, text, strlen(text));
}

/* At least so many digits, zeroes in front. */
static void add_digits(struct finding *finding, uint64_t number, unsigned least)
{
	char digits[20];
	size_t at = sizeof digits;
	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number != 0 || sizeof digits - at < least);
	add(finding, digits + at, sizeof digits - at);
}

void sentence_number(struct finding *finding, uint64_t number)
{
	add_digits(finding, number, 1);
}

void sentence_count(struct finding *finding, uint64_t number, const char *noun)
{
	sentence_number(finding, number);
	sentence_text(finding, " ");
	sentence_text(finding, noun);
	if (number != 1)
		sentence_text(finding, "s");
}

static bool harmless(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       c == '.' || c == '-' || c == ':' || c == '_';
}

void sentence_wire(struct finding *finding, struct span text)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = harmless(text.ptr[i]) ? (char)text.ptr[i] : '?';
		add(finding, &c, 1);
	}
}

void sentence_address(struct finding *finding, const struct ip_addr *address)
{
	char text[IP_ADDR_TEXT];
	add(finding, text, ip_addr_text(address, text));
}

void sentence_time(struct finding *finding, int64_t time_s)
{
	/* Civil date from days since 1970 by eras of 400 years that begin on 1 March. */
	int64_t seconds = time_s < 0 ? 0 : time_s;
	int64_t days = seconds / 86400 + 719468;
	int64_t era = days / 146097, day = days % 146097;
	int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
	int64_t of_year = day - (365 * year + year / 4 - year / 100);
	int64_t shifted = (5 * of_year + 2) / 153;
	int64_t month = shifted < 10 ? shifted + 3 : shifted - 9;
	add_digits(finding, (uint64_t)(year + era * 400 + (month <= 2 ? 1 : 0)), 4);
	sentence_text(finding, "-");
	add_digits(finding, (uint64_t)month, 2);
	sentence_text(finding, "-");
	add_digits(finding, (uint64_t)(of_year - (153 * shifted + 2) / 5 + 1), 2);
	sentence_text(finding, " ");
	add_digits(finding, (uint64_t)(seconds % 86400 / 3600), 2);
	sentence_text(finding, ":");
	add_digits(finding, (uint64_t)(seconds % 3600 / 60), 2);
	sentence_text(finding, " UTC");
}
