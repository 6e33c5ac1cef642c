/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/dns_memory.h"

#include "alerts/lru_table.h"

#define NS_PER_S    INT64_C(1000000000)
#define TTL_LEAST   60
#define TTL_MOST    86400
#define NAME_KEY    8  /* hash of a name */
#define ADDRESS_KEY 17 /* IP version, address */

/* A name and when it is no longer known. */
struct aged_name {
	int64_t until_ns; /* 0: free */
	uint8_t len;
	char text[DNS_MEMORY_NAME];
};

struct known_address {
	struct aged_name names[DNS_MEMORY_NAMES];
};

struct known_host {
	struct aged_name self;
	struct aged_name domains[DNS_MEMORY_NAMES];
	bool more_domains;
	int64_t tlsa_until_ns, tlsa_learnt_ns;
	uint16_t tlsa_port;
	struct dns_tlsa tlsa;
};

struct known_domain {
	struct aged_name self; /* until the announcement of MTA-STS is over */
};

struct dns_memory {
	struct budget *budget;
	struct siphash_key key;
	struct lru_table *addresses, *hosts, *domains;
	uint64_t evicted;
};

struct dns_memory *dns_memory_create(struct budget *budget, const struct siphash_key *key,
				     const struct dns_memory_limits *limits)
{
	struct dns_memory *memory = budget_calloc(budget, 1, sizeof *memory);
	if (memory == NULL)
		return NULL;
	memory->budget = budget;
	memory->key = *key;
	memory->addresses = lru_table_create(budget, key, ADDRESS_KEY, sizeof(struct known_address),
					     limits->addresses);
	memory->hosts =
	    lru_table_create(budget, key, NAME_KEY, sizeof(struct known_host), limits->hosts);
	memory->domains =
	    lru_table_create(budget, key, NAME_KEY, sizeof(struct known_domain), limits->domains);
	if (memory->addresses == NULL || memory->hosts == NULL || memory->domains == NULL) {
		dns_memory_destroy(memory);
		return NULL;
	}
	return memory;
}

void dns_memory_destroy(struct dns_memory *memory)
{
	if (memory == NULL)
		return;
	lru_table_destroy(memory->addresses);
	lru_table_destroy(memory->hosts);
	lru_table_destroy(memory->domains);
	budget_free(memory->budget, memory, sizeof *memory);
}

uint64_t dns_memory_evicted(const struct dns_memory *memory)
{
	return memory->evicted;
}

/* ---- names ---- */

static struct span name_of(const struct aged_name *name)
{
	return span_of(name->text, name->len);
}

static void set_name(struct aged_name *slot, struct span name, int64_t until_ns)
{
	slot->len = (uint8_t)name.len;
	memcpy(slot->text, name.ptr, name.len);
	slot->until_ns = until_ns;
}

/* Adds a name, or makes it live longer. The one that is over first gives way; false: it lived. */
static bool add_name(struct aged_name slots[DNS_MEMORY_NAMES], struct span name, int64_t now_ns,
		     int64_t until_ns)
{
	struct aged_name *slot = &slots[0];
	for (unsigned i = 0; i < DNS_MEMORY_NAMES; i++) {
		if (slots[i].until_ns != 0 && span_equal(name_of(&slots[i]), name)) {
			if (slots[i].until_ns < until_ns)
				slots[i].until_ns = until_ns;
			return true;
		}
		if (slots[i].until_ns < slot->until_ns)
			slot = &slots[i];
	}
	bool room = slot->until_ns <= now_ns;
	set_name(slot, name, until_ns);
	return room;
}

static unsigned live_names(const struct aged_name slots[DNS_MEMORY_NAMES], int64_t now_ns,
			   struct span names[DNS_MEMORY_NAMES])
{
	unsigned count = 0;
	for (unsigned i = 0; i < DNS_MEMORY_NAMES; i++)
		if (slots[i].until_ns > now_ns)
			names[count++] = name_of(&slots[i]);
	return count;
}

