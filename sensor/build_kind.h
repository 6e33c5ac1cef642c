/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SENSOR_BUILD_KIND_H
#define SENSOR_BUILD_KIND_H

#ifndef __has_feature
#define __has_feature(feature) 0
#endif

/*
 * Whether the program is built to find leaks and the use of memory that was given back
 * (AddressSanitizer): then nothing is kept that it could no longer tell from that.
 */
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define FINDS_MISUSE true
#else
#define FINDS_MISUSE false
#endif

#endif
