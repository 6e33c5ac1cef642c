/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/crc32c.h"
#include "alerts/outbox.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define RECORDS 4

static char directory[64];

static void make_directory(void)
{
	(void)snprintf(directory, sizeof(directory), "/tmp/stripwatch-outbox-XXXXXX");
	cr_assert_not_null(mkdtemp(directory));
}

static void empty_directory(void)
{
	DIR *listing = opendir(directory);
	for (struct dirent *entry; (entry = readdir(listing)) != NULL;)
		if (entry->d_name[0] != '.')
			(void)unlinkat(dirfd(listing), entry->d_name, 0);
	closedir(listing);
}

static void remove_directory(void)
{
	empty_directory();
	(void)rmdir(directory);
}

TestSuite(outbox, .init = make_directory, .fini = remove_directory, .timeout = 120);

static struct outbox_config small_config(void)
{
	return (struct outbox_config){
	    .directory = directory,
	    .queue_bytes = 1 << 20,
	    .disk_bytes = 1 << 20,
	    .segment_bytes = 1 << 16,
	    .max_segments = 64,
	    .max_record_bytes = 4096,
	    .dead_letter_bytes = 4096,
	    .sync_ms = 2,
	};
}

static struct outbox *open_or_fail(const struct outbox_config *config)
{
	char error[256] = "";
	struct outbox *outbox = outbox_open(config, NULL, error, sizeof(error));
	cr_assert_not_null(outbox, "%s", error);
	return outbox;
}

static enum outbox_put_result put(struct outbox *outbox, unsigned number, unsigned severity)
{
	char id[33];
	char json[64];
	(void)snprintf(id, sizeof(id), "%032x", number);
	(void)snprintf(json, sizeof(json), "{\"number\":%u}", number);
	const struct outbox_record record = {.severity = severity,
					     .id = span_str(id),
					     .rule = span_str("tls-weak"),
					     .sensor = span_str("tap"),
					     .json = span_str(json)};
	return outbox_put(outbox, &record);
}

/* Waits until everything that was put is on disk. */
static void settle(struct outbox *outbox, uint64_t written)
{
	for (int i = 0; i < 5000 && outbox_stats(outbox).written < written; i++)
		(void)usleep(1000);
	cr_assert_eq(outbox_stats(outbox).written, written);
}

static unsigned number_of(const struct outbox_record *record)
{
	char id[33] = "";
	memcpy(id, record->id.ptr, 32);
	return (unsigned)strtoul(id, NULL, 16);
}

/* Reads everything; the numbers in the order read. */
static size_t read_all(struct outbox *outbox, unsigned *numbers, size_t max)
{
	struct outbox_batch batch;
	cr_assert(outbox_batch_init(&batch, max, 1 << 20));
	outbox_read(outbox, &batch, max, NULL);
	for (size_t i = 0; i < batch.count; i++)
		numbers[i] = number_of(&batch.records[i]);
	size_t count = batch.count;
	outbox_batch_free(&batch);
	return count;
}

static void acknowledge(struct outbox *outbox, size_t count)
{
	struct outbox_batch batch;
	cr_assert(outbox_batch_init(&batch, 64, 1 << 20));
	outbox_read(outbox, &batch, count, NULL);
	cr_assert_eq(batch.count, count);
	outbox_acknowledge(outbox, &batch, count);
	outbox_batch_free(&batch);
}

/* The one segment file of a severity, whole. */
static size_t load_segment(const char *word, char *path, size_t path_size, uint8_t *bytes,
			   size_t max)
{
	DIR *listing = opendir(directory);
	size_t size = 0;
	path[0] = '\0';
	for (struct dirent *entry; (entry = readdir(listing)) != NULL;)
		if (strncmp(entry->d_name, word, strlen(word)) == 0)
			(void)snprintf(path, path_size, "%s/%s", directory, entry->d_name);
	closedir(listing);
	FILE *file = fopen(path, "r");
	cr_assert_not_null(file, "no segment of %s", word);
	size = fread(bytes, 1, max, file);
	fclose(file);
	return size;
}