/* Lower case, no final dot: as the decoder gives names. Empty when it is too long to be kept. */
static struct span canonical(struct span name, char text[DNS_MEMORY_NAME])
{
	if (name.len > 0 && name.ptr[name.len - 1] == '.')
		name.len--;
	if (name.len > DNS_MEMORY_NAME)
		return span_of(NULL, 0);
	for (size_t i = 0; i < name.len; i++) {
		uint8_t c = name.ptr[i];
		text[i] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
	}
	return span_of(text, name.len);
}

/* ---- tables ---- */

static void *get(struct dns_memory *memory, struct lru_table *table, const uint8_t *key)
{
	void *value = lru_table_get(table, key, &memory->evicted);
	memory->evicted += value == NULL;
	return value;
}

static void name_key(const struct dns_memory *memory, struct span name, uint8_t key[NAME_KEY])
{
	uint64_t hash = siphash(&memory->key, name);
	memcpy(key, &hash, sizeof hash);
}

static void address_key(const struct ip_addr *address, uint8_t key[ADDRESS_KEY])
{
	key[0] = address->version;
	memcpy(key + 1, address->bytes, sizeof address->bytes);
}

static struct known_host *host_get(struct dns_memory *memory, struct span name)
{
	uint8_t key[NAME_KEY];
	name_key(memory, name, key);
	struct known_host *host = get(memory, memory->hosts, key);
	if (host != NULL && !span_equal(name_of(&host->self), name)) {
		*host = (struct known_host){.tlsa_port = 0}; /* new, or another with that hash */
		set_name(&host->self, name, 0);
	}
	return host;
}

static const struct known_host *host_find(const struct dns_memory *memory, struct span name)
{
	char text[DNS_MEMORY_NAME];
	uint8_t key[NAME_KEY];
	name = canonical(name, text);
	if (name.len == 0)
		return NULL;
	name_key(memory, name, key);
	const struct known_host *host = lru_table_find(memory->hosts, key);
	return host != NULL && span_equal(name_of(&host->self), name) ? host : NULL;
}

/* ---- learning ---- */

static int64_t until(const struct dns_fact *fact, int64_t time_ns)
{
	int64_t ttl = fact->ttl;
	if (ttl < TTL_LEAST)
		ttl = TTL_LEAST;
	if (ttl > TTL_MOST)
		ttl = TTL_MOST;
	return time_ns + ttl * NS_PER_S;
}

static void learn_address(struct dns_memory *memory, const struct dns_fact *fact, int64_t time_ns)
{
	uint8_t key[ADDRESS_KEY];
	address_key(&fact->address, key);
	struct known_address *address = get(memory, memory->addresses, key);
	const struct span names[] = {span_str(fact->name), span_str(fact->target)};
	for (unsigned i = 0; address != NULL && i < 2; i++)
		if (names[i].len > 0 && names[i].len <= DNS_MEMORY_NAME)
			(void)add_name(address->names, names[i], time_ns, until(fact, time_ns));
}

static void learn_mx(struct dns_memory *memory, const struct dns_fact *fact, int64_t time_ns)
{
	struct span domain = span_str(fact->name), target = span_str(fact->target);
	if (domain.len == 0 || domain.len > DNS_MEMORY_NAME || target.len > DNS_MEMORY_NAME)
		return;
	struct known_host *host = host_get(memory, target);
	if (host != NULL && !add_name(host->domains, domain, time_ns, until(fact, time_ns)))
		host->more_domains = true;
}

static bool same_record(const struct dns_tlsa_record *a, const struct dns_tlsa_record *b)
{
	return a->usage == b->usage && a->selector == b->selector && a->matching == b->matching &&
	       a->has_data == b->has_data && memcmp(a->data, b->data, sizeof a->data) == 0;
}

