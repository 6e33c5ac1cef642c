/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "sensor/capture_set.h"
#include "tests/support/capture_writer.h"

#define MAGIC_US 0xa1b2c3d4U
#define MAGIC_NS 0xa1b23c4dU

static const struct capture_limits limits = {
    .window_bytes = 65536,
    .windows_bytes = 1048576,
    .max_in_flight = 4,
    .max_open_files = 8,
    .max_files = 10000,
    .max_depth = 16,
    .source = {.input_bytes = 4096, .zstd_max_window_log = 27},
};

static char directory[64];

static void setup(void)
{
	(void)snprintf(directory, sizeof(directory), "/tmp/capture_set.XXXXXX");
	cr_assert_not_null(mkdtemp(directory));
}

static void remove_tree(const char *path)
{
	DIR *open_directory = opendir(path);
	if (!open_directory)
		return;
	const struct dirent *entry;
	while ((entry = readdir(open_directory))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		char child[600];
		(void)snprintf(child, sizeof(child), "%s/%s", path, entry->d_name);
		struct stat status;
		if (lstat(child, &status) == 0 && S_ISDIR(status.st_mode))
			remove_tree(child);
		else
			(void)unlink(child);
	}
	(void)closedir(open_directory);
	(void)rmdir(path);
}

static void teardown(void)
{
	remove_tree(directory);
}

TestSuite(capture_set, .init = setup, .fini = teardown);

/* The path of name in the test's directory; four are good at a time. */
static const char *at(const char *name)
{
	static char paths[4][256];
	static unsigned next;
	char *path = paths[next++ % 4];
	(void)snprintf(path, 256, "%s/%s", directory, name);
	return path;
}

static void store(const char *name, const void *bytes, size_t len)
{
	FILE *file = fopen(at(name), "wb");
	cr_assert_not_null(file);
	cr_assert_eq(fwrite(bytes, 1, len, file), len);
	cr_assert_eq(fclose(file), 0);
}

/* A pcap with packets at the given seconds; seed tells the files apart. */
static void store_pcap(const char *name, const uint32_t *seconds, size_t count, uint32_t seed)
{
	struct capture_bytes bytes = {0};
	pcap_begin(&bytes, MAGIC_US, 4, 65535, 1);
	for (size_t i = 0; i < count; i++)
		pcap_add(&bytes, seconds[i], 0, 40, 40, 0, seed);
	store(name, bytes.ptr, bytes.len);
	capture_bytes_free(&bytes);
}

/* Writes the whole set as text: "time/file " for a packet, "!reason " for an error. */
static void tell(struct capture_set *set, char *text, size_t room)
{
	size_t len = 0;
	text[0] = '\0';
	for (;;) {
		struct capture_packet packet;
		enum capture_status status = capture_set_next(set, &packet);
		if (status == CAPTURE_END)
			return;
		int count = 0;
		if (status == CAPTURE_PACKET)
			count = snprintf(text + len, room - len, "%d/%u ",
					 (int)(packet.time_ns / 1000000000), packet.file_id);
		else if (status == CAPTURE_FAULT)
			count = snprintf(text + len, room - len, "!%s ",
					 capture_set_error(set)->reason);
		else
			cr_assert_fail("status %d", status);
		len += (size_t)count;
		cr_assert_lt(len, room);
	}
}

static void expect_told(const char *const *paths, size_t count, const char *expected)
{
	char text[4096];
	struct capture_set *set = capture_set_open(paths, count, &limits);
	cr_assert_not_null(set);
	tell(set, text, sizeof(text));
	cr_expect_str_eq(text, expected, "%s", text);
	capture_set_close(set);
}

#define LIST(...) ((const uint32_t[]){__VA_ARGS__}), (sizeof((const uint32_t[]){__VA_ARGS__}) / 4)

Test(capture_set, merges_by_time_and_keeps_the_order_of_equals)
{
	store_pcap("a", LIST(10, 20, 30), 1);
	store_pcap("b", LIST(5, 20, 25), 2);
	store_pcap("c", LIST(20, 40, 35, 36, 50), 3); /* runs backwards: its own order stays */
	store_pcap("none", NULL, 0, 4);
	const char *paths[] = {at("a"), at("b"), at("c"), at("none")};
	expect_told(paths, 4, "5/1 10/0 20/0 20/1 20/2 25/1 30/0 40/2 35/2 36/2 50/2 ");
}

