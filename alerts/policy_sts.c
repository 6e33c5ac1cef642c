/* SPDX-License-Identifier: Apache-2.0 */
/* MTA-STS policies as published (RFC 8461). */
#include "alerts/policy_state.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Takes a line off the text, without its CRLF or LF. */
static struct span next_line(struct span *text)
{
	size_t end = 0;
	while (end < text->len && text->ptr[end] != '\n')
		end++;
	struct span line = span_head(*text, end);
	*text = span_skip(*text, end + 1);
	if (line.len > 0 && line.ptr[line.len - 1] == '\r')
		line.len--;
	return line;
}

static struct span trim(struct span text)
{
	while (text.len > 0 && (text.ptr[0] == ' ' || text.ptr[0] == '\t'))
		text = span_skip(text, 1);
	while (text.len > 0 && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\t'))
		text.len--;
	return text;
}

static bool is(struct span text, const char *word)
{
	return span_equal(text, span_str(word));
}

static bool is_number(struct span text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] < '0' || text.ptr[i] > '9')
			return false;
	return text.len > 0 && text.len <= 10;
}

static bool read_mode(struct span value, enum sts_mode *mode)
{
	if (is(value, "enforce"))
		*mode = STS_ENFORCE;
	else if (is(value, "testing"))
		*mode = STS_TESTING;
	else if (is(value, "none"))
		*mode = STS_NONE;
	else
		return false;
	return true;
}

/*
 * Reads the text of one (RFC 8461 3.2) into mode and mx. False: *line (from 1, or 0 for the
 * whole), *key and *reason say what is wrong; they live as long as the program.
 */
static bool read_sts(struct span text, struct demand *demand, size_t *line, const char **key,
		     const char **reason)
{
	bool version = false, mode = false, max_age = false;
	*line = 0;
	while (text.len > 0) {
		struct span whole = trim(next_line(&text));
		size_t colon = 0;
		++*line;
		while (colon < whole.len && whole.ptr[colon] != ':')
			colon++;
		struct span name = trim(span_head(whole, colon));
		struct span value = trim(span_skip(whole, colon + 1));
		*key = "policy";
		*reason = "is no \"key: value\"";
		if (whole.len > 0 && colon == whole.len)
			return false;
		/* Of what may stand once only the first counts; unknown keys are for others. */
		if (is(name, "version") && !version) {
			*key = "version";
			*reason = "must be STSv1";
			version = is(value, "STSv1");
			if (!version)
				return false;
		} else if (is(name, "mode") && !mode) {
			*key = "mode";
			*reason = "must be enforce, testing or none";
			mode = read_mode(value, &demand->mode);
			if (!mode)
				return false;
		} else if (is(name, "max_age") && !max_age) {
			*key = "max_age";
			*reason = "must be a number of seconds";
			max_age = is_number(value);
			if (!max_age)
				return false;
		} else if (is(name, "mx")) {
			struct pattern *pattern = patterns_add(&demand->mx);
			*key = "mx";
			*reason = pattern == NULL ? "too many" : "is no host name";
			if (pattern == NULL || !pattern_read_domain(value, pattern))
				return false;
		}
	}
	*line = 0;
	*reason = "is missing";
	*key = !version ? "version" : !mode ? "mode" : !max_age ? "max_age" : "mx";
	return version && mode && max_age && (demand->mode == STS_NONE || demand->mx.count > 0);
}

/* The domain of a file's name, or an empty span. */
static struct span sts_domain(const char *file)
{
	struct span name = span_str(file);
	if (name.len > 4 && is(span_skip(name, name.len - 4), ".txt"))
		name.len -= 4;
	return pattern_is_name(name) && name.ptr[0] != '*' ? name : span_of(NULL, 0);
}

static bool fail(char error[POLICY_ERROR_MAX], const char *folder, const char *file,
		 const char *reason)
{
	(void)snprintf(error, POLICY_ERROR_MAX, "%s/%s: %s", folder, file, reason);
	return false;
}

/* Reads at most size bytes; false with errno or, when there are more, EFBIG. */
static bool read_file(const char *folder, const char *file, uint8_t *bytes, size_t *size)
{
	char path[4096];
	int length = snprintf(path, sizeof path, "%s/%s", folder, file);
	errno = ENAMETOOLONG;
	FILE *stream = length > 0 && (size_t)length < sizeof path ? fopen(path, "rb") : NULL;
	if (stream == NULL)
		return false;
	size_t got = fread(bytes, 1, *size, stream);
	int failure = ferror(stream) != 0 ? errno : 0;
	(void)fclose(stream);
	if (failure == 0 && got == *size)
		failure = EFBIG;
	*size = got;
	errno = failure;
	return failure == 0;
}

static bool read_sts_file(struct policy *policy, const char *folder, const char *file,
			  char error[POLICY_ERROR_MAX])
{
	uint8_t bytes[POLICY_FILE_MAX];
	size_t size = sizeof bytes, line;
	const char *key, *reason;
	if (!read_file(folder, file, bytes, &size))
		return fail(error, folder, file, strerror(errno));
	struct demand *demand = policy_add_demand(policy);
	struct pattern *pattern = demand == NULL ? NULL : patterns_add(&demand->domains);
	if (pattern == NULL || !pattern_read_domain(sts_domain(file), pattern))
		return fail(error, folder, file, "too many policies, or out of memory");
	demand->name = strdup("MTA-STS");
	demand->min_version = 0x0303; /* RFC 8461 4 with RFC 8996 */
	demand->valid_certificate = true;
	demand->is_sts = true;
	if (demand->name == NULL)
		return fail(error, folder, file, "out of memory");
	if (read_sts(span_of(bytes, size), demand, &line, &key, &reason))
		return true;
	if (line == 0)
		(void)snprintf(error, POLICY_ERROR_MAX, "%s/%s: %s: %s", folder, file, key, reason);
	else
		(void)snprintf(error, POLICY_ERROR_MAX, "%s/%s:%zu: %s: %s", folder, file, line,
			       key, reason);
	return false;
}

bool policy_read_sts_folder(struct policy *policy, const char *folder, char error[POLICY_ERROR_MAX])
{
	struct dirent **entries;
	/* Sorted: which of two demands is told may not depend on the file system. */
	int count = scandir(folder, &entries, NULL, alphasort);
	if (count < 0) {
		(void)snprintf(error, POLICY_ERROR_MAX, "%s: %s", folder, strerror(errno));
		return false;
	}
	bool good = true;
	for (int i = 0; i < count; i++) {
		const char *name = entries[i]->d_name;
		if (good && name[0] != '.' && sts_domain(name).len > 0)
			good = read_sts_file(policy, folder, name, error);
		free(entries[i]);
	}
	free(entries);
	return good;
}