/* Records of one answer belong together; those of an earlier one, of any port, are replaced. */
static void learn_tlsa(struct dns_memory *memory, const struct dns_fact *fact, enum dns_trust trust,
		       int64_t time_ns)
{
	struct span name = span_str(fact->name);
	if (name.len == 0 || name.len > DNS_MEMORY_NAME)
		return;
	struct known_host *host = host_get(memory, name);
	if (host == NULL)
		return;
	if (host->tlsa_learnt_ns != time_ns || host->tlsa_port != fact->port) {
		/* What is forged later may not weaken what a resolver vouched for. */
		if (trust < host->tlsa.trust && host->tlsa_until_ns > time_ns)
			return;
		host->tlsa = (struct dns_tlsa){.trust = trust};
		host->tlsa_learnt_ns = time_ns;
		host->tlsa_port = fact->port;
	}
	host->tlsa_until_ns = until(fact, time_ns);
	struct dns_tlsa_record record = {
	    .usage = fact->usage,
	    .selector = fact->selector,
	    .matching = fact->matching,
	    .has_data = fact->data_len == sizeof record.data,
	};
	memcpy(record.data, fact->data, sizeof record.data);
	for (unsigned i = 0; i < host->tlsa.count; i++)
		if (same_record(&host->tlsa.records[i], &record))
			return; /* a copy of the packet */
	if (host->tlsa.count == DNS_MEMORY_NAMES) {
		host->tlsa.more = true;
		return;
	}
	host->tlsa.records[host->tlsa.count++] = record;
}

static void learn_sts(struct dns_memory *memory, const struct dns_fact *fact, int64_t time_ns)
{
	struct span name = span_str(fact->name);
	uint8_t key[NAME_KEY];
	if (name.len == 0 || name.len > DNS_MEMORY_NAME)
		return;
	name_key(memory, name, key);
	struct known_domain *domain = get(memory, memory->domains, key);
	if (domain != NULL)
		set_name(&domain->self, name, until(fact, time_ns));
}

void dns_memory_learn(struct dns_memory *memory, const struct dns_answers *answers, int64_t time_ns)
{
	for (uint32_t i = 0; i < answers->count; i++) {
		const struct dns_fact *fact = &answers->facts[i];
		switch (fact->kind) {
		case DNS_FACT_ADDRESS:
			learn_address(memory, fact, time_ns);
			break;
		case DNS_FACT_MX:
			learn_mx(memory, fact, time_ns);
			break;
		case DNS_FACT_STS:
			learn_sts(memory, fact, time_ns);
			break;
		case DNS_FACT_TLSA:
			learn_tlsa(memory, fact, answers->trust, time_ns);
			break;
		}
	}
}

/* ---- asking ---- */

unsigned dns_memory_names(const struct dns_memory *memory, const struct ip_addr *address,
			  int64_t now_ns, struct span names[DNS_MEMORY_NAMES])
{
	uint8_t key[ADDRESS_KEY];
	address_key(address, key);
	const struct known_address *known = lru_table_find(memory->addresses, key);
	return known == NULL ? 0 : live_names(known->names, now_ns, names);
}

unsigned dns_memory_domains(const struct dns_memory *memory, struct span host, int64_t now_ns,
			    struct span domains[DNS_MEMORY_NAMES], bool *more)
{
	const struct known_host *known = host_find(memory, host);
	*more = known != NULL && known->more_domains;
	return known == NULL ? 0 : live_names(known->domains, now_ns, domains);
}

bool dns_memory_tlsa(const struct dns_memory *memory, struct span host, uint16_t port,
		     int64_t now_ns, struct dns_tlsa *tlsa)
{
	const struct known_host *known = host_find(memory, host);
	if (known == NULL || known->tlsa_port != port || known->tlsa_until_ns <= now_ns)
		return false;
	*tlsa = known->tlsa;
	return tlsa->count > 0;
}

bool dns_memory_announces_sts(const struct dns_memory *memory, struct span domain, int64_t now_ns)
{
	char text[DNS_MEMORY_NAME];
	uint8_t key[NAME_KEY];
	domain = canonical(domain, text);
	if (domain.len == 0)
		return false;
	name_key(memory, domain, key);
	const struct known_domain *known = lru_table_find(memory->domains, key);
	return known != NULL && known->self.until_ns > now_ns &&
	       span_equal(name_of(&known->self), domain);
}
