/* Calls that make, move and remove names, and those that make and close descriptors. */
#include "faultfs.h"
#include <aio.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE 2
#endif

static bool exists(const char *path, mode_t *mode) {
    struct stat stat;
    int saved = errno;
    bool found = lstat(path, &stat) == 0;
    if (found && mode) *mode = stat.st_mode;
    return errno = saved, found;
}

/* ---- open and close ---- */

static int open_any(int dirfd, const char *path, int flags, mode_t mode) {
    char absolute[PATH_MAX];
    if (!active) return (int)raw(SYS_openat, dirfd, path, flags, mode);
    bool changes = flags & (O_CREAT | O_TRUNC);
    if (!changes || (flags & O_TMPFILE) == O_TMPFILE || !path_inside(dirfd, path, absolute)) {
        lock();
        int fd = (int)raw(SYS_openat, dirfd, path, flags, mode);
        if (fd >= 0 && (flags & O_TMPFILE) != O_TMPFILE) slot_open(fd, flags, false);
        else if (fd >= 0) slot_close(fd);
        return unlock(), fd;
    }
    lock();
    mode_t kind = 0;
    bool was_there = exists(absolute, &kind);
    if (!was_there && flags & O_CREAT) names_log(NAME_CREATE, absolute, "", "", 0);
    bool cut = was_there && flags & O_TRUNC && !(flags & O_EXCL && flags & O_CREAT) && (flags & O_ACCMODE) != O_RDONLY;
    int fd = (int)raw(SYS_openat, dirfd, path, cut ? flags & ~O_TRUNC : flags, mode);
    if (fd >= 0) slot_open(fd, flags, !was_there);
    unlock();
    if (fd >= 0 && cut && ftruncate64(fd, 0) != 0) {
        int saved = errno;
        close(fd);
        return errno = saved, -1;
    }
    return fd;
}

#define MODE_FROM(flags)                                  \
    mode_t mode = 0;                                      \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                \
        va_list list;                                     \
        va_start(list, flags);                            \
        mode = va_arg(list, mode_t);                      \
        va_end(list);                                     \
    }
