/* mysql_auth.h - how MySQL and MariaDB want passwords proven: pure. */
#ifndef SLUICE_HEALTH_MYSQL_AUTH_H
#define SLUICE_HEALTH_MYSQL_AUTH_H

#include "lb/base/str.h"

#include <stdint.h>

#define MYSQL_NATIVE    "mysql_native_password"
#define MYSQL_SHA2      "caching_sha2_password"
#define MYSQL_SEED_LEN  20
#define MYSQL_PROOF_MAX 32
#define MYSQL_RSA_MAX   1024 /* bytes; of a key of 8192 bits */

/* The proof that a plug-in wants for the seed the server has sent: its length, 0 without a password
 * (NULL or ""). */
size_t mysql_native_proof(const char *password, const uint8_t seed[static MYSQL_SEED_LEN],
                          uint8_t out[static MYSQL_PROOF_MAX]);
size_t mysql_sha2_proof(const char *password, const uint8_t seed[static MYSQL_SEED_LEN],
                        uint8_t out[static MYSQL_PROOF_MAX]);
/* The password for a server that does not know it by a proof yet, encrypted with its RSA key (PEM):
 * the length, 0 where the key will not do. */
size_t mysql_sha2_encrypt(const char *password, const uint8_t seed[static MYSQL_SEED_LEN],
                          struct str pem, uint8_t out[static MYSQL_RSA_MAX]);

#endif
