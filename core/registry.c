/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * registry.c - where a machine's own settings say that its images are.
 *
 * Some images name their parent by an identity and by no file.  VirtualBox
 * keeps the rest in the settings of the machine, NAME.vbox: a list of images,
 * each with its identity and its place, children inside their parents.  What
 * format they have is of no interest here: an identity is looked up, and
 * places are what comes out.
 *
 * Nothing in such a list is believed.  A place is opened as any name in an
 * image is, and counts only if the image there has the identity.
 *
 * The parser is libxml2, loaded when the first settings file is met: it brings
 * 40 MiB of tables for alphabets along, and most processes never need it.  A
 * text with a document type is refused unread, so there are no entities; it
 * is taken as UTF-8 whatever it says, has a bounded size and depth, and
 * nothing in it can make us open a file or a connection.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include "registry.h"

#define ENDING		".vbox"
#define NAMES_MAX	10000u		/* looked at in one folder */
#define LISTS_MAX	64u		/* settings files of one folder */
#define LIST_MAX	(8u << 20)	/* bytes; real ones have some thousand */
#define MEDIA_MAX	16384u		/* of one folder */
#define DEPTH_MAX	1024		/* VirtualBox stops at 300 */

void
vd_registry_free(struct vd_registry *r)
{
	for (unsigned i = 0; i < r->n; i++)
		free(r->media[i].path);
	free(r->media);
	*r = (struct vd_registry){ 0 };
}

#ifdef HAVE_LIBXML2
#include <dlfcn.h>
#include <libxml/xmlreader.h>
#include <pthread.h>

/* ------------------------------------------------------------- the parser */

static struct {
	bool	there;
	__typeof__(&xmlReaderForMemory)		open;
	__typeof__(&xmlFreeTextReader)		close;
	__typeof__(&xmlTextReaderSetErrorHandler) silence;
	__typeof__(&xmlTextReaderRead)		next;
	__typeof__(&xmlTextReaderNodeType)	type;
	__typeof__(&xmlTextReaderDepth)		depth;
	__typeof__(&xmlTextReaderConstLocalName) name;
	__typeof__(&xmlTextReaderConstValue)	value;
	__typeof__(&xmlTextReaderMoveToAttribute) attribute;
	__typeof__(&xmlTextReaderMoveToElement)	back;
} xml;

static void
load(void)
{
	static const struct {
		void   *slot;
		const char *name;
	} calls[] = {
		{ &xml.open, "xmlReaderForMemory" },
		{ &xml.close, "xmlFreeTextReader" },
		{ &xml.silence, "xmlTextReaderSetErrorHandler" },
		{ &xml.next, "xmlTextReaderRead" },
		{ &xml.type, "xmlTextReaderNodeType" },
		{ &xml.depth, "xmlTextReaderDepth" },
		{ &xml.name, "xmlTextReaderConstLocalName" },
		{ &xml.value, "xmlTextReaderConstValue" },
		{ &xml.attribute, "xmlTextReaderMoveToAttribute" },
		{ &xml.back, "xmlTextReaderMoveToElement" },
	};
	void *lib = dlopen("libxml2.so.2", RTLD_NOW | RTLD_LOCAL);

	xml.there = lib != NULL;
	for (size_t i = 0; lib && i < sizeof(calls) / sizeof(*calls); i++) {
		void *p = dlsym(lib, calls[i].name);

		memcpy(calls[i].slot, &p, sizeof(p));
		xml.there = xml.there && p;
	}
}

static void
say_nothing(void *ctx, const char *msg, xmlParserSeverities severity,
	    xmlTextReaderLocatorPtr where)
{
	(void)ctx, (void)msg, (void)severity, (void)where;
}

/* ---------------------------------------------------------------- one list */

struct walk {
	struct vd_registry *r;
	xmlTextReaderPtr reader;
	int		registry;	/* depth of MediaRegistry, or -1 */
	int		disks;		/* of HardDisks in it, or -1 */
	int		at[DEPTH_MAX];	/* which medium is open at a depth, or -1 */
};

static const char *
attribute(struct walk *w, const char *name)
{
	const xmlChar *v = NULL;

	if (xml.attribute(w->reader, (const xmlChar *)name) == 1)
		v = xml.value(w->reader);
	return v ? (const char *)v : "";
}

/* "{0123...}" without the braces. */
static void
take_id(const char *text, char id[VD_ID_MAX])
{
	snprintf(id, VD_ID_MAX, "%s", text + (*text == '{'));
	id[strcspn(id, "}")] = '\0';
}

