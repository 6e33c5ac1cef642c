/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sensor/capture_set.h"
#include "tests/support/capture_writer.h"

static char path[64];
static size_t page;

static void setup(void)
{
	(void)snprintf(path, sizeof(path), "/tmp/file_mapping.XXXXXX");
	int fd = mkstemp(path);
	cr_assert_geq(fd, 0);
	(void)close(fd);
	page = (size_t)sysconf(_SC_PAGESIZE);
	cr_assert(file_mapping_guard());
}

static void teardown(void)
{
	(void)unlink(path);
}

TestSuite(file_mapping, .init = setup, .fini = teardown, .timeout = 30);

static void store(const void *bytes, size_t len)
{
	FILE *file = fopen(path, "wb");
	cr_assert_not_null(file);
	cr_assert_eq(fwrite(bytes, 1, len, file), len);
	cr_assert_eq(fclose(file), 0);
}

/* So many pages of bytes that say where they stand; opened. */
static int store_pages(size_t count)
{
	uint8_t *bytes = malloc(count * page);
	cr_assert_not_null(bytes);
	for (size_t i = 0; i < count * page; i++)
		bytes[i] = (uint8_t)(i % 251 + 1);
	store(bytes, count * page);
	free(bytes);
	int fd = open(path, O_RDONLY);
	cr_assert_geq(fd, 0);
	return fd;
}

Test(file_mapping, begins_and_ends_anywhere)
{
	int fd = store_pages(3);
	struct file_mapping mapping;
	cr_assert(file_mapping_open(&mapping, fd, page + 5, page));
	cr_expect_eq(mapping.len, page);
	for (size_t i = 0; i < page; i++)
		cr_assert_eq(mapping.bytes[i], (page + 5 + i) % 251 + 1);
	cr_expect(file_mapping_whole(&mapping));
	file_mapping_close(&mapping);
	(void)close(fd);
}

Test(file_mapping, a_lost_page_is_zeros_and_known)
{
	int fd = store_pages(3);
	struct file_mapping lost, other;
	cr_assert(file_mapping_open(&other, fd, 0, page));
	cr_assert(file_mapping_open(&lost, fd, 1, 3 * page - 1));
	cr_expect_eq(file_mapping_lost(), 0);
	cr_assert_eq(truncate(path, (off_t)page), 0);
	errno = 77;
	cr_expect_eq(*(const volatile uint8_t *)(lost.bytes + page + 10), 0);
	cr_expect_eq(errno, 77, "a fault is nobody's error");
	cr_expect_not(file_mapping_whole(&lost));
	cr_expect(file_mapping_whole(&other));
	cr_expect_eq(file_mapping_lost(), 1);
	cr_expect_eq(lost.bytes[0], 2, "what is left can be read");
	file_mapping_close(&lost);
	/* The next one to have its place in the table begins whole. */
	cr_assert(file_mapping_open(&lost, fd, 0, page));
	cr_expect(file_mapping_whole(&lost));
	file_mapping_close(&lost);
	file_mapping_close(&other);
	(void)close(fd);
}

static void leave(int number)
{
	_exit(number == SIGBUS ? 7 : 8);
}

Test(file_mapping, another_fault_goes_to_who_had_the_signal_before)
{
	int fd = store_pages(2);
	struct file_mapping mapping;
	struct sigaction action = {.sa_handler = leave};
	cr_assert_eq(sigaction(SIGBUS, &action, NULL), 0);
	cr_assert(file_mapping_guard());
	cr_assert(file_mapping_open(&mapping, fd, 0, page));
	pid_t child = fork();
	cr_assert_geq(child, 0);
	if (child == 0) {
		const volatile uint8_t *other = mmap(NULL, 2 * page, PROT_READ, MAP_SHARED, fd, 0);
		if (other == MAP_FAILED || truncate(path, (off_t)page) != 0)
			_exit(1);
		_exit(other[page] == 0 ? 2 : 3);
	}
	int status = 0;
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 7, "status %d", status);
	file_mapping_close(&mapping);
	(void)close(fd);
}

/* It comes with no address, and ends the process as it would have without the guard. */
Test(file_mapping, a_signal_that_was_sent_is_not_swallowed)
{
	pid_t child = fork();
	cr_assert_geq(child, 0);
	if (child == 0) {
		struct sigaction action = {.sa_handler = leave};
		if (sigaction(SIGBUS, &action, NULL) != 0 || !file_mapping_guard())
			_exit(1);
		(void)kill(getpid(), SIGBUS);
		_exit(2);
	}
	int status = 0;
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 7, "status %d", status);
}

