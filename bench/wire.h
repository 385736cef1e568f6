/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * wire.h - the NBD protocol, as little of it as a load needs.
 *
 * Requests are collected and leave in one system call, replies are taken from
 * one large buffer: what is measured shall be the server.  Simple replies only,
 * one connection, a unix socket.
 */
#ifndef VD_BENCH_WIRE_H
#define VD_BENCH_WIRE_H

#include <stdbool.h>
#include <stdint.h>

enum { WIRE_READ, WIRE_WRITE, WIRE_CLOSE, WIRE_FLUSH };

struct wire;

struct wire_reply {
	uint32_t	slot;
	uint32_t	error;		/* as the server says, 0: done */
	const uint8_t  *data;		/* of a read, until the next call */
};

/*
 * Connect, waiting up to ms for a server that is starting.  slots: how many
 * requests may be in flight, max: bytes of the largest.  NULL: said on stderr.
 */
struct wire *wire_open(const char *path, unsigned ms, uint32_t slots,
		       uint32_t max);
uint64_t wire_size(const struct wire *w);
/* Put a request; data stays the caller's until wire_send(). */
void	wire_put(struct wire *w, int type, uint32_t slot, uint64_t off,
		 uint32_t len, const void *data);
bool	wire_send(struct wire *w);
/* 1: a reply; 0: none has come yet (only if !wait); -1: the end. */
int	wire_next(struct wire *w, bool wait, struct wire_reply *r);
void	wire_close(struct wire *w);

#endif
