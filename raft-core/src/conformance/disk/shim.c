// Stands between a program and its files, loaded by LD_PRELOAD. It writes down, in order, what is done
// to the files below one directory, and fails the calls that it is told to. See mod.rs for why, and
// trace.rs for who reads it.
//
// RAFT_DISK_WATCHED   the directory, without a slash at its end
// RAFT_DISK_TOLD      a file whose content is written down too, but is no part of the disk
// RAFT_DISK_TRACE     where all of it is written down
// RAFT_DISK_FAULT     "CALL ERRNO WAY": the call of this number fails; once, or with all that follow,
//                     or a write is cut short and the next one fails; nothing fails if it is not set
//
// A record is a line "KIND INODE NUMBER LENGTH" and LENGTH bytes:
//
// C created a file, bytes are its path      M made a directory, the same
// W wrote the bytes at offset NUMBER        L set the length to NUMBER
// S synced                                  X failed to sync
// R renamed, bytes are "FROM\nTO"           U removed, bytes are the path
// T the bytes were told                     F failed call NUMBER, bytes are "CALL PATH"
// E the process ended after NUMBER calls

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

// An offset is one argument of a system call there.
_Static_assert(sizeof(long) == 8, "a system of 64 bits");

enum way { ONCE, LASTING, SHORT };

static const char *watched, *told;
static size_t watched_length;
static int trace = -1;
static long fails_at;
static int fails_with;
static enum way way;

// One call at a time, so that the records have an order.
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static long calls;
// The file whose last write was cut short.
static ino_t cut_short;

static void give_up(const char *why)
{
    dprintf(STDERR_FILENO, "the shim of the disk suite: %s\n", why);
    _exit(70);
}

__attribute__((constructor)) static void take_order(void)
{
    const char *path = getenv("RAFT_DISK_TRACE"), *fault = getenv("RAFT_DISK_FAULT");
    const char *directory = getenv("RAFT_DISK_WATCHED");
    told = getenv("RAFT_DISK_TOLD");
    if (!path || !directory || !told)
        give_up("a variable is missing");
    char word[16];
    if (fault && sscanf(fault, "%ld %d %15s", &fails_at, &fails_with, word) != 3)
        give_up("the fault is not understood");
    if (fault)
        way = word[0] == 'l' ? LASTING : word[0] == 's' ? SHORT : ONCE;
    trace = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (trace < 0)
        give_up("the trace cannot be written");
    watched_length = strlen(directory);
    watched = directory;
}

static void put(const void *bytes, size_t length)
{
    for (const char *from = bytes; length > 0;) {
        ssize_t done = syscall(SYS_write, trace, from, length);
        if (done <= 0)
            give_up("the trace cannot be written");
        from += done;
        length -= done;
    }
}

static void record(char kind, ino_t inode, long long number, const void *bytes, size_t length)
{
    char line[96];
    int size = snprintf(line, sizeof line, "%c %llu %lld %zu\n", kind, (unsigned long long)inode, number, length);
    put(line, size);
    put(bytes, length);
}

__attribute__((destructor)) static void end(void)
{
    pthread_mutex_lock(&turn);
    record('E', 0, calls, "", 0);
    pthread_mutex_unlock(&turn);
}

// The path from the watched directory on, or NULL if it lies elsewhere.
static const char *inside(const char *path)
{
    if (!watched || strncmp(path, watched, watched_length) != 0)
        return NULL;
    if (path[watched_length] == '/')
        return path + watched_length + 1;
    return path[watched_length] == '\0' ? "" : NULL;
}

// Whether the path of an open file is known; it is put into `path`.
static int path_of(int fd, char path[PATH_MAX])
{
    char link[32];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    path[length < 0 ? 0 : length] = '\0';
    return length > 0;
}

// As `inside`, of a path from an open directory on. A path from the current one is never watched.
static const char *inside_at(int directory, const char *path, char full[PATH_MAX])
{
    if (path[0] == '/')
        return inside(strncpy(full, path, PATH_MAX - 1));
    if (directory == AT_FDCWD || !path_of(directory, full))
        return NULL;
    size_t length = strlen(full);
    snprintf(full + length, PATH_MAX - length, "/%s", path);
    return inside(full);
}

// Counts a call. The number of the error that it must end with, or zero.
static int fault_of(const char *call, const char *path, ino_t inode)
{
    calls += 1;
    int again = inode != 0 && inode == cut_short;
    int hit = calls == fails_at || (way == LASTING && fails_at > 0 && calls > fails_at);
    if (!hit && !again)
        return 0;
    char text[PATH_MAX + 32];
    int length = snprintf(text, sizeof text, "%s %s", call, path);
    record('F', inode, calls, text, length);
    return fails_with;
}

