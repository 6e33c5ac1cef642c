/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration file, through a file in memory. */
#include "sensor/config.h"

#include "tests/fuzz/fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[64], error[CONFIG_ERROR_MAX];
	struct config_file file;
	int fd = memfd_create("config", MFD_CLOEXEC);

	if (fd < 0)
		return 0;
	if (write(fd, data, size) == (ssize_t)size) {
		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
		if (config_read(&file, path, error)) {
			for (size_t i = 0; i < file.count; i++)
				FUZZ_REQUIRE(file.settings[i].key != NULL);
		}
		config_free(&file);
	}
	close(fd);
	return 0;
}