Test(capture_set, a_file_that_fails_does_not_stop_the_others)
{
	store_pcap("a", LIST(10, 20), 1);
	store("empty", "", 0);
	store("text", "no capture at all", 17);
	store_pcap("cut", LIST(12, 13), 2);
	cr_assert_eq(truncate(at("cut"), 24 + 56 + 20), 0);
	const char *paths[] = {strdup(at("a")), strdup(at("missing")), strdup(at("empty")),
			       strdup(at("text")), strdup(at("cut"))};
	expect_told(paths, 5,
		    "!cannot open: No such file or directory !is empty !not a capture "
		    "10/0 12/4 !truncated in the middle of a packet or header 20/0 ");
	struct capture_set *set = capture_set_open(paths + 4, 1, &limits);
	struct capture_packet packet;
	cr_expect_eq(capture_set_next(set, &packet), CAPTURE_PACKET);
	cr_expect_eq(capture_set_next(set, &packet), CAPTURE_FAULT);
	cr_expect_str_eq(capture_set_error(set)->path, paths[4]);
	cr_expect(capture_set_error(set)->has_offset);
	cr_expect_eq(capture_set_error(set)->offset, 80);
	cr_expect_eq(capture_set_next(set, &packet), CAPTURE_END);
	cr_expect_eq(capture_set_next(set, &packet), CAPTURE_END);
	capture_set_close(set);
	for (size_t i = 0; i < 5; i++)
		free((char *)(uintptr_t)paths[i]);
}

Test(capture_set, directories)
{
	cr_assert_eq(mkdir(at("sub"), 0700), 0);
	cr_assert_eq(mkdir(at("sub/\x01 odd\n\xff"), 0700), 0);
	cr_assert_eq(mkdir(at("bare"), 0700), 0);
	store_pcap("sub/b", LIST(2), 1);
	store_pcap("sub/\x01 odd\n\xff/x", LIST(1), 2);
	store_pcap("sub/z.txt", LIST(3), 3);
	store("sub/notes.pcap", "text", 4);
	store("sub/nothing.pcap", "", 0);
	store("sub/cut.pcap", "\xd4\xc3\xb2\xa1\x02", 5);
	cr_assert_eq(symlink("b", at("sub/again")), 0);
	cr_assert_eq(symlink("..", at("sub/loop")), 0);
	cr_assert_eq(symlink("self", at("sub/self")), 0);
	cr_assert_eq(symlink("gone", at("sub/dangling")), 0);
	cr_assert_eq(mkfifo(at("sub/fifo"), 0600), 0);
	const char *paths[] = {at("sub"), at("bare")};
	char text[1024];
	struct capture_set *set = capture_set_open(paths, 2, &limits);
	tell(set, text, sizeof(text));
	cr_expect_str_eq(text,
			 "!truncated in the middle of a packet or header !no captures in it "
			 "1/0 2/1 3/5 ",
			 "%s", text);
	struct capture_counts counts = capture_set_counts(set);
	cr_expect_eq(counts.captures, 4);
	/* notes, nothing; fifo, dangling, self */
	cr_expect_eq(counts.skipped, 5, "%llu", (unsigned long long)counts.skipped);
	cr_expect_eq(counts.files, 9, "%llu", (unsigned long long)counts.files);
	cr_expect_eq(counts.failed, 2);
	cr_expect_eq(counts.bytes_read, counts.bytes);
	capture_set_close(set);
}

Test(capture_set, what_may_not_be_read_is_said)
{
	bool root = geteuid() == 0;
	if (root)
		cr_assert_eq(seteuid(65534), 0);
	char own[64] = "/tmp/capture_set.XXXXXX";
	cr_assert_not_null(mkdtemp(own));
	char path[96];
	(void)snprintf(path, sizeof(path), "%s/secret", own);
	int fd = open(path, O_CREAT | O_WRONLY, 0);
	cr_assert_geq(fd, 0);
	(void)close(fd);
	const char *paths[] = {own, path};
	expect_told(paths, 2,
		    "!cannot open: Permission denied !cannot open: Permission denied "
		    "!no captures in it ");
	(void)unlink(path);
	(void)rmdir(own);
	if (root) {
		/* The change of user made the process unreadable, also to the leak check. */
		cr_assert_eq(seteuid(0), 0);
		(void)prctl(PR_SET_DUMPABLE, 1);
	}
}