static void store_file(const char *path, const uint8_t *bytes, size_t size)
{
	FILE *file = fopen(path, "w");
	cr_assert_not_null(file);
	cr_assert_eq(fwrite(bytes, 1, size, file), size);
	fclose(file);
}

/* Leaves RECORDS alerts of one severity on disk, and returns their file. */
static size_t make_segment(char *path, size_t path_size, uint8_t *bytes, size_t max)
{
	struct outbox_config config = small_config();
	struct outbox *outbox = open_or_fail(&config);
	for (unsigned i = 0; i < RECORDS; i++)
		cr_assert_eq(put(outbox, i, 2), OUTBOX_TAKEN);
	outbox_close(outbox);
	return load_segment("high-", path, path_size, bytes, max);
}

Test(crc32c, known_values)
{
	static const struct {
		const char *text;
		uint32_t crc;
	} cases[] = {
	    {"", 0}, {"123456789", 0xe3069283}, {"a", 0xc1d04330}}; /* RFC 3720 B.4 and Rocksoft */
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_expect_eq(crc32c(0, span_str(cases[i].text)), cases[i].crc, "%s", cases[i].text);
	uint8_t zeros[32] = {0};
	cr_expect_eq(crc32c(0, span_of(zeros, 32)), 0x8a9136aa);
	cr_expect_eq(crc32c(crc32c(0, span_str("1234")), span_str("56789")), 0xe3069283);
	/* By instruction and by tables, at every length and alignment. */
	uint8_t bytes[80];
	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (uint8_t)(i * 37 + 11);
	for (size_t start = 0; start < 8; start++)
		for (size_t len = 0; len <= sizeof bytes - start; len++)
			cr_assert_eq(crc32c(7, span_of(bytes + start, len)),
				     crc32c_by_tables(7, span_of(bytes + start, len)));
}

Test(outbox, keeps_alerts_across_runs_in_the_order_of_raising)
{
	struct outbox_config config = small_config();
	struct outbox *outbox = open_or_fail(&config);
	for (unsigned i = 0; i < 40; i++)
		cr_assert_eq(put(outbox, i, i % OUTBOX_SEVERITIES), OUTBOX_TAKEN);
	settle(outbox, 40);
	acknowledge(outbox, 10);
	outbox_close(outbox);

	unsigned numbers[64];
	outbox = open_or_fail(&config);
	cr_expect_eq(outbox_stats(outbox).recovered, 30);
	cr_assert_eq(put(outbox, 40, 0), OUTBOX_TAKEN);
	settle(outbox, 1);
	cr_assert_eq(read_all(outbox, numbers, 64), 31);
	for (unsigned i = 0; i < 31; i++)
		cr_expect_eq(numbers[i], i + 10);
	acknowledge(outbox, 31);
	cr_expect_eq(outbox_stats(outbox).pending, 0);
	outbox_close(outbox);
	outbox = open_or_fail(&config);
	cr_expect_eq(outbox_stats(outbox).pending, 0);
	cr_expect_eq(read_all(outbox, numbers, 64), 0);
	outbox_close(outbox);
}

