/* SPDX-License-Identifier: Apache-2.0 */
/* Texts from outside that are read whole: Redis replies and addresses, JSON documents. */
#include "alerts/json_read.h"
#include "alerts/redis_reply_class.h"
#include "alerts/redis_url.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct redis_url url;
	char error[256], shown[256];
	int64_t number;

	(void)redis_reply_classify(span_of(data, size));
	struct json_document *document = json_read(span_of(data, size));
	if (document != NULL) {
		(void)json_read_text(document, "rule.id");
		(void)json_read_integer(document, "event.severity", &number);
		json_document_free(document);
	}
	char *text = malloc(size + 1);
	if (text == NULL)
		return 0;
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	if (redis_url_parse(text, &url, error, sizeof error))
		(void)redis_url_describe(&url, shown, sizeof shown);
	redis_url_wipe(&url);
	redis_url_scrub(text);
	free(text);
	return 0;
}
