/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/filter.h"

#include <criterion/criterion.h>
#include <string.h>

enum { ETHERNET = 1, RAW = 101, LINUX_SLL = 113 };

/* IPv4, TCP 10.0.0.1:1024 -> 10.0.0.2:25, behind an Ethernet header. */
static const uint8_t FRAME[] = {
    2,    0, 0, 0,  0, 1, 2, 0, 0,  0, 0, 2, 8,    0,                    /* Ethernet */
    0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10,   0, 0, 1, 10, 0, 0, 2, /* IPv4 */
    4,    0, 0, 25, 0, 0, 0, 0, 0,  0, 0, 0, 0x50, 2, 0, 0, 0,  0, 0, 0, /* TCP */
};

static enum filter_verdict match(const char *expression, uint32_t link_type)
{
	char error[FILTER_ERROR_MAX];
	struct filter *filter = filter_new(expression, error);
	size_t skip = link_type == RAW ? 14 : 0;
	struct span frame = {.ptr = FRAME + skip, .len = sizeof(FRAME) - skip};

	cr_assert(filter, "%s: %s", expression, error);
	enum filter_verdict verdict = filter_match(filter, link_type, frame, (uint32_t)frame.len);

	cr_expect_eq(filter_match(filter, link_type, frame, (uint32_t)frame.len), verdict);
	cr_expect_eq(verdict == FILTER_UNFIT, *filter_problem(filter) != '\0');
	filter_free(filter);
	return verdict;
}

Test(filter, verdicts)
{
	const struct {
		const char *expression;
		uint32_t link_type;
		enum filter_verdict verdict;
	} cases[] = {
	    {"tcp port 25", ETHERNET, FILTER_PASS},
	    {"tcp port 25", RAW, FILTER_PASS},
	    {"tcp port 587", ETHERNET, FILTER_DROP},
	    {"tcp port 587", RAW, FILTER_DROP},
	    {"host 10.0.0.2 and greater 54", ETHERNET, FILTER_PASS},
	    {"ether src 02:00:00:00:00:02", ETHERNET, FILTER_PASS},
	    {"ether src 02:00:00:00:00:02", RAW, FILTER_UNFIT},
	    {"", ETHERNET, FILTER_PASS},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_expect_eq(match(cases[i].expression, cases[i].link_type), cases[i].verdict,
			     "case %zu", i);
}

Test(filter, nonsense_is_refused_with_a_reason)
{
	const char *const expressions[] = {"tcp prot 25", "(((", "port 99999"};

	for (size_t i = 0; i < sizeof(expressions) / sizeof(expressions[0]); i++) {
		char error[FILTER_ERROR_MAX] = "";

		cr_expect_null(filter_new(expressions[i], error), "%s", expressions[i]);
		cr_expect_neq(error[0], '\0', "%s", expressions[i]);
	}
}

Test(filter, more_link_types_than_places)
{
	char error[FILTER_ERROR_MAX];
	struct filter *filter = filter_new("tcp port 25", error);
	struct span frame = {.ptr = FRAME, .len = sizeof(FRAME)};

	for (uint32_t link_type = 200; link_type < 300; link_type++)
		filter_match(filter, link_type, frame, sizeof(FRAME));
	cr_expect_eq(filter_match(filter, ETHERNET, frame, sizeof(FRAME)), FILTER_PASS);
	filter_free(filter);
}
