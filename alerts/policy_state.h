/* SPDX-License-Identifier: Apache-2.0 */
/* The insides of a policy, for the files that read one and the one that judges by it. */
#ifndef ALERTS_POLICY_STATE_H
#define ALERTS_POLICY_STATE_H

#include "alerts/policy.h"
#include "alerts/policy_pattern.h"

enum sts_mode { STS_NONE, STS_TESTING, STS_ENFORCE };

struct demand {
	char *name;
	struct patterns servers, domains;
	struct patterns mx;   /* of MTA-STS: hosts that may take the mail */
	uint16_t min_version; /* as on the wire; 0: any */
	bool valid_certificate;
	bool is_sts;
	enum sts_mode mode; /* of MTA-STS: testing and none demand nothing */
};

struct policy {
	struct demand *demands; /* owned */
	size_t count;
};

/* Room for one more, zeroed. NULL when there are too many, or no memory. */
struct demand *policy_add_demand(struct policy *policy);

/*
 * Reads the MTA-STS policies of a folder, in the order of their names. False
 * with a sentence that names file, line and key.
 */
bool policy_read_sts_folder(struct policy *policy, const char *folder,
			    char error[POLICY_ERROR_MAX]);

#endif
