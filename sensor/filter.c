/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/filter.h"

#include "sensor/limits.h"

#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct program {
	uint32_t link_type;
	bool compiled; /* false: the expression does not fit the link type */
	struct bpf_program code;
};

struct filter {
	char *expression;
	struct program programs[LIMIT_FILTER_LINK_TYPES];
	size_t count;
	char problem[FILTER_ERROR_MAX];
};

/* LINKTYPE_ values are DLT_ values, except the few whose DLT_ differs between systems. */
static int dlt_of(uint32_t link_type)
{
	switch (link_type) {
	case 101: /* LINKTYPE_RAW */
		return DLT_RAW;
	case 100: /* LINKTYPE_ATM_RFC1483 */
		return DLT_ATM_RFC1483;
	default:
		return (int)link_type;
	}
}

static bool compile(struct filter *filter, uint32_t link_type, struct bpf_program *code)
{
	pcap_t *dead = pcap_open_dead(dlt_of(link_type), LIMIT_FRAME);

	if (!dead) {
		snprintf(filter->problem, sizeof(filter->problem), "out of memory");
		return false;
	}
	bool ok = pcap_compile(dead, code, filter->expression, 1, PCAP_NETMASK_UNKNOWN) == 0;

	if (!ok)
		snprintf(filter->problem, sizeof(filter->problem), "%.256s", pcap_geterr(dead));
	pcap_close(dead);
	return ok;
}

static const struct program *program_for(struct filter *filter, uint32_t link_type)
{
	for (size_t i = 0; i < filter->count; i++)
		if (filter->programs[i].link_type == link_type)
			return &filter->programs[i];
	/* Beyond the cap the last place is used again: slow, and no input has that many. */
	if (filter->count == LIMIT_FILTER_LINK_TYPES) {
		filter->count--;
		if (filter->programs[filter->count].compiled)
			pcap_freecode(&filter->programs[filter->count].code);
	}
	struct program *program = &filter->programs[filter->count++];

	*program = (struct program){.link_type = link_type};
	program->compiled = compile(filter, link_type, &program->code);
	return program;
}

struct filter *filter_new(const char *expression, char error[FILTER_ERROR_MAX])
{
	/* Ethernet first: its complaint is the one that is shown. */
	static const uint32_t TRIED[] = {DLT_EN10MB, 101, DLT_LINUX_SLL, DLT_IEEE802_11_RADIO,
					 DLT_PPP};
	struct filter *filter = calloc(1, sizeof(*filter));

	snprintf(error, FILTER_ERROR_MAX, "out of memory");
	if (!filter)
		return NULL;
	filter->expression = strdup(expression);
	for (size_t i = 0; filter->expression && i < sizeof(TRIED) / sizeof(TRIED[0]); i++) {
		if (program_for(filter, TRIED[i])->compiled) {
			filter->problem[0] = '\0';
			error[0] = '\0';
			return filter;
		}
		if (i == 0)
			snprintf(error, FILTER_ERROR_MAX, "%s", filter->problem);
	}
	filter_free(filter);
	return NULL;
}

char *filter_with_dns(const char *expression)
{
	char *whole = NULL;
	if (expression == NULL || asprintf(&whole, "(port 53) or (%s)", expression) < 0)
		return NULL;
	return whole;
}

void filter_free(struct filter *filter)
{
	if (!filter)
		return;
	for (size_t i = 0; i < filter->count; i++)
		if (filter->programs[i].compiled)
			pcap_freecode(&filter->programs[i].code);
	free(filter->expression);
	free(filter);
}

enum filter_verdict filter_match(struct filter *filter, uint32_t link_type, struct span frame,
				 uint32_t len)
{
	const struct program *program = program_for(filter, link_type);
	const struct pcap_pkthdr header = {.caplen = (bpf_u_int32)frame.len, .len = len};

	if (!program->compiled)
		return FILTER_UNFIT;
	return pcap_offline_filter(&program->code, &header, frame.ptr) ? FILTER_PASS : FILTER_DROP;
}

const char *filter_problem(const struct filter *filter)
{
	return filter->problem;
}
