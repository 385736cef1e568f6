// SPDX-License-Identifier: GPL-2.0-only
/*
 * wrong.c - a module that is wrong, for the lab to see that its kernel tells.
 *
 * insmod wrong.ko what=sleep or order.  It never stays: each is done
 * while it is loaded, and then it refuses (ENODEV).  Nothing is written to what
 * is not its own.
 */
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

static char *what = "";
module_param(what, charp, 0);

static void
sleep_in_spinlock(void)
{
	static DEFINE_SPINLOCK(lock);
	void *p;

	spin_lock(&lock);
	p = kmalloc(200, GFP_KERNEL);
	spin_unlock(&lock);
	kfree(p);
}

static DEFINE_MUTEX(first);
static DEFINE_MUTEX(second);

static void
lock_both(struct mutex *a, struct mutex *b)
{
	mutex_lock(a);
	mutex_lock(b);
	mutex_unlock(b);
	mutex_unlock(a);
}

static int __init
wrong_init(void)
{
	if (!strcmp(what, "sleep"))
		sleep_in_spinlock();
	if (!strcmp(what, "order")) {
		lock_both(&first, &second);
		lock_both(&second, &first);
	}
	return -ENODEV;
}
module_init(wrong_init);

MODULE_DESCRIPTION("does what a kernel under test should tell of");
MODULE_LICENSE("GPL");
