/* SPDX-License-Identifier: Apache-2.0 */
/* A test that leaks: it must make the run fail. Built by leak_gate.sh alone. */
#include <criterion/criterion.h>
#include <stdlib.h>

Test(leaking, memory_is_lost)
{
	char *volatile lost = malloc(100);

	cr_assert(lost);
	lost = NULL;
}
