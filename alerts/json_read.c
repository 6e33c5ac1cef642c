/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/json_read.h"

#include <jansson.h>

/* struct json_document is never defined: outside of this file it hides Jansson's value. */
static const json_t *unveil(const struct json_document *document)
{
	return (const void *)document;
}

struct json_document *json_read(struct span text)
{
	json_t *value = json_loadb((const char *)text.ptr, text.len, JSON_REJECT_DUPLICATES, NULL);

	if (value != NULL && !json_is_object(value)) {
		json_decref(value);
		value = NULL;
	}
	return (void *)value;
}

void json_document_free(struct json_document *document)
{
	json_decref((void *)document);
}

/* The element that decimal digits name. */
static const json_t *element(const json_t *array, const char *digits)
{
	size_t index = 0;

	for (; *digits >= '0' && *digits <= '9' && index < json_array_size(array); digits++)
		index = index * 10 + (size_t)(*digits - '0');
	return *digits == '\0' ? json_array_get(array, index) : NULL;
}

/* Follows the path; NULL when it leads nowhere. */
static const json_t *find(const struct json_document *document, const char *path)
{
	const json_t *value = unveil(document);

	while (value != NULL && *path != '\0') {
		char name[64];
		size_t length = strcspn(path, ".");
		if (length >= sizeof(name))
			return NULL;
		memcpy(name, path, length);
		name[length] = '\0';
		value = json_is_array(value) ? element(value, name) : json_object_get(value, name);
		path += length;
		path += *path == '.';
	}
	return value;
}

struct span json_read_text(const struct json_document *document, const char *path)
{
	const json_t *value = find(document, path);

	if (!json_is_string(value))
		return span_of(NULL, 0);
	return span_of(json_string_value(value), json_string_length(value));
}

bool json_read_integer(const struct json_document *document, const char *path, int64_t *value)
{
	const json_t *found = find(document, path);

	if (!json_is_integer(found))
		return false;
	*value = json_integer_value(found);
	return true;
}