Test(outbox, is_recovered_after_a_crash_at_any_byte)
{
	char path[512];
	uint8_t bytes[4096];
	size_t size = make_segment(path, sizeof(path), bytes, sizeof(bytes));
	size_t each = (size - OUTBOX_SEGMENT_HEADER_SIZE) / RECORDS;
	struct outbox_config config = small_config();

	for (size_t cut = 0; cut <= size; cut++) {
		unsigned numbers[16];
		empty_directory();
		store_file(path, bytes, cut);
		size_t whole = cut < OUTBOX_SEGMENT_HEADER_SIZE
				   ? 0
				   : (cut - OUTBOX_SEGMENT_HEADER_SIZE) / each;
		bool torn = cut < OUTBOX_SEGMENT_HEADER_SIZE
				? cut > 0
				: (cut - OUTBOX_SEGMENT_HEADER_SIZE) % each != 0;
		struct outbox *outbox = open_or_fail(&config);
		struct outbox_stats stats = outbox_stats(outbox);
		cr_assert_eq(stats.recovered, whole, "cut at %zu", cut);
		cr_assert_eq(stats.torn_tails, torn, "cut at %zu", cut);
		cr_assert_eq(put(outbox, 100, 2), OUTBOX_TAKEN);
		settle(outbox, 1);
		cr_assert_eq(read_all(outbox, numbers, 16), whole + 1, "cut at %zu", cut);
		for (unsigned i = 0; i < whole; i++)
			cr_assert_eq(numbers[i], i, "cut at %zu", cut);
		cr_assert_eq(numbers[whole], 100, "cut at %zu", cut);
		/* What comes later must not share a file with what the crash left. */
		acknowledge(outbox, whole);
		cr_assert_eq(put(outbox, 101, 2), OUTBOX_TAKEN);
		settle(outbox, 2);
		acknowledge(outbox, 1);
		cr_assert_eq(read_all(outbox, numbers, 16), 1, "cut at %zu", cut);
		cr_assert_eq(numbers[0], 101, "cut at %zu", cut);
		outbox_close(outbox);
	}
}

/* Killed right after a new file was made: the next run must not write to it twice. */
Test(outbox, does_not_trip_over_an_empty_file_behind_a_full_one)
{
	char path[512];
	uint8_t bytes[4096];
	unsigned numbers[16];
	struct outbox_config config = small_config();
	(void)make_segment(path, sizeof(path), bytes, sizeof(bytes));
	(void)snprintf(path, sizeof(path), "%s/high-%020u.seg", directory, RECORDS + 1);
	store_file(path, bytes, OUTBOX_SEGMENT_HEADER_SIZE);

	struct outbox *outbox = open_or_fail(&config);
	for (unsigned i = 0; i < 3; i++)
		(void)put(outbox, 100 + i, 2);
	settle(outbox, 3);
	acknowledge(outbox, RECORDS + 1);
	cr_assert_eq(read_all(outbox, numbers, 16), 2);
	cr_expect_eq(numbers[0], 101);
	cr_expect_eq(numbers[1], 102);
	outbox_close(outbox);
}

Test(outbox, steps_over_any_damaged_byte)
{
	char path[512];
	uint8_t bytes[4096];
	size_t size = make_segment(path, sizeof(path), bytes, sizeof(bytes));
	size_t each = (size - OUTBOX_SEGMENT_HEADER_SIZE) / RECORDS;
	struct outbox_config config = small_config();

	for (size_t at = OUTBOX_SEGMENT_HEADER_SIZE; at < size; at++) {
		unsigned numbers[16];
		size_t victim = (at - OUTBOX_SEGMENT_HEADER_SIZE) / each;
		empty_directory();
		bytes[at] ^= 0x10;
		store_file(path, bytes, size);
		bytes[at] ^= 0x10;
		struct outbox *outbox = open_or_fail(&config);
		struct outbox_stats stats = outbox_stats(outbox);
		cr_assert_eq(read_all(outbox, numbers, 16), RECORDS - 1, "damage at %zu", at);
		for (unsigned i = 0; i < RECORDS - 1; i++)
			cr_assert_eq(numbers[i], i + (i >= victim), "damage at %zu", at);
		/* The last record's damage cannot be told from a torn end. */
		cr_assert_eq(stats.torn_tails + stats.corrupt_regions, 1, "damage at %zu", at);
		acknowledge(outbox, RECORDS - 1);
		cr_assert_eq(outbox_stats(outbox).pending, 0, "damage at %zu", at);
		outbox_close(outbox);
	}
}

