/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The texts whose MD5 are the JA3 and JA3S fingerprints of TLS hellos
 * (github.com/salesforce/ja3): decimal numbers, '-' within a list, ',' between
 * lists; GREASE (RFC 8701) left out.
 */
#ifndef DECODERS_JA3_H
#define DECODERS_JA3_H

#include "decoders/tls_handshake.h"

/* Room that is enough for any real hello; one with more is not fingerprinted. */
#define JA3_TEXT_MAX 8192

/*
 * version,suites,extensions,groups,point formats of a ClientHello. The bytes
 * written, without a NUL; 0 when the hello is of SSL 2.0's form, which JA3
 * does not define, or does not fit into size bytes.
 */
size_t ja3_text(const struct tls_hello *hello, char *text, size_t size);

/* version,suite,extensions of a ServerHello; the version is legacy_version (771 in TLS 1.3). */
size_t ja3s_text(const struct tls_hello *hello, char *text, size_t size);

#endif
