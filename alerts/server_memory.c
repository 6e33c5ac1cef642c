/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/server_memory.h"

#include "decoders/siphash.h"

#define DAY_S            86400
#define POOL_RETURNS     3   /* so often the offer came back ... */
#define POOL_RETURNS_ONE 8   /* ... where one client network alone is concerned ... */
#define POOL_SPARSE      10  /* ... where no client comes back soon enough ... */
#define POOL_NEVER       3   /* ... but no network was without it so often in a row */
#define POOL_RUN         2   /* ... after at most so many sessions without it, on average */
#define CHANGED_SESSIONS 100 /* without an offer, in a row ... */
#define CHANGED_S        (30 * DAY_S)
#define TEMPFAILS        3

static void count_up(uint32_t *counter)
{
	if (*counter < UINT32_MAX)
		++*counter;
}

/* The clients come too seldom for one to be seen both ways, but several tell the same. */
static bool is_sparse_pool(const struct server_memory *server)
{
	uint32_t alternations = 0;
	unsigned missing = 0;
	for (unsigned i = 0; i < server->member_count; i++)
		if (server->members[i].offers > 0)
			alternations += server->members[i].alternations;
	for (unsigned i = 0; i < server->network_count; i++) {
		missing += server->networks[i].missing > 0;
		if (server->networks[i].run >= POOL_NEVER)
			return false; /* somebody on its path takes it away */
	}
	return missing >= 3 && alternations >= POOL_SPARSE &&
	       server->missing / POOL_RUN <= alternations;
}

static bool is_pool(const struct server_memory *server)
{
	unsigned mixed = 0;
	for (unsigned i = 0; i < server->network_count; i++)
		mixed += server->networks[i].offers > 0 && server->networks[i].missing > 0;
	/* At least two fifths: what comes and goes from the beginning, not after quiet days. */
	bool often = 3 * (uint64_t)server->missing >= 2 * (uint64_t)server->offers;
	bool returns = server->returns >= (mixed > 1 || often ? POOL_RETURNS : POOL_RETURNS_ONE);
	/* In one network it may be one client's luck, and another's misfortune. */
	if (mixed < 2 && server->client_returns < POOL_RETURNS)
		returns = false;
	return (returns && server->missing / POOL_RUN <= server->returns) || is_sparse_pool(server);
}

bool server_memory_offers(const struct server_memory *server)
{
	if (server->pinned)
		return true;
	if (server->offers < SERVER_KNOWN_OFFERS || is_pool(server))
		return false;
	return server->missing_since_offer < CHANGED_SESSIONS ||
	       server->missing_last_s - server->offer_last_s < CHANGED_S;
}

static struct server_member *find_member(struct server_memory *server, uint64_t name)
{
	for (unsigned i = 0; i < server->member_count; i++)
		if (server->members[i].name == name)
			return &server->members[i];
	return NULL;
}

bool server_memory_member_offers(const struct server_memory *server, uint64_t member)
{
	if (!server_memory_offers(server))
		return false;
	for (unsigned i = 0; i < server->member_count && !server->pinned; i++)
		if (server->members[i].name == member && server->members[i].offers == 0 &&
		    (server->members[i].returns >= POOL_RETURNS ||
		     (server->members[i].missing_several &&
		      server->members[i].alternations >= POOL_RETURNS)))
			return false;
	return true;
}

bool server_memory_refuses_all(const struct server_memory *server)
{
	return server->tempfail_run >= TEMPFAILS && server->tempfail_several;
}

const struct server_recent *server_memory_others(const struct server_memory *server,
						 const struct ip_addr *client, int64_t since_s)
{
	const struct server_recent *latest = NULL;
	for (unsigned i = 0; i < server->recent_count; i++) {
		const struct server_recent *recent = &server->recent[i];
		if (recent->offered_s < since_s || ip_addr_equal(&recent->client, client))
			continue;
		if (latest == NULL || recent->offered_s > latest->offered_s)
			latest = recent;
	}
	return latest;
}