Test(outbox, survives_a_damaged_cursor)
{
	struct outbox_config config = small_config();
	struct outbox *outbox = open_or_fail(&config);
	char path[512];
	uint8_t bytes[64];
	unsigned numbers[64];

	for (unsigned i = 0; i < 30; i++)
		(void)put(outbox, i, 1);
	settle(outbox, 30);
	acknowledge(outbox, 10);
	(void)usleep(100000); /* the cursor is stored */
	acknowledge(outbox, 10);
	outbox_close(outbox);
	(void)snprintf(path, sizeof(path), "%s/cursor", directory);
	FILE *file = fopen(path, "r");
	cr_assert_eq(fread(bytes, 1, 64, file), 64);
	fclose(file);
	for (size_t at = 0; at < 64; at++) {
		bytes[at] ^= 0x40;
		store_file(path, bytes, 64);
		bytes[at] ^= 0x40;
		outbox = open_or_fail(&config);
		size_t count = read_all(outbox, numbers, 64);
		/* Repeats, perhaps; never a hole. */
		cr_assert(count == 10 || count == 20, "byte %zu: %zu", at, count);
		cr_assert_eq(numbers[count - 1], 29);
		outbox_close(outbox);
	}
}

Test(outbox, belongs_to_one_sensor)
{
	struct outbox_config config = small_config();
	char error[256] = "";
	struct outbox *outbox = open_or_fail(&config);
	cr_expect_null(outbox_open(&config, NULL, error, sizeof(error)));
	cr_expect_not_null(strstr(error, "in use"), "%s", error);
	outbox_close(outbox);
	outbox_close(open_or_fail(&config));
}

Test(outbox, refuses_a_newer_format)
{
	char path[512];
	uint8_t bytes[4096];
	char error[256] = "";
	size_t size = make_segment(path, sizeof(path), bytes, sizeof(bytes));
	const struct outbox_segment_header header = {
	    .version = 2, .severity = 2, .first_sequence = 1};
	outbox_segment_header_encode(&header, bytes);
	store_file(path, bytes, size);
	struct outbox_config config = small_config();
	cr_expect_null(outbox_open(&config, NULL, error, sizeof(error)));
	cr_expect_not_null(strstr(error, "newer"), "%s", error);
}

/* Reads two batches, the second behind the first, acknowledges the first, and so on. */
static void read_in_pairs(struct outbox *outbox, unsigned count)
{
	struct outbox_batch batch, next;
	unsigned expected = 0;
	cr_assert(outbox_batch_init(&batch, 7, 1 << 20) && outbox_batch_init(&next, 5, 1 << 20));
	outbox_read(outbox, &batch, 7, NULL);
	while (batch.count > 0) {
		outbox_read(outbox, &next, 5, &batch);
		for (size_t i = 0; i < batch.count; i++)
			cr_assert_eq(number_of(&batch.records[i]), expected++);
		for (size_t i = 0; i < next.count; i++)
			cr_assert_eq(number_of(&next.records[i]), expected + i);
		outbox_acknowledge(outbox, &batch, batch.count);
		struct outbox_batch done = batch;
		batch = next;
		next = done;
	}
	cr_assert_eq(expected, count);
	cr_assert_eq(outbox_stats(outbox).pending, 0);
	outbox_batch_free(&batch);
	outbox_batch_free(&next);
}

Test(outbox, can_be_read_ahead_of_what_is_acknowledged)
{
	struct outbox_config config = small_config();
	config.segment_bytes = 300; /* a few records: places lie in files that go away */
	struct outbox *outbox = open_or_fail(&config);
	for (unsigned i = 0; i < 200; i++)
		cr_assert_eq(put(outbox, i, i / 3 % OUTBOX_SEVERITIES), OUTBOX_TAKEN);
	settle(outbox, 200);
	read_in_pairs(outbox, 200);
	outbox_close(outbox);
}

Test(outbox, gives_no_sequence_out_twice_after_a_crash)
{
	enum { COUNT = 40, SIZE = 2000 }; /* a file long enough to be removed once it is done */
	static char json[SIZE];
	struct outbox_config config = small_config();
	struct outbox_batch batch;
	config.sync_ms = 60000;
	memset(json, ' ', sizeof json);
	const struct outbox_record record = {.severity = 2, .json = span_of(json, sizeof json)};
	cr_assert(outbox_batch_init(&batch, 64, 1 << 20));
	pid_t child = fork();
	if (child == 0) {
		struct outbox *outbox = open_or_fail(&config);
		for (unsigned i = 0; i < COUNT; i++)
			(void)outbox_put(outbox, &record);
		settle(outbox, COUNT);
		outbox_read(outbox, &batch, 64, NULL);
		outbox_acknowledge(outbox, &batch, batch.count);
		(void)kill(getpid(), SIGKILL); /* long before the cursor is synced */
	}
	int status;
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert(WIFSIGNALED(status));
	config.sync_ms = 2;
	struct outbox *outbox = open_or_fail(&config);
	cr_assert_eq(put(outbox, 60, 2), OUTBOX_TAKEN);
	settle(outbox, 1);
	outbox_read(outbox, &batch, 64, NULL);
	cr_assert_eq(batch.count, 1, "%zu alerts came again", batch.count);
	cr_assert_eq(batch.records[0].sequence, COUNT + 1);
	outbox_batch_free(&batch);
	outbox_close(outbox);
}

