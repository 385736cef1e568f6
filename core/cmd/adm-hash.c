/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * adm-hash.c - SHA-256 over all bytes of a disk, as sha256sum has it of the
 * disk in raw.
 *
 * By nettle: it uses the processor's own instructions, allocates nothing and
 * cannot fail.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "adm.h"

#ifdef HAVE_NETTLE
#include <nettle/sha2.h>

struct adm_hash {
	struct sha256_ctx sha;
};

int
adm_hash_new(struct adm_hash **h, struct vd_err *err)
{
	*h = calloc(1, sizeof(**h));
	if (!*h)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	sha256_init(&(*h)->sha);
	return 0;
}

/* Zeros are not read, but nothing spares the arithmetic. */
void
adm_hash_add(struct adm_hash *h, const void *buf, uint64_t len)
{
	static const uint8_t zeros[64 << 10];

	while (len) {
		size_t n = buf || len < sizeof(zeros) ? len : sizeof(zeros);

		sha256_update(&h->sha, n, buf ? buf : zeros);
		len -= n;
	}
}

void
adm_hash_text(struct adm_hash *h, char text[65])
{
	uint8_t sum[SHA256_DIGEST_SIZE];

	sha256_digest(&h->sha, sizeof(sum), sum);
	for (size_t i = 0; i < sizeof(sum); i++)
		sprintf(text + 2 * i, "%02x", sum[i]);
}

void
adm_hash_free(struct adm_hash *h)
{
	free(h);
}

#else

int
adm_hash_new(struct adm_hash **h, struct vd_err *err)
{
	int ret = vd_fail(err, ENOTSUP, VD_NOWHERE, "--hash: this vdiskadm was "
			  "built without nettle, which would compute it");

	*h = NULL;
	vd_err_help(err, "translate to raw and use sha256sum");
	return ret;
}

void
adm_hash_add(struct adm_hash *h, const void *buf, uint64_t len)
{
	(void)h, (void)buf, (void)len;
}

void
adm_hash_text(struct adm_hash *h, char text[65])
{
	(void)h;
	*text = '\0';
}

void
adm_hash_free(struct adm_hash *h)
{
	(void)h;
}

#endif
