/* SPDX-License-Identifier: Apache-2.0 */
/* Captures whose windows are mapped: the same packets, whatever becomes of the file meanwhile. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sensor/capture_set.h"
#include "tests/support/capture_writer.h"
#include "tests/support/scratch_file.h"

static char path[SCRATCH_PATH_MAX];

static void setup(void)
{
	cr_assert(scratch_file_make(path, "capture_mapped"));
	cr_assert(file_mapping_guard());
}

static void teardown(void)
{
	(void)unlink(path);
}

TestSuite(capture_mapped, .init = setup, .fini = teardown, .timeout = 30);

#define WINDOW 16384U

static struct capture_set *open_set(const char *const *paths, size_t count, size_t map_from)
{
	const struct capture_limits limits = {
	    .window_bytes = WINDOW,
	    .windows_bytes = 16 * WINDOW,
	    .max_in_flight = 4,
	    .max_open_files = 8,
	    .max_files = 100,
	    .max_depth = 4,
	    .source = {.input_bytes = 4096,
		       .zstd_max_window_log = 27,
		       .map_from = map_from,
		       .map_always = true},
	};
	struct capture_set *set = capture_set_open(paths, count, &limits);
	cr_assert_not_null(set);
	return set;
}

static struct capture_set *open_one(size_t map_from)
{
	const char *paths[] = {path};
	return open_set(paths, 1, map_from);
}

/* Some 1.1 MB. */
static void write_capture(struct capture_bytes *bytes, bool pcapng)
{
	if (pcapng) {
		pcapng_section(bytes);
		pcapng_interface(bytes, 1, 0, 6, 0, "one");
	} else {
		pcap_begin(bytes, 0xa1b2c3d4U, 4, 262144, 1);
	}
	for (uint32_t i = 0; i < 1500; i++) {
		/* Of any length, one that fills windows of its own among them. */
		const uint32_t len = i == 700 ? 3 * WINDOW : i * 37 % 1515;
		if (pcapng)
			pcapng_enhanced(bytes, 0, UINT64_C(1700000000000000) + i, len, len, i);
		else
			pcap_add(bytes, 1700000000 + i, i, len, len, 0, i);
	}
}

/* A file beside one that has to be waited for is read, not mapped. */
Test(capture_mapped, nothing_is_mapped_beside_a_pipe)
{
	struct capture_bytes bytes = {0};
	struct capture_packet packet;
	char fifo[80];
	uint32_t count = 0;
	write_capture(&bytes, false);
	cr_assert(scratch_file_store(path, bytes.ptr, bytes.len));
	(void)snprintf(fifo, sizeof(fifo), "%s.fifo", path);
	cr_assert_eq(mkfifo(fifo, 0600), 0);
	pid_t child = fork();
	cr_assert_geq(child, 0);
	if (child == 0) {
		int fd = open(fifo, O_WRONLY);
		_exit(write(fd, bytes.ptr, bytes.len) != (ssize_t)bytes.len);
	}
	const char *paths[] = {path, fifo};
	struct capture_set *set = open_set(paths, 2, WINDOW);
	for (; capture_set_next(set, &packet) == CAPTURE_PACKET; count++)
		cr_assert_not(packet.window->mapped);
	cr_expect_eq(count, 3000);
	capture_set_close(set);
	(void)unlink(fifo);
	capture_bytes_free(&bytes);
}