void server_memory_note_recent(struct server_memory *server, const struct ip_addr *client,
			       bool offered, int64_t time_s)
{
	struct server_recent *slot = NULL;
	for (unsigned i = 0; i < server->recent_count && slot == NULL; i++)
		if (ip_addr_equal(&server->recent[i].client, client))
			slot = &server->recent[i];
	if (slot == NULL) {
		/* Who was never offered it must not push out who was. */
		if (!offered)
			return;
		if (server->recent_count < SERVER_RECENT) {
			slot = &server->recent[server->recent_count++];
		} else {
			slot = &server->recent[0];
			for (unsigned i = 1; i < SERVER_RECENT; i++)
				if (server->recent[i].offered_s < slot->offered_s)
					slot = &server->recent[i];
		}
		*slot = (struct server_recent){.client = *client};
	}
	int64_t *last = offered ? &slot->offered_s : &slot->missing_s;
	if (*last < time_s)
		*last = time_s;
}

/* One that never missed anything makes room for one that does. */
static struct server_network *spare_network(struct server_memory *server)
{
	for (unsigned i = SERVER_NETWORKS; i > 1; i--)
		if (server->networks[i - 1].missing == 0)
			return &server->networks[i - 1];
	return NULL;
}

static void learn_network(struct server_memory *server, const struct ip_addr *network, bool offered)
{
	struct server_network *slot = NULL;
	for (unsigned i = 0; i < server->network_count && slot == NULL; i++)
		if (ip_addr_equal(&server->networks[i].network, network))
			slot = &server->networks[i];
	if (slot == NULL) {
		if (server->network_count < SERVER_NETWORKS) {
			slot = &server->networks[server->network_count++];
		} else {
			server->networks_more = true;
			slot = offered ? NULL : spare_network(server);
		}
		if (slot == NULL)
			return;
		*slot = (struct server_network){.network = *network};
	}
	count_up(offered ? &slot->offers : &slot->missing);
	slot->run = offered ? 0 : slot->run + 1;
}

static void learn_member(struct server_memory *server, uint64_t name, const struct ip_addr *network,
			 bool offered)
{
	struct server_member *member = find_member(server, name);
	if (member == NULL && server->member_count == SERVER_MEMBERS)
		return;
	if (member == NULL) {
		member = &server->members[server->member_count++];
		*member = (struct server_member){.name = name};
	}
	count_up(offered ? &member->offers : &member->missing);
	if (offered)
		return;
	if (member->missing_network.version == 0)
		member->missing_network = *network;
	else if (!ip_addr_equal(&member->missing_network, network))
		member->missing_several = true;
}

/* It is offered again, to whomever. */
static void learn_alternation(struct server_memory *server)
{
	struct server_member *member = find_member(server, server->missing_member);
	if (member != NULL && server->missing_since_offer > 0)
		count_up(&member->alternations);
}

/* The offer is back for a network: from another machine, or from the one that was without it. */
static void learn_return(struct server_memory *server, const struct ip_addr *client, uint64_t name)
{
	struct server_member *member = find_member(server, server->missing_member);
	if (member == NULL || name == server->missing_member)
		count_up(&server->returns);
	else
		count_up(&member->returns);
	if (ip_addr_equal(&server->missing_client, client))
		count_up(&server->client_returns);
}

void server_memory_learn_offer(struct server_memory *server, const struct ip_addr *client,
			       const struct ip_addr *network, uint64_t member, bool offered,
			       int64_t time_s)
{
	server_memory_note_recent(server, client, offered, time_s);
	learn_network(server, network, offered);
	learn_member(server, member, network, offered);
	if (!offered) {
		count_up(&server->missing);
		count_up(&server->missing_since_offer);
		server->missing_last_s = time_s;
		server->missing_network = *network;
		server->missing_client = *client;
		server->missing_member = member;
		return;
	}
	count_up(&server->offers);
	learn_alternation(server);
	if (ip_addr_equal(&server->missing_network, network)) {
		if (time_s - server->missing_last_s <= SERVER_RECENT_S)
			learn_return(server, client, member);
		server->missing_network = (struct ip_addr){.version = 0};
	}
	server->missing_since_offer = 0;
	if (server->offer_first_s == 0)
		server->offer_first_s = time_s;
	if (server->offer_last_s < time_s)
		server->offer_last_s = time_s;
	int64_t day = time_s / DAY_S;
	if (server->offer_days == 0 || day > server->offer_last_day) {
		count_up(&server->offer_days);
		server->offer_last_day = day;
	}
}

