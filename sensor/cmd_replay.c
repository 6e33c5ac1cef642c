/* SPDX-License-Identifier: Apache-2.0 */
/* stripwatch replay: stored captures become session records and alerts. */
#include "decoders/link.h"
#include "sensor/capture_set.h"
#include "sensor/capture_walk.h"
#include "sensor/commands.h"
#include "sensor/filter.h"
#include "sensor/limits.h"
#include "sensor/path_check.h"
#include "sensor/progress.h"
#include "sensor/run.h"
#include "sensor/signals.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct replay {
	const struct options *options;
	struct capture_limits limits;
	struct run *run;
	struct filter *filter; /* NULL: every packet */
	uint64_t ordinal;
	uint64_t captures, skipped, failed;
	uint64_t size, consumed; /* bytes of the inputs, for the progress bar; size: --separate */
	struct progress progress;
	bool unfit_told;
	bool loss_told;           /* of a part of a capture */
	uint32_t named;           /* interfaces of the set whose names were told */
	uint32_t link_type;       /* of the last packet, and */
	bool link_type_read;      /* whether it is one that is read */
	const char *const *paths; /* inputs, then the sources of taps */
	size_t path_count;
	uint32_t tap_file; /* the file that tap belongs to */
	uint8_t tap;
	bool *listed; /* by file of the set: it is in the report; NULL: there is none */
};

_Static_assert(LIMIT_TAPS == CAPTURE_SET_INTERFACES + 1, "every interface has a name");

static const struct capture_limits capture_limits = {
    .window_bytes = LIMIT_CAPTURE_WINDOW,
    .windows_bytes = LIMIT_CAPTURE_WINDOWS,
    .max_in_flight = LIMIT_CAPTURE_IN_FLIGHT,
    .max_open_files = LIMIT_CAPTURE_OPEN_FILES,
    .max_files = LIMIT_CAPTURE_FILES,
    .max_depth = LIMIT_CAPTURE_DEPTH,
    .source = {.input_bytes = LIMIT_CAPTURE_INPUT,
	       .zstd_max_window_log = LIMIT_CAPTURE_ZSTD_WINDOW_LOG,
	       .map_from = LIMIT_CAPTURE_WINDOW,
	       .quiet_ms = LIMIT_CAPTURE_QUIET_MS,
	       .busy_ms = LIMIT_UPKEEP_NS / 1000000},
};

/* What is read from a pipe has no size: then it is not said how much is left. */
static void show_progress(struct replay *replay, const struct capture_counts *counts)
{
	const struct options *options = replay->options;
	struct progress_state state = {
	    .done = replay->consumed + counts->bytes_read,
	    .total = options->separate ? replay->size : counts->bytes,
	    .packets = replay->ordinal,
	};
	for (size_t i = 0; i < options->inputs.count; i++)
		if (strcmp(options->inputs.items[i], "-") == 0)
			state.total = 0;
	progress_show(&replay->progress, &state);
}

static void report_fault(struct replay *replay, const struct capture_error *error)
{
	replay->failed++;
	replay->loss_told = replay->loss_told || strcmp(error->reason, FILE_MAPPING_LOST) == 0;
	if (error->has_offset)
		log_line(run_log(replay->run), LOG_ERROR, "%s: %s (at byte %" PRIu64 ")",
			 error->path, error->reason, error->offset);
	else
		log_line(run_log(replay->run), LOG_ERROR, "%s: %s", error->path, error->reason);
}

static bool filter_admits(struct replay *replay, const struct capture_packet *packet)
{
	if (replay->filter == NULL)
		return true;
	enum filter_verdict verdict =
	    filter_match(replay->filter, packet->link_type, packet->frame, packet->len);
	if (verdict == FILTER_UNFIT && !replay->unfit_told) {
		replay->unfit_told = true;
		log_line(run_log(replay->run), LOG_WARNING, "--filter: %s",
			 filter_problem(replay->filter));
	}
	return verdict == FILTER_PASS;
}