static int
add_medium(struct walk *w, int parent)
{
	struct vd_registry *r = w->r;
	struct vd_medium *more, *m;

	if (r->n >= MEDIA_MAX)
		return -1;
	more = realloc(r->media, (r->n + 1) * sizeof(*more));
	if (!more)
		return -1;
	r->media = more;
	m = &more[r->n];
	*m = (struct vd_medium){ 0 };
	take_id(attribute(w, "uuid"), m->id);
	if (parent >= 0)
		memcpy(m->parent, more[parent].id, sizeof(m->parent));
	m->path = strdup(attribute(w, "location"));
	xml.back(w->reader);
	if (!m->path || !m->path[0] || !m->id[0]) {
		free(m->path);
		return -1;
	}
	for (char *p = m->path; *p; p++)
		if (*p == '\\')
			*p = '/';
	return (int)r->n++;
}

static void
element(struct walk *w, int depth)
{
	const char *name = (const char *)xml.name(w->reader);

	if (depth <= w->registry)
		w->registry = -1;
	if (depth <= w->disks)
		w->disks = -1;
	w->at[depth] = -1;
	if (!name)
		return;
	if (!strcmp(name, "MediaRegistry"))
		w->registry = depth;
	else if (!strcmp(name, "HardDisks") && w->registry >= 0 &&
		 depth == w->registry + 1)
		w->disks = depth;
	else if (!strcmp(name, "HardDisk") && w->disks >= 0)
		w->at[depth] = add_medium(w, w->at[depth - 1]);
}

static bool
parse(struct vd_registry *r, const char *text, size_t len)
{
	struct walk *w = calloc(1, sizeof(*w));
	int more = 1, depth;

	if (!w)
		return false;
	*w = (struct walk){ .r = r, .registry = -1, .disks = -1 };
	/* HUGE: 250 nested images are usual there, the parser's own limit. */
	w->reader = xml.open(text, (int)len, NULL, "UTF-8", XML_PARSE_NONET |
			     XML_PARSE_NOERROR | XML_PARSE_NOWARNING |
			     XML_PARSE_HUGE);
	if (w->reader) {
		xml.silence(w->reader, say_nothing, NULL);
		while ((more = xml.next(w->reader)) == 1) {
			depth = xml.depth(w->reader);
			if (depth < 0 || depth >= DEPTH_MAX)
				break;
			if (xml.type(w->reader) == XML_READER_TYPE_ELEMENT)
				element(w, depth);
		}
		xml.close(w->reader);
	}
	free(w);
	return more == 0;
}

static bool
read_list(const char *folder, const char *name, struct vd_registry *r)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	int at = vd_find_beside(folder, name, false);
	bool good = false;
	char *text = NULL, proc[40];
	struct stat st;
	ssize_t n = -1;
	int fd = -1;

	if (at >= 0) {
		snprintf(proc, sizeof(proc), "/proc/self/fd/%d", at);
		fd = open(proc, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		close(at);
	}
	if (fd >= 0 && !fstat(fd, &st) && st.st_size > 0 &&
	    st.st_size <= LIST_MAX && (text = malloc((size_t)st.st_size)))
		n = pread(fd, text, (size_t)st.st_size, 0);
	if (n > 0 && !memmem(text, (size_t)n, "<!DOCTYPE", 9)) {
		pthread_once(&once, load);
		good = xml.there && parse(r, text, (size_t)n);
	}
	free(text);
	if (fd >= 0)
		close(fd);
	return good;
}

#else

static bool
read_list(const char *folder, const char *name, struct vd_registry *r)
{
	(void)folder, (void)name, (void)r;
	return false;
}

#endif

/* ------------------------------------------------------------------ folder */

void
vd_registry_read(const char *folder, struct vd_registry *r)
{
	DIR *dir = opendir(folder[0] ? folder : ".");
	unsigned names = 0, lists = 0;
	struct dirent *e;

	*r = (struct vd_registry){ 0 };
	while (dir && names++ < NAMES_MAX && (e = readdir(dir))) {
		const char *dot = strrchr(e->d_name, '.');

		if (!dot || strcasecmp(dot, ENDING) || lists++ >= LISTS_MAX)
			continue;
		snprintf(read_list(folder, e->d_name, r) ? r->list : r->unread,
			 sizeof(r->list), "%s", e->d_name);
	}
	if (dir)
		closedir(dir);
}