Test(outbox, drops_the_lowest_severity_first_at_the_cap)
{
	struct outbox_config config = small_config();
	config.disk_bytes = 20000;
	config.segment_bytes = 1000;
	struct outbox *outbox = open_or_fail(&config);
	unsigned numbers[1024];

	/* Some 95 bytes each: the cap holds about 200. */
	for (unsigned i = 0; i < 150; i++)
		(void)put(outbox, i, 0);
	for (unsigned i = 150; i < 300; i++)
		(void)put(outbox, i, 3);
	settle(outbox, 300);
	struct outbox_stats stats = outbox_stats(outbox);
	cr_expect_gt(stats.dropped[0], 80);
	cr_expect_eq(stats.dropped[3], 0);
	cr_expect_leq(stats.pending_bytes, 20000);
	size_t count = read_all(outbox, numbers, 1024);
	cr_expect_eq(count + stats.dropped[0], 300);
	cr_expect_eq(numbers[count - 1], 299);
	for (size_t i = 1; i < count; i++)
		cr_expect_lt(numbers[i - 1], numbers[i]);
	/* Full of critical ones: a low one is refused, a critical one displaces the oldest. */
	for (unsigned i = 300; i < 500; i++)
		(void)put(outbox, i, 3);
	(void)put(outbox, 500, 0);
	(void)put(outbox, 501, 3);
	for (int i = 0; i < 2000 && outbox_stats(outbox).written < 501; i++)
		(void)usleep(1000);
	count = read_all(outbox, numbers, 1024);
	stats = outbox_stats(outbox);
	cr_expect_eq(numbers[count - 1], 501);
	cr_expect_gt(stats.dropped[3], 0);
	cr_expect_eq(count + stats.dropped[0] + stats.dropped[3], 502);
	outbox_close(outbox);
}

Test(outbox, goes_on_in_memory_while_the_disk_is_full)
{
	struct outbox_config config = small_config();
	struct outbox *outbox = open_or_fail(&config);
	unsigned numbers[64];

	for (unsigned i = 0; i < 5; i++)
		(void)put(outbox, i, 1);
	settle(outbox, 5);
	/* A file may not grow: the kernel answers EFBIG instead of the signal. */
	(void)signal(SIGXFSZ, SIG_IGN);
	struct rlimit before;
	cr_assert_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
	const struct rlimit limit = {.rlim_cur = 300, .rlim_max = before.rlim_max};
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	for (unsigned i = 5; i < 20; i++)
		cr_assert_eq(put(outbox, i, 1), OUTBOX_TAKEN);
	for (int i = 0; i < 3000 && !outbox_stats(outbox).degraded; i++)
		(void)usleep(1000);
	struct outbox_stats stats = outbox_stats(outbox);
	cr_expect(stats.degraded);
	cr_expect_gt(stats.write_errors, 0);
	cr_expect_eq(stats.pending, 20);
	/* Redis may still have them, in order. */
	cr_assert_eq(read_all(outbox, numbers, 64), 20);
	for (unsigned i = 0; i < 20; i++)
		cr_expect_eq(numbers[i], i);
	acknowledge(outbox, 12);
	cr_expect_eq(outbox_stats(outbox).pending, 8);
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
	for (int i = 0; i < 3000 && outbox_stats(outbox).degraded; i++)
		(void)usleep(1000);
	cr_expect_not(outbox_stats(outbox).degraded);
	outbox_close(outbox);
	outbox = open_or_fail(&config);
	cr_assert_eq(read_all(outbox, numbers, 64), 8);
	cr_expect_eq(numbers[0], 12);
	cr_expect_eq(numbers[7], 19);
	outbox_close(outbox);
}

