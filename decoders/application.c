/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/application.h"

#include <ndpi_api.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * nDPI's interface by release, 4.2 to 5.0; the rest of this file does not know
 * which one it is.
 */
#define NDPI_RELEASE (NDPI_MAJOR * 100 + NDPI_MINOR)

static struct ndpi_detection_module_struct *detection_start(void)
{
#if NDPI_RELEASE < 410
	/* Addresses of the Tor network mean nothing to flows whose addresses are made up. */
	struct ndpi_detection_module_struct *module =
	    ndpi_init_detection_module(ndpi_dont_load_tor_hosts | ndpi_dont_init_libgcrypt);
#else
	struct ndpi_detection_module_struct *module = ndpi_init_detection_module(NULL);
#endif
	if (module == NULL)
		return NULL;
#if NDPI_RELEASE < 500
	NDPI_PROTOCOL_BITMASK all;
	NDPI_BITMASK_SET_ALL(all);
	(void)ndpi_set_protocol_detection_bitmask2(module, &all);
#endif
#if NDPI_RELEASE < 410
	ndpi_finalize_initialization(module);
#else
	if (ndpi_finalize_initialization(module) != 0) {
		ndpi_exit_detection_module(module);
		return NULL;
	}
#endif
	return module;
}

/* The protocol that the flow's bytes are, the outer one: SMTP for mail of whatever provider. */
static uint16_t detection_step(struct ndpi_detection_module_struct *module,
			       struct ndpi_flow_struct *flow, const uint8_t *packet, uint16_t len,
			       uint64_t time_ms)
{
#if NDPI_RELEASE < 406
	ndpi_protocol found = ndpi_detection_process_packet(module, flow, packet, len, time_ms);
#else
	ndpi_protocol found =
	    ndpi_detection_process_packet(module, flow, packet, len, time_ms, NULL);
#endif
#if NDPI_RELEASE < 411
	uint16_t outer = found.master_protocol, inner = found.app_protocol;
#else
	uint16_t outer = found.proto.master_protocol, inner = found.proto.app_protocol;
#endif
	return outer != NDPI_PROTOCOL_UNKNOWN ? outer : inner;
}

const char *application_risk_word(unsigned bit)
{
	static const char *const words[] = {
#define APPLICATION_RISK(symbol, word, ndpi) [APPLICATION_RISK_BIT_##symbol] = word,
#include "decoders/application_risks.def"
	};
	return bit < APPLICATION_RISK_COUNT ? words[bit] : "";
}

bool application_abi_ok(char *error, size_t error_size)
{
	unsigned loaded = ndpi_get_api_version();
	if (loaded == NDPI_API_VERSION)
		return true;
	(void)snprintf(error, error_size,
		       "the nDPI library that is loaded has interface %u, this program was built "
		       "for %u (nDPI %d.%d); install the matching library or build again",
		       loaded, (unsigned)NDPI_API_VERSION, NDPI_MAJOR, NDPI_MINOR);
	return false;
}

/* ---- packets for nDPI ---- */

enum {
	IP_HEADER_LEN = 20,
	TCP_HEADER_LEN = 20,
	HEADERS_LEN = IP_HEADER_LEN + TCP_HEADER_LEN,
	/* As on an Ethernet: nDPI's dissectors expect no larger ones. */
	SEGMENT_MAX = 1460,
	TCP_FLAGS_PSH_ACK = 0x18,
};

/* RFC 2544's test networks: no list of providers' addresses has them. */
#define CLIENT_NETWORK 0xc6120000U /* 198.18.0.0/16 */
#define SERVER_NETWORK 0xc6130000U /* 198.19.0.0/16 */

/* No protocol's: the bytes alone are to be recognised. */
static const uint16_t neutral_port[2] = {50021, 40013};

struct application_detector {
	struct ndpi_detection_module_struct *module;
	/*
	 * nDPI remembers addresses from flow to flow and names later flows by them. Each
	 * question has addresses of its own, so that no answer depends on an earlier one.
	 */
	uint32_t questions;
};

/* One question: a fresh flow of nDPI and the packets that it is given. */
struct question {
	struct application_detector *detector;
	const struct application_flow *flow;
	struct ndpi_flow_struct *state;
	uint32_t seq[2]; /* by side: next sequence number, client first */
	uint64_t time_ms;
	uint16_t protocol;
	uint8_t packet[HEADERS_LEN + SEGMENT_MAX];
};

static void put_u16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void put_u32(uint8_t *at, uint32_t value)
{
	put_u16(at, value >> 16);
	put_u16(at + 2, value);
}

/* Writes an IPv4 and TCP header before len bytes of payload (RFC 791 3.1, RFC 9293 3.1). */
static void write_headers(struct question *question, bool from_server, size_t len)
{
	uint32_t host = question->detector->questions & 0xffffU;
	uint32_t address[2] = {CLIENT_NETWORK | host, SERVER_NETWORK | host};
	uint8_t *ip = question->packet, *tcp = question->packet + IP_HEADER_LEN;

	memset(question->packet, 0, HEADERS_LEN);
	ip[0] = 0x45;
	put_u16(ip + 2, (uint32_t)(HEADERS_LEN + len));
	ip[8] = 64;
	ip[9] = 6;
	put_u32(ip + 12, address[from_server]);
	put_u32(ip + 16, address[!from_server]);
	put_u16(tcp, neutral_port[from_server]);
	put_u16(tcp + 2, neutral_port[!from_server]);
	put_u32(tcp + 4, question->seq[from_server]);
	put_u32(tcp + 8, question->seq[!from_server]);
	tcp[12] = TCP_HEADER_LEN / 4 << 4;
	tcp[13] = TCP_FLAGS_PSH_ACK;
	put_u16(tcp + 14, 65535);
}

