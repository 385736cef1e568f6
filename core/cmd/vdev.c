/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vdev.c - names of a guest's disks and the numbers that xenbus uses.
 *
 *	xvd	202 << 8 | disk << 4 | partition	up to 16 disks of 15
 *	xvd	1 << 28 | disk << 8 | partition		beyond that
 *	hd	3 or 22 << 8 | disk << 6 | partition	4 disks of 63
 *	sd	8 << 8 | disk << 4 | partition		16 disks of 15
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include "vdev.h"

#define EXTENDED	(1u << 28)
#define DISK_MAX	((1u << 20) - 1)

static int
parse_number(const char *s, uint32_t *devid)
{
	unsigned base = 10, digit;
	uint64_t v = 0;

	if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X')) {
		base = 16;
		s += 2;
	}
	if (!*s)
		return -EINVAL;
	for (; *s; s++) {
		if (*s >= '0' && *s <= '9')
			digit = (unsigned)(*s - '0');
		else if (base == 16 && (*s | 0x20) >= 'a' && (*s | 0x20) <= 'f')
			digit = (unsigned)((*s | 0x20) - 'a') + 10;
		else
			return -EINVAL;
		v = v * base + digit;
		if (v > UINT32_MAX)
			return -EINVAL;
	}
	*devid = (uint32_t)v;
	return 0;
}

/* a = 0, z = 25, aa = 26; then a partition without leading zeros. */
static int
parse_letters(const char *s, uint32_t *disk, uint32_t *part)
{
	uint32_t d = 0, p = 0;

	if (*s < 'a' || *s > 'z')
		return -EINVAL;
	for (; *s >= 'a' && *s <= 'z'; s++) {
		d = d * 26 + (uint32_t)(*s - 'a') + 1;
		if (d > DISK_MAX + 1)
			return -EINVAL;
	}
	if (*s == '0')
		return -EINVAL;
	for (; *s >= '0' && *s <= '9'; s++) {
		p = p * 10 + (uint32_t)(*s - '0');
		if (p > 255)
			return -EINVAL;
	}
	*disk = d - 1;
	*part = p;
	return *s ? -EINVAL : 0;
}

int
vdev_parse(const char *name, uint32_t *devid)
{
	uint32_t disk, part;

	if (!strncmp(name, "/dev/", 5))
		name += 5;
	if (*name >= '0' && *name <= '9')
		return parse_number(name, devid);
	if (!strncmp(name, "xvd", 3)) {
		if (parse_letters(name + 3, &disk, &part))
			return -EINVAL;
		*devid = disk < 16 && part < 16 ?
			 202u << 8 | disk << 4 | part :
			 EXTENDED | disk << 8 | part;
		return 0;
	}
	if (strncmp(name, "hd", 2) && strncmp(name, "sd", 2))
		return -EINVAL;
	if (parse_letters(name + 2, &disk, &part))
		return -EINVAL;
	if (*name == 'h' && disk < 4 && part < 64)
		*devid = (disk < 2 ? 3u : 22u) << 8 | (disk & 1) << 6 | part;
	else if (*name == 's' && disk < 16 && part < 16)
		*devid = 8u << 8 | disk << 4 | part;
	else
		return -EINVAL;
	return 0;
}

static char *
spell(const char *kind, uint32_t disk, uint32_t part, char *buf, size_t len)
{
	char letters[8], *p = letters + sizeof(letters);
	uint32_t d = disk + 1;

	*--p = '\0';
	do {
		*--p = (char)('a' + (d - 1) % 26);
		d = (d - 1) / 26;
	} while (d);
	if (part)
		snprintf(buf, len, "%s%s%u", kind, p, part);
	else
		snprintf(buf, len, "%s%s", kind, p);
	return buf;
}

char *
vdev_name(uint32_t devid, char *buf, size_t len)
{
	uint32_t disk = devid >> 4 & 15, part = devid & 15;

	if (devid >> 28 == 1)
		return spell("xvd", devid >> 8 & DISK_MAX, devid & 255, buf,
			     len);
	switch (devid >> 8) {
	case 202:
		return spell("xvd", disk, part, buf, len);
	case 8:
		return spell("sd", disk, part, buf, len);
	case 3:
	case 22:
		return devid & 128 ?
		       (snprintf(buf, len, "%u", devid), buf) :
		       spell("hd", (devid >> 8 == 22 ? 2 : 0) +
			     (devid >> 6 & 1), devid & 63, buf, len);
	default:
		snprintf(buf, len, "%u", devid);
		return buf;
	}
}
