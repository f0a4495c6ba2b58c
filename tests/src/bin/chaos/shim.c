/* Loaded into the sidecar before the C library: makes the disk below one folder slow, failing or
 * read-only, and the clock of day wrong, as five numbers in a shared file say, from one moment to
 * the next and back. No kernel module, device or privilege is needed for it, which faults of block
 * devices would. What is read from the page cache without waiting passes it by (preadv2 with
 * RWF_NOWAIT goes to the kernel directly): that is not the disk's.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* As `Control` in shim.rs writes it. */
struct control {
    int64_t delay;        /* microseconds before each read, write and sync */
    int64_t read_error;   /* errno of reads */
    int64_t change_error; /* errno of whatever changes a file or a folder */
    int64_t index_only;   /* whether only the folder `index` is meant */
    int64_t clock;        /* seconds that the clock of day is ahead */
};

static const volatile struct control *control;
static char folder[4096];
static size_t folder_length;

__attribute__((constructor)) static void begin(void) {
    const char *file = getenv("VIEWCACHE_CHAOS_CONTROL");
    const char *below = getenv("VIEWCACHE_CHAOS_FOLDER");
    if (!file || !below || sizeof folder <= strlen(below))
        return;
    strcpy(folder, below);
    folder_length = strlen(folder);
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    void *map = mmap(NULL, sizeof *control, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (map != MAP_FAILED)
        control = map;
}

static int meant(const char *path) {
    if (strncmp(path, folder, folder_length) != 0)
        return 0;
    return !control->index_only || strncmp(path + folder_length, "/index", 6) == 0;
}

static int meant_fd(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0)
        return 0;
    path[length] = 0;
    return meant(path);
}

/* Waits; says which error there shall be. */
static int trouble(int fd, int changes) {
    if (!control || !(control->delay || control->read_error || control->change_error))
        return 0;
    int saved = errno;
    int is = meant_fd(fd);
    if (is && control->delay)
        usleep(control->delay);
    errno = saved;
    return is ? (changes ? control->change_error : control->read_error) : 0;
}

static int trouble_at(const char *path) {
    return control && control->change_error && meant(path) ? control->change_error : 0;
}

#define NEXT(type, name, ...)                                \
    static type (*next)(__VA_ARGS__);                        \
    if (!next)                                               \
        next = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name);

#define FAIL(error)                 \
    do {                            \
        int fails = (error);        \
        if (fails) {                \
            errno = fails;          \
            return -1;              \
        }                           \
    } while (0)

#define ON_FD(type, name, changes, arguments, ...) \
    type name(__VA_ARGS__) {                       \
        NEXT(type, name, __VA_ARGS__)              \
        FAIL(trouble(fd, changes));                \
        return next arguments;                     \
    }

ON_FD(ssize_t, pread64, 0, (fd, to, size, at), int fd, void *to, size_t size, off64_t at)
ON_FD(ssize_t, pread, 0, (fd, to, size, at), int fd, void *to, size_t size, off_t at)
ON_FD(ssize_t, read, 0, (fd, to, size), int fd, void *to, size_t size)
ON_FD(ssize_t, pwrite64, 1, (fd, of, size, at), int fd, const void *of, size_t size, off64_t at)
ON_FD(ssize_t, pwrite, 1, (fd, of, size, at), int fd, const void *of, size_t size, off_t at)
ON_FD(ssize_t, write, 1, (fd, of, size), int fd, const void *of, size_t size)
ON_FD(ssize_t, writev, 1, (fd, of, count), int fd, const struct iovec *of, int count)
ON_FD(int, fsync, 1, (fd), int fd)
ON_FD(int, fdatasync, 1, (fd), int fd)
ON_FD(int, sync_file_range, 1, (fd, at, size, flags), int fd, off64_t at, off64_t size, unsigned flags)
ON_FD(int, ftruncate64, 1, (fd, size), int fd, off64_t size)
ON_FD(int, ftruncate, 1, (fd, size), int fd, off_t size)

#define ON_OPEN(name)                                          \
    int name(const char *path, int flags, ...) {               \
        va_list list;                                          \
        va_start(list, flags);                                 \
        mode_t mode = va_arg(list, mode_t);                    \
        va_end(list);                                          \
        NEXT(int, name, const char *, int, ...)                \
        if (flags & (O_WRONLY | O_RDWR | O_CREAT))             \
            FAIL(trouble_at(path));                            \
        return next(path, flags, mode);                        \
    }
ON_OPEN(open)
ON_OPEN(open64)

#define ON_PATH(name, arguments, ...)        \
    int name(__VA_ARGS__) {                  \
        NEXT(int, name, __VA_ARGS__)         \
        FAIL(trouble_at(path));              \
        return next arguments;               \
    }
ON_PATH(unlink, (path), const char *path)
ON_PATH(rename, (path, to), const char *path, const char *to)
ON_PATH(mkdir, (path, mode), const char *path, mode_t mode)

int clock_gettime(clockid_t clock, struct timespec *now) {
    NEXT(int, clock_gettime, clockid_t, struct timespec *)
    int failed = next(clock, now);
    if (!failed && control && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += control->clock;
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    NEXT(int, gettimeofday, struct timeval *, void *)
    int failed = next(now, zone);
    if (!failed && control)
        now->tv_sec += control->clock;
    return failed;
}

time_t time(time_t *to) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (to)
        *to = now.tv_sec;
    return now.tv_sec;
}

/* Waits until a time of day, which the kernel knows as it is. */
int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until) {
    NEXT(int, pthread_cond_timedwait, pthread_cond_t *, pthread_mutex_t *, const struct timespec *)
    struct timespec real = *until;
    if (control)
        real.tv_sec -= control->clock;
    return next(condition, mutex, &real);
}