/* A link type that nothing here reads is a fault of the input, told once a file. */
static void check_link_type(struct replay *replay, const struct capture_set *set,
			    const struct capture_packet *packet)
{
	if (packet->link_type == replay->link_type)
		return;
	replay->link_type = packet->link_type;
	replay->link_type_read = link_type_name(packet->link_type) != NULL;
	if (replay->link_type_read)
		return;
	replay->failed++;
	log_line(run_log(replay->run), LOG_ERROR,
		 "%s: packets of link type %" PRIu32 " are not read",
		 capture_set_file_path(set, packet->file_id), packet->link_type);
}

/* The tap that a file was given as, or lies below; files without one are the first tap. */
static uint8_t tap_of_file(struct replay *replay, const struct capture_set *set, uint32_t file_id)
{
	const struct option_list *taps = &replay->options->taps;

	if (taps->count == 0 || file_id == replay->tap_file)
		return replay->tap;
	const char *path = capture_set_file_path(set, file_id);
	replay->tap_file = file_id;
	replay->tap = 0;
	for (size_t i = 0; i < taps->count; i++) {
		size_t name_len;
		const char *source = option_pair_value(taps->items[i], &name_len);
		size_t len = strlen(source);
		if (strncmp(path, source, len) == 0 && (path[len] == '\0' || path[len] == '/'))
			replay->tap = (uint8_t)i;
	}
	return replay->tap;
}

/*
 * The interface that a packet came by, from 1; 0 where its section describes no other, or
 * where taps were given: these are the names then.
 */
static uint16_t interface_of_packet(struct replay *replay, const struct capture_set *set,
				    const struct capture_packet *packet)
{
	if (packet->interfaces < 2 || replay->options->taps.count > 0)
		return 0;
	for (; replay->named <= packet->interface_id; replay->named++) {
		char unnamed[32];
		const char *name = capture_set_interface_name(set, replay->named);
		(void)snprintf(unnamed, sizeof unnamed, "interface %" PRIu32, replay->named);
		run_name_interface(replay->run, (uint16_t)(replay->named + 1),
				   name != NULL ? name : unnamed);
	}
	return (uint16_t)(packet->interface_id + 1);
}

/* Every file that a packet came from stands in the report, once. */
static void list_input(struct replay *replay, const struct capture_set *set, uint32_t file_id)
{
	if (replay->listed == NULL || file_id >= LIMIT_CAPTURE_FILES || replay->listed[file_id])
		return;
	replay->listed[file_id] = true;
	run_input(replay->run, capture_set_file_path(set, file_id));
}

/* A file of a directory that is no capture, where each is a set of its own. */
static void skip_file(struct replay *replay, const struct capture_error *error)
{
	replay->skipped++;
	log_line(run_log(replay->run), LOG_DEBUG, "%s: skipped: %s", error->path, error->reason);
}

/* Names what was no capture, for who wonders where one of his files is. */
static void tell_skipped(const struct replay *replay, const struct capture_set *set)
{
	size_t at = 0;
	const char *path;

	while ((path = capture_set_skipped(set, &at)) != NULL)
		log_line(run_log(replay->run), LOG_DEBUG, "%s: skipped: not a capture", path);
}

/* All that was read so far is judged and leaves the outputs' buffers. */
static void tell_outside(struct replay *replay)
{
	run_flush(replay->run);
	run_heartbeat(replay->run, NULL, 0);
}

