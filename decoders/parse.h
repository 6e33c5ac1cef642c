/* SPDX-License-Identifier: Apache-2.0 */
/* The three outcomes that every parser here has. */
#ifndef DECODERS_PARSE_H
#define DECODERS_PARSE_H

enum parse_result {
	PARSE_DONE,      /* a whole unit was read */
	PARSE_MORE,      /* well-formed so far, the rest has not arrived */
	PARSE_MALFORMED, /* not what the format allows: a fact about the network, no error of ours
			  */
};

#endif
