/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/capture_set.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sensor/capture_walk.h"

/* No interface of the set was given to this one of a file yet; tags are ids plus one. */
#define TAG_NONE 0U

/* Enough for a header and a first packet of the usual size. */
#define PROBE_WINDOW 8192U
#define MIN_WINDOW   16384U

enum stage {
	STAGE_FIND,  /* directories become files */
	STAGE_PROBE, /* each input's first packet */
	STAGE_MERGE,
};

/* One input. */
struct input {
	char *path;
	uint32_t root;         /* index of the path it was named by */
	bool from_directory;   /* other files than captures are skipped */
	bool skipped;          /* of a directory, and no capture */
	bool waiting;          /* has packets and was not opened for them yet */
	int64_t first_time_ns; /* of a waiting one */
	uint64_t size;
	struct input_fault fault; /* found while looking for it */
};

/* A path as it was given. */
struct root {
	char *path;
	bool is_directory;
	uint64_t captures;
};

/* An open input and its next packet. */
struct live {
	struct capture_file *file;
	uint32_t input;
	struct capture_packet packet;
};

struct interface_name {
	uint32_t place; /* in its section; tells those without a name apart */
	char *name;     /* NULL: none */
};

struct capture_set {
	struct capture_limits limits;
	struct capture_window_pool *pool;
	enum stage stage;
	struct root *roots;
	size_t root_count, roots_found, roots_told;
	struct input *inputs;
	size_t input_count, input_room, inputs_probed;
	struct capture_file *probing; /* interrupted while its first packet was read */
	uint32_t *order;              /* waiting inputs by first time */
	size_t order_count, order_next;
	struct live *heap; /* by next packet's time, then input */
	size_t heap_count, heap_room;
	size_t window_bytes; /* of each, while so many are open */
	bool delivered;      /* the packet at the top was given out: its file moves on first */
	bool alone;          /* ... and no other file has packets, or will */
	struct interface_name *interfaces;
	uint32_t interface_count;
	struct capture_error error;
	struct capture_counts counts;
	uint64_t bytes_closed; /* read of files that are through */
};

static const struct input_fault out_of_memory = {.problem = "out of memory"};

/* ---- errors ---- */

static enum capture_status report(struct capture_set *set, const char *path,
				  const struct input_fault *fault)
{
	struct capture_error *error = &set->error;
	char number[32] = "";
	char system[96] = "";
	if (fault->has_value)
		(void)snprintf(number, sizeof(number), " (%llu)", (unsigned long long)fault->value);
	if (fault->error_number != 0) {
		char text[80];
		(void)snprintf(system, sizeof(system), ": %s",
			       strerror_r(fault->error_number, text, sizeof(text)));
	}
	error->path = path;
	error->offset = fault->offset;
	error->has_offset = fault->offset != 0;
	(void)snprintf(error->reason, sizeof(error->reason), "%s%s%s", fault->problem, number,
		       system);
	set->counts.failed++;
	return CAPTURE_FAULT;
}

/* ---- open and close ---- */

/* So many files are open from now on: what a window may have of the bytes for all. */
static void count_open(struct capture_set *set, size_t count)
{
	size_t share = set->limits.windows_bytes / (count + 1);
	if (share < MIN_WINDOW)
		share = MIN_WINDOW;
	set->heap_count = count;
	set->window_bytes = share < set->limits.window_bytes ? share : set->limits.window_bytes;
}

struct capture_set *capture_set_open(const char *const *paths, size_t path_count,
				     const struct capture_limits *limits)
{
	struct capture_set *set = calloc(1, sizeof(*set));
	if (!set)
		return NULL;
	set->limits = *limits;
	count_open(set, 0);
	set->pool = capture_window_pool_new(limits->max_in_flight);
	set->roots = calloc(path_count ? path_count : 1, sizeof(*set->roots));
	bool whole = set->pool && set->roots;
	for (size_t i = 0; whole && i < path_count; i++) {
		set->roots[i].path = strdup(paths[i]);
		whole = set->roots[i].path;
		set->root_count++;
	}
	if (!whole) {
		capture_set_close(set);
		return NULL;
	}
	return set;
}