static int failed(int error)
{
    pthread_mutex_unlock(&turn);
    errno = error;
    return -1;
}

// The inode of a path, or zero if nothing is there.
static ino_t inode_of(const char *path, off_t *size)
{
    struct stat found;
    if (lstat(path, &found) != 0)
        return 0;
    *size = found.st_size;
    return found.st_ino;
}

static int open_any(int directory, const char *path, int flags, mode_t mode)
{
    char full[PATH_MAX] = "";
    const char *name = inside_at(directory, path, full);
    if (!name || !(flags & (O_CREAT | O_TRUNC)))
        return syscall(SYS_openat, directory, path, flags, mode);
    pthread_mutex_lock(&turn);
    off_t size = 0;
    ino_t inode = inode_of(full, &size);
    int creates = inode == 0 && (flags & O_CREAT), cuts = (flags & O_TRUNC) && size > 0;
    int error = creates || cuts ? fault_of(creates ? "create" : "cut off", name, 0) : 0;
    if (error)
        return failed(error);
    int fd = syscall(SYS_openat, directory, path, flags, mode);
    int kept = errno;
    if (fd >= 0 && creates)
        record('C', inode_of(full, &size), 0, name, strlen(name));
    else if (fd >= 0 && cuts)
        record('L', inode, 0, "", 0);
    pthread_mutex_unlock(&turn);
    errno = kept;
    return fd;
}

static mode_t mode_of(int flags, va_list more)
{
    return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(more, mode_t) : 0;
}

#define OPEN(name)                                                                                          \
    int name(const char *path, int flags, ...)                                                              \
    {                                                                                                       \
        va_list more;                                                                                       \
        va_start(more, flags);                                                                              \
        mode_t mode = mode_of(flags, more);                                                                 \
        va_end(more);                                                                                       \
        return open_any(AT_FDCWD, path, flags, mode);                                                       \
    }
#define OPEN_AT(name)                                                                                       \
    int name(int directory, const char *path, int flags, ...)                                               \
    {                                                                                                       \
        va_list more;                                                                                       \
        va_start(more, flags);                                                                              \
        mode_t mode = mode_of(flags, more);                                                                 \
        va_end(more);                                                                                       \
        return open_any(directory, path, flags, mode);                                                      \
    }
OPEN(open)
OPEN(open64)
OPEN_AT(openat)
OPEN_AT(openat64)

int creat(const char *path, mode_t mode)
{
    return open_any(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
}

static ssize_t write_through(int fd, const void *bytes, size_t length, off_t at)
{
    if (at < 0)
        return syscall(SYS_write, fd, bytes, length);
    return syscall(SYS_pwrite64, fd, bytes, length, at);
}

// Where the next write goes.
static off_t position(int fd)
{
    struct stat file;
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0 && (flags & O_APPEND) && fstat(fd, &file) == 0)
        return file.st_size;
    return lseek(fd, 0, SEEK_CUR);
}

// `at` is negative where the file's own position counts.
static ssize_t write_any(int fd, const void *bytes, size_t length, off_t at)
{
    char path[PATH_MAX];
    struct stat file;
    int known = watched && path_of(fd, path) && fstat(fd, &file) == 0;
    const char *name = known ? inside(path) : NULL;
    int tells = known && strcmp(path, told) == 0;
    if (!name && !tells)
        return write_through(fd, bytes, length, at);
    pthread_mutex_lock(&turn);
    int error = tells ? 0 : fault_of("write", name, file.st_ino);
    int is_short = error && way == SHORT && file.st_ino != cut_short && length > 1;
    cut_short = is_short ? file.st_ino : error ? 0 : cut_short;
    if (error && !is_short)
        return failed(error);
    off_t offset = at < 0 ? position(fd) : at;
    ssize_t done = write_through(fd, bytes, is_short ? length / 2 : length, at);
    int kept = errno;
    if (done > 0)
        record(tells ? 'T' : 'W', file.st_ino, offset, bytes, done);
    pthread_mutex_unlock(&turn);
    errno = kept;
    return done;
}

static ssize_t write_all(int fd, const struct iovec *parts, int count, off_t at)
{
    size_t length = 0;
    for (int part = 0; part < count; part += 1)
        length += parts[part].iov_len;
    char *bytes = malloc(length + 1), *to = bytes;
    if (!bytes)
        give_up("no memory");
    for (int part = 0; part < count; part += 1)
        to = mempcpy(to, parts[part].iov_base, parts[part].iov_len);
    ssize_t done = write_any(fd, bytes, length, at);
    int kept = errno;
    free(bytes);
    errno = kept;
    return done;
}

