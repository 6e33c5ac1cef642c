/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/notices.h"

#include <stdarg.h>
#include <stdio.h>

void notices_init(struct notices *notices)
{
	*notices = (struct notices){.count = 0};
	pthread_mutex_init(&notices->lock, NULL);
}

void notices_destroy(struct notices *notices)
{
	pthread_mutex_destroy(&notices->lock);
}

void notices_add(struct notices *notices, enum notice_level level, const char *format, ...)
{
	struct notice notice = {.level = level};
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(notice.text, sizeof(notice.text), format, arguments);
	va_end(arguments);
	/* A server's error text is part of some lines, and is not ours to trust. */
	for (char *c = notice.text; *c != '\0'; c++)
		if ((unsigned char)*c < 0x20 || (unsigned char)*c >= 0x7f)
			*c = '?';

	pthread_mutex_lock(&notices->lock);
	if (notices->count == NOTICES_MAX) {
		notices->first = (notices->first + 1) % NOTICES_MAX;
		notices->count--;
		notices->lost++;
	}
	notices->ring[(notices->first + notices->count) % NOTICES_MAX] = notice;
	notices->count++;
	pthread_mutex_unlock(&notices->lock);
}

bool notices_take(struct notices *notices, struct notice *notice)
{
	bool taken = false;

	pthread_mutex_lock(&notices->lock);
	if (notices->count > 0) {
		*notice = notices->ring[notices->first];
		notices->first = (notices->first + 1) % NOTICES_MAX;
		notices->count--;
		taken = true;
	}
	pthread_mutex_unlock(&notices->lock);
	return taken;
}
