/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Servers and clients as rows of the baseline's tables, and back. A file may have been edited by
 * hand: whatever a row holds, what is read from it is within the bounds of its type.
 */
#ifndef ALERTS_BASELINE_ROWS_H
#define ALERTS_BASELINE_ROWS_H

#include "alerts/exposure.h"
#include "alerts/server_memory.h"

struct sqlite3;
struct sqlite3_stmt;

/* The tables of the present version. */
extern const char baseline_schema[];

/* What every statement below is made of; all NULL until prepared. */
struct baseline_statements {
	struct sqlite3_stmt *one_server, *networks, *certificates; /* by address and port */
	struct sqlite3_stmt *put_server, *put_network, *put_certificate;
	struct sqlite3_stmt *drop_networks, *drop_certificates;
	struct sqlite3_stmt *members, *put_member, *drop_members;
	struct sqlite3_stmt *recent, *put_recent, *drop_recent;
	struct sqlite3_stmt *one_client, *put_client;
	struct sqlite3_stmt *pin;
};

/* False: sqlite3_errmsg() says why. Those that write are left out with read_only. */
bool baseline_prepare(struct sqlite3 *database, bool read_only,
		      struct baseline_statements *statements);
void baseline_finalize(struct baseline_statements *statements);

/*
 * All servers (clients), those unseen for longest first, of at most ? seen last. The columns are
 * those that the readers below take.
 */
extern const char baseline_select_servers[], baseline_select_clients[];

/* A row of baseline_select_servers. False: its address is none, *server says nothing. */
bool baseline_read_server(struct baseline_statements *statements, struct sqlite3_stmt *row,
			  struct server_memory *server);
bool baseline_read_client(struct sqlite3_stmt *row, struct client_exposure *client);

/* The server (client) at this place, if the file has it. */
bool baseline_find_server(struct baseline_statements *statements, const struct endpoint *endpoint,
			  struct server_memory *server);
bool baseline_find_client(struct baseline_statements *statements, const struct ip_addr *address,
			  struct client_exposure *client);

/* Whether a person pinned it. */
bool baseline_is_pinned(struct baseline_statements *statements, const struct endpoint *endpoint);

/* Puts a row, or several, in the place of what was there. False on failure. */
bool baseline_write_server(struct baseline_statements *statements,
			   const struct server_memory *server);
bool baseline_write_client(struct baseline_statements *statements,
			   const struct client_exposure *client);

/* Binds an address and port to ? 1 and 2 of a statement; reads them from columns 0 and 1. */
void baseline_bind_endpoint(struct sqlite3_stmt *statement, const struct endpoint *endpoint);
struct endpoint baseline_read_endpoint(struct sqlite3_stmt *row);

#endif