int open64(const char *path, int flags, ...) { MODE_FROM(flags) return open_any(AT_FDCWD, path, flags, mode); }
int open(const char *path, int flags, ...) { MODE_FROM(flags) return open_any(AT_FDCWD, path, flags, mode); }
int openat64(int dirfd, const char *path, int flags, ...) { MODE_FROM(flags) return open_any(dirfd, path, flags, mode); }
int openat(int dirfd, const char *path, int flags, ...) { MODE_FROM(flags) return open_any(dirfd, path, flags, mode); }
int creat64(const char *path, mode_t mode) { return open_any(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat(const char *path, mode_t mode) { return creat64(path, mode); }
/* What glibc's fortified headers call instead. */
int __open64_2(const char *path, int flags) { return open_any(AT_FDCWD, path, flags, 0); }
int __open_2(const char *path, int flags) { return open_any(AT_FDCWD, path, flags, 0); }
int __openat64_2(int dirfd, const char *path, int flags) { return open_any(dirfd, path, flags, 0); }
int __openat_2(int dirfd, const char *path, int flags) { return open_any(dirfd, path, flags, 0); }

int close(int fd) {
    if (!active) return (int)raw(SYS_close, fd);
    lock();
    slot_close(fd);
    int result = (int)raw(SYS_close, fd);
    return unlock(), result;
}
int close_range(unsigned first, unsigned last, int flags) {
    lock();
    for (unsigned fd = first; active && !flags && fd <= last && fd < 65536; fd++) slot_close((int)fd);
    int result = (int)raw(SYS_close_range, first, last, flags);
    return unlock(), result;
}

int dup(int fd) {
    int copy = (int)raw(SYS_dup, fd);
    return slot_copy(fd, copy), copy;
}
int dup3(int fd, int to, int flags) {
    int copy = (int)raw(SYS_dup3, fd, to, flags);
    return slot_copy(fd, copy), copy;
}
int dup2(int fd, int to) { return fd == to ? (int)raw(SYS_fcntl, fd, F_GETFD) >= 0 ? fd : -1 : dup3(fd, to, 0); }

int fcntl64(int fd, int command, ...) {
    va_list list;
    va_start(list, command);
    long argument = va_arg(list, long);
    va_end(list);
    int result = (int)raw(SYS_fcntl, fd, command, argument);
    if (command == F_DUPFD || command == F_DUPFD_CLOEXEC) slot_copy(fd, result);
    struct slot *slot = command == F_SETFL && result == 0 ? slot_of(fd) : NULL;
    if (slot) slot->append = argument & O_APPEND;
    return result;
}
int fcntl(int fd, int command, ...) {
    va_list list;
    va_start(list, command);
    long argument = va_arg(list, long);
    va_end(list);
    return fcntl64(fd, command, argument);
}

/* ---- names ---- */

static int remove_name(int dirfd, const char *path, int flags) {
    char absolute[PATH_MAX], held[PATH_MAX];
    mode_t mode = 0;
    if (!path_inside(dirfd, path, absolute) || !exists(absolute, &mode)) return (int)raw(SYS_unlinkat, dirfd, path, flags);
    lock();
    if (flags & AT_REMOVEDIR) names_log(NAME_RMDIR, absolute, "", "", 0);
    else if (!S_ISDIR(mode) && !path_ephemeral(absolute) && names_hold(absolute, held)) names_log(NAME_UNLINK, absolute, "", held, 0);
    int result = (int)raw(SYS_unlinkat, dirfd, path, flags), saved = errno;
    unlock();
    return errno = saved, result;
}
int unlink(const char *path) { return remove_name(AT_FDCWD, path, 0); }
int unlinkat(int dirfd, const char *path, int flags) { return remove_name(dirfd, path, flags); }
int rmdir(const char *path) { return remove_name(AT_FDCWD, path, AT_REMOVEDIR); }
int remove(const char *path) {
    mode_t mode = 0;
    return remove_name(AT_FDCWD, path, exists(path, &mode) && S_ISDIR(mode) ? AT_REMOVEDIR : 0);
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
    char source[PATH_MAX], target[PATH_MAX], held[PATH_MAX] = "";
    bool from_inside = path_inside(from_dir, from, source), to_inside = path_inside(to_dir, to, target);
    mode_t mode = 0;
    if ((!from_inside && !to_inside) || (from_inside && !exists(source, &mode)))
        return (int)raw(SYS_renameat2, from_dir, from, to_dir, to, flags);
    if (!from_inside || !to_inside) die("rename across the border of %s is not modelled: %s to %s", root_directory, from, to);
    if (S_ISDIR(mode) || flags & RENAME_EXCHANGE) die("renaming a directory or exchanging names is not modelled: %s to %s", from, to);
    size_t parent = (size_t)(strrchr(source, '/') - source);
    if (parent != (size_t)(strrchr(target, '/') - target) || strncmp(source, target, parent))
        die("rename between directories is not modelled: %s to %s", source, target);
    lock();
    if (!(flags & 1)) names_hold(target, held); /* 1: RENAME_NOREPLACE */
    names_log(NAME_RENAME, source, target, held, 0);
    int result = (int)raw(SYS_renameat2, from_dir, from, to_dir, to, flags), saved = errno;
    unlock();
    return errno = saved, result;
}
int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int from_dir, const char *from, int to_dir, const char *to) { return renameat2(from_dir, from, to_dir, to, 0); }

int mkdirat(int dirfd, const char *path, mode_t mode) {
    char absolute[PATH_MAX];
    bool inside = path_inside(dirfd, path, absolute);
    lock();
    if (inside && !exists(absolute, NULL)) names_log(NAME_MKDIR, absolute, "", "", 0);
    int result = (int)raw(SYS_mkdirat, dirfd, path, mode), saved = errno;
    unlock();
    return errno = saved, result;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags) {
    char absolute[PATH_MAX];
    bool inside = path_inside(to_dir, to, absolute);
    if (inside && flags & AT_EMPTY_PATH) die("linking an unnamed file is not modelled");
    lock();
    if (inside && !exists(absolute, NULL)) names_log(NAME_CREATE, absolute, "", "", 0);
    int result = (int)raw(SYS_linkat, from_dir, from, to_dir, to, flags), saved = errno;
    unlock();
    return errno = saved, result;
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

int symlinkat(const char *target, int dirfd, const char *path) {
    char absolute[PATH_MAX];
    bool inside = path_inside(dirfd, path, absolute);
    lock();
    if (inside && !exists(absolute, NULL)) names_log(NAME_CREATE, absolute, "", "", 0);
    int result = (int)raw(SYS_symlinkat, target, dirfd, path), saved = errno;
    unlock();
    return errno = saved, result;
}
int symlink(const char *target, const char *path) { return symlinkat(target, AT_FDCWD, path); }

/* ---- ways around us: refused loudly ---- */

static void refuse_stdio(const char *path, const char *mode) {
    char absolute[PATH_MAX];
    if (path && strpbrk(mode, "wa+") && path_inside(AT_FDCWD, path, absolute)) die("%s opened for writing through stdio, which cannot be followed", path);
}
#define STDIO_OPEN(name)                                            \
    FILE *name(const char *path, const char *mode) {                \
        static FILE *(*real)(const char *, const char *);           \
        if (!real) *(void **)&real = dlsym(RTLD_NEXT, #name);       \
        refuse_stdio(path, mode);                                   \
        return real(path, mode);                                    \
    }
STDIO_OPEN(fopen)
STDIO_OPEN(fopen64)

static int refuse_aio(struct aiocb *request) {
    (void)request;
    die("asynchronous I/O cannot be followed");
}
int aio_write(struct aiocb *request) { return refuse_aio(request); }
int aio_write64(struct aiocb64 *request) { return refuse_aio((struct aiocb *)request); }

int ioctl(int fd, unsigned long request, ...) {
    va_list list;
    va_start(list, request);
    long argument = va_arg(list, long);
    va_end(list);
    struct slot *slot = request == 0x40049409ul || request == 0x4020940dul ? slot_of(fd) : NULL; /* FICLONE, FICLONERANGE */
    if (slot && slot->kind == SLOT_FILE) return errno = EOPNOTSUPP, -1;
    return (int)raw(SYS_ioctl, fd, request, argument);
}

/* A program that makes the system call itself passes by every wrapper above. */
long syscall(long number, ...) {
    va_list list;
    va_start(list, number);
    long a = va_arg(list, long), b = va_arg(list, long), c = va_arg(list, long);
    long d = va_arg(list, long), e = va_arg(list, long), f = va_arg(list, long);
    va_end(list);
    if (active) {
        char absolute[PATH_MAX];
        struct slot *slot = NULL;
        switch (number) {
        case SYS_io_uring_setup: return errno = ENOSYS, -1;
        case SYS_write: case SYS_pwrite64: case SYS_writev: case SYS_pwritev: case SYS_pwritev2: case SYS_ftruncate:
        case SYS_fallocate: case SYS_fsync: case SYS_fdatasync: slot = slot_of((int)a); break;
        case SYS_copy_file_range: case SYS_splice: slot = slot_of((int)c); break;
        case SYS_renameat2: case SYS_openat2: case SYS_openat: case SYS_unlinkat: case SYS_mkdirat:
            if (path_inside((int)a, (const char *)b, absolute)) die("system call %ld made directly on %s", number, absolute);
            break;
        default: break;
        }
        if (slot && slot->kind != SLOT_EPHEMERAL) die("system call %ld made directly on a followed descriptor", number);
    }
    return raw(number, a, b, c, d, e, f);
}