Test(outbox, drops_what_is_too_old)
{
	struct outbox_config config = small_config();
	config.max_age_s = 1;
	struct outbox *outbox = open_or_fail(&config);
	for (unsigned i = 0; i < 5; i++)
		(void)put(outbox, i, 1);
	settle(outbox, 5);
	for (int i = 0; i < 5000 && outbox_stats(outbox).expired == 0; i++)
		(void)usleep(1000);
	cr_expect_eq(outbox_stats(outbox).expired, 5);
	cr_expect_eq(outbox_stats(outbox).pending, 0);
	outbox_close(outbox);
}

Test(outbox, refuses_an_alert_that_is_too_long)
{
	static char text[8192];
	struct outbox_config config = small_config();
	struct outbox *outbox = open_or_fail(&config);
	const struct outbox_record record = {.json = span_of(text, sizeof(text))};
	cr_expect_eq(outbox_put(outbox, &record), OUTBOX_TOO_LARGE);
	cr_expect_eq(outbox_stats(outbox).too_large, 1);
	outbox_close(outbox);
}

Test(outbox, keeps_dead_letters_within_their_cap)
{
	struct outbox_config config = small_config();
	struct outbox *outbox = open_or_fail(&config);
	const struct outbox_record record = {.severity = 3, .json = span_str("{\"a\":1}")};
	char path[128];
	struct stat status;

	for (unsigned i = 0; i < 200; i++)
		cr_assert(outbox_dead_letter(outbox, &record, "ERR \"no\" \x1b[31m"));
	cr_expect_eq(outbox_stats(outbox).dead_letters, 200);
	(void)snprintf(path, sizeof(path), "%s/dead-letter.jsonl.1", directory);
	cr_assert_eq(stat(path, &status), 0);
	cr_expect_lt(status.st_size, 4096 + 256);
	FILE *file = fopen(path, "r");
	char line[256];
	cr_assert_not_null(fgets(line, sizeof(line), file));
	fclose(file);
	cr_expect_str_eq(line, "{\"reason\":\"ERR ?no? ?[31m\",\"severity\":\"critical\","
			       "\"alert\":{\"a\":1}}\n");
	outbox_close(outbox);
}

Test(outbox_memory, can_be_read_ahead_of_what_is_acknowledged)
{
	struct outbox_config config = small_config();
	config.directory = NULL;
	struct outbox *outbox = open_or_fail(&config);
	for (unsigned i = 0; i < 100; i++)
		cr_assert_eq(put(outbox, i, i % OUTBOX_SEVERITIES), OUTBOX_TAKEN);
	read_in_pairs(outbox, 100);
	outbox_close(outbox);
}

Test(outbox_memory, has_the_same_interface)
{
	struct outbox_config config = small_config();
	config.directory = NULL;
	config.queue_bytes = 2000;
	struct outbox *outbox = open_or_fail(&config);
	unsigned numbers[64];

	for (unsigned i = 0; i < 10; i++)
		cr_assert_eq(put(outbox, i, i == 3 ? 0 : 2), OUTBOX_TAKEN);
	/* Full: the low one goes first, then the oldest of the same severity. */
	unsigned next = 10;
	while (outbox_stats(outbox).dropped[0] == 0)
		(void)put(outbox, next++, 2);
	size_t count = read_all(outbox, numbers, 64);
	cr_expect_eq(numbers[0], 0);
	cr_expect_eq(numbers[3], 4);
	cr_expect_eq(numbers[count - 1], next - 1);
	cr_expect_eq(put(outbox, 99, 1), OUTBOX_FULL);
	cr_expect_eq(outbox_stats(outbox).dropped[1], 1);
	acknowledge(outbox, count);
	cr_expect_eq(outbox_stats(outbox).pending, 0);
	outbox_close(outbox);
}