/* ---- compression ---- */

static void store_gzip(const char *name, const void *bytes, size_t len, const char *mode)
{
	gzFile file = gzopen(at(name), mode);
	cr_assert_not_null(file);
	cr_assert_eq(gzwrite(file, bytes, (unsigned)len), (int)len);
	cr_assert_eq(gzclose(file), Z_OK);
}

static void store_zstd(const char *name, const struct capture_bytes *bytes, size_t split)
{
	size_t room = ZSTD_compressBound(bytes->len) * 2;
	uint8_t *out = malloc(room);
	size_t len = ZSTD_compress(out, room, bytes->ptr, split, 3);
	len += ZSTD_compress(out + len, room - len, bytes->ptr + split, bytes->len - split, 3);
	store(name, out, len);
	free(out);
}

static void many_packets(struct capture_bytes *bytes, uint32_t count)
{
	pcap_begin(bytes, MAGIC_NS, 4, 262144, 1);
	for (uint32_t i = 0; i < count; i++)
		pcap_add(bytes, 100 + i, i, i % 1500, i % 1500 + 4, 0, i);
}

/* Reads a file that many_packets() wrote; returns how many came before the end or a fault. */
static uint32_t check_many(const char *path, enum capture_status expected_end, char *reason,
			   size_t room)
{
	struct capture_set *set = capture_set_open(&path, 1, &limits);
	struct capture_packet packet;
	enum capture_status status;
	uint32_t i = 0;
	for (; (status = capture_set_next(set, &packet)) == CAPTURE_PACKET; i++) {
		struct capture_bytes frame = {0};
		put_frame(&frame, i, i % 1500);
		cr_assert_eq(packet.time_ns, (100 + (int64_t)i) * 1000000000 + i);
		cr_assert_eq(packet.len, i % 1500 + 4);
		cr_assert_eq(packet.frame.len, i % 1500);
		cr_assert(i % 1500 == 0 || memcmp(packet.frame.ptr, frame.ptr, i % 1500) == 0);
		capture_bytes_free(&frame);
	}
	cr_expect_eq(status, expected_end, "%s: %d after %u", path, status, i);
	reason[0] = '\0';
	if (status == CAPTURE_FAULT)
		(void)snprintf(reason, room, "%s", capture_set_error(set)->reason);
	capture_set_close(set);
	return i;
}

Test(capture_set, compressed_in_any_number_of_members)
{
	struct capture_bytes bytes = {0};
	char reason[200];
	many_packets(&bytes, 600);
	store("plain", bytes.ptr, bytes.len);
	store_gzip("one.gz", bytes.ptr, bytes.len, "wb");
	store_gzip("two.gz", bytes.ptr, 1001, "wb");
	store_gzip("two.gz", bytes.ptr + 1001, bytes.len - 1001, "ab");
	store_zstd("one.zst", &bytes, bytes.len);
	store_zstd("two.zst", &bytes, 1003);
	static const char *const names[] = {"plain", "one.gz", "two.gz", "one.zst", "two.zst"};
	for (size_t i = 0; i < 5; i++)
		cr_expect_eq(check_many(at(names[i]), CAPTURE_END, reason, sizeof(reason)), 600);
	capture_bytes_free(&bytes);
}