ssize_t write(int fd, const void *bytes, size_t length) { return write_any(fd, bytes, length, -1); }
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) { return write_any(fd, bytes, length, at); }
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) { return write_any(fd, bytes, length, at); }
ssize_t writev(int fd, const struct iovec *parts, int count) { return write_all(fd, parts, count, -1); }
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) { return write_all(fd, parts, count, at); }
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at) { return write_all(fd, parts, count, at); }

// What is recorded of a call that did as it was told, and of one that did not; zero for nothing.
struct kinds {
    char success, failure;
};

// A call on an open file that takes up to three numbers.
static int on_file(const char *call, struct kinds kinds, int fd, long number, long first, long second, long third)
{
    char path[PATH_MAX];
    struct stat file;
    const char *name = watched && path_of(fd, path) && fstat(fd, &file) == 0 ? inside(path) : NULL;
    if (!name)
        return syscall(number, fd, first, second, third);
    pthread_mutex_lock(&turn);
    int error = fault_of(call, name, file.st_ino);
    int done = error ? -1 : syscall(number, fd, first, second, third);
    int kept = error ? error : errno;
    char kind = done == 0 ? kinds.success : kinds.failure;
    if (kind && fstat(fd, &file) == 0)
        record(kind, file.st_ino, file.st_size, "", 0);
    pthread_mutex_unlock(&turn);
    errno = kept;
    return done;
}

static const struct kinds sync_kinds = {'S', 'X'}, length_kinds = {'L', 0}, no_kinds;

int fsync(int fd) { return on_file("sync", sync_kinds, fd, SYS_fsync, 0, 0, 0); }
int fdatasync(int fd) { return on_file("sync", sync_kinds, fd, SYS_fdatasync, 0, 0, 0); }

int sync_file_range(int fd, off64_t at, off64_t length, unsigned flags)
{
    // It makes nothing durable, so there is nothing to write down.
    return on_file("write back", no_kinds, fd, SYS_sync_file_range, at, length, flags);
}

int ftruncate(int fd, off_t length) { return on_file("set length", length_kinds, fd, SYS_ftruncate, length, 0, 0); }
int ftruncate64(int fd, off64_t length) { return ftruncate(fd, length); }

int fallocate(int fd, int mode, off_t at, off_t length)
{
    return on_file("allocate", length_kinds, fd, SYS_fallocate, mode, at, length);
}

int fallocate64(int fd, int mode, off64_t at, off64_t length) { return fallocate(fd, mode, at, length); }

int renameat2(int from_directory, const char *from, int to_directory, const char *to, unsigned flags)
{
    char full[PATH_MAX] = "", full_to[PATH_MAX] = "", both[2 * PATH_MAX];
    const char *name = inside_at(from_directory, from, full), *name_to = inside_at(to_directory, to, full_to);
    if (!name || !name_to)
        return syscall(SYS_renameat2, from_directory, from, to_directory, to, flags);
    pthread_mutex_lock(&turn);
    int error = fault_of("rename", name, 0);
    if (error)
        return failed(error);
    int done = syscall(SYS_renameat2, from_directory, from, to_directory, to, flags);
    int kept = errno;
    if (done == 0)
        record('R', 0, 0, both, snprintf(both, sizeof both, "%s\n%s", name, name_to));
    pthread_mutex_unlock(&turn);
    errno = kept;
    return done;
}

int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }

int renameat(int from_directory, const char *from, int to_directory, const char *to)
{
    return renameat2(from_directory, from, to_directory, to, 0);
}

int unlinkat(int directory, const char *path, int flags)
{
    char full[PATH_MAX] = "";
    const char *name = inside_at(directory, path, full);
    if (!name)
        return syscall(SYS_unlinkat, directory, path, flags);
    pthread_mutex_lock(&turn);
    // A full disk lets go of files.
    int error = fails_with == ENOSPC ? 0 : fault_of("remove", name, 0);
    if (error)
        return failed(error);
    int done = syscall(SYS_unlinkat, directory, path, flags);
    int kept = errno;
    if (done == 0)
        record('U', 0, 0, name, strlen(name));
    pthread_mutex_unlock(&turn);
    errno = kept;
    return done;
}

int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int mkdirat(int directory, const char *path, mode_t mode)
{
    char full[PATH_MAX] = "";
    const char *name = inside_at(directory, path, full);
    if (!name)
        return syscall(SYS_mkdirat, directory, path, mode);
    pthread_mutex_lock(&turn);
    off_t size = 0;
    int is_new = inode_of(full, &size) == 0;
    int error = is_new ? fault_of("make directory", name, 0) : 0;
    if (error)
        return failed(error);
    int done = syscall(SYS_mkdirat, directory, path, mode);
    int kept = errno;
    if (done == 0)
        record('M', inode_of(full, &size), 0, name, strlen(name));
    pthread_mutex_unlock(&turn);
    errno = kept;
    return done;
}

int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }
