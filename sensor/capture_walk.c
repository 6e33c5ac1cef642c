/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/capture_walk.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Files and directories that were met, by device and inode: open addressing, at most half full. */
struct met {
	dev_t device;
	ino_t inode;
	bool used;
};

struct met_set {
	struct met *slots;
	size_t room, count;
};

struct walk {
	struct walk_list *list;
	struct met_set met;
	unsigned max_depth;
	bool out_of_memory;
};

struct names {
	char **items;
	size_t count, room;
};

static size_t slot_of(const struct met_set *set, dev_t device, ino_t inode)
{
	uint64_t mixed = ((uint64_t)inode ^ (uint64_t)device << 40) * 0x9e3779b97f4a7c15U;
	size_t i = (size_t)(mixed >> 20) & (set->room - 1);
	while (set->slots[i].used &&
	       (set->slots[i].device != device || set->slots[i].inode != inode))
		i = (i + 1) & (set->room - 1);
	return i;
}

static bool met_grow(struct met_set *set)
{
	struct met_set grown = {.room = set->room ? set->room * 2 : 64};
	grown.slots = calloc(grown.room, sizeof(*grown.slots));
	if (!grown.slots)
		return false;
	for (size_t i = 0; i < set->room; i++)
		if (set->slots[i].used)
			grown.slots[slot_of(&grown, set->slots[i].device, set->slots[i].inode)] =
			    set->slots[i];
	grown.count = set->count;
	free(set->slots);
	*set = grown;
	return true;
}

/* Whether the file is met for the first time. */
static bool meet(struct walk *walk, const struct stat *status)
{
	struct met_set *set = &walk->met;
	if (set->count * 2 >= set->room && !met_grow(set)) {
		walk->out_of_memory = true;
		return false;
	}
	struct met *slot = &set->slots[slot_of(set, status->st_dev, status->st_ino)];
	if (slot->used)
		return false;
	*slot = (struct met){.device = status->st_dev, .inode = status->st_ino, .used = true};
	set->count++;
	return true;
}

/* Takes over path. NULL: memory is out. */
static struct walk_entry *append(struct walk *walk, char *path, const char *problem,
				 int error_number)
{
	struct walk_list *list = walk->list;
	if (path && list->count == list->room) {
		size_t room = list->room ? list->room * 2 : 16;
		struct walk_entry *grown = realloc(list->entries, room * sizeof(*grown));
		if (grown) {
			list->entries = grown;
			list->room = room;
		}
	}
	if (!path || list->count == list->room) {
		free(path);
		walk->out_of_memory = true;
		return NULL;
	}
	list->entries[list->count] = (struct walk_entry){
	    .path = path, .fault = {.problem = problem, .error_number = error_number}};
	return &list->entries[list->count++];
}

static void append_copy(struct walk *walk, const char *path, const char *problem, int error_number)
{
	(void)append(walk, strdup(path), problem, error_number);
}

static void names_free(struct names *names)
{
	for (size_t i = 0; i < names->count; i++)
		free(names->items[i]);
	free(names->items);
}

static bool names_add(struct names *names, const char *name)
{
	if (names->count == names->room) {
		size_t room = names->room ? names->room * 2 : 16;
		char **grown = realloc(names->items, room * sizeof(*grown));
		if (!grown)
			return false;
		names->items = grown;
		names->room = room;
	}
	char *copy = strdup(name);
	if (!copy)
		return false;
	names->items[names->count++] = copy;
	return true;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in a directory, sorted. 0, or the errno that stopped it. */
static int read_names(const char *path, struct names *names)
{
	DIR *directory = opendir(path);
	if (!directory)
		return errno;
	int error_number = 0;
	for (;;) {
		errno = 0;
		const struct dirent *entry = readdir(directory);
		if (!entry) {
			error_number = errno;
			break;
		}
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (!names_add(names, entry->d_name)) {
			error_number = ENOMEM;
			break;
		}
	}
	(void)closedir(directory);
	if (names->count > 1)
		qsort(names->items, names->count, sizeof(*names->items), compare_names);
	return error_number;
}

static char *join(const char *directory, const char *name)
{
	size_t directory_len = strlen(directory);
	size_t name_len = strlen(name);
	bool slash = directory_len > 0 && directory[directory_len - 1] != '/';
	char *path = malloc(directory_len + slash + name_len + 1);
	if (!path)
		return NULL;
	memcpy(path, directory, directory_len);
	if (slash)
		path[directory_len] = '/';
	memcpy(path + directory_len + slash, name, name_len + 1);
	return path;
}

static void walk_directory(struct walk *walk, const char *path, unsigned depth);

/* Takes over path. */
static void walk_path(struct walk *walk, char *path, unsigned depth)
{
	struct stat status;
	if (stat(path, &status) != 0) {
		/* A dangling link or a loop of links is no capture; the rest is worth telling. */
		if (errno == ENOENT || errno == ELOOP) {
			walk->list->skipped++;
			free(path);
		} else {
			(void)append(walk, path, "cannot be examined", errno);
		}
	} else if (S_ISDIR(status.st_mode)) {
		if (depth == walk->max_depth)
			append_copy(walk, path, "directories are nested too deeply", 0);
		else if (meet(walk, &status))
			walk_directory(walk, path, depth + 1);
		free(path);
	} else if (!S_ISREG(status.st_mode)) {
		walk->list->skipped++;
		free(path);
	} else if (meet(walk, &status)) {
		struct walk_entry *entry = append(walk, path, NULL, 0);
		if (entry) {
			entry->device = status.st_dev;
			entry->inode = status.st_ino;
		}
	} else {
		free(path);
	}
}

/* Recursion ends at max_depth. */
static void walk_directory(struct walk *walk, const char *path, unsigned depth)
{
	struct names names = {.items = NULL};
	int error_number = read_names(path, &names);
	if (error_number != 0)
		append_copy(walk, path, "directory cannot be read", error_number);
	for (size_t i = 0; i < names.count && !walk->out_of_memory; i++) {
		if (walk->list->count >= walk->list->max_entries) {
			/* Said once: the caller sees a list that is one longer than its cap. */
			if (walk->list->count == walk->list->max_entries)
				append_copy(walk, path, "too many files: the rest is not read", 0);
			break;
		}
		char *child = join(path, names.items[i]);
		if (child)
			walk_path(walk, child, depth);
		else
			walk->out_of_memory = true;
	}
	names_free(&names);
}

bool capture_walk(struct walk_list *list, const char *path, unsigned max_depth)
{
	struct walk walk = {.list = list, .max_depth = max_depth};
	struct stat status;
	if (stat(path, &status) == 0)
		(void)meet(&walk, &status);
	walk_directory(&walk, path, 0);
	free(walk.met.slots);
	return !walk.out_of_memory;
}

void walk_list_free(struct walk_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->entries[i].path);
	free(list->entries);
	*list = (struct walk_list){.entries = NULL};
}