Test(capture_set, damaged_compression)
{
	struct capture_bytes bytes = {0};
	char reason[200];
	many_packets(&bytes, 600);
	store_gzip("cut.gz", bytes.ptr, bytes.len, "wb");
	store_gzip("garbage.gz", bytes.ptr, bytes.len, "wb");
	store_gzip("padded.gz", bytes.ptr, bytes.len, "wb");
	store_zstd("cut.zst", &bytes, 150000);
	struct stat status;
	cr_assert_eq(stat(at("cut.gz"), &status), 0);
	cr_assert_eq(truncate(at("cut.gz"), status.st_size - 9), 0);
	cr_assert_eq(truncate(at("padded.gz"), status.st_size + 5000), 0);
	cr_assert_eq(stat(at("cut.zst"), &status), 0);
	cr_assert_eq(truncate(at("cut.zst"), status.st_size - 1), 0);
	FILE *garbage = fopen(at("garbage.gz"), "ab");
	(void)fputs("something else", garbage);
	(void)fclose(garbage);

	cr_expect_gt(check_many(at("cut.gz"), CAPTURE_FAULT, reason, sizeof(reason)), 500);
	cr_expect_str_eq(reason, "compressed data is truncated");
	cr_expect_geq(check_many(at("cut.zst"), CAPTURE_FAULT, reason, sizeof(reason)), 200);
	cr_expect_str_eq(reason, "compressed data is truncated");
	cr_expect_eq(check_many(at("padded.gz"), CAPTURE_END, reason, sizeof(reason)), 600);
	cr_expect_eq(check_many(at("garbage.gz"), CAPTURE_FAULT, reason, sizeof(reason)), 600);
	cr_expect_str_eq(reason, "compressed data is damaged");
	capture_bytes_free(&bytes);
}

Test(capture_set, standard_input_and_fifo)
{
	struct capture_bytes bytes = {0};
	char reason[200];
	many_packets(&bytes, 300);
	int ends[2];
	cr_assert_eq(pipe(ends), 0);
	if (fork() == 0) {
		/* Odd pieces, so that every header is cut somewhere. */
		for (size_t place = 0; place < bytes.len; place += 777) {
			size_t len = bytes.len - place < 777 ? bytes.len - place : 777;
			if (write(ends[1], bytes.ptr + place, len) < 0)
				break;
		}
		_exit(0);
	}
	cr_assert_geq(dup2(ends[0], STDIN_FILENO), 0);
	(void)close(ends[0]);
	(void)close(ends[1]);
	cr_expect_eq(check_many("-", CAPTURE_END, reason, sizeof(reason)), 300);

	cr_assert_eq(mkfifo(at("fifo"), 0600), 0);
	if (fork() == 0) {
		int fd = open(at("fifo"), O_WRONLY);
		_exit(write(fd, bytes.ptr, bytes.len) < 0);
	}
	store_pcap("a", LIST(101, 5000), 1);
	const char *paths[] = {at("a"), at("fifo")};
	struct capture_set *set = capture_set_open(paths, 2, &limits);
	struct capture_packet packet;
	uint32_t count = 0;
	int64_t last = 0;
	while (capture_set_next(set, &packet) == CAPTURE_PACKET) {
		cr_expect_geq(packet.time_ns, last);
		last = packet.time_ns;
		count++;
	}
	cr_expect_eq(count, 302);
	capture_set_close(set);
	capture_bytes_free(&bytes);
}

/* ---- windows ---- */

Test(capture_set, retained_windows_stay_and_their_number_is_capped)
{
	struct capture_bytes bytes = {0};
	many_packets(&bytes, 1200); /* some 890 KB: 14 windows */
	store("many", bytes.ptr, bytes.len);
	const char *path = at("many");
	struct capture_set *set = capture_set_open(&path, 1, &limits);
	static struct capture_packet kept[1200];
	uint32_t count = 0, released = 0, busy = 0;
	for (;;) {
		enum capture_status status = capture_set_next(set, &kept[count]);
		if (status == CAPTURE_PACKET) {
			capture_window_retain(kept[count++].window);
			continue;
		}
		if (status == CAPTURE_END)
			break;
		cr_assert_eq(status, CAPTURE_BUSY);
		busy++;
		/* What was retained is as it was. */
		const struct capture_window *oldest = kept[released].window;
		for (; released < count && kept[released].window == oldest; released++) {
			struct capture_bytes frame = {0};
			put_frame(&frame, released, released % 1500);
			cr_assert(released % 1500 == 0 || memcmp(kept[released].frame.ptr,
								 frame.ptr, released % 1500) == 0);
			capture_bytes_free(&frame);
			capture_window_release(kept[released].window);
		}
		capture_set_wait(set);
	}
	cr_expect_eq(count, 1200);
	cr_expect_gt(busy, 5);
	cr_expect_leq(capture_set_counts(set).window_bytes_peak, (4 + 2 + 4) * 65536);
	capture_set_close(set);
	/* The windows outlive the set. */
	for (; released < count; released++) {
		cr_expect(kept[released].frame.len == 0 ||
			  kept[released].frame.ptr[0] == (uint8_t)(released * 131));
		capture_window_release(kept[released].window);
	}
	capture_bytes_free(&bytes);
}

