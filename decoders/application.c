/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/application.h"

#include <ndpi_api.h>
#include <stdio.h>

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