/* Reads one set to its end. found_in_directory: what is no capture is passed over. */
static void replay_set(struct replay *replay, const char *const *paths, size_t count,
		       bool found_in_directory)
{
	struct capture_packet packet;
	enum capture_status status = CAPTURE_PACKET;
	struct capture_set *set = capture_set_open(paths, count, &replay->limits);

	if (set == NULL) {
		log_line(run_log(replay->run), LOG_ERROR, "no memory to read %s", paths[0]);
		replay->failed++;
		return;
	}
	replay->named = 0;
	if (replay->listed != NULL)
		memset(replay->listed, 0, LIMIT_CAPTURE_FILES * sizeof *replay->listed);
	while (!signals_stop_asked() && status != CAPTURE_END) {
		status = capture_set_next(set, &packet);
		if (status == CAPTURE_BUSY && !run_relieve(replay->run))
			capture_set_wait(set);
		if (status == CAPTURE_PAUSE)
			tell_outside(replay);
		if (status == CAPTURE_FAULT) {
			if (found_in_directory && capture_set_counts(set).captures == 0)
				skip_file(replay, capture_set_error(set));
			else
				report_fault(replay, capture_set_error(set));
		}
		if (status != CAPTURE_PACKET)
			continue;
		uint64_t ordinal = replay->ordinal;
		check_link_type(replay, set, &packet);
		list_input(replay, set, packet.file_id);
		if ((ordinal & 0x3ff) == 0) {
			struct capture_counts counts = capture_set_counts(set);
			show_progress(replay, &counts);
			if ((ordinal & 0xffff) == 0)
				tell_outside(replay);
		}
		if (!filter_admits(replay, &packet)) {
			replay->ordinal++;
			continue;
		}
		packet.ordinal = ordinal;
		packet.tap = tap_of_file(replay, set, packet.file_id);
		packet.interface = interface_of_packet(replay, set, &packet);
		replay->ordinal = run_frame(replay->run, &packet);
	}
	struct capture_counts counts = capture_set_counts(set);
	if (counts.unnamed > 0) {
		replay->failed++;
		log_line(run_log(replay->run), LOG_ERROR,
			 "out of memory: %" PRIu64 " interfaces go without their names",
			 counts.unnamed);
	}
	tell_skipped(replay, set);
	replay->captures += counts.captures;
	replay->skipped += counts.skipped;
	replay->consumed += counts.bytes_read;
	capture_set_close(set);
}

/* Bytes of an input, as far as it is a file. */
static uint64_t file_size(const char *path)
{
	struct stat status;
	return stat(path, &status) == 0 && S_ISREG(status.st_mode) ? (uint64_t)status.st_size : 0;
}

/* A world of its own: nothing is carried over to the next file but the outputs. */
static bool replay_separately(struct replay *replay, const char *path, bool found_in_directory)
{
	if (!run_begin_world(replay->run, path))
		return false;
	replay_set(replay, &path, 1, found_in_directory);
	run_end_world(replay->run, replay->ordinal);
	return true;
}

static bool replay_tree(struct replay *replay, const char *path)
{
	struct walk_list list = {.max_entries = LIMIT_CAPTURE_FILES};
	bool good = capture_walk(&list, path, LIMIT_CAPTURE_DEPTH);
	uint64_t before = replay->captures;

	for (size_t i = 0; i < list.count; i++)
		replay->size += file_size(list.entries[i].path);
	for (size_t i = 0; good && i < list.count && !signals_stop_asked(); i++) {
		const struct walk_entry *entry = &list.entries[i];
		if (entry->fault.problem != NULL) {
			replay->failed++;
			log_line(run_log(replay->run), LOG_ERROR, "%s: %s: %s", entry->path,
				 entry->fault.problem, strerror(entry->fault.error_number));
			continue;
		}
		good = replay_separately(replay, entry->path, true);
	}
	if (good && replay->captures == before && !signals_stop_asked()) {
		log_line(run_log(replay->run), LOG_ERROR, "%s: holds no capture", path);
		replay->failed++;
	}
	walk_list_free(&list);
	return good;
}

/* What cannot be examined is passed over: taken for a file, a directory would be one world. */
static bool replay_input(struct replay *replay, const char *path)
{
	struct stat status = {.st_mode = S_IFREG};

	if (strcmp(path, "-") != 0 && stat(path, &status) != 0) {
		replay->failed++;
		log_line(run_log(replay->run), LOG_ERROR, "%s: cannot be examined: %s", path,
			 strerror(errno));
		return true;
	}
	return S_ISDIR(status.st_mode) ? replay_tree(replay, path)
				       : replay_separately(replay, path, false);
}

