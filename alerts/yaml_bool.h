/* SPDX-License-Identifier: Apache-2.0 */
/* Truth values in files that people write: YAML has three forms of each (YAML 1.2.2 10.3.2). */
#ifndef ALERTS_YAML_BOOL_H
#define ALERTS_YAML_BOOL_H

#include <stdbool.h>
#include <string.h>

/* False when the text is neither; *value is then untouched. */
static inline bool yaml_bool(const char *text, bool *value)
{
	static const char *const words[] = {"true", "True", "TRUE", "false", "False", "FALSE"};
	for (unsigned i = 0; i < 6; i++) {
		if (strcmp(text, words[i]) == 0) {
			*value = i < 3;
			return true;
		}
	}
	return false;
}

#endif
