/* SPDX-License-Identifier: Apache-2.0 */
/* A baseline file that is damaged, foreign or forged: read into a history, then learnt into. */
#include "alerts/baseline_store.h"

#include "tests/fuzz/scratch.h"

static void use(const char *path, enum baseline_access access)
{
	struct history_config config = history_config_default((struct history_limits){
	    .servers = 32, .failures = 8, .sessions = 8, .paths = 4, .clients = 8});
	char error[BASELINE_ERROR_MAX] = "";
	struct budget budget;
	uint64_t left_out = 0;

	budget_init(&budget, 4U << 20);
	struct history *history = history_create(&budget, &config);
	if (history == NULL)
		return;
	struct baseline_store *store = baseline_store_open(path, access, error);
	FUZZ_REQUIRE(store != NULL || error[0] != '\0');
	if (store != NULL && baseline_store_load(store, history, &left_out, error) &&
	    access == BASELINE_LEARN)
		(void)baseline_store_save(store, history, error);
	baseline_store_close(store);
	history_destroy(history);
	FUZZ_REQUIRE(budget.used == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[300], beside[304];

	snprintf(path, sizeof path, "%s/baseline", scratch_directory("baseline"));
	scratch_write(path, span_of(data, size));
	use(path, BASELINE_READ);
	use(path, BASELINE_LEARN);
	static const char *const companions[] = {"-wal", "-shm", "-journal"};
	for (unsigned i = 0; i < 3; i++) {
		snprintf(beside, sizeof beside, "%s%s", path, companions[i]);
		(void)unlink(beside);
	}
	return 0;
}