Test(file_mapping, so_many_and_no_more)
{
	int fd = store_pages(1);
	struct file_mapping mapping[FILE_MAPPINGS], more;
	for (unsigned i = 0; i < FILE_MAPPINGS; i++)
		cr_assert(file_mapping_open(&mapping[i], fd, i, 10));
	cr_expect_not(file_mapping_open(&more, fd, 0, 10));
	cr_expect_eq(errno, EMFILE);
	file_mapping_close(&mapping[7]);
	cr_expect(file_mapping_open(&mapping[7], fd, 0, 10));
	for (unsigned i = 0; i < FILE_MAPPINGS; i++)
		file_mapping_close(&mapping[i]);
	cr_expect_not(file_mapping_open(&more, open("/proc/self/stat", O_RDONLY), 0, 10));
	(void)close(fd);
}

/* ---- captures that are mapped ---- */

#define WINDOW 16384U

static struct capture_set *open_set(size_t map_from)
{
	const struct capture_limits limits = {
	    .window_bytes = WINDOW,
	    .windows_bytes = 16 * WINDOW,
	    .max_in_flight = 4,
	    .max_open_files = 8,
	    .max_files = 100,
	    .max_depth = 4,
	    .source = {.input_bytes = 4096, .zstd_max_window_log = 27, .map_from = map_from},
	};
	const char *paths[] = {path};
	struct capture_set *set = capture_set_open(paths, 1, &limits);
	cr_assert_not_null(set);
	return set;
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
Test(file_mapping, nothing_is_mapped_beside_a_pipe)
{
	struct capture_bytes bytes = {0};
	struct capture_packet packet;
	char fifo[80];
	uint32_t count = 0;
	write_capture(&bytes, false);
	store(bytes.ptr, bytes.len);
	(void)snprintf(fifo, sizeof(fifo), "%s.fifo", path);
	cr_assert_eq(mkfifo(fifo, 0600), 0);
	pid_t child = fork();
	cr_assert_geq(child, 0);
	if (child == 0) {
		int fd = open(fifo, O_WRONLY);
		_exit(write(fd, bytes.ptr, bytes.len) != (ssize_t)bytes.len);
	}
	const struct capture_limits limits = {
	    .window_bytes = WINDOW,
	    .windows_bytes = 16 * WINDOW,
	    .max_in_flight = 4,
	    .max_open_files = 8,
	    .max_files = 100,
	    .max_depth = 4,
	    .source = {.input_bytes = 4096, .map_from = WINDOW},
	};
	const char *paths[] = {path, fifo};
	struct capture_set *set = capture_set_open(paths, 2, &limits);
	cr_assert_not_null(set);
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
	struct capture_set *reads = open_set(0), *maps = open_set(WINDOW);
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

Test(file_mapping, a_capture_is_the_same_read_or_mapped)
{
	for (unsigned big_endian = 0; big_endian < 2; big_endian++) {
		for (unsigned pcapng = 0; pcapng < 2; pcapng++) {
			struct capture_bytes bytes = {.big_endian = big_endian != 0};
			write_capture(&bytes, pcapng != 0);
			store(bytes.ptr, bytes.len);
			cr_expect_eq(check_same(), 1500);
			/* Cut in a frame, in a header, behind a packet; garbage behind it. */
			store(bytes.ptr, bytes.len - 500);
			cr_expect_eq(check_same(), 1499);
			store(bytes.ptr, bytes.len / 2);
			cr_expect_gt(check_same(), 600);
			memset(bytes.ptr + bytes.len / 2, 0xff, bytes.len / 2);
			store(bytes.ptr, bytes.len);
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

Test(file_mapping, a_capture_that_shrinks_or_grows_while_it_is_read)
{
	struct capture_bytes bytes = {0};
	struct capture_packet packet;
	enum capture_status status;
	write_capture(&bytes, false);
	for (uint32_t before = 1; before < 1000; before += 333) {
		store(bytes.ptr, bytes.len);
		struct capture_set *set = open_set(WINDOW);
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
	store(bytes.ptr, bytes.len / 2);
	struct capture_set *set = open_set(WINDOW);
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