/* Both sets give the same packets and end alike. Returns their number. */
static uint32_t check_same(void)
{
	struct capture_set *reads = open_one(0), *maps = open_one(WINDOW);
	uint32_t count = 0, mapped = 0;
	for (;; count++) {
		struct capture_packet a, b;
		const enum capture_status status = capture_set_next(reads, &a);
		cr_assert_eq(capture_set_next(maps, &b), status);
		if (status != CAPTURE_PACKET) {
			if (status == CAPTURE_FAULT) {
				cr_expect_str_eq(capture_set_error(maps)->reason,
						 capture_set_error(reads)->reason);
				cr_expect_eq(capture_set_error(maps)->offset,
					     capture_set_error(reads)->offset);
			}
			break;
		}
		cr_assert_eq(a.time_ns, b.time_ns);
		cr_assert_eq(a.len, b.len);
		cr_assert_eq(a.frame.len, b.frame.len);
		cr_assert(a.frame.len == 0 || memcmp(a.frame.ptr, b.frame.ptr, a.frame.len) == 0);
		cr_assert_not(a.window->mapped);
		mapped += b.window->mapped;
	}
	cr_expect_gt(mapped, count / 2);
	cr_expect_eq(capture_set_counts(maps).bytes_read, capture_set_counts(reads).bytes_read);
	capture_set_close(reads);
	capture_set_close(maps);
	return count;
}

Test(capture_mapped, a_capture_is_the_same_read_or_mapped)
{
	for (unsigned big_endian = 0; big_endian < 2; big_endian++) {
		for (unsigned pcapng = 0; pcapng < 2; pcapng++) {
			struct capture_bytes bytes = {.big_endian = big_endian != 0};
			write_capture(&bytes, pcapng != 0);
			cr_assert(scratch_file_store(path, bytes.ptr, bytes.len));
			cr_expect_eq(check_same(), 1500);
			/* Cut in a frame, in a header, behind a packet; garbage behind it. */
			cr_assert(scratch_file_store(path, bytes.ptr, bytes.len - 500));
			cr_expect_eq(check_same(), 1499);
			cr_assert(scratch_file_store(path, bytes.ptr, bytes.len / 2));
			cr_expect_gt(check_same(), 600);
			memset(bytes.ptr + bytes.len / 2, 0xff, bytes.len / 2);
			cr_assert(scratch_file_store(path, bytes.ptr, bytes.len));
			cr_expect_gt(check_same(), 600);
			capture_bytes_free(&bytes);
		}
	}
}

static uint32_t count_rest(struct capture_set *set, enum capture_status *status)
{
	struct capture_packet packet;
	uint32_t count = 0;
	while ((*status = capture_set_next(set, &packet)) == CAPTURE_PACKET)
		count++;
	return count;
}

Test(capture_mapped, a_capture_that_shrinks_or_grows_while_it_is_read)
{
	struct capture_bytes bytes = {0};
	struct capture_packet packet;
	enum capture_status status;
	write_capture(&bytes, false);
	for (uint32_t before = 1; before < 1000; before += 333) {
		cr_assert(scratch_file_store(path, bytes.ptr, bytes.len));
		struct capture_set *set = open_one(WINDOW);
		for (uint32_t i = 0; i < before; i++)
			cr_assert_eq(capture_set_next(set, &packet), CAPTURE_PACKET);
		cr_assert_eq(truncate(path, 30), 0);
		cr_expect_lt(before + count_rest(set, &status), 1500);
		cr_expect_eq(status, CAPTURE_FAULT);
		cr_expect_not_null(strstr(capture_set_error(set)->reason, "cut"), "%s",
				   capture_set_error(set)->reason);
		capture_set_close(set);
	}
	/* What is written behind what there was is read as well. */
	cr_assert(scratch_file_store(path, bytes.ptr, bytes.len / 2));
	struct capture_set *set = open_one(WINDOW);
	cr_assert_eq(capture_set_next(set, &packet), CAPTURE_PACKET);
	FILE *file = fopen(path, "ab");
	cr_assert_not_null(file);
	cr_assert_eq(fwrite(bytes.ptr + bytes.len / 2, 1, bytes.len - bytes.len / 2, file),
		     bytes.len - bytes.len / 2);
	cr_assert_eq(fclose(file), 0);
	cr_expect_eq(1 + count_rest(set, &status), 1500);
	cr_expect_eq(status, CAPTURE_END);
	capture_set_close(set);
	capture_bytes_free(&bytes);
}