void server_memory_learn_reply(struct server_memory *server, const struct ip_addr *client,
			       uint16_t starttls_code)
{
	if (starttls_code == 220) {
		server->tempfail_run = 0;
		server->tempfail_several = false;
		return;
	}
	count_up(&server->refused);
	if (starttls_code / 100 != 4)
		return;
	if (server->tempfail_run == 0)
		server->tempfail_client = *client;
	else if (!ip_addr_equal(&server->tempfail_client, client))
		server->tempfail_several = true;
	count_up(&server->tempfail_run);
}

void server_memory_learn_version(struct server_memory *server, uint16_t version, int64_t time_s)
{
	if (version < server->best_version || version == 0)
		return;
	if (version > server->best_version) {
		server->best_version = version;
		server->best_sessions = 0;
		server->best_first_s = time_s;
	}
	count_up(&server->best_sessions);
}

/* Names are kept as hashes: a store tells no more than is compared. Lower case, no final dot. */
static uint64_t name_hash(struct span name)
{
	static const struct siphash_key key = {.k0 = 0x6365727469666963, .k1 = 0x617465206e616d65};
	uint8_t lower[CERTIFICATE_TEXT_MAX];
	if (name.len > 0 && name.ptr[name.len - 1] == '.')
		name.len--;
	name = span_head(name, sizeof lower);
	for (size_t i = 0; i < name.len; i++) {
		uint8_t c = name.ptr[i];
		lower[i] = c >= 'A' && c <= 'Z' ? (uint8_t)(c - 'A' + 'a') : c;
	}
	uint64_t hash = siphash(&key, span_of(lower, name.len));
	return hash == 0 ? 1 : hash;
}

uint64_t server_member_of(struct span name)
{
	return name_hash(name);
}

/* The domain above a host name, if it has two labels or more: "example.org" of "mx.example.org". */
static uint64_t parent_hash(struct span name)
{
	size_t dot = 0;
	while (dot < name.len && name.ptr[dot] != '.')
		dot++;
	struct span parent = span_skip(name, dot + 1);
	bool labels = false, letters = false;
	for (size_t i = 0; i < parent.len; i++) {
		labels |= parent.ptr[i] == '.' && i + 1 < parent.len;
		letters |= ascii_upper(parent.ptr[i]) >= 'A' && ascii_upper(parent.ptr[i]) <= 'Z';
	}
	return labels && letters ? name_hash(parent) : 0;
}

static void add_name(struct server_certificate *kept, struct span name)
{
	if (name.len == 0 || kept->name_count == SERVER_CERTIFICATE_NAMES)
		return;
	kept->names[kept->name_count] = name_hash(name);
	kept->parents[kept->name_count] = parent_hash(name);
	kept->name_count++;
}

struct server_certificate server_certificate_of(const struct certificate_info *info)
{
	struct server_certificate kept = {
	    .issuer = name_hash(info->issuer),
	    .self_signed = info->self_signed,
	    .not_before = info->not_before,
	    .not_after = info->not_after,
	};
	memcpy(kept.sha256, info->sha256, sizeof kept.sha256);
	memcpy(kept.key_sha256, info->key_sha256, sizeof kept.key_sha256);
	for (uint16_t i = 0; i < info->name_count; i++)
		add_name(&kept, info->names[i]);
	if (info->name_count == 0)
		add_name(&kept, info->common_name);
	return kept;
}

static bool names_overlap(const struct server_certificate *a, const struct server_certificate *b)
{
	for (unsigned i = 0; i < a->name_count; i++) {
		for (unsigned j = 0; j < b->name_count; j++) {
			if (a->names[i] == b->names[j])
				return true;
			/* Members of a pool, each with its own name, certified by the same CA. */
			if (a->parents[i] != 0 && a->parents[i] == b->parents[j] &&
			    !a->self_signed && !b->self_signed)
				return true;
		}
	}
	return false;
}

static bool explained_by_renewal(const struct server_certificate *old,
				 const struct server_certificate *seen, int64_t time_s)
{
	if (old->issuer != seen->issuer || old->self_signed != seen->self_signed ||
	    !names_overlap(old, seen))
		return false;
	/* Anybody can write the issuer's name into a certificate of his own. */
	if (old->anchored && !seen->anchored)
		return false;
	if (time_s < seen->not_before || time_s > seen->not_after)
		return false;
	if (!seen->self_signed)
		return true; /* a member of a pool may have the older one of two */
	return seen->not_before >= old->not_before &&
	       time_s >= old->not_after - (old->not_after - old->not_before) / 3;
}

