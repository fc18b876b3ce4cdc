/* The undo log of one file: old contents before each change, dropped when a sync has made the change durable.
 * Everything here runs under the one lock of track.c; a record is one append, so that a kill leaves at most one
 * incomplete record at the end, whose change had not begun. */
#include "faultfs.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A fully durable log longer than this is cut back, so that a long run does not fill the disk. */
#define LOG_KEEP_BYTES (4u << 20)
#define INODE_BUCKETS 1024u

static struct file *files[INODE_BUCKETS];
static unsigned char *buffer;
static size_t buffer_size;

static void log_path(ino_t ino, char path[PATH_MAX + 64]) {
    snprintf(path, PATH_MAX + 64, "%s/files/%llu", undo_directory, (unsigned long long)ino);
}

static void header_write(struct file *file) {
    struct log_header header = {LOG_MAGIC, file->dropped_to, file->poisoned};
    if (raw(SYS_pwrite64, file->log, &header, sizeof header, 0L) != (long)sizeof header)
        die("cannot write an undo header (errno %d)", errno);
}

struct file *undo_open(int fd, dev_t dev, ino_t ino, bool fresh) {
    struct file **bucket = &files[ino % INODE_BUCKETS];
    struct file *file = *bucket;
    while (file && (file->ino != ino || file->dev != dev)) file = file->next;
    if (!file) {
        file = calloc(1, sizeof *file);
        if (!file) die("out of memory");
        file->dev = dev, file->ino = ino, file->log = file->peek = -1;
        file->next = *bucket, *bucket = file;
    }
    if (file->log < 0) {
        char path[PATH_MAX + 64];
        log_path(ino, path);
        int log = (int)raw(SYS_openat, AT_FDCWD, path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        int peek = (int)raw(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
        if (log < 0 || peek < 0) die("cannot open the undo log of inode %llu (errno %d)", (unsigned long long)ino, errno);
        file->log = log, file->peek = peek;
        struct log_header header;
        uint64_t end = (uint64_t)raw(SYS_lseek, log, 0L, SEEK_END);
        bool known = raw(SYS_pread64, log, &header, sizeof header, 0L) == (long)sizeof header && header.magic == LOG_MAGIC;
        file->dropped_to = known ? header.dropped_to : sizeof header;
        file->poisoned = known ? header.poisoned : 0;
        file->log_end = known ? end : sizeof header;
        if (!known) header_write(file);
    }
    if (fresh) { /* the inode number belonged to a file that is gone */
        file->poisoned = 0, file->dropped_to = file->log_end = sizeof(struct log_header);
        raw(SYS_ftruncate, file->log, (long)file->log_end);
        header_write(file);
    }
    file->refs++;
    return file;
}

void undo_close(struct file *file) {
    if (--file->refs > 0) return;
    /* Closing any descriptor drops the process's POSIX locks on the file: allowed only now, when its own are closed. */
    raw(SYS_close, file->log);
    raw(SYS_close, file->peek);
    file->log = file->peek = -1;
}

static void append(struct file *file, struct record record) {
    size_t need = sizeof record + record.old_length;
    if (need > buffer_size) {
        buffer = realloc(buffer, need);
        if (!buffer) die("out of memory for %zu bytes of old contents", need);
        buffer_size = need;
    }
    record.magic = RECORD_MAGIC;
    memcpy(buffer, &record, sizeof record);
    size_t got = 0;
    while (got < record.old_length) {
        long n = raw(SYS_pread64, file->peek, buffer + sizeof record + got, record.old_length - got, (long)(record.offset + got));
        if (n <= 0) die("cannot read old contents (errno %d)", errno);
        got += (size_t)n;
    }
    for (size_t done = 0; done < need;) {
        long n = raw(SYS_pwrite64, file->log, buffer + done, need - done, (long)(file->log_end + done));
        if (n <= 0) die("cannot append to the undo log (errno %d)", errno);
        done += (size_t)n;
    }
    file->log_end += need;
}

void undo_before_write(struct file *file, uint64_t offset, uint64_t length, uint64_t old_size) {
    uint64_t overlap = offset >= old_size ? 0 : old_size - offset;
    append(file, (struct record){.kind = RECORD_WRITE, .offset = offset, .length = length, .old_size = old_size,
                                 .old_length = overlap < length ? overlap : length});
}

void undo_before_truncate(struct file *file, uint64_t new_size, uint64_t old_size) {
    append(file, (struct record){.kind = RECORD_TRUNCATE, .offset = new_size, .old_size = old_size,
                                 .old_length = new_size < old_size ? old_size - new_size : 0});
}

void undo_after_sync(struct file *file, uint64_t upto) {
    if (file->log < 0) return;
    if (file->poisoned) {
        struct stat stat;
        if (fstat(file->peek, &stat) != 0) die("fstat failed (errno %d)", errno);
        append(file, (struct record){.kind = RECORD_SYNCED, .offset = upto, .old_size = (uint64_t)stat.st_size});
        return;
    }
    if (upto <= file->dropped_to) return;
    file->dropped_to = upto;
    if (upto == file->log_end && upto > LOG_KEEP_BYTES) {
        /* First the length, then the header: a kill in between leaves a header beyond the end, which reads as "all durable". */
        raw(SYS_ftruncate, file->log, (long)sizeof(struct log_header));
        file->dropped_to = file->log_end = sizeof(struct log_header);
    }
    header_write(file);
}

void undo_after_lost_sync(struct file *file, uint64_t upto) {
    if (file->log < 0) return;
    file->poisoned = 1;
    append(file, (struct record){.kind = RECORD_LOST, .offset = upto});
    header_write(file);
}

void undo_forget_inode(ino_t ino) {
    char path[PATH_MAX + 64];
    log_path(ino, path);
    for (struct file *file = files[ino % INODE_BUCKETS]; file; file = file->next)
        if (file->ino == ino && file->log >= 0) return; /* still open: its log goes when the inode number is used again */
    raw(SYS_unlinkat, AT_FDCWD, path, 0);
}

void undo_sync_everything(void) {
    for (unsigned bucket = 0; bucket < INODE_BUCKETS; bucket++)
        for (struct file *file = files[bucket]; file; file = file->next) undo_after_sync(file, file->log_end);
}