static bool replay_inputs(struct replay *replay)
{
	const struct options *options = replay->options;
	const char *const *paths = replay->paths;

	if (!options->separate) {
		if (!run_begin_world(replay->run, NULL))
			return false;
		replay_set(replay, paths, replay->path_count, false);
		run_end_world(replay->run, replay->ordinal);
		return true;
	}
	for (size_t i = 0; i < replay->path_count; i++)
		replay->size += file_size(paths[i]);
	for (size_t i = 0; i < replay->path_count && !signals_stop_asked(); i++) {
		if (!replay_input(replay, paths[i]))
			return false;
	}
	return true;
}

/* Inputs and the sources of taps, as one list. */
static bool list_paths(struct replay *replay)
{
	const struct options *options = replay->options;
	size_t count = options->inputs.count + options->taps.count, n = 0;
	const char **paths = calloc(count > 0 ? count : 1, sizeof *paths);

	if (paths == NULL)
		return false;
	for (size_t i = 0; i < options->inputs.count; i++)
		paths[n++] = options->inputs.items[i];
	for (size_t i = 0; i < options->taps.count; i++) {
		size_t name_len;
		paths[n++] = option_pair_value(options->taps.items[i], &name_len);
	}
	replay->paths = paths;
	replay->path_count = n;
	return true;
}

/* What no run can be begun with. True: *filter is set, if there is to be one. */
static bool check_use(const struct options *options, struct filter **filter, char *error,
		      size_t size)
{
	*filter = NULL;
	if (!path_check(options, &capture_limits, error, size))
		return false;
	if (options->filter == NULL)
		return true;
	char reason[512];
	char *with_dns = options->dns ? filter_with_dns(options->filter) : NULL;
	*filter = filter_new(with_dns != NULL ? with_dns : options->filter, reason);
	free(with_dns);
	if (*filter == NULL)
		(void)snprintf(error, size, "--filter: %s", reason);
	return *filter != NULL;
}

int cmd_replay(const struct options *options)
{
	char error[1024];
	struct replay replay = {
	    .options = options,
	    .limits = capture_limits,
	    .link_type = UINT32_MAX,
	    .tap_file = UINT32_MAX,
	};

	signals_catch();
	if (!file_mapping_guard())
		replay.limits.source.map_from = 0;
	/* Before anything is opened: a mistake in the options empties no file. */
	bool usable = check_use(options, &replay.filter, error, sizeof error);
	if (usable)
		replay.run = run_create(options, RUN_REPLAY, error, sizeof error);
	if (replay.run == NULL) {
		fprintf(stderr, "stripwatch: %s\n", error);
		filter_free(replay.filter);
		return STATUS_WRONG_USE;
	}
	run_heartbeat(replay.run, NULL, 0);
	progress_init(&replay.progress, run_shows_progress(replay.run) ? stderr : NULL);
	if (options->report != NULL)
		replay.listed = calloc(LIMIT_CAPTURE_FILES, sizeof *replay.listed);
	bool good = list_paths(&replay) && (options->report == NULL || replay.listed != NULL) &&
		    replay_inputs(&replay);
	progress_clear(&replay.progress);
	if (!good)
		log_line(run_log(replay.run), LOG_ERROR, "out of memory");
	/* Behind the reader's back: it has told what it met itself. */
	if (file_mapping_lost() > 0 && !replay.loss_told) {
		replay.failed++;
		log_line(run_log(replay.run), LOG_ERROR, "a capture " FILE_MAPPING_LOST);
	}
	if (signals_stop_asked())
		log_line(run_log(replay.run), LOG_ERROR,
			 "stopped by a signal after %" PRIu64 " packets", replay.ordinal);
	if (replay.skipped > 0)
		log_line(run_log(replay.run), LOG_WARNING,
			 "%" PRIu64 " %s no capture and %s skipped", replay.skipped,
			 replay.skipped == 1 ? "file is" : "files are",
			 replay.skipped == 1 ? "was" : "were");
	run_heartbeat(replay.run, NULL, 0);
	filter_free(replay.filter);
	free(replay.listed);
	free((void *)(uintptr_t)replay.paths);
	int status = run_finish(replay.run);
	if (status == STATUS_DONE && (replay.failed > 0 || signals_stop_asked() || !good))
		status = STATUS_INCOMPLETE;
	return status;
}