Test(capture_set, a_file_that_shrinks_or_vanishes_while_it_is_read)
{
	struct capture_bytes bytes = {0};
	many_packets(&bytes, 1200);
	store("many", bytes.ptr, bytes.len);
	const char *path = at("many");
	struct capture_set *set = capture_set_open(&path, 1, &limits);
	struct capture_packet packet;
	cr_assert_eq(capture_set_next(set, &packet), CAPTURE_PACKET);
	cr_assert_eq(truncate(path, 100000), 0);
	uint32_t count = 1;
	enum capture_status status;
	while ((status = capture_set_next(set, &packet)) == CAPTURE_PACKET)
		count++;
	cr_expect_eq(status, CAPTURE_FAULT);
	cr_expect_gt(count, 100);
	cr_expect_lt(count, 1200);
	capture_set_close(set);
	capture_bytes_free(&bytes);
}

/* ---- many files ---- */

Test(capture_set, thousands_of_files_cost_few_descriptors)
{
	struct rlimit few = {.rlim_cur = 40, .rlim_max = 40};
	char name[32];
	for (uint32_t i = 0; i < 2000; i++) {
		(void)snprintf(name, sizeof(name), "r%05u", i);
		store_pcap(name, LIST(2 * i, 2 * i + 3), i); /* each overlaps the next */
	}
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	const char *path = directory;
	struct capture_set *set = capture_set_open(&path, 1, &limits);
	struct capture_packet packet;
	uint32_t count = 0;
	int64_t last = 0;
	enum capture_status status;
	while ((status = capture_set_next(set, &packet)) == CAPTURE_PACKET) {
		cr_assert_geq(packet.time_ns, last);
		last = packet.time_ns;
		count++;
	}
	cr_expect_eq(status, CAPTURE_END);
	cr_expect_eq(count, 4000);
	cr_expect_lt(capture_set_counts(set).window_bytes_peak, 1000000);
	capture_set_close(set);
}

Test(capture_set, more_overlapping_files_than_descriptors)
{
	struct rlimit few = {.rlim_cur = 30, .rlim_max = 30};
	char name[32];
	for (uint32_t i = 0; i < 100; i++) {
		struct capture_bytes bytes = {0};
		pcap_begin(&bytes, MAGIC_US, 4, 65535, 1);
		for (uint32_t j = 0; j < 60; j++)
			pcap_add(&bytes, j * 100 + i, 0, 1000, 1000, 0, j);
		(void)snprintf(name, sizeof(name), i % 2 ? "f%03u" : "f%03u.gz", i);
		if (i % 2)
			store(name, bytes.ptr, bytes.len);
		else
			store_gzip(name, bytes.ptr, bytes.len, "wb");
		capture_bytes_free(&bytes);
	}
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	const char *path = directory;
	struct capture_set *set = capture_set_open(&path, 1, &limits);
	struct capture_packet packet;
	uint32_t count = 0;
	enum capture_status status;
	while ((status = capture_set_next(set, &packet)) == CAPTURE_PACKET) {
		cr_assert_eq(packet.time_ns, (int64_t)count * 1000000000);
		count++;
	}
	cr_expect_eq(status, CAPTURE_END, "%d", status);
	cr_expect_eq(count, 6000);
	capture_set_close(set);
}

/* ---- interfaces ---- */