/* Gives a side's bytes to nDPI, segment by segment. */
static void ask_side(struct question *question, bool from_server)
{
	struct span bytes = from_server ? question->flow->server : question->flow->client;
	bytes = span_head(bytes, APPLICATION_BYTES_MAX);
	while (bytes.len > 0) {
		struct span segment = span_head(bytes, SEGMENT_MAX);
		write_headers(question, from_server, segment.len);
		memcpy(question->packet + HEADERS_LEN, segment.ptr, segment.len);
		uint16_t found =
		    detection_step(question->detector->module, question->state, question->packet,
				   (uint16_t)(HEADERS_LEN + segment.len), question->time_ms);
		if (found != NDPI_PROTOCOL_UNKNOWN)
			question->protocol = found;
		question->seq[from_server] += (uint32_t)segment.len;
		question->time_ms++;
		bytes = span_skip(bytes, segment.len);
	}
}

/* Asks; what nDPI says is in question until question_end(). False when out of memory. */
static bool question_begin(struct question *question, struct application_detector *detector,
			   const struct application_flow *flow, int64_t time_s)
{
	detector->questions++;
	question->detector = detector;
	question->flow = flow;
	question->seq[0] = question->seq[1] = 1;
	question->time_ms = (uint64_t)time_s * 1000;
	question->protocol = NDPI_PROTOCOL_UNKNOWN;
	/* ndpi_free_flow_data() leaves the structure itself to us. */
	question->state = calloc(1, SIZEOF_FLOW_STRUCT);
	if (question->state == NULL)
		return false;
	ask_side(question, flow->server_first);
	ask_side(question, !flow->server_first);
	return true;
}

/* Forgets everything: nDPI keeps accounts and passwords in a flow's structure. */
static void question_end(struct question *question)
{
	if (question->state != NULL) {
		ndpi_free_flow_data(question->state);
		explicit_bzero(question->state, SIZEOF_FLOW_STRUCT);
		free(question->state);
	}
	explicit_bzero(question->packet, sizeof question->packet);
}

/* ---- questions ---- */

struct application_detector *application_detector_create(void)
{
	struct application_detector *detector = calloc(1, sizeof *detector);
	if (detector == NULL)
		return NULL;
	detector->module = detection_start();
	if (detector->module == NULL) {
		free(detector);
		return NULL;
	}
	return detector;
}

void application_detector_destroy(struct application_detector *detector)
{
	if (detector == NULL)
		return;
	ndpi_exit_detection_module(detector->module);
	free(detector);
}

bool application_detector_is_worn(const struct application_detector *detector)
{
	return detector->questions > 0xffffU / 2;
}

/* nDPI's "FTP_CONTROL" or "MS_OneDrive" as lower-case words. */
static void copy_name(const char *source, char name[APPLICATION_NAME_MAX])
{
	size_t len = 0;
	for (; source[len] != '\0' && len + 1 < APPLICATION_NAME_MAX; len++) {
		char c = source[len];
		bool alphanumeric = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
		if (c >= 'A' && c <= 'Z')
			name[len] = (char)(c - 'A' + 'a');
		else
			name[len] = alphanumeric ? c : '-';
	}
	name[len] = '\0';
}

bool application_name(struct application_detector *detector, const struct application_flow *flow,
		      char name[APPLICATION_NAME_MAX])
{
	struct question question;
	name[0] = '\0';
	if (!question_begin(&question, detector, flow, 0))
		return false;
	if (question.protocol != NDPI_PROTOCOL_UNKNOWN) {
		const char *source = ndpi_get_proto_name(detector->module, question.protocol);
		copy_name(source != NULL ? source : "", name);
	}
	question_end(&question);
	return name[0] != '\0';
}

bool application_is_smtp(struct application_detector *detector, const struct application_flow *flow)
{
	struct question question;
	bool smtp = question_begin(&question, detector, flow, 0) &&
		    (question.protocol == NDPI_PROTOCOL_MAIL_SMTP ||
		     question.protocol == NDPI_PROTOCOL_MAIL_SMTPS);
	question_end(&question);
	return smtp;
}

uint32_t application_tls_risks(struct application_detector *detector,
			       const struct application_flow *flow, int64_t time_s)
{
	static const struct {
		ndpi_risk_enum ndpi;
		enum application_risk risk;
	} table[] = {
#define APPLICATION_RISK(symbol, word, ndpi) {NDPI_##ndpi, APPLICATION_RISK_##symbol},
#include "decoders/application_risks.def"
	};
	struct question question;
	uint32_t risks = 0;
	/* nDPI's time is unsigned; before 1970 there was no TLS. */
	if (question_begin(&question, detector, flow, time_s > 0 ? time_s : 0)) {
		for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
			if ((question.state->risk >> table[i].ndpi & 1) != 0)
				risks |= (uint32_t)table[i].risk;
	}
	question_end(&question);
	return risks;
}
