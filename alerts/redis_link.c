/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/redis_link.h"

#include "alerts/clock.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

#define IO_SIZE     ((size_t)16 << 10)
#define HEADER_SIZE ((size_t)24) /* a kind, 20 digits, CR LF */

struct redis_link {
	struct redis_socket socket;
	unsigned command_timeout_ms;
	size_t max_reply_bytes;
	size_t reply_bytes; /* received since the last whole reply, or left over from it */
	redisReader *reader;
	redisReplyObjectFunctions functions; /* the reader's, with our create_array() */
	const redisReplyObjectFunctions *originals;
	uint8_t *output; /* commands not yet sent */
	size_t output_used;
	size_t output_size;
};

/* hiredis's type for a number of elements. */
#if HIREDIS_MAJOR >= 1
typedef size_t element_count;
#else
typedef int element_count;
#endif

/*
 * An array takes memory for all its elements when its first line was read. None is shorter
 * than ":0\r\n", so more of them than fit into a reply are refused before.
 */
static void *create_array(const redisReadTask *task, element_count elements)
{
	const struct redis_link *link = task->privdata;

	if (elements > 0 && (size_t)elements > link->max_reply_bytes / 4)
		return NULL;
	return link->originals->createArray(task, elements);
}

static bool start_reader(struct redis_link *link)
{
	link->reader = redisReaderCreate();
	if (link->reader == NULL)
		return false;
	link->originals = link->reader->fn;
	link->functions = *link->reader->fn;
	link->functions.createArray = create_array;
	link->reader->fn = &link->functions;
	link->reader->privdata = link;
	return true;
}

/* What Redis says of AUTH, from 2.6 on: sentences of its own, without a word of the client's. */
static bool is_known_of_auth(struct span text)
{
	static const char *const known[] = {
	    "WRONGPASS ",
	    "NOPERM ",
	    "LOADING ",
	    "ERR AUTH ",
	    "ERR Client sent AUTH",
	    "ERR invalid password",
	    "ERR max number of clients",
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (span_equal(span_head(text, strlen(known[i])), span_str(known[i])))
			return true;
	return false;
}

/*
 * How much of an error reply may be shown. A server that does not know a command repeats its
 * words, and those of AUTH are secret: there, the code alone.
 */
static size_t shown_length(const struct span *words, size_t count, struct span text)
{
	struct span secret = words[count - 1];

	if (!span_equal(words[0], span_str("AUTH")) ||
	    (is_known_of_auth(text) && secret.len > 0 &&
	     memmem(text.ptr, text.len, secret.ptr, secret.len) == NULL))
		return text.len;
	const uint8_t *space = text.len == 0 ? NULL : memchr(text.ptr, ' ', text.len);
	size_t code = space == NULL ? text.len : (size_t)(space - text.ptr);
	return code < 40 ? code : 40;
}

/* Sends a command of the greeting; an error reply refuses the connection. */
static bool greet(struct redis_link *link, const struct span *words, size_t count,
		  struct redis_error *error)
{
	struct redis_reply *reply = redis_link_call(link, words, count, 0, error);

	if (reply == NULL)
		return false;
	bool good = redis_reply_kind(reply) != REDIS_KIND_ERROR;
	if (!good) {
		struct span text = redis_reply_text(reply);
		size_t shown = shown_length(words, count, text);
		error->failure = REDIS_REFUSED;
		error->class = redis_reply_classify(text);
		/* Whatever AUTH or SELECT dislike is a matter of settings. */
		if (error->class == REDIS_CLASS_FATAL_ALERT)
			error->class = REDIS_CLASS_FATAL_CONFIG;
		(void)snprintf(error->text, sizeof(error->text), "%.*s refused: %.*s",
			       (int)words[0].len, (const char *)words[0].ptr,
			       (int)(shown < sizeof(error->text) ? shown : sizeof(error->text)),
			       text.len > 0 ? (const char *)text.ptr : "");
	}
	redis_reply_free(reply);
	return good;
}

static bool introduce(struct redis_link *link, const struct redis_link_config *config,
		      struct redis_error *error)
{
	if (config->password != NULL) {
		struct span words[3] = {span_str("AUTH")};
		size_t count = 1;
		if (config->user != NULL && config->user[0] != '\0')
			words[count++] = span_str(config->user);
		words[count++] = span_str(config->password);
		if (!greet(link, words, count, error))
			return false;
	}
	if (config->database != 0) {
		char number[12];
		(void)snprintf(number, sizeof(number), "%u", config->database);
		const struct span words[] = {span_str("SELECT"), span_str(number)};
		if (!greet(link, words, 2, error))
			return false;
	}
	if (config->client_name != NULL) {
		/* For CLIENT LIST only: an ACL that forbids it is no reason to stay away. */
		const struct span words[] = {span_str("CLIENT"), span_str("SETNAME"),
					     span_str(config->client_name)};
		struct redis_reply *reply = redis_link_call(link, words, 3, 0, error);
		if (reply == NULL)
			return false;
		redis_reply_free(reply);
	}
	return true;
}

struct redis_link *redis_link_open(const struct redis_endpoint *endpoint,
				   const struct redis_link_config *config,
				   struct redis_error *error)
{
	struct redis_link *link = calloc(1, sizeof(*link));
	int64_t deadline = clock_monotonic_ms() + config->connect_timeout_ms;

	*error = (struct redis_error){.failure = REDIS_FINE};
	if (link == NULL) {
		(void)redis_error_set(error, REDIS_NO_MEMORY, "out of memory");
		return NULL;
	}
	link->command_timeout_ms = config->connect_timeout_ms;
	link->max_reply_bytes = config->max_reply_bytes;
	bool good = redis_socket_open(&link->socket, endpoint, config->tls, config->cancel_fd,
				      deadline, error);
	if (good) {
		if (!start_reader(link))
			good = redis_error_set(error, REDIS_NO_MEMORY, "out of memory");
	}
	if (!good || !introduce(link, config, error)) {
		redis_link_close(link);
		return NULL;
	}
	link->command_timeout_ms = config->command_timeout_ms;
	return link;
}

void redis_link_close(struct redis_link *link)
{
	if (link == NULL)
		return;
	redis_socket_close(&link->socket);
	if (link->reader != NULL)
		redisReaderFree(link->reader);
	/* AUTH may have gone through here. */
	if (link->output != NULL)
		explicit_bzero(link->output, link->output_size);
	free(link->output);
	free(link);
}

static bool reserve(struct redis_link *link, size_t more)
{
	if (more <= link->output_size - link->output_used)
		return true;
	size_t size = link->output_size == 0 ? IO_SIZE : link->output_size;
	while (size - link->output_used < more) {
		if (size > SIZE_MAX / 2)
			return false;
		size *= 2;
	}
	/* Not realloc: it could leave a copy of a password behind. */
	uint8_t *grown = malloc(size);
	if (grown == NULL)
		return false;
	if (link->output_used > 0)
		memcpy(grown, link->output, link->output_used);
	if (link->output != NULL)
		explicit_bzero(link->output, link->output_size);
	free(link->output);
	link->output = grown;
	link->output_size = size;
	return true;
}

/* "*15\r\n" or "$780\r\n". The caller has reserved HEADER_SIZE bytes. */
static void put_header(struct redis_link *link, char kind, size_t number)
{
	char digits[20];
	size_t count = 0;
	uint8_t *out = link->output + link->output_used;

	do {
		digits[count++] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	*out++ = (uint8_t)kind;
	while (count > 0)
		*out++ = (uint8_t)digits[--count];
	*out++ = '\r';
	*out++ = '\n';
	link->output_used = (size_t)(out - link->output);
}

/*
 * A command is an array of bulk strings (Redis serialization protocol). Not by hiredis's
 * formatter, which calls sprintf for each word: that was a quarter of the sender's time.
 */
bool redis_link_append(struct redis_link *link, const struct span *words, size_t count)
{
	size_t size = HEADER_SIZE;

	for (size_t i = 0; i < count; i++)
		if (__builtin_add_overflow(size, words[i].len, &size) ||
		    __builtin_add_overflow(size, HEADER_SIZE + 2, &size))
			return false;
	if (!reserve(link, size))
		return false;
	put_header(link, '*', count);
	for (size_t i = 0; i < count; i++) {
		put_header(link, '$', words[i].len);
		if (words[i].len > 0)
			memcpy(link->output + link->output_used, words[i].ptr, words[i].len);
		link->output_used += words[i].len;
		link->output[link->output_used++] = '\r';
		link->output[link->output_used++] = '\n';
	}
	return true;
}

bool redis_link_append_text(struct redis_link *link, const char *const *words, size_t count)
{
	enum { WORDS_MAX = 8 };
	struct span spans[WORDS_MAX];

	if (count > WORDS_MAX)
		return false;
	for (size_t i = 0; i < count; i++)
		spans[i] = span_str(words[i]);
	return redis_link_append(link, spans, count);
}

bool redis_link_flush(struct redis_link *link, struct redis_error *error)
{
	int64_t deadline = clock_monotonic_ms() + link->command_timeout_ms;
	struct span bytes = span_of(link->output, link->output_used);

	*error = (struct redis_error){.failure = REDIS_FINE};
	if (bytes.len == 0)
		return true;
	bool sent = redis_socket_send(&link->socket, bytes, deadline, error);
	link->output_used = 0;
	return sent;
}

struct redis_reply *redis_link_reply(struct redis_link *link, unsigned extra_ms,
				     struct redis_error *error)
{
	int64_t deadline = clock_monotonic_ms() + link->command_timeout_ms + extra_ms;
	void *reply = NULL;

	*error = (struct redis_error){.failure = REDIS_FINE};
	for (;;) {
		uint8_t bytes[IO_SIZE];
		size_t got;
		if (redisReaderGetReply(link->reader, &reply) != REDIS_OK) {
			(void)redis_error_set(error, REDIS_PROTOCOL, "not the Redis protocol");
			return NULL;
		}
		if (reply != NULL) {
			link->reply_bytes = link->reader->len - link->reader->pos;
			return reply;
		}
		if (link->reply_bytes > link->max_reply_bytes) {
			(void)redis_error_set(error, REDIS_PROTOCOL, "reply too long");
			return NULL;
		}
		if (!redis_socket_receive(&link->socket, bytes, sizeof(bytes), &got, deadline,
					  error))
			return NULL;
		link->reply_bytes += got;
		if (redisReaderFeed(link->reader, (const char *)bytes, got) != REDIS_OK) {
			(void)redis_error_set(error, REDIS_NO_MEMORY, "out of memory");
			return NULL;
		}
	}
}

struct redis_reply *redis_link_call(struct redis_link *link, const struct span *words, size_t count,
				    unsigned extra_ms, struct redis_error *error)
{
	if (!redis_link_append(link, words, count)) {
		(void)redis_error_set(error, REDIS_NO_MEMORY, "out of memory");
		return NULL;
	}
	if (!redis_link_flush(link, error))
		return NULL;
	return redis_link_reply(link, extra_ms, error);
}

/* struct redis_reply is never defined: outside of this file it hides hiredis's own. */
static const redisReply *unveil(const struct redis_reply *reply)
{
	return (const void *)reply;
}

void redis_reply_free(struct redis_reply *reply)
{
	if (reply != NULL)
		freeReplyObject(reply);
}

enum redis_reply_kind redis_reply_kind(const struct redis_reply *reply)
{
	if (reply == NULL)
		return REDIS_KIND_NIL;
	switch (unveil(reply)->type) {
	case REDIS_REPLY_STRING:
		return REDIS_KIND_STRING;
	case REDIS_REPLY_ARRAY:
		return REDIS_KIND_ARRAY;
	case REDIS_REPLY_INTEGER:
		return REDIS_KIND_INTEGER;
	case REDIS_REPLY_STATUS:
		return REDIS_KIND_STATUS;
	case REDIS_REPLY_ERROR:
		return REDIS_KIND_ERROR;
	default:
		return REDIS_KIND_NIL;
	}
}

struct span redis_reply_text(const struct redis_reply *reply)
{
	enum redis_reply_kind kind = redis_reply_kind(reply);

	if (kind != REDIS_KIND_STRING && kind != REDIS_KIND_STATUS && kind != REDIS_KIND_ERROR)
		return span_of(NULL, 0);
	return span_of(unveil(reply)->str, unveil(reply)->len);
}

int64_t redis_reply_integer(const struct redis_reply *reply)
{
	return redis_reply_kind(reply) == REDIS_KIND_INTEGER ? unveil(reply)->integer : 0;
}

size_t redis_reply_count(const struct redis_reply *reply)
{
	return redis_reply_kind(reply) == REDIS_KIND_ARRAY ? unveil(reply)->elements : 0;
}

const struct redis_reply *redis_reply_at(const struct redis_reply *reply, size_t index)
{
	if (index >= redis_reply_count(reply))
		return NULL;
	return (const void *)unveil(reply)->element[index];
}
