/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole program with one call of the system made to fail: the Nth allocation, the Nth
 * write ... Linked with --wrap for each function of the table below, so that the calls of our
 * own objects come here first; budget allocates by malloc and is struck through it.
 *
 *   faults count FAMILY DIR -- ARGUMENT...            how often is FAMILY called, and from where
 *   faults run FAMILY once|lasting DIR -- ARGUMENT... strikes call N for each N on standard input
 *
 * Each run is a process of its own in DIR/N, with `stdout` and `stderr` beside the outputs; `@`
 * in an argument stands for N. Who made the call that failed is in `struck`. "count" prints the
 * number of calls, then the first call of each different call stack; "run" prints for each N: N,
 * the wait status, how many calls failed.
 */
#include <dirent.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum family { FAMILY_MEMORY, FAMILY_OPEN, FAMILY_READ, FAMILY_WRITE, FAMILY_NET, FAMILY_COUNT };

static const char *const family_names[FAMILY_COUNT] = {"memory", "open", "read", "write", "net"};

#define STACK_DEPTH 12
#define STACKS_MAX  65536
#define SECONDS_MAX 60

/* Shared with the process that is struck. */
struct shared {
	atomic_uint_fast64_t calls, failed;
	atomic_uint_fast64_t stack_count;
	uint64_t stacks[STACKS_MAX]; /* hashes */
	uint64_t first[STACKS_MAX];  /* the call that came from there first */
};

static struct {
	bool armed, counting, lasting;
	enum family family;
	uint64_t at;
	struct shared *shared;
	pthread_mutex_t lock;
} fault = {.lock = PTHREAD_MUTEX_INITIALIZER};

int __real_open(const char *path, int flags, ...);
int __real_close(int fd);

/* The program under test, its main() renamed. */
int stripwatch_main(int argc, char **argv);

static void note_stack(uint64_t call)
{
	void *frames[STACK_DEPTH];
	struct shared *shared = fault.shared;
	int depth = backtrace(frames, STACK_DEPTH);
	uint64_t hash = 14695981039346656037U;

	for (int i = 0; i < depth; i++)
		hash = (hash ^ (uint64_t)(uintptr_t)frames[i]) * 1099511628211U;
	pthread_mutex_lock(&fault.lock);
	uint64_t count = shared->stack_count, i = 0;
	while (i < count && shared->stacks[i] != hash)
		i++;
	if (i == count && count < STACKS_MAX) {
		shared->stacks[i] = hash;
		shared->first[i] = call;
		shared->stack_count = count + 1;
	}
	pthread_mutex_unlock(&fault.lock);
}

/* Who made the call that fails: addresses in the program, one a line, in `struck`. */
static void tell_stack(void)
{
	void *frames[STACK_DEPTH];
	int file = __real_open("struck", O_WRONLY | O_CREAT | O_TRUNC, 0600);
	int depth = backtrace(frames, STACK_DEPTH);

	backtrace_symbols_fd(frames, depth, file);
	(void)__real_close(file);
}

static bool strikes(enum family family, int error)
{
	if (!fault.armed || family != fault.family)
		return false;
	uint64_t call = ++fault.shared->calls;
	if (fault.counting) {
		int kept = errno;
		note_stack(call);
		errno = kept;
		return false;
	}
	if (call != fault.at && !(fault.lasting && call > fault.at))
		return false;
	if (fault.shared->failed++ == 0)
		tell_stack();
	errno = error;
	return true;
}

/* WRAP(result, function, parameters, arguments, family, errno, what it returns when it fails) */
#define WRAP(result, name, parameters, arguments, family, error, failure)                          \
	result __real_##name parameters;                                                           \
	result __wrap_##name parameters;                                                           \
	result __wrap_##name parameters                                                            \
	{                                                                                          \
		return strikes(family, error) ? (failure) : __real_##name arguments;               \
	}

