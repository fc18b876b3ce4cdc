/* Calls that change contents or length, and the syncs that make them durable. */
#include "faultfs.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int failed(int error) { return errno = error, -1; }

static uint64_t size_of(int fd) {
    struct stat stat;
    if (fstat(fd, &stat) != 0) die("fstat failed (errno %d)", errno);
    return (uint64_t)stat.st_size;
}

static int sync_slot(int fd, struct slot *slot, long number);

/* One write of any form. `offset` is -1 for "where the descriptor stands"; `count` is what the system call takes third. */
static ssize_t write_tracked(int fd, struct slot *slot, long number, const void *data, long count, uint64_t length, off_t offset, int flags) {
    lock();
    uint64_t size = size_of(fd), at = size;
    if (!slot->append) {
        off_t here = offset >= 0 ? offset : (off_t)raw(SYS_lseek, fd, 0L, SEEK_CUR);
        if (here < 0) die("a descriptor without a position");
        at = (uint64_t)here;
    }
    int fault = control_write_fault(at + length > size);
    if (fault) return unlock(), failed(fault);
    if (length) undo_before_write(slot->file, at, length, size);
    long written = number == SYS_write || number == SYS_writev ? raw(number, fd, data, count)
                   : number == SYS_pwritev2 ? raw(number, fd, data, count, offset, 0L, flags)
                                            : raw(number, fd, data, count, offset, 0L);
    int saved = errno;
    control->writes++, control->bytes += written > 0 ? (uint64_t)written : 0;
    unlock();
    errno = saved;
    if (written >= 0 && (slot->sync || flags & (RWF_DSYNC | RWF_SYNC)) && sync_slot(fd, slot, SYS_fdatasync) != 0) return -1;
    return written;
}

ssize_t write(int fd, const void *data, size_t length) {
    struct slot *slot = slot_of(fd);
    if (!slot || slot->kind != SLOT_FILE) return raw(SYS_write, fd, data, length);
    return write_tracked(fd, slot, SYS_write, data, length, length, -1, 0);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) {
    struct slot *slot = slot_of(fd);
    if (!slot || slot->kind != SLOT_FILE || offset < 0) return raw(SYS_pwrite64, fd, data, length, offset);
    return write_tracked(fd, slot, SYS_pwrite64, data, length, length, offset, 0);
}
ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) { return pwrite64(fd, data, length, offset); }

static uint64_t total(const struct iovec *parts, int count) {
    uint64_t sum = 0;
    for (int i = 0; i < count; i++) sum += parts[i].iov_len;
    return sum;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    struct slot *slot = slot_of(fd);
    if (!slot || slot->kind != SLOT_FILE) return raw(SYS_writev, fd, parts, count);
    return write_tracked(fd, slot, SYS_writev, parts, count, total(parts, count), -1, 0);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
    struct slot *slot = slot_of(fd);
    if (!slot || slot->kind != SLOT_FILE || offset < 0) return raw(SYS_pwritev, fd, parts, count, offset, 0L);
    return write_tracked(fd, slot, SYS_pwritev, parts, count, total(parts, count), offset, 0);
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) { return pwritev64(fd, parts, count, offset); }

ssize_t pwritev64v2(int fd, const struct iovec *parts, int count, off64_t offset, int flags) {
    struct slot *slot = slot_of(fd);
    if (!slot || slot->kind != SLOT_FILE) return raw(SYS_pwritev2, fd, parts, count, offset, 0L, flags);
    if (flags & RWF_APPEND) die("pwritev2 with RWF_APPEND is not modelled");
    return write_tracked(fd, slot, SYS_pwritev2, parts, count, total(parts, count), offset, flags);
}
ssize_t pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int flags) { return pwritev64v2(fd, parts, count, offset, flags); }

/* ---- length ---- */

int ftruncate64(int fd, off64_t length) {
    struct slot *slot = slot_of(fd);
    if (!slot || slot->kind != SLOT_FILE || length < 0) return (int)raw(SYS_ftruncate, fd, length);
    lock();
    uint64_t size = size_of(fd);
    int fault = control_write_fault((uint64_t)length > size);
    if (fault) return unlock(), failed(fault);
    if ((uint64_t)length != size) undo_before_truncate(slot->file, (uint64_t)length, size);
    int result = (int)raw(SYS_ftruncate, fd, length), saved = errno;
    unlock();
    return errno = saved, result;
}
int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

