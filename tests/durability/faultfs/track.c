/* Which descriptors and paths are below FAULTFS_DIR; the lock; the system call itself. */
#include "faultfs.h"
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_DESCRIPTORS 65536
static struct slot slots[MAX_DESCRIPTORS];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
bool active;
char root_directory[PATH_MAX], undo_directory[PATH_MAX];

long system_call(long number, long a, long b, long c, long d, long e, long f) {
    static long (*call)(long, ...);
    if (!call) *(void **)&call = dlsym(RTLD_NEXT, "syscall");
    return call(number, a, b, c, d, e, f);
}

void die(const char *format, ...) {
    char text[1024] = "faultfs: ";
    va_list list;
    va_start(list, format);
    int length = vsnprintf(text + 9, sizeof text - 10, format, list) + 9;
    va_end(list);
    if (length > (int)sizeof text - 2) length = sizeof text - 2;
    text[length++] = '\n';
    raw(SYS_write, 2, text, length);
    char path[PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/died.%d", undo_directory, getpid());
    int fd = (int)raw(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd >= 0) raw(SYS_write, fd, text, length);
    abort();
}

void lock(void) { pthread_mutex_lock(&mutex); }
void unlock(void) { pthread_mutex_unlock(&mutex); }

__attribute__((constructor)) static void start(void) {
    const char *root = getenv("FAULTFS_DIR"), *undo = getenv("FAULTFS_UNDO");
    if (!root || !undo) return;
    if (!realpath(root, root_directory) || !realpath(undo, undo_directory))
        die("FAULTFS_DIR=%s and FAULTFS_UNDO=%s must be existing directories", root, undo);
    size_t length = strlen(root_directory);
    if (strncmp(undo_directory, root_directory, length) == 0 && (undo_directory[length] == '/' || !undo_directory[length]))
        die("FAULTFS_UNDO must lie outside FAULTFS_DIR");
    char path[PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/files", undo_directory), mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/held", undo_directory), mkdir(path, 0700);
    control_open(undo_directory);
    snprintf(path, sizeof path, "%s/loaded.%d", undo_directory, getpid());
    raw(SYS_close, (int)raw(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    active = true;
    for (int fd = 0; fd < 256; fd++) slot_open(fd, (int)raw(SYS_fcntl, fd, F_GETFL), false);
}

bool descriptor_path(int fd, char absolute[PATH_MAX]) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, absolute, PATH_MAX - 1);
    if (length <= 0) return false;
    absolute[length] = 0;
    return true;
}

static bool inside(const char *absolute) {
    size_t length = strlen(root_directory);
    return strncmp(absolute, root_directory, length) == 0 && (absolute[length] == '/' || !absolute[length]);
}

/* Resolves every component but the last, which may not exist yet. */
bool path_inside(int dirfd, const char *path, char absolute[PATH_MAX]) {
    char joined[2 * PATH_MAX], parent[PATH_MAX];
    int saved = errno;
    if (!active || !path || !*path) return false;
    if (*path == '/') {
        snprintf(joined, sizeof joined, "%s", path);
    } else {
        if (dirfd == AT_FDCWD ? !getcwd(parent, sizeof parent) : !descriptor_path(dirfd, parent)) return errno = saved, false;
        snprintf(joined, sizeof joined, "%s/%s", parent, path);
    }
    for (size_t n = strlen(joined); n > 1 && joined[n - 1] == '/';) joined[--n] = 0;
    char *slash = strrchr(joined, '/');
    const char *base = slash + 1;
    bool found;
    if (!*base || strcmp(base, ".") == 0 || strcmp(base, "..") == 0) {
        found = realpath(joined, absolute) != NULL;
    } else {
        char name[NAME_MAX + 1];
        if (strlen(base) > NAME_MAX) return errno = saved, false;
        strcpy(name, base);
        *(slash == joined ? slash + 1 : slash) = 0;
        found = realpath(joined, parent) != NULL;
        if (found && snprintf(absolute, PATH_MAX, "%s/%s", strcmp(parent, "/") ? parent : "", name) >= PATH_MAX) found = false;
    }
    errno = saved;
    return found && inside(absolute);
}

bool path_ephemeral(const char *path) {
    size_t length = strlen(path);
    return length > 4 && strcmp(path + length - 4, "-shm") == 0;
}

/* Two writers would append to one undo log: the second one must not start. */
static void only_writer(void) {
    static int held = -1;
    if (held >= 0) return;
    char path[PATH_MAX + 16];
    snprintf(path, sizeof path, "%s/writer", undo_directory);
    held = (int)raw(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (held < 0 || raw(SYS_flock, held, LOCK_EX | LOCK_NB) != 0) die("another process writes below %s", root_directory);
}

struct slot *slot_of(int fd) {
    if (!active || fd < 0 || fd >= MAX_DESCRIPTORS || slots[fd].kind == SLOT_NONE) return NULL;
    struct slot *slot = &slots[fd];
    struct stat stat;
    if (slot->kind == SLOT_FILE && (fstat(fd, &stat) != 0 || stat.st_ino != slot->file->ino || stat.st_dev != slot->file->dev)) {
        lock(); /* closed behind our back (fclose) and used again for something else */
        slot_close(fd);
        unlock();
        return NULL;
    }
    return slot;
}

/* Under the lock, except in the constructor. */
void slot_open(int fd, int flags, bool fresh) {
    char path[PATH_MAX];
    struct stat stat;
    if (!active || fd < 0) return;
    if (fd >= MAX_DESCRIPTORS) die("descriptor %d is beyond the table of %d", fd, MAX_DESCRIPTORS);
    slot_close(fd);
    int saved = errno;
    if (descriptor_path(fd, path) && inside(path) && fstat(fd, &stat) == 0) {
        struct slot *slot = &slots[fd];
        if (S_ISDIR(stat.st_mode)) {
            slot->kind = SLOT_DIRECTORY;
        } else if (S_ISREG(stat.st_mode) && path_ephemeral(path)) {
            slot->kind = SLOT_EPHEMERAL;
        } else if (S_ISREG(stat.st_mode)) {
            if ((flags & O_ACCMODE) != O_RDONLY) only_writer();
            slot->file = undo_open(fd, stat.st_dev, stat.st_ino, fresh);
            slot->kind = SLOT_FILE;
            slot->append = flags & O_APPEND;
            slot->sync = flags & (O_SYNC | O_DSYNC);
        }
    }
    errno = saved;
}

void slot_copy(int from, int to) {
    if (!active || from < 0 || to < 0 || from == to || from >= MAX_DESCRIPTORS || to >= MAX_DESCRIPTORS) return;
    lock();
    slot_close(to);
    slots[to] = slots[from];
    if (slots[to].file) slots[to].file->refs++;
    unlock();
}

void slot_close(int fd) {
    if (fd < 0 || fd >= MAX_DESCRIPTORS || slots[fd].kind == SLOT_NONE) return;
    struct file *file = slots[fd].file;
    slots[fd] = (struct slot){0};
    if (file) undo_close(file);
}