WRAP(void *, malloc, (size_t size), (size), FAMILY_MEMORY, ENOMEM, NULL)
WRAP(void *, calloc, (size_t n, size_t size), (n, size), FAMILY_MEMORY, ENOMEM, NULL)
WRAP(void *, aligned_alloc, (size_t to, size_t size), (to, size), FAMILY_MEMORY, ENOMEM, NULL)
WRAP(void *, realloc, (void *p, size_t size), (p, size), FAMILY_MEMORY, ENOMEM, NULL)
WRAP(char *, strdup, (const char *s), (s), FAMILY_MEMORY, ENOMEM, NULL)
WRAP(char *, strndup, (const char *s, size_t n), (s, n), FAMILY_MEMORY, ENOMEM, NULL)
WRAP(FILE *, open_memstream, (char **p, size_t *n), (p, n), FAMILY_MEMORY, ENOMEM, NULL)

WRAP(FILE *, fopen, (const char *path, const char *how), (path, how), FAMILY_OPEN, EMFILE, NULL)
WRAP(FILE *, fopen64, (const char *path, const char *how), (path, how), FAMILY_OPEN, EMFILE, NULL)
WRAP(DIR *, opendir, (const char *path), (path), FAMILY_OPEN, EMFILE, NULL)
WRAP(DIR *, fdopendir, (int fd), (fd), FAMILY_OPEN, ENOMEM, NULL)
WRAP(int, mkdir, (const char *path, mode_t mode), (path, mode), FAMILY_OPEN, EACCES, -1)
WRAP(int, access, (const char *path, int mode), (path, mode), FAMILY_OPEN, EACCES, -1)
WRAP(int, eventfd, (unsigned n, int flags), (n, flags), FAMILY_OPEN, EMFILE, -1)
WRAP(int, flock, (int fd, int how), (fd, how), FAMILY_OPEN, EWOULDBLOCK, -1)
WRAP(ssize_t, getrandom, (void *p, size_t n, unsigned f), (p, n, f), FAMILY_OPEN, ENOSYS, -1)
WRAP(int, pthread_create,
     (pthread_t * id, const pthread_attr_t *how, void *(*start)(void *), void *argument),
     (id, how, start, argument), FAMILY_OPEN, EAGAIN, EAGAIN)

WRAP(ssize_t, read, (int fd, void *p, size_t n), (fd, p, n), FAMILY_READ, EIO, -1)
WRAP(ssize_t, pread, (int fd, void *p, size_t n, off_t at), (fd, p, n, at), FAMILY_READ, EIO, -1)
WRAP(ssize_t, pread64, (int fd, void *p, size_t n, off_t at), (fd, p, n, at), FAMILY_READ, EIO, -1)
WRAP(off_t, lseek, (int fd, off_t at, int from), (fd, at, from), FAMILY_READ, EIO, -1)
WRAP(void *, mmap, (void *to, size_t n, int can, int how, int fd, off_t at),
     (to, n, can, how, fd, at), FAMILY_READ, ENODEV, MAP_FAILED)
WRAP(struct dirent *, readdir, (DIR * d), (d), FAMILY_READ, EIO, NULL)
WRAP(struct dirent64 *, readdir64, (DIR * d), (d), FAMILY_READ, EIO, NULL)
WRAP(int, fstat, (int fd, struct stat *s), (fd, s), FAMILY_READ, EIO, -1)
WRAP(int, fstat64, (int fd, struct stat64 *s), (fd, s), FAMILY_READ, EIO, -1)
WRAP(int, stat, (const char *path, struct stat *s), (path, s), FAMILY_READ, EIO, -1)

WRAP(ssize_t, write, (int fd, const void *p, size_t n), (fd, p, n), FAMILY_WRITE, ENOSPC, -1)
WRAP(ssize_t, pwrite, (int fd, const void *p, size_t n, off_t at), (fd, p, n, at), FAMILY_WRITE,
     ENOSPC, -1)
WRAP(ssize_t, pwrite64, (int fd, const void *p, size_t n, off_t at), (fd, p, n, at), FAMILY_WRITE,
     ENOSPC, -1)