bool server_memory_knows_key(const struct server_memory *server,
			     const uint8_t key_sha256[DIGEST_SHA256_SIZE])
{
	for (unsigned i = 0; i < server->certificate_count; i++)
		if (memcmp(server->certificates[i].key_sha256, key_sha256, DIGEST_SHA256_SIZE) == 0)
			return true; /* whoever issued it: the holder is the same */
	return false;
}

enum certificate_change server_memory_compare(const struct server_memory *server,
					      const struct server_certificate *seen,
					      const struct server_certificate **previous,
					      int64_t time_s)
{
	uint64_t sessions = 0;
	bool renewed = false;
	*previous = NULL;
	for (unsigned i = 0; i < server->certificate_count; i++) {
		const struct server_certificate *known = &server->certificates[i];
		sessions += known->sessions;
		if (*previous == NULL || known->last_s > (*previous)->last_s)
			*previous = known;
		renewed |= explained_by_renewal(known, seen, time_s);
	}
	if (server_memory_knows_key(server, seen->key_sha256))
		return CERTIFICATE_KNOWN;
	if (sessions < SERVER_KNOWN_OFFERS)
		return CERTIFICATE_FIRST;
	return renewed ? CERTIFICATE_RENEWED : CERTIFICATE_REPLACED;
}

/* A free place, else that of the one that was unseen for longest. */
static struct server_certificate *take_certificate_slot(struct server_memory *server)
{
	if (server->certificate_count < SERVER_CERTIFICATES)
		return &server->certificates[server->certificate_count++];
	struct server_certificate *slot = &server->certificates[0];
	for (unsigned i = 1; i < SERVER_CERTIFICATES; i++)
		if (server->certificates[i].last_s < slot->last_s)
			slot = &server->certificates[i];
	return slot;
}

static struct server_certificate *find_certificate(struct server_memory *server,
						   const uint8_t sha256[DIGEST_SHA256_SIZE])
{
	for (unsigned i = 0; i < server->certificate_count; i++)
		if (memcmp(server->certificates[i].sha256, sha256, DIGEST_SHA256_SIZE) == 0)
			return &server->certificates[i];
	return NULL;
}

bool server_memory_count_certificate(struct server_memory *server,
				     const uint8_t sha256[DIGEST_SHA256_SIZE], bool anchored,
				     int64_t time_s)
{
	struct server_certificate *kept = find_certificate(server, sha256);
	if (kept == NULL)
		return false;
	if (kept->last_s < time_s)
		kept->last_s = time_s;
	kept->anchored = kept->anchored || anchored;
	count_up(&kept->sessions);
	return true;
}

void server_memory_learn_certificate(struct server_memory *server,
				     const struct server_certificate *seen, int64_t time_s)
{
	if (server_memory_count_certificate(server, seen->sha256, seen->anchored, time_s))
		return;
	struct server_certificate *slot = take_certificate_slot(server);
	*slot = *seen;
	slot->first_s = slot->last_s = time_s;
	slot->sessions = 1;
}

bool server_memory_is_aged(const struct server_memory *server, int64_t time_s)
{
	return !server->pinned && server->last_s != 0 && time_s - server->last_s > SERVER_AGE_S;
}

static uint64_t sum(uint64_t a, uint64_t b, uint64_t max)
{
	return b > max - a ? max : a + b;
}

static int64_t earliest(int64_t a, int64_t b)
{
	return a == 0 || (b != 0 && b < a) ? b : a;
}

static void merge_network(struct server_memory *server, const struct server_network *other)
{
	struct server_network *slot = NULL;
	for (unsigned i = 0; i < server->network_count && slot == NULL; i++)
		if (ip_addr_equal(&server->networks[i].network, &other->network))
			slot = &server->networks[i];
	if (slot == NULL && server->network_count == SERVER_NETWORKS) {
		server->networks_more = true;
		return;
	}
	if (slot == NULL) {
		slot = &server->networks[server->network_count++];
		*slot = (struct server_network){.network = other->network};
	}
	slot->offers = (uint32_t)sum(slot->offers, other->offers, UINT32_MAX);
	slot->missing = (uint32_t)sum(slot->missing, other->missing, UINT32_MAX);
}

