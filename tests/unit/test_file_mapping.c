/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sensor/file_mapping.h"
#include "tests/support/scratch_file.h"

static char path[SCRATCH_PATH_MAX];
static size_t page;

static void setup(void)
{
	cr_assert(scratch_file_make(path, "file_mapping"));
	page = (size_t)sysconf(_SC_PAGESIZE);
	cr_assert(file_mapping_guard());
}

static void teardown(void)
{
	(void)unlink(path);
}

TestSuite(file_mapping, .init = setup, .fini = teardown, .timeout = 30);

/* So many pages of bytes that say where they stand; opened. */
static int store_pages(size_t count)
{
	uint8_t *bytes = malloc(count * page);
	cr_assert_not_null(bytes);
	for (size_t i = 0; i < count * page; i++)
		bytes[i] = (uint8_t)(i % 251 + 1);
	cr_assert(scratch_file_store(path, bytes, count * page));
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