WRAP(int, ftruncate, (int fd, off_t size), (fd, size), FAMILY_WRITE, EIO, -1)
WRAP(int, ftruncate64, (int fd, off_t size), (fd, size), FAMILY_WRITE, EIO, -1)
WRAP(int, fsync, (int fd), (fd), FAMILY_WRITE, EIO, -1)
WRAP(int, fdatasync, (int fd), (fd), FAMILY_WRITE, EIO, -1)
WRAP(int, rename, (const char *from, const char *to), (from, to), FAMILY_WRITE, ENOSPC, -1)
WRAP(int, renameat, (int a, const char *from, int b, const char *to), (a, from, b, to),
     FAMILY_WRITE, ENOSPC, -1)
WRAP(int, unlinkat, (int fd, const char *path, int how), (fd, path, how), FAMILY_WRITE, EIO, -1)
WRAP(int, fflush, (FILE * stream), (stream), FAMILY_WRITE, ENOSPC, EOF)

WRAP(ssize_t, send, (int fd, const void *p, size_t n, int f), (fd, p, n, f), FAMILY_NET, EPIPE, -1)
WRAP(ssize_t, recv, (int fd, void *p, size_t n, int f), (fd, p, n, f), FAMILY_NET, ECONNRESET, -1)
WRAP(int, socket, (int a, int b, int c), (a, b, c), FAMILY_NET, EMFILE, -1)
WRAP(int, connect, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n), FAMILY_NET,
     ECONNREFUSED, -1)
WRAP(int, poll, (struct pollfd * p, nfds_t n, int wait), (p, n, wait), FAMILY_NET, EINTR, -1)

/* The sink's last attempts, a tenth of a second of them: ten would be waited for hundreds of times.
 */
struct sink_redis;
struct sink_redis_stats;
uint64_t __real_sink_redis_close(struct sink_redis *sink, unsigned drain_ms,
				 struct sink_redis_stats *last);
uint64_t __wrap_sink_redis_close(struct sink_redis *sink, unsigned drain_ms,
				 struct sink_redis_stats *last);
uint64_t __wrap_sink_redis_close(struct sink_redis *sink, unsigned drain_ms,
				 struct sink_redis_stats *last)
{
	return __real_sink_redis_close(sink, drain_ms < 100 ? drain_ms : 100, last);
}

/* What closes does so even when it complains, as the system does. */
int __wrap_close(int fd);
int __wrap_close(int fd)
{
	bool struck = strikes(FAMILY_WRITE, EIO);
	int result = __real_close(fd);
	if (struck)
		errno = EIO;
	return struck ? -1 : result;
}

int __real_fclose(FILE *stream);
int __wrap_fclose(FILE *stream);
int __wrap_fclose(FILE *stream)
{
	bool struck = strikes(FAMILY_WRITE, ENOSPC);
	int result = __real_fclose(stream);
	if (struck)
		errno = ENOSPC;
	return struck ? EOF : result;
}

/* Variadic ones: the mode is handed on whether it was given or not. */
#define WRAP_OPEN(name)                                                                            \
	int __wrap_##name(const char *path, int flags, mode_t mode);                               \
	int __wrap_##name(const char *path, int flags, mode_t mode)                                \
	{                                                                                          \
		return strikes(FAMILY_OPEN, EMFILE) ? -1 : __real_##name(path, flags, mode);       \
	}
#define WRAP_OPENAT(name)                                                                          \
	int __real_##name(int at, const char *path, int flags, ...);                               \
	int __wrap_##name(int at, const char *path, int flags, mode_t mode);                       \
	int __wrap_##name(int at, const char *path, int flags, mode_t mode)                        \
	{                                                                                          \
		return strikes(FAMILY_OPEN, EMFILE) ? -1 : __real_##name(at, path, flags, mode);   \
	}
int __real_open64(const char *path, int flags, ...);
WRAP_OPEN(open)
WRAP_OPEN(open64)
WRAP_OPENAT(openat)
WRAP_OPENAT(openat64)

int __wrap_asprintf(char **text, const char *format, ...) __attribute__((format(printf, 2, 3)));
int __wrap_asprintf(char **text, const char *format, ...)
{
	va_list arguments;
	if (strikes(FAMILY_MEMORY, ENOMEM))
		return -1;
	va_start(arguments, format);
	int length = vasprintf(text, format, arguments);
	va_end(arguments);
	return length;
}