int truncate64(const char *path, off64_t length) {
    char absolute[PATH_MAX];
    if (!path_inside(AT_FDCWD, path, absolute)) return (int)raw(SYS_truncate, path, length);
    int fd = open64(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    int result = ftruncate64(fd, length), saved = errno;
    close(fd);
    return errno = saved, result;
}
int truncate(const char *path, off_t length) { return truncate64(path, length); }

int fallocate64(int fd, int mode, off64_t offset, off64_t length) {
    struct slot *slot = slot_of(fd);
    if (!slot || slot->kind != SLOT_FILE) return (int)raw(SYS_fallocate, fd, mode, offset, length);
    if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) die("fallocate mode %#x is not modelled", mode);
    lock();
    uint64_t size = size_of(fd), end = (uint64_t)(offset + length);
    bool grows = !(mode & FALLOC_FL_KEEP_SIZE) && end > size;
    int fault = control_write_fault(grows);
    if (fault) return unlock(), failed(fault);
    if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) undo_before_write(slot->file, (uint64_t)offset, (uint64_t)length, size);
    else if (grows) undo_before_truncate(slot->file, end, size);
    int result = (int)raw(SYS_fallocate, fd, mode, offset, length), saved = errno;
    unlock();
    return errno = saved, result;
}
int fallocate(int fd, int mode, off_t offset, off_t length) { return fallocate64(fd, mode, offset, length); }
int posix_fallocate64(int fd, off64_t offset, off64_t length) { return fallocate64(fd, 0, offset, length) == 0 ? 0 : errno; }
int posix_fallocate(int fd, off_t offset, off_t length) { return posix_fallocate64(fd, offset, length); }

/* In-kernel copies: refused with the errors after which every caller falls back to read and write. */
ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t length, unsigned flags) {
    struct slot *slot = slot_of(out);
    if (slot && slot->kind == SLOT_FILE) return failed(EXDEV);
    return raw(SYS_copy_file_range, in, from, out, to, length, flags);
}
ssize_t sendfile64(int out, int in, off64_t *offset, size_t length) {
    struct slot *slot = slot_of(out);
    if (slot && slot->kind == SLOT_FILE) return failed(EINVAL);
    return raw(SYS_sendfile, out, in, offset, length);
}
ssize_t sendfile(int out, int in, off_t *offset, size_t length) { return sendfile64(out, in, offset, length); }
ssize_t splice(int in, off64_t *from, int out, off64_t *to, size_t length, unsigned flags) {
    struct slot *slot = slot_of(out);
    if (slot && slot->kind == SLOT_FILE) return failed(EINVAL);
    return raw(SYS_splice, in, from, out, to, length, flags);
}

/* ---- syncs ---- */

static int sync_slot(int fd, struct slot *slot, long number) {
    char directory[PATH_MAX];
    lock();
    bool is_directory = slot->kind == SLOT_DIRECTORY;
    if (is_directory && !descriptor_path(fd, directory)) die("a directory without a path");
    struct file *file = slot->file;
    uint64_t upto = is_directory ? names_end() : file->log_end; /* what began after this may not be covered */
    if (file) file->refs++;
    int fault = control_sync_fault();
    if (fault && file) undo_after_lost_sync(file, upto);
    unlock();
    if (control->sync_delay_us > 0) usleep((useconds_t)control->sync_delay_us);
    int result = fault ? failed(fault) : (int)raw(number, fd), saved = errno;
    lock();
    if (result == 0 && !control->lying_syncs) {
        if (is_directory) names_directory_synced(directory, upto);
        else undo_after_sync(file, upto);
        *(is_directory ? &control->directory_syncs : &control->syncs) += 1;
    }
    if (file) undo_close(file);
    unlock();
    return errno = saved, result;
}

int fsync(int fd) {
    struct slot *slot = slot_of(fd);
    return slot && slot->kind != SLOT_EPHEMERAL ? sync_slot(fd, slot, SYS_fsync) : (int)raw(SYS_fsync, fd);
}
int fdatasync(int fd) {
    struct slot *slot = slot_of(fd);
    return slot && slot->kind != SLOT_EPHEMERAL ? sync_slot(fd, slot, SYS_fdatasync) : (int)raw(SYS_fdatasync, fd);
}

static void everything_durable(void) {
    lock();
    undo_sync_everything();
    names_directory_synced("", names_end());
    unlock();
}
void sync(void) {
    raw(SYS_sync);
    if (active) everything_durable();
}
int syncfs(int fd) {
    int result = (int)raw(SYS_syncfs, fd);
    if (active && result == 0 && slot_of(fd)) everything_durable();
    return result;
}

/* ---- mappings ---- */

void *mmap64(void *address, size_t length, int protection, int flags, int fd, off64_t offset) {
    struct slot *slot = flags & MAP_ANONYMOUS ? NULL : slot_of(fd);
    if (slot && slot->kind == SLOT_FILE && (flags & MAP_TYPE) != MAP_PRIVATE && protection & PROT_WRITE)
        die("a writable shared mapping cannot be followed; only files named *-shm may have one");
    return (void *)raw(SYS_mmap, address, length, protection, flags, fd, offset);
}
void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset) {
    return mmap64(address, length, protection, flags, fd, offset);
}
