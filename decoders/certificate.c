/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/certificate.h"

const char *certificate_problem_word(unsigned bit)
{
	static const char *const words[] = {
#define CERTIFICATE_PROBLEM(symbol, word, meaning) [CERTIFICATE_PROBLEM_BIT_##symbol] = word,
#include "decoders/certificate_problems.def"
	};
	return bit < CERTIFICATE_PROBLEM_COUNT ? words[bit] : "";
}

const char *certificate_problem_meaning(unsigned bit)
{
	static const char *const meanings[] = {
#define CERTIFICATE_PROBLEM(symbol, word, meaning) [CERTIFICATE_PROBLEM_BIT_##symbol] = meaning,
#include "decoders/certificate_problems.def"
	};
	return bit < CERTIFICATE_PROBLEM_COUNT ? meanings[bit] : "";
}
