/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * heap.h - what this process holds of the heap, and a limit that is enforced.
 *
 * Counts every malloc of the program and its libraries: by standing in front
 * of libc, or under AddressSanitizer through its hooks.  Include in one file
 * of a program.
 */
#ifndef VD_HEAP_H
#define VD_HEAP_H

#include <errno.h>
#include <malloc.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
#define HEAP_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HEAP_ASAN 1
#endif
#endif

static struct {
	size_t	held, peak;
	size_t	limit;		/* above what was held at the mark; 0: none */
	size_t	mark;
	void  (*over)(const char *why);
} heap;

static inline void
heap_took(size_t n)
{
	size_t now = __atomic_add_fetch(&heap.held, n, __ATOMIC_RELAXED);
	void (*over)(const char *) = heap.over;

	if (now > heap.peak)
		heap.peak = now;
	if (over && heap.limit && now > heap.mark + heap.limit) {
		heap.over = NULL;
		over("a case held more memory than it may");
		_Exit(1);
	}
}

static inline void
heap_gave(size_t n)
{
	__atomic_sub_fetch(&heap.held, n, __ATOMIC_RELAXED);
}

/* From here on, limit bytes more are too many. */
static inline void
heap_mark(size_t limit, void (*over)(const char *why))
{
	heap.limit = 0;
	heap.mark = heap.held;
	heap.over = over;
	heap.limit = limit;
}

static inline size_t
heap_held(void)
{
	return heap.held;
}

static inline size_t
heap_peak(void)
{
	return heap.peak;
}

#ifdef HEAP_ASAN

/* Declared here: clang has these headers in a package of their own. */
extern int __sanitizer_install_malloc_and_free_hooks(
	void (*took)(const volatile void *p, size_t n),
	void (*gave)(const volatile void *p));
extern size_t __sanitizer_get_allocated_size(const volatile void *p);
extern void __sanitizer_set_death_callback(void (*dying)(void));

static void
heap_hook_malloc(const volatile void *p, size_t n)
{
	(void)p;
	heap_took(n);
}

static void
heap_hook_free(const volatile void *p)
{
	if (p)
		heap_gave(__sanitizer_get_allocated_size(p));
}

/* A single request over the limit dies with a report of its own. */
const char *__asan_default_options(void);
const char *
__asan_default_options(void)
{
	return "max_allocation_size_mb=64:allocator_may_return_null=0";
}

static inline bool
heap_sanitized(void (*dying)(void))
{
	__sanitizer_install_malloc_and_free_hooks(heap_hook_malloc,
						  heap_hook_free);
	__sanitizer_set_death_callback(dying);
	return true;
}

#else

extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);
extern void *__libc_memalign(size_t align, size_t n);
extern void __libc_free(void *p);

static inline void *
heap_new(void *p)
{
	if (p)
		heap_took(malloc_usable_size(p));
	return p;
}

/* Asked for counts, granted or not: a calloc of 2 TiB may well be granted. */
static inline void
heap_absurd(size_t n)
{
	if (heap.over && heap.limit && n > heap.limit)
		heap_took(n);
}

void *
malloc(size_t n)
{
	heap_absurd(n);
	return heap_new(__libc_malloc(n));
}

void *
calloc(size_t n, size_t size)
{
	size_t all;

	heap_absurd(__builtin_mul_overflow(n, size, &all) ? SIZE_MAX / 2 : all);
	return heap_new(__libc_calloc(n, size));
}

void *
realloc(void *p, size_t n)
{
	size_t had = p ? malloc_usable_size(p) : 0;
	void *q;

	heap_absurd(n);
	q = __libc_realloc(p, n);
	if (q || !n)
		heap_gave(had);
	return heap_new(q);
}

void *
aligned_alloc(size_t align, size_t n)
{
	heap_absurd(n);
	return heap_new(__libc_memalign(align, n));
}

int
posix_memalign(void **p, size_t align, size_t n)
{
	heap_absurd(n);
	*p = heap_new(__libc_memalign(align, n));
	return *p ? 0 : ENOMEM;
}

void
free(void *p)
{
	if (p)
		heap_gave(malloc_usable_size(p));
	__libc_free(p);
}

static inline bool
heap_sanitized(void (*dying)(void))
{
	(void)dying;
	return false;
}

#endif
#endif
