/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/redis_setup.h"

#include "sensor/limits.h"

#include <stdio.h>
#include <stdlib.h>

static bool find_password(struct redis_setup *setup, const struct options *options, char *error,
			  size_t error_size)
{
	const char *inherited = getenv("STRIPWATCH_REDIS_PASSWORD");

	if (options->redis_password_file != NULL)
		return redis_url_read_password(&setup->url, options->redis_password_file, error,
					       error_size);
	if (setup->url.has_password || inherited == NULL || inherited[0] == '\0')
		return true;
	if (redis_url_set_password(&setup->url, inherited))
		return true;
	(void)snprintf(error, error_size, "STRIPWATCH_REDIS_PASSWORD: longer than %d bytes",
		       REDIS_SECRET_MAX - 1);
	return false;
}

bool redis_setup_open(struct redis_setup *setup, const struct options *options, char *error,
		      size_t error_size)
{
	const struct redis_tls_config tls = {
	    .ca_file = options->redis_ca_file,
	    .certificate = options->redis_cert,
	    .key = options->redis_key,
	    .server_name = options->redis_server_name,
	};

	*setup = (struct redis_setup){.tls = NULL};
	if (!redis_url_parse(options->redis, &setup->url, error, error_size) ||
	    !find_password(setup, options, error, error_size))
		return false;
	if (!setup->url.tls)
		return true;
	setup->tls = redis_tls_context_new(&tls, error, error_size);
	return setup->tls != NULL;
}

void redis_setup_close(struct redis_setup *setup)
{
	redis_tls_context_free(setup->tls);
	setup->tls = NULL;
	redis_url_wipe(&setup->url);
}

struct redis_topology_config redis_setup_topology(const struct redis_setup *setup)
{
	return (struct redis_topology_config){
	    .link =
		{
		    .connect_timeout_ms = LIMIT_REDIS_CONNECT_MS,
		    .command_timeout_ms = LIMIT_REDIS_COMMAND_MS,
		    .max_reply_bytes = LIMIT_REDIS_REPLY,
		    .cancel_fd = -1,
		    .user = setup->url.user,
		    .password = setup->url.has_password ? setup->url.password : NULL,
		    .database = setup->url.database,
		    .client_name = "stripwatch",
		    .tls = setup->tls,
		},
	    .sentinel_password = getenv("STRIPWATCH_SENTINEL_PASSWORD"),
	    .max_nodes = LIMIT_REDIS_NODES,
	};
}
