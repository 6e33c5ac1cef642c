/* SPDX-License-Identifier: Apache-2.0 */
/* Which servers and clients of a baseline are meant: the filters of stripwatch baseline. */
#ifndef SENSOR_BASELINE_FILTER_H
#define SENSOR_BASELINE_FILTER_H

#include "alerts/exposure.h"
#include "alerts/server_memory.h"
#include "sensor/options.h"

#define BASELINE_FILTER_ERROR_MAX 256

/* An address, or all of a network; of one port, or of any. */
struct baseline_place {
	struct ip_addr addr; /* version 0: any */
	unsigned prefix_len;
	uint16_t port; /* 0: any */
};

struct baseline_filter {
	struct baseline_place server, network; /* network: of a client */
	const char *name;                      /* a pattern as of a shell; NULL: any; borrowed */
	bool offered, never, pinned;
	int64_t since_s, stale_s; /* seen last at or after, before; 0: any */
};

/* ADDR[/LEN], ADDR:PORT or [ADDR]:PORT. False: it is none. */
bool baseline_place_parse(const char *text, struct baseline_place *place);

/* The filters of the command line, ages counted back from now_s. False with a reason in error. */
bool baseline_filter_create(const struct options *options, int64_t now_s,
			    struct baseline_filter *filter, char error[BASELINE_FILTER_ERROR_MAX]);

bool baseline_filter_server(const struct baseline_filter *filter,
			    const struct server_memory *server);
/* By network, server and time alone. */
bool baseline_filter_client(const struct baseline_filter *filter,
			    const struct client_exposure *client);

#endif
