/* SHA-256 for the packages that the kit breaks. */

#ifndef ECHOCART_KIT_SHA256_H
#define ECHOCART_KIT_SHA256_H

#include <stddef.h>
#include <stdint.h>

/* Writes 64 lower-case hex digits and NUL. */
void sha256_hex(const uint8_t *bytes, size_t count, char out[65]);

#endif
