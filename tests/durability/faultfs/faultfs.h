/* faultfs: makes what a process has not synced vanish when it is killed.
 *
 * A kill -9 alone proves nothing about durability: the page cache outlives the process, so that even a
 * server that never calls fsync keeps everything. This library, loaded with LD_PRELOAD, notes before every
 * change below FAULTFS_DIR how it can be undone, in the undo area FAULTFS_UNDO (outside that directory, on the same
 * file system), and forgets the note when an fsync that began after the change has succeeded. After the kill
 * `rollback.py` undoes what is still noted: the directory is then what a power cut could have left.
 *
 * The model, on purpose as strict as POSIX allows:
 *   - contents and length of a file: durable after fsync or fdatasync of that file (O_SYNC/O_DSYNC writes at once);
 *   - a name (creation, rename, unlink, mkdir, rmdir): durable after fsync of the directory that holds it;
 *   - a failed fsync loses what it should have written, and a later successful one does not bring it back;
 *   - sync_file_range promises nothing; sync and syncfs make everything durable;
 *   - files named *-shm (SQLite's shared index) promise nothing and are removed at a rollback.
 * What cannot be modelled (a writable shared mapping, io_uring, stdio, a renamed directory) ends the process
 * with a message: silence would be a false proof. One process at a time may write below the directory.
 *
 * Layout of the undo area, all integers little-endian as the machine writes them:
 *   control        the page of struct control, shared with the test
 *   loaded.PID     shows that the library was really loaded
 *   files/INODE    struct log_header, then struct record + old bytes, oldest first
 *   names          struct name_record + three strings, oldest first
 *   held/OFFSET    hard links to files that were unlinked or replaced but are not durably gone
 */
#ifndef FAULTFS_H
#define FAULTFS_H

#define _GNU_SOURCE
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* ---- control page ---- */
#define CONTROL_MAGIC 0x3146544c55414656ull
struct control {
    uint64_t magic;
    int64_t writes_until_fault; /* growing writes still to succeed; negative: no faults */
    int64_t syncs_until_fault;  /* syncs still to succeed; negative: no faults */
    int64_t write_faults_left;  /* how many writes fail then; negative: all */
    int64_t sync_faults_left;
    int64_t write_errno; /* ENOSPC fails only writes that lengthen a file, anything else every write */
    int64_t sync_errno;
    int64_t sync_delay_us; /* sleep before each sync: widens the window in which an early acknowledgement shows */
    int64_t lying_syncs; /* not 0: a sync answers "done" and makes nothing durable, as a lying disk or an early acknowledgement would */
    uint64_t writes, bytes, syncs, directory_syncs, names, faults;
};
extern struct control *control;
void control_open(const char *undo);
int control_write_fault(bool grows); /* 0, or the errno this write must fail with */
int control_sync_fault(void);

/* ---- undo log of one file ---- */
#define LOG_MAGIC 0x474f4c4f444e5546ull
#define RECORD_MAGIC 0x44524346u
enum { RECORD_WRITE = 1, RECORD_TRUNCATE = 2, RECORD_SYNCED = 3, RECORD_LOST = 4 };
struct log_header {
    uint64_t magic;
    uint64_t dropped_to; /* records before this offset are durable */
    uint64_t poisoned;   /* a sync has failed: records are kept, see RECORD_LOST */
};
struct record {
    uint32_t magic, kind;
    uint64_t offset;     /* write: where; truncate: new size; synced, lost: log offset up to which */
    uint64_t length;     /* write: bytes written */
    uint64_t old_size;   /* size of the file before; synced: its size then */
    uint64_t old_length; /* bytes of old contents that follow this record */
};
struct file {
    dev_t dev;
    ino_t ino;
    int log, peek; /* peek: a readable descriptor for old contents; -1 when closed */
    unsigned refs;
    uint64_t log_end, dropped_to, poisoned;
    struct file *next;
};
struct file *undo_open(int fd, dev_t dev, ino_t ino, bool fresh);
void undo_close(struct file *file);
void undo_before_write(struct file *file, uint64_t offset, uint64_t length, uint64_t old_size);
void undo_before_truncate(struct file *file, uint64_t new_size, uint64_t old_size);
void undo_after_sync(struct file *file, uint64_t upto);
void undo_after_lost_sync(struct file *file, uint64_t upto);
void undo_forget_inode(ino_t ino);
void undo_sync_everything(void);

/* ---- journal of names ---- */
#define NAME_MAGIC 0x454d414eu
enum { NAME_CREATE = 1, NAME_UNLINK = 2, NAME_RENAME = 3, NAME_MKDIR = 4, NAME_RMDIR = 5, NAME_SYNCED = 6 };
struct name_record {
    uint32_t magic, kind;
    uint64_t upto; /* synced: journal offset up to which */
    uint32_t first_length, second_length, held_length;
    uint32_t zero;
};
uint64_t names_end(void);
void names_log(int kind, const char *first, const char *second, const char *held, uint64_t upto);
bool names_hold(const char *path, char held[PATH_MAX]); /* hard link into the undo area, before path goes */
void names_directory_synced(const char *directory, uint64_t upto);

/* ---- descriptors and paths ---- */
enum { SLOT_NONE = 0, SLOT_FILE, SLOT_DIRECTORY, SLOT_EPHEMERAL };
struct slot {
    struct file *file;
    uint8_t kind;
    bool append, sync;
};
extern bool active;
extern char root_directory[PATH_MAX], undo_directory[PATH_MAX];
struct slot *slot_of(int fd); /* NULL when the descriptor is not ours */
void slot_open(int fd, int flags, bool fresh);
void slot_copy(int from, int to);
void slot_close(int fd);
bool path_inside(int dirfd, const char *path, char absolute[PATH_MAX]);
bool path_ephemeral(const char *path);
bool descriptor_path(int fd, char absolute[PATH_MAX]);
void lock(void);
void unlock(void);
/* The system call itself, never one of our own wrappers; every argument is widened to a register. */
long system_call(long number, long a, long b, long c, long d, long e, long f);
#define raw(...) RAW_WIDEN(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)
#define RAW_WIDEN(number, a, b, c, d, e, f, ...) \
    system_call(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