Test(capture_set, interfaces_of_one_name_are_one)
{
	struct capture_bytes bytes = {0};
	pcapng_section(&bytes);
	pcapng_interface(&bytes, 1, 0, 6, 0, "inside");
	pcapng_interface(&bytes, 1, 0, 6, 0, "outside");
	pcapng_interface(&bytes, 1, 0, 6, 0, NULL);
	pcapng_enhanced(&bytes, 0, 1, 10, 10, 1);
	pcapng_enhanced(&bytes, 1, 2, 10, 10, 1);
	pcapng_enhanced(&bytes, 2, 3, 10, 10, 1);
	pcapng_section(&bytes);
	pcapng_interface(&bytes, 101, 0, 6, 0, "outside");
	pcapng_enhanced(&bytes, 0, 4, 10, 10, 1);
	store("a", bytes.ptr, bytes.len);
	capture_bytes_free(&bytes);
	pcapng_section(&bytes);
	pcapng_interface(&bytes, 1, 0, 6, 0, "outside");
	pcapng_interface(&bytes, 1, 0, 6, 0, "inside");
	pcapng_enhanced(&bytes, 1, 5, 10, 10, 1);
	store("b", bytes.ptr, bytes.len);
	capture_bytes_free(&bytes);
	static const char *const expected[] = {"inside", "outside", NULL, "outside", "inside"};
	static const uint32_t ids[] = {0, 1, 2, 1, 0};
	const char *paths[] = {at("a"), at("b")};
	struct capture_set *set = capture_set_open(paths, 2, &limits);
	struct capture_packet packet;
	for (size_t i = 0; i < 5; i++) {
		cr_assert_eq(capture_set_next(set, &packet), CAPTURE_PACKET);
		cr_expect_eq(packet.interface_id, ids[i], "%zu", i);
		cr_expect_eq(packet.link_type, i == 3 ? 101 : 1);
		const char *name = capture_set_interface_name(set, packet.interface_id);
		if (expected[i])
			cr_expect_str_eq(name, expected[i]);
		else
			cr_expect_null(name);
		cr_expect_str_eq(capture_set_file_path(set, packet.file_id), paths[i / 4]);
	}
	cr_expect_eq(capture_set_next(set, &packet), CAPTURE_END);
	cr_expect_null(capture_set_interface_name(set, 3));
	capture_set_close(set);
}

/* ---- libpcap as the judge ---- */

/* Every packet of a file as libpcap reads it and as we do. */
static void same_as_libpcap(const char *path, const char *what)
{
	char text[PCAP_ERRBUF_SIZE];
	pcap_t *handle =
	    pcap_open_offline_with_tstamp_precision(path, PCAP_TSTAMP_PRECISION_NANO, text);
	cr_assert_not_null(handle, "%s: %s", what, text);
	struct capture_set *set = capture_set_open(&path, 1, &limits);
	for (unsigned i = 0;; i++) {
		struct pcap_pkthdr *header;
		const u_char *bytes;
		struct capture_packet packet;
		int theirs = pcap_next_ex(handle, &header, &bytes);
		enum capture_status ours = capture_set_next(set, &packet);
		if (theirs != 1) {
			enum capture_status expected = theirs == -2 ? CAPTURE_END : CAPTURE_FAULT;
			cr_expect_eq(ours, expected, "%s, %u: %d and %d", what, i, theirs, ours);
			break;
		}
		cr_assert_eq(ours, CAPTURE_PACKET, "%s, %u: %d", what, i, ours);
		cr_expect_eq(packet.time_ns,
			     (int64_t)header->ts.tv_sec * 1000000000 + header->ts.tv_usec, "%s, %u",
			     what, i);
		/* We never let it be less than what was captured. */
		cr_expect_eq(packet.len,
			     header->len > packet.frame.len ? header->len : packet.frame.len,
			     "%s, %u", what, i);
		/* Beyond a snaplen that lies libpcap throws away what was captured. */
		cr_expect_geq(packet.frame.len, header->caplen, "%s, %u", what, i);
		if (packet.frame.len > header->caplen)
			cr_expect_eq(header->caplen, (unsigned)pcap_snapshot(handle));
		cr_expect_eq(memcmp(packet.frame.ptr, bytes, header->caplen), 0, "%s, %u", what, i);
		/* Only 101 has another number as a DLT among those used here. */
		cr_expect_eq(packet.link_type == 101 ? 12 : (int)packet.link_type,
			     pcap_datalink(handle), "%s", what);
	}
	capture_set_close(set);
	pcap_close(handle);
}

