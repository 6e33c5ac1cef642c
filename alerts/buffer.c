/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/buffer.h"

#define BUFFER_FIRST 1024 /* the first piece of memory: a short record fits */

void buffer_init(struct buffer *buffer, struct budget *budget, size_t max)
{
	*buffer = (struct buffer){.bytes = NULL, .max = max, .budget = budget};
}

void buffer_free(struct buffer *buffer)
{
	budget_free(buffer->budget, buffer->bytes, buffer->cap);
	buffer_init(buffer, buffer->budget, buffer->max);
}

bool buffer_grow(struct buffer *buffer, size_t n)
{
	if (buffer->failed)
		return false;
	if (buffer->len > buffer->max || n > buffer->max - buffer->len) {
		buffer->failed = true;
		return false;
	}
	size_t need = buffer->len + n;
	if (need <= buffer->cap)
		return true;
	size_t cap = buffer->cap == 0 ? BUFFER_FIRST : buffer->cap;
	while (cap < need && cap <= buffer->max / 2)
		cap *= 2;
	if (cap < need || cap > buffer->max)
		cap = buffer->max;
	char *grown = budget_resize(buffer->budget, buffer->bytes, buffer->cap, cap);
	if (grown == NULL) {
		buffer->failed = true;
		return false;
	}
	buffer->bytes = grown;
	buffer->cap = cap;
	return true;
}

size_t buffer_put_u64(char text[BUFFER_U64_TEXT], uint64_t value)
{
	size_t len = 1;
	for (uint64_t rest = value / 10; rest != 0; rest /= 10)
		len++;
	for (size_t at = len; at > 0; value /= 10)
		text[--at] = (char)('0' + value % 10);
	return len;
}

void buffer_add_u64(struct buffer *buffer, uint64_t value)
{
	if (buffer_reserve(buffer, BUFFER_U64_TEXT))
		buffer->len += buffer_put_u64(buffer->bytes + buffer->len, value);
}

void buffer_add_i64(struct buffer *buffer, int64_t value)
{
	if (value < 0)
		buffer_add_char(buffer, '-');
	buffer_add_u64(buffer, value < 0 ? ~(uint64_t)value + 1 : (uint64_t)value);
}

void buffer_add_hex(struct buffer *buffer, const uint8_t *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	if (len > SIZE_MAX / 2 || !buffer_reserve(buffer, 2 * len))
		return;
	char *at = buffer->bytes + buffer->len;
	for (size_t i = 0; i < len; i++) {
		*at++ = digits[bytes[i] >> 4];
		*at++ = digits[bytes[i] & 0xf];
	}
	buffer->len += 2 * len;
}

static void put_digits(char *text, unsigned value, unsigned count)
{
	while (count > 0) {
		text[--count] = (char)('0' + value % 10);
		value /= 10;
	}
}

#define DATE_TEXT 19 /* 2026-01-02T03:04:05 */

/*
 * Days to a date of the Gregorian calendar, in eras of 400 years that begin on
 * a 1st of March, so that the leap day comes last (H. Hinnant, "chrono-
 * Compatible Low-Level Date Algorithms").
 */
static void put_date(char text[DATE_TEXT], int64_t seconds)
{
	int64_t days = seconds / 86400;
	int64_t of_day = seconds % 86400;
	if (of_day < 0) {
		of_day += 86400;
		days--;
	}
	days += 719468; /* from 0000-03-01 to 1970-01-01 */
	int64_t era = (days >= 0 ? days : days - 146096) / 146097;
	unsigned of_era = (unsigned)(days - era * 146097);
	unsigned year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	unsigned of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	unsigned shifted = (5 * of_year + 2) / 153;
	unsigned day = of_year - (153 * shifted + 2) / 5 + 1;
	unsigned month = shifted < 10 ? shifted + 3 : shifted - 9;
	int64_t year = (int64_t)year_of_era + era * 400 + (month <= 2 ? 1 : 0);

	/* RFC 3339 has four digits for the year: a certificate may say more or less. */
	year = year < 0 ? 0 : year > 9999 ? 9999 : year;
	memcpy(text, "0000-00-00T00:00:00", DATE_TEXT);
	put_digits(text, (unsigned)year, 4);
	put_digits(text + 5, month, 2);
	put_digits(text + 8, day, 2);
	put_digits(text + 11, (unsigned)(of_day / 3600), 2);
	put_digits(text + 14, (unsigned)(of_day / 60 % 60), 2);
	put_digits(text + 17, (unsigned)(of_day % 60), 2);
}

void buffer_put_time(char text[BUFFER_TIME_TEXT], int64_t time_ns)
{
	int64_t seconds = time_ns / 1000000000;
	int64_t ns = time_ns % 1000000000;
	if (ns < 0) {
		ns += 1000000000;
		seconds--;
	}
	put_date(text, seconds);
	text[DATE_TEXT] = '.';
	put_digits(text + DATE_TEXT + 1, (unsigned)(ns / 1000), 6);
	text[DATE_TEXT + 7] = 'Z';
}

_Static_assert(DATE_TEXT + 8 == BUFFER_TIME_TEXT, "as long as it is said to be");

void buffer_add_time(struct buffer *buffer, int64_t time_ns)
{
	char text[BUFFER_TIME_TEXT];
	buffer_put_time(text, time_ns);
	buffer_add(buffer, text, sizeof text);
}

void buffer_add_seconds(struct buffer *buffer, int64_t time_s)
{
	char text[DATE_TEXT + 1];
	put_date(text, time_s);
	text[DATE_TEXT] = 'Z';
	buffer_add(buffer, text, sizeof text);
}