static void redirect(const char *name, int fd)
{
	int file = __real_open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (file < 0 || dup2(file, fd) < 0)
		_exit(125);
	(void)__real_close(file);
}

static char *with_number(const char *argument, uint64_t number)
{
	char text[24];
	int digits = snprintf(text, sizeof text, "%" PRIu64, number);
	const char *at = strchr(argument, '@');
	size_t size = strlen(argument) + (size_t)digits + 1;
	char *copy = __real_malloc(size);

	if (copy == NULL)
		_exit(125);
	if (at == NULL)
		snprintf(copy, size, "%s", argument);
	else
		snprintf(copy, size, "%.*s%s%s", (int)(at - argument), argument, text, at + 1);
	return copy;
}

/* The program's whole life, in DIR/N. */
static int one_run(const char *directory, uint64_t number, int argc, char **argv)
{
	char place[4096];
	char **copy = __real_calloc((size_t)argc + 1, sizeof *copy);

	snprintf(place, sizeof place, "%s/%" PRIu64, directory, number);
	if (copy == NULL || (__real_mkdir(place, 0700) != 0 && errno != EEXIST) ||
	    chdir(place) != 0)
		_exit(125);
	redirect("stdout", STDOUT_FILENO);
	redirect("stderr", STDERR_FILENO);
	for (int i = 0; i < argc; i++)
		copy[i] = with_number(argv[i], number);
	alarm(SECONDS_MAX); /* a hang ends by SIGALRM */
	fault.armed = true;
	int status = stripwatch_main(argc, copy);
	fault.armed = false;
	for (int i = 0; i < argc; i++)
		free(copy[i]);
	free(copy);
	return status;
}

static int start(const char *directory, uint64_t number, int argc, char **argv)
{
	int status = -1;

	fault.shared->calls = 0;
	fault.shared->failed = 0;
	fflush(stdout);
	pid_t child = fork();
	if (child == 0)
		exit(one_run(directory, number, argc, argv)); /* exit(): leaks are told there */
	if (child < 0 || waitpid(child, &status, 0) != child) {
		perror("faults");
		exit(125);
	}
	return status;
}

static int usage(void)
{
	fprintf(stderr, "usage: faults count FAMILY DIR -- ARGUMENT...\n"
			"       faults run FAMILY once|lasting DIR -- ARGUMENT...\n");
	return 125;
}

int main(int argc, char **argv)
{
	void *warm[2];
	int at = 0;

	while (at < argc && strcmp(argv[at], "--") != 0)
		at++;
	fault.counting = argc > 1 && strcmp(argv[1], "count") == 0;
	if (at >= argc || at != (fault.counting ? 4 : 5))
		return usage();
	for (fault.family = 0; fault.family < FAMILY_COUNT; fault.family++)
		if (strcmp(argv[2], family_names[fault.family]) == 0)
			break;
	if (fault.family == FAMILY_COUNT)
		return usage();
	fault.lasting = strcmp(argv[3], "lasting") == 0;
	fault.shared = mmap(NULL, sizeof *fault.shared, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (fault.shared == MAP_FAILED)
		return 125;
	(void)backtrace(warm, 2); /* the first call allocates */
	argv[at] = argv[0];
	if (fault.counting) {
		int status = start(argv[3], 0, argc - at, argv + at);
		printf("%d %" PRIu64 "\n", status, (uint64_t)fault.shared->calls);
		for (uint64_t i = 0; i < fault.shared->stack_count; i++)
			printf("%" PRIu64 "\n", fault.shared->first[i]);
		return 0;
	}
	while (scanf("%" SCNu64, &fault.at) == 1) {
		int status = start(argv[4], fault.at, argc - at, argv + at);
		printf("%" PRIu64 " %d %" PRIu64 "\n", fault.at, status,
		       (uint64_t)fault.shared->failed);
		fflush(stdout);
	}
	return 0;
}
