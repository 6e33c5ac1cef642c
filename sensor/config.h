/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration file: YAML (1.1, by libyaml) whose keys are the long
 * options. This module reads the form alone; what a key means, sensor/options
 * knows. A sequence gives one setting for each item, a mapping one "NAME=VALUE"
 * for each pair, all under the same key. Anchors, tags, nesting below that,
 * several documents and a key given twice are errors.
 */
#ifndef SENSOR_CONFIG_H
#define SENSOR_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

/* How a value stood there. */
enum config_shape {
	CONFIG_ALONE, /* key: value */
	CONFIG_ITEM,  /* key: [value, ...] */
	CONFIG_PAIR,  /* key: {name: value, ...}, given as name=value */
};

struct config_setting {
	char *key;     /* owned */
	char *value;   /* owned */
	unsigned line; /* of the value, from 1 */
	enum config_shape shape;
};

struct config_file {
	struct config_setting *settings; /* in the order of the file; owned */
	size_t count;
};

/* Longest message that config_read() gives, with its NUL. */
#define CONFIG_ERROR_MAX 512

/*
 * Reads path into *file, to be freed with config_free() in every case. Returns
 * false and a message that names the file, the line and the key.
 */
bool config_read(struct config_file *file, const char *path, char error[CONFIG_ERROR_MAX]);

void config_free(struct config_file *file);

#endif
