/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who must use TLS: a stated policy, and what breaks it.
 *
 * A policy file is YAML (deploy/policy.yaml shows every key). Each of its
 * demands names servers, by address, network or host name, with or without a
 * port, or recipient domains, and what it demands of them: TLS at all, a
 * version at least, a certificate without problems. A folder of MTA-STS
 * policies as published (RFC 8461 3.2; DOMAIN.txt or DOMAIN) adds one demand
 * for each policy in mode enforce: TLS for mail to that domain. Those in mode
 * testing or none demand nothing.
 *
 * With DNS answers a server has the names that they give its address besides
 * those it gives itself, and TLSA records and MX say what hosts must do.
 *
 * The domain of a recipient is visible when the mail goes in the clear, which
 * is when it matters; inside TLS only demands on servers can be judged.
 */
#ifndef ALERTS_POLICY_H
#define ALERTS_POLICY_H

#include "alerts/dns_memory.h"
#include "alerts/observation.h"
#include "alerts/verdict.h"

#define POLICY_ERROR_MAX 512
#define POLICY_DEMANDS   100000 /* demands of one policy, folder included */
#define POLICY_FILE_MAX  65536  /* bytes of an MTA-STS policy; RFC 8461 3.3 suggests 64 KB */

struct policy;

/*
 * Reads a policy and the folder that it names. NULL with one sentence in error
 * that names file, line and key: nothing of a policy is used unless all is.
 */
struct policy *policy_open(const char *path, char error[POLICY_ERROR_MAX]);
void policy_close(struct policy *policy); /* NULL is allowed */

/*
 * policy: NULL when none is stated. dns: what DNS answers said, NULL when they are not
 * looked at. A TLSA record demands TLS of its host (RFC 7672), the more surely the better
 * the answer is vouched for; the announcement of an MTA-STS policy whose text is not in the
 * folder demands it with low confidence, as the text may say "testing".
 */

/* Writes policy_demands_tls and policy_demands_valid, leaves the rest of *context alone. */
void policy_context(const struct policy *policy, const struct dns_memory *dns,
		    const struct observation *observation, struct verdict_context *context);

/* Adds policy-violation to those that verdict holds, in rule order, unless it is in already. */
void policy_findings(const struct policy *policy, const struct dns_memory *dns,
		     const struct observation *observation, uint32_t already,
		     struct verdict *verdict);

#endif
