/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/capture_live.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct capture_live_settings SETTINGS = {.snaplen = 65536, .buffer_size = 1 << 20};

Test(capture_live, a_missing_interface_is_named)
{
	char error[CAPTURE_LIVE_ERROR_MAX] = "";
	const char *name = "no-such-if0";

	cr_expect_null(capture_live_open(&name, 1, &SETTINGS, error));
	cr_expect(strstr(error, name), "%s", error);
}

/*
 * A test that needs the right to capture is skipped without it, visibly. Tests
 * run side by side on one loopback interface, so each has a port of its own.
 */
static struct capture_live *open_loopback(size_t count, uint16_t port)
{
	const char *const names[] = {"lo", "lo"};
	struct capture_live_settings settings = SETTINGS;
	char error[CAPTURE_LIVE_ERROR_MAX] = "";
	char filter[32];

	if (geteuid() != 0)
		cr_skip_test("capturing needs root");
	snprintf(filter, sizeof(filter), "udp dst port %u", port);
	settings.filter = filter;
	struct capture_live *live = capture_live_open(names, count, &settings, error);

	cr_assert(live, "%s", error);
	return live;
}

static void send_datagram(const char *text, uint16_t port)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(port),
				 .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};

	cr_assert_eq(sendto(fd, text, strlen(text), 0, (struct sockaddr *)&to, sizeof(to)),
		     (ssize_t)strlen(text));
	close(fd);
}

static unsigned receive(struct capture_live *live, const char *text, unsigned seen[2])
{
	struct capture_packet packet;
	enum live_status status;
	unsigned packets = 0;
	int64_t last = 0;

	while ((status = capture_live_next(live, &packet)) == LIVE_PACKET) {
		size_t len = strlen(text);

		cr_expect_geq(packet.frame.len, len);
		cr_expect_arr_eq(packet.frame.ptr + packet.frame.len - len, text, len);
		cr_expect_eq(packet.link_type, 1);
		cr_expect_gt(packet.time_ns, INT64_C(1600000000) * 1000000000);
		cr_expect_geq(packet.time_ns, last);
		last = packet.time_ns;
		seen[packet.interface_id]++;
		packets++;
	}
	cr_expect_eq(status, LIVE_IDLE);
	return packets;
}

Test(capture_live, packets_come_and_are_counted)
{
	struct capture_live *live = open_loopback(1, 9726);
	unsigned seen[2] = {0};

	for (int i = 0; i < 10; i++)
		send_datagram("hello", 9726);
	/* Loopback shows a packet as it leaves and as it arrives; libpcap drops one of them. */
	unsigned packets = receive(live, "hello", seen);

	cr_expect_eq(packets, 10);
	cr_expect_geq(capture_live_stats(live, 0).received, 10);
	cr_expect_eq(capture_live_stats(live, 0).dropped_kernel, 0);
	cr_expect_str_eq(capture_live_interface(live, 0), "lo");
	capture_live_close(live);
}

Test(capture_live, several_interfaces_are_merged)
{
	struct capture_live *live = open_loopback(2, 9727);
	unsigned seen[2] = {0};

	for (int i = 0; i < 10; i++)
		send_datagram("hello", 9727);
	cr_expect_eq(receive(live, "hello", seen), 20);
	cr_expect_eq(seen[0], 10, "%u %u", seen[0], seen[1]);
	cr_expect_eq(seen[1], 10);
	capture_live_close(live);
}

static void on_alarm(int number)
{
	(void)number;
}

Test(capture_live, a_signal_ends_the_wait)
{
	struct capture_live *live = open_loopback(1, 9728);
	struct sigaction action = {.sa_handler = on_alarm};
	struct capture_packet packet;

	sigaction(SIGALRM, &action, NULL);
	ualarm(30000, 0);
	cr_expect_eq(capture_live_next(live, &packet), LIVE_INTERRUPTED);
	cr_expect_eq(capture_live_next(live, &packet), LIVE_IDLE);
	capture_live_close(live);
}

Test(capture_live, a_bad_filter_is_refused)
{
	struct capture_live_settings settings = SETTINGS;
	const char *name = "lo";
	char error[CAPTURE_LIVE_ERROR_MAX] = "";

	if (geteuid() != 0)
		cr_skip_test("capturing needs root");
	settings.filter = "tcp prot 25";
	cr_expect_null(capture_live_open(&name, 1, &settings, error));
	cr_expect(strstr(error, "syntax error"), "%s", error);
}