static void merge_member(struct server_memory *server, const struct server_member *other)
{
	struct server_member *slot = find_member(server, other->name);
	if (slot == NULL && server->member_count == SERVER_MEMBERS)
		return;
	if (slot == NULL) {
		slot = &server->members[server->member_count++];
		*slot = *other;
		return;
	}
	slot->offers = (uint32_t)sum(slot->offers, other->offers, UINT32_MAX);
	slot->missing = (uint32_t)sum(slot->missing, other->missing, UINT32_MAX);
	slot->returns = (uint32_t)sum(slot->returns, other->returns, UINT32_MAX);
	slot->alternations = (uint32_t)sum(slot->alternations, other->alternations, UINT32_MAX);
	slot->missing_several |= other->missing_several;
}

static void merge_certificate(struct server_memory *server, const struct server_certificate *other)
{
	struct server_certificate *slot = find_certificate(server, other->sha256);
	if (slot != NULL) {
		slot->sessions = (uint32_t)sum(slot->sessions, other->sessions, UINT32_MAX);
		slot->first_s = earliest(slot->first_s, other->first_s);
		slot->last_s = slot->last_s < other->last_s ? other->last_s : slot->last_s;
		return;
	}
	slot = take_certificate_slot(server);
	if (slot->sessions == 0 || slot->last_s < other->last_s)
		*slot = *other;
}

static void merge_version(struct server_memory *server, const struct server_memory *other)
{
	if (other->best_version < server->best_version || other->best_version == 0)
		return;
	if (other->best_version > server->best_version) {
		server->best_version = other->best_version;
		server->best_sessions = other->best_sessions;
		server->best_first_s = other->best_first_s;
		return;
	}
	server->best_sessions =
	    (uint32_t)sum(server->best_sessions, other->best_sessions, UINT32_MAX);
	server->best_first_s = earliest(server->best_first_s, other->best_first_s);
}

/* Runs of sessions: of the two, that of who saw the server offer it last. */
static void merge_runs(struct server_memory *server, const struct server_memory *other)
{
	if (other->offer_last_s > server->offer_last_s ||
	    (other->offer_last_s == server->offer_last_s &&
	     other->missing_since_offer < server->missing_since_offer))
		server->missing_since_offer = other->missing_since_offer;
}

static void merge_recent(struct server_memory *server, const struct server_memory *other)
{
	for (unsigned i = 0; i < other->recent_count; i++) {
		const struct server_recent *recent = &other->recent[i];
		server_memory_note_recent(server, &recent->client, true, recent->offered_s);
		if (recent->missing_s != 0)
			server_memory_note_recent(server, &recent->client, false,
						  recent->missing_s);
	}
}

void server_memory_merge(struct server_memory *server, const struct server_memory *other)
{
	if (other->name[0] != '\0' && (server->name[0] == '\0' || other->last_s > server->last_s))
		memcpy(server->name, other->name, sizeof server->name);
	merge_version(server, other);
	merge_runs(server, other);
	merge_recent(server, other);
#define SUM(field, max)                         (sum((uint64_t)server->field, (uint64_t)other->field, (uint64_t)(max)))
#define EARLIEST(field, max)                    (earliest(server->field, other->field))
#define HIGHEST(field, max)                     (server->field < other->field ? other->field : server->field)
#define LATEST(field, max)                      HIGHEST(field, max)
#define APART(field, max)                       (server->field)
#define VERSION(field, max)                     APART(field, max)
#define APART_TIME(field, max)                  APART(field, max)
#define COLUMN(column, field, type, max, merge) server->field = (type)merge(field, max);
#include "alerts/baseline_columns.def"
#undef SUM
#undef EARLIEST
#undef HIGHEST
#undef LATEST
#undef APART
#undef VERSION
#undef APART_TIME
	for (unsigned i = 0; i < other->network_count; i++)
		merge_network(server, &other->networks[i]);
	for (unsigned i = 0; i < other->member_count; i++)
		merge_member(server, &other->members[i]);
	for (unsigned i = 0; i < other->certificate_count; i++)
		merge_certificate(server, &other->certificates[i]);
}
