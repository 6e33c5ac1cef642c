/* SPDX-License-Identifier: Apache-2.0 */
/* Alerts that Redis will never take, with the reason, for people to look at. */
#include "alerts/outbox_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEAD_LETTER "dead-letter.jsonl"

/* The reason as a JSON string without its quotes: what is not plain text becomes '?'. */
static void plain_reason(const char *reason, char *out, size_t size)
{
	size_t used = 0;

	for (; *reason != '\0' && used + 1 < size; reason++) {
		unsigned char c = (unsigned char)*reason;
		bool plain = c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
		out[used++] = plain ? (char)c : '?';
	}
	out[used] = '\0';
}

static int write_dead_letter(struct outbox *outbox, const struct outbox_record *record,
			     const char *reason)
{
	struct stat status;
	char text[160];
	char *line = NULL;
	int fd = openat(outbox->directory, DEAD_LETTER,
			O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return errno;
	if (fstat(fd, &status) == 0 &&
	    (uint64_t)status.st_size >= outbox->config.dead_letter_bytes) {
		(void)renameat(outbox->directory, DEAD_LETTER, outbox->directory, DEAD_LETTER ".1");
		(void)close(fd);
		fd = openat(outbox->directory, DEAD_LETTER,
			    O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd < 0)
			return errno;
	}
	plain_reason(reason, text, sizeof(text));
	/* The document is JSON that this program rendered: it goes in as it is. */
	int length = asprintf(&line, "{\"reason\":\"%s\",\"severity\":\"%s\",\"alert\":%.*s}\n",
			      text, outbox_severity_word(record->severity), (int)record->json.len,
			      (const char *)record->json.ptr);
	int error = length < 0 ? ENOMEM : 0;
	if (error == 0 && write(fd, line, (size_t)length) != length)
		error = errno != 0 ? errno : ENOSPC;
	if (error == 0 && fdatasync(fd) != 0)
		error = errno;
	if (length >= 0)
		free(line);
	(void)close(fd);
	return error;
}

bool outbox_dead_letter(struct outbox *outbox, const struct outbox_record *record,
			const char *reason)
{
	int error = ENOENT;

	if (outbox->config.directory != NULL) {
		pthread_mutex_lock(&outbox->files_lock);
		error = write_dead_letter(outbox, record, reason);
		pthread_mutex_unlock(&outbox->files_lock);
	}
	pthread_mutex_lock(&outbox->queue_lock);
	outbox->stats.dead_letters++;
	pthread_mutex_unlock(&outbox->queue_lock);
	if (error != 0 && outbox->config.directory != NULL)
		outbox_notice(outbox, NOTICE_ERROR, "cannot write the dead-letter file", error);
	return error == 0;
}