void capture_set_close(struct capture_set *set)
{
	if (!set)
		return;
	for (size_t i = 0; i < set->heap_count; i++)
		capture_file_close(set->heap[i].file);
	capture_file_close(set->probing);
	for (size_t i = 0; i < set->input_count; i++)
		free(set->inputs[i].path);
	for (size_t i = 0; i < set->root_count; i++)
		free(set->roots[i].path);
	for (uint32_t i = 0; i < set->interface_count; i++) {
		free(set->interfaces[i].name);
	}
	free(set->interfaces);
	free(set->heap);
	free(set->order);
	free(set->inputs);
	free(set->roots);
	capture_window_pool_free(set->pool);
	free(set);
}

/* ---- finding ---- */

/* Takes over path, also when it fails. */
static bool add_input(struct capture_set *set, char *path, uint32_t root, bool from_directory,
		      const struct input_fault *fault)
{
	if (set->input_count == set->input_room) {
		size_t room = set->input_room ? set->input_room * 2 : 8;
		struct input *grown = realloc(set->inputs, room * sizeof(*grown));
		if (!grown) {
			free(path);
			return false;
		}
		set->inputs = grown;
		set->input_room = room;
	}
	set->inputs[set->input_count++] = (struct input){
	    .path = path, .root = root, .from_directory = from_directory, .fault = *fault};
	return true;
}

static bool find_directory(struct capture_set *set, uint32_t root)
{
	size_t room =
	    set->limits.max_files > set->input_count ? set->limits.max_files - set->input_count : 0;
	struct walk_list list = {.max_entries = room};
	bool whole = capture_walk(&list, set->roots[root].path, set->limits.max_depth);
	for (size_t i = 0; whole && i < list.count; i++) {
		char *path = list.entries[i].path;
		list.entries[i].path = NULL;
		whole = add_input(set, path, root, true, &list.entries[i].fault);
	}
	set->counts.skipped += list.skipped;
	set->counts.files += list.skipped;
	walk_list_free(&list);
	return whole;
}

/* Makes inputs of the next path. */
static bool find_next(struct capture_set *set)
{
	uint32_t root = (uint32_t)set->roots_found++;
	const char *path = set->roots[root].path;
	struct stat status;
	if (strcmp(path, "-") != 0 && stat(path, &status) == 0 && S_ISDIR(status.st_mode)) {
		set->roots[root].is_directory = true;
		return find_directory(set, root);
	}
	struct input_fault none = {.problem = NULL};
	if (set->input_count >= set->limits.max_files)
		none.problem = "too many files: not read";
	char *copy = strdup(path);
	return copy && add_input(set, copy, root, false, &none);
}

/* ---- the heap of open inputs ---- */

static bool before(const struct live *a, const struct live *b)
{
	if (a->packet.time_ns != b->packet.time_ns)
		return a->packet.time_ns < b->packet.time_ns;
	return a->input < b->input;
}

static void swap_live(struct live *a, struct live *b)
{
	struct live other = *a;
	*a = *b;
	*b = other;
}

static void sift_down(struct capture_set *set)
{
	size_t i = 0;
	for (;;) {
		size_t least = i;
		for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < set->heap_count;
		     child++)
			if (before(&set->heap[child], &set->heap[least]))
				least = child;
		if (least == i)
			return;
		swap_live(&set->heap[i], &set->heap[least]);
		i = least;
	}
}