static uint32_t next_random(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

Test(capture_set, packet_for_packet_as_libpcap_pcap)
{
	static const uint32_t magics[] = {MAGIC_US, MAGIC_NS, 0xa1b2cd34};
	static const uint32_t networks[] = {1, 101, 113, 276, 0x24000001};
	static const uint32_t snaplens[] = {96, 65535, 262144};
	uint32_t random = 2463534242U;
	for (unsigned form = 0; form < 3 * 2 * 5 * 3 * 2; form++) {
		char what[32];
		(void)snprintf(what, sizeof(what), "form %u", form);
		unsigned magic = form % 3;
		struct capture_bytes bytes = {.big_endian = form / 3 % 2};
		pcap_begin(&bytes, magics[magic], form / 90 ? 3 : 4, snaplens[form / 30 % 3],
			   networks[form / 6 % 5]);
		for (unsigned i = 0; i < 120; i++) {
			uint32_t caplen = next_random(&random) % (i % 40 == 39 ? 60000 : 1600);
			uint32_t len = i % 10 == 9 ? 40 : caplen + next_random(&random) % 3 * 100;
			if (form / 90 && len < caplen)
				len = caplen; /* in 2.3 that means that the two are swapped */
			pcap_add(&bytes, next_random(&random) % 2147483647,
				 next_random(&random) % 1000000, caplen, len, magic == 2 ? 8 : 0,
				 i);
		}
		if (form % 7 == 6)
			bytes.len -= 5;
		store(what, bytes.ptr, bytes.len);
		same_as_libpcap(at(what), what);
		capture_bytes_free(&bytes);
	}
}

Test(capture_set, packet_for_packet_as_libpcap_pcapng)
{
	static const struct {
		uint8_t resolution;
		uint64_t per_second;
	} clocks[] = {{6, 1000000},
		      {9, 1000000000},
		      {3, 1000},
		      {0, 1},
		      {12, 1000000000000},
		      {0x80 | 10, 1 << 10},
		      {0x80 | 20, 1 << 20},
		      {0x80 | 29, 1 << 29}};
	uint32_t random = 88675123U;
	for (unsigned form = 0; form < 2 * 8 * 2; form++) {
		char what[32];
		(void)snprintf(what, sizeof(what), "form %u", form);
		struct capture_bytes bytes = {.big_endian = form % 2};
		uint8_t resolution = clocks[form / 2 % 8].resolution;
		uint64_t per_second = clocks[form / 2 % 8].per_second;
		pcapng_section(&bytes);
		pcapng_interface(&bytes, 1, 262144, resolution, form / 16 ? 86400 : 0, "eth0");
		pcapng_interface(&bytes, 1, 262144, 6, 0, "eth1");
		for (unsigned i = 0; i < 120; i++) {
			uint32_t caplen = next_random(&random) % (i % 40 == 39 ? 60000 : 1600);
			/* The interfaces change places in the second section. */
			bool second = i > 60 && form % 3 == 0;
			uint64_t clock = i % 2    ? second ? per_second : 1000000
					 : second ? 1000000000
						  : per_second;
			uint64_t seconds =
			    next_random(&random) % (clock > 1000000000 ? 1 << 20 : INT32_MAX);
			uint64_t ticks = seconds * clock + next_random(&random) % clock;
			if (i % 5 == 4)
				pcapng_obsolete(&bytes, (uint16_t)(i % 2), ticks, caplen,
						caplen + 7, i);
			else
				pcapng_enhanced(&bytes, i % 2, ticks, caplen, caplen + 7, i);
			if (i % 9 == 0) {
				size_t begin = block_begin(&bytes, i % 2 ? 4 : 0x0bad);
				put_frame(&bytes, i, i);
				block_end(&bytes, begin);
			}
			if (i == 60 && form % 3 == 0) {
				pcapng_section(&bytes);
				pcapng_interface(&bytes, 1, 262144, 9, 0, "eth0");
				pcapng_interface(&bytes, 1, 262144, resolution, 0, "eth1");
			}
		}
		if (form % 7 == 6)
			bytes.len -= 5;
		store(what, bytes.ptr, bytes.len);
		same_as_libpcap(at(what), what);
		capture_bytes_free(&bytes);
	}
}
