/* A tape for tests: write(2) to a regular file of one name ends its medium, read(2) from it has records.
 *
 * TAPE_NAME     the end of the file's path
 * TAPE_BLOCKS   writes that a medium takes; then ENOSPC
 * TAPE_EARLY    from this write on each second one fails once, as a drive's early warning does
 * TAPE_RECORD   reads smaller than this fail with ENOMEM, as a drive's in variable block mode do
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static long number(const char *name)
{
	const char *value = getenv(name);
	return value ? atol(value) : 0;
}

static int is_tape(int fd)
{
	char link[64], path[4096];
	const char *name = getenv("TAPE_NAME");
	ssize_t len;
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	len = readlink(link, path, sizeof path - 1);
	if (!name || len < (ssize_t)strlen(name))
		return 0;
	path[len] = 0;
	return strcmp(path + len - strlen(name), name) == 0;
}

ssize_t write(int fd, const void *data, size_t size)
{
	static ssize_t (*real)(int, const void *, size_t);
	static long written, warned;
	struct stat st;
	if (!real)
		real = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
	if (!is_tape(fd))
		return real(fd, data, size);
	if (fstat(fd, &st) == 0 && st.st_size == 0)
		written = 0; /* a new medium */
	if (written >= number("TAPE_BLOCKS")) {
		errno = ENOSPC;
		return -1;
	}
	if (number("TAPE_EARLY") && written >= number("TAPE_EARLY") && warned != written) {
		warned = written;
		errno = ENOSPC;
		return -1;
	}
	written++;
	return real(fd, data, size);
}

ssize_t read(int fd, void *data, size_t size)
{
	static ssize_t (*real)(int, void *, size_t);
	long record = number("TAPE_RECORD");
	if (!real)
		real = (ssize_t (*)(int, void *, size_t))dlsym(RTLD_NEXT, "read");
	if (!record || !is_tape(fd))
		return real(fd, data, size);
	if (size < (size_t)record) {
		errno = ENOMEM;
		return -1;
	}
	return real(fd, data, record);
}