/* Takes over file. False when memory is out; file is then closed. */
static bool heap_push(struct capture_set *set, struct capture_file *file, uint32_t input,
		      const struct capture_packet *packet)
{
	if (set->heap_count == set->heap_room) {
		size_t room = set->heap_room ? set->heap_room * 2 : 8;
		struct live *grown = realloc(set->heap, room * sizeof(*grown));
		if (!grown) {
			capture_file_close(file);
			return false;
		}
		set->heap = grown;
		set->heap_room = room;
	}
	size_t i = set->heap_count;
	count_open(set, i + 1);
	set->heap[i] = (struct live){.file = file, .input = input, .packet = *packet};
	if (set->heap_count > set->limits.max_open_files)
		byte_source_park(capture_file_source(file));
	while (i > 0 && before(&set->heap[i], &set->heap[(i - 1) / 2])) {
		swap_live(&set->heap[i], &set->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	return true;
}

/* An input is through: counted whole, so that progress ends at the end. */
static void close_input(struct capture_set *set, struct capture_file *file)
{
	struct byte_source *source = capture_file_source(file);
	uint64_t size = byte_source_size(source);
	set->bytes_closed += size ? size : byte_source_consumed(source);
	capture_file_close(file);
}

static void heap_pop(struct capture_set *set)
{
	close_input(set, set->heap[0].file);
	count_open(set, set->heap_count - 1);
	set->heap[0] = set->heap[set->heap_count];
	sift_down(set);
}

/* ---- probing ---- */

/* Nothing was read, and nothing is wrong: the same is to be tried again. */
static bool come_again(enum capture_status status)
{
	return status == CAPTURE_BUSY || status == CAPTURE_INTERRUPTED || status == CAPTURE_PAUSE;
}

/* Opens an input. OK, or the status to give out. */
static enum capture_status open_input(struct capture_set *set, const struct input *input,
				      struct capture_file **file)
{
	struct input_fault fault;
	switch (capture_file_open(input->path, &set->limits.source, set->pool, file, &fault)) {
	case SOURCE_OK:
		return CAPTURE_PACKET;
	case SOURCE_INTERRUPTED:
		return CAPTURE_INTERRUPTED;
	case SOURCE_END:
	case SOURCE_PAUSE:
	case SOURCE_FAILED:
	default:
		return report(set, input->path, &fault);
	}
}

/* What the probe of an input found, its file still open. */
static enum capture_status probed(struct capture_set *set, uint32_t index,
				  enum capture_status status, const struct capture_packet *packet,
				  const struct input_fault *fault)
{
	struct input *input = &set->inputs[index];
	struct capture_file *file = set->probing;
	set->probing = NULL;
	struct byte_source *source = capture_file_source(file);
	input->size = byte_source_size(source);
	bool is_capture = capture_file_kind(file) != CAPTURE_KIND_UNKNOWN;
	if (is_capture) {
		set->counts.captures++;
		set->counts.bytes += input->size;
		set->roots[input->root].captures++;
	}
	/* One that is waited for: mapped files would lie open meanwhile, and might be cut. */
	if (!byte_source_rereadable(source))
		set->limits.source.map_from = 0;
	if (status == CAPTURE_PACKET) {
		/* A lone input, or one that cannot be read twice, goes on from here. */
		if (set->input_count == 1 || !byte_source_rereadable(source)) {
			if (heap_push(set, file, index, packet))
				return CAPTURE_PACKET;
			return report(set, input->path, &out_of_memory);
		}
		input->waiting = true;
		input->first_time_ns = packet->time_ns;
		capture_file_close(file);
		return CAPTURE_PACKET;
	}
	if (is_capture)
		close_input(set, file);
	else
		capture_file_close(file);
	if (status == CAPTURE_END)
		return CAPTURE_PACKET;
	/* Damage of the file itself is told even in a directory: it may hide a capture. */
	if (!is_capture && input->from_directory && fault->error_number == 0) {
		set->counts.skipped++;
		input->skipped = true;
		return CAPTURE_PACKET;
	}
	return report(set, input->path, fault);
}

/* Looks at the next input. PACKET: go on. */
static enum capture_status probe_next(struct capture_set *set)
{
	uint32_t index = (uint32_t)set->inputs_probed;
	struct input *input = &set->inputs[index];
	if (!set->probing) {
		if (input->fault.problem) {
			set->inputs_probed++;
			return report(set, input->path, &input->fault);
		}
		enum capture_status status = open_input(set, input, &set->probing);
		if (status == CAPTURE_INTERRUPTED)
			return status;
		set->counts.files++;
		if (status != CAPTURE_PACKET) {
			set->inputs_probed++;
			return status;
		}
	}
	struct capture_packet packet;
	struct input_fault fault;
	size_t want = set->input_count == 1 ? set->window_bytes : PROBE_WINDOW;
	enum capture_status status = capture_file_next(set->probing, want, &packet, &fault);
	if (come_again(status))
		return status;
	set->inputs_probed++;
	return probed(set, index, status, &packet, &fault);
}

/* Tells the next directory in which there was nothing to read. PACKET: none left. */
static enum capture_status tell_bare_directory(struct capture_set *set)
{
	while (set->roots_told < set->root_count) {
		const struct root *root = &set->roots[set->roots_told++];
		if (root->is_directory && root->captures == 0)
			return report(set, root->path,
				      &(struct input_fault){.problem = "no captures in it"});
	}
	return CAPTURE_PACKET;
}

static int compare_waiting(const void *a, const void *b, void *inputs)
{
	uint32_t i = *(const uint32_t *)a;
	uint32_t j = *(const uint32_t *)b;
	const struct input *first = (const struct input *)inputs + i;
	const struct input *second = (const struct input *)inputs + j;
	if (first->first_time_ns != second->first_time_ns)
		return first->first_time_ns < second->first_time_ns ? -1 : 1;
	return i < j ? -1 : i > j;
}

static bool order_waiting(struct capture_set *set)
{
	set->order = malloc((set->input_count ? set->input_count : 1) * sizeof(*set->order));
	if (!set->order)
		return false;
	for (size_t i = 0; i < set->input_count; i++)
		if (set->inputs[i].waiting)
			set->order[set->order_count++] = (uint32_t)i;
	qsort_r(set->order, set->order_count, sizeof(*set->order), compare_waiting, set->inputs);
	return true;
}

/* Finding and probing, resumable at every input. PACKET: the merge may begin. */
static enum capture_status prepare(struct capture_set *set)
{
	enum capture_status status = CAPTURE_PACKET;
	if (set->stage == STAGE_FIND) {
		while (set->roots_found < set->root_count)
			if (!find_next(set))
				return report(set, set->roots[set->roots_found - 1].path,
					      &out_of_memory);
		set->stage = STAGE_PROBE;
	}
	while (status == CAPTURE_PACKET && set->inputs_probed < set->input_count)
		status = probe_next(set);
	if (status == CAPTURE_PACKET)
		status = tell_bare_directory(set);
	if (status != CAPTURE_PACKET)
		return status;
	set->stage = STAGE_MERGE;
	if (!order_waiting(set))
		return report(set, "", &out_of_memory);
	return CAPTURE_PACKET;
}

/* ---- interfaces ---- */

static bool same_interface(const struct interface_name *known, uint32_t place, const char *name)
{
	if (known->name)
		return strcmp(known->name, name) == 0;
	return name[0] == '\0' && known->place == place;
}

/* The set's id of an interface that was not met in this section yet. */
static uint32_t intern_interface(struct capture_set *set, uint32_t place,
				 const struct capture_interface *interface)
{
	/* Files of one rotation have the same interfaces in the same places. */
	if (place < set->interface_count &&
	    same_interface(&set->interfaces[place], place, interface->name))
		return place;
	for (uint32_t i = 0; i < set->interface_count; i++)
		if (same_interface(&set->interfaces[i], place, interface->name))
			return i;
	if (set->interface_count == CAPTURE_SET_INTERFACES)
		return CAPTURE_SET_INTERFACES - 1;
	if ((set->interface_count & (set->interface_count - 1)) == 0) {
		size_t room = set->interface_count ? set->interface_count * 2U : 1;
		struct interface_name *grown = realloc(set->interfaces, room * sizeof(*grown));
		if (!grown) {
			set->counts.unnamed++;
			return set->interface_count ? set->interface_count - 1 : 0;
		}
		set->interfaces = grown;
	}
	struct interface_name *added = &set->interfaces[set->interface_count];
	*added = (struct interface_name){.place = place};
	if (interface->name[0] != '\0')
		added->name = strdup(interface->name);
	if (interface->name[0] != '\0' && !added->name)
		set->counts.unnamed++;
	return set->interface_count++;
}

static uint32_t set_interface(struct capture_set *set, struct capture_file *file, uint32_t place)
{
	struct capture_interface *interface = capture_file_interface(file, place);
	if (interface->tag == TAG_NONE)
		interface->tag = intern_interface(set, place, interface) + 1;
	return interface->tag - 1;
}

const char *capture_set_interface_name(const struct capture_set *set, uint32_t interface_id)
{
	if (interface_id >= set->interface_count)
		return NULL;
	return set->interfaces[interface_id].name;
}

/* ---- the merge ---- */

/* The next packet of the file at the top. PACKET: so it is, or the file is through. */
static enum capture_status advance_top(struct capture_set *set, struct capture_packet *packet)
{
	const struct live *top = &set->heap[0];
	struct input_fault fault;
	enum capture_status status =
	    capture_file_next(top->file, set->window_bytes, packet, &fault);
	switch (status) {
	case CAPTURE_PACKET:
		break;
	case CAPTURE_END:
		heap_pop(set);
		status = CAPTURE_PACKET;
		break;
	case CAPTURE_FAULT: {
		const char *path = set->inputs[top->input].path;
		heap_pop(set);
		status = report(set, path, &fault);
		break;
	}
	case CAPTURE_BUSY:
	case CAPTURE_INTERRUPTED:
	case CAPTURE_PAUSE:
	default:
		return status;
	}
	set->delivered = false;
	return status;
}

/* Opens the next waiting input once more, and takes its first packet. PACKET: go on. */
static enum capture_status open_waiting(struct capture_set *set)
{
	uint32_t index = set->order[set->order_next];
	const struct input *input = &set->inputs[index];
	if (!set->probing) {
		enum capture_status status = open_input(set, input, &set->probing);
		if (status != CAPTURE_PACKET) {
			if (status == CAPTURE_FAULT)
				set->order_next++;
			return status;
		}
	}
	struct capture_packet packet;
	struct input_fault fault;
	enum capture_status status =
	    capture_file_next(set->probing, set->window_bytes, &packet, &fault);
	if (come_again(status))
		return status;
	set->order_next++;
	struct capture_file *file = set->probing;
	set->probing = NULL;
	if (status == CAPTURE_PACKET) {
		if (heap_push(set, file, index, &packet))
			return CAPTURE_PACKET;
		return report(set, input->path, &out_of_memory);
	}
	close_input(set, file);
	/* It had a packet before: somebody emptied it meanwhile. */
	if (status == CAPTURE_END)
		fault = (struct input_fault){.problem = "was changed while it was read"};
	return report(set, input->path, &fault);
}

/* Whether a waiting input's first packet may come before the heap's. */
static bool waiting_is_due(const struct capture_set *set)
{
	if (set->order_next == set->order_count)
		return false;
	if (set->heap_count == 0)
		return true;
	const struct input *input = &set->inputs[set->order[set->order_next]];
	return input->first_time_ns <= set->heap[0].packet.time_ns;
}

/* What the set knows of a packet that it gives out. */
static enum capture_status deliver(struct capture_set *set, struct capture_packet *packet)
{
	const struct live *top = &set->heap[0];
	packet->interface_id = set_interface(set, top->file, packet->interface_id);
	packet->file_id = top->input;
	set->delivered = true;
	set->counts.packets++;
	return CAPTURE_PACKET;
}

enum capture_status capture_set_next(struct capture_set *set, struct capture_packet *packet)
{
	enum capture_status status = CAPTURE_PACKET;
	if (set->alone) {
		/* No other can come before it: it is read to where it is wanted. */
		status = advance_top(set, packet);
		if (status == CAPTURE_PACKET && set->heap_count == 1)
			return deliver(set, packet);
		set->alone = false;
	} else if (set->stage != STAGE_MERGE) {
		status = prepare(set);
	} else if (set->delivered) {
		const size_t open = set->heap_count;
		status = advance_top(set, &set->heap[0].packet);
		if (status == CAPTURE_PACKET && set->heap_count == open)
			sift_down(set);
	}
	while (status == CAPTURE_PACKET && waiting_is_due(set))
		status = open_waiting(set);
	if (status != CAPTURE_PACKET)
		return status;
	if (set->heap_count == 0)
		return CAPTURE_END;
	*packet = set->heap[0].packet;
	set->alone = set->heap_count == 1 && set->order_next == set->order_count;
	return deliver(set, packet);
}

void capture_set_wait(struct capture_set *set)
{
	capture_window_pool_wait(set->pool);
}

const struct capture_error *capture_set_error(const struct capture_set *set)
{
	return &set->error;
}

const char *capture_set_file_path(const struct capture_set *set, uint32_t file_id)
{
	return file_id < set->input_count ? set->inputs[file_id].path : NULL;
}

struct capture_counts capture_set_counts(const struct capture_set *set)
{
	struct capture_counts counts = set->counts;
	counts.bytes_read = set->bytes_closed;
	for (size_t i = 0; i < set->heap_count; i++)
		counts.bytes_read += byte_source_consumed(capture_file_source(set->heap[i].file));
	counts.window_bytes_peak = capture_window_pool_peak(set->pool);
	return counts;
}

const char *capture_set_skipped(const struct capture_set *set, size_t *at)
{
	while (*at < set->input_count) {
		const struct input *input = &set->inputs[(*at)++];
		if (input->skipped)
			return input->path;
	}
	return NULL;
}
