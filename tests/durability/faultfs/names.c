/* The journal of names: creations, unlinks and renames that no fsync of their directory has made durable. */
#include "faultfs.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct held {
    char *path, *link;
    uint64_t at;
    ino_t ino;
    struct held *next;
};
static struct held *held_links;
static int journal = -1;

static int journal_open(void) {
    if (journal < 0) {
        char path[PATH_MAX + 16];
        snprintf(path, sizeof path, "%s/names", undo_directory);
        journal = (int)raw(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (journal < 0) die("cannot open %s (errno %d)", path, errno);
    }
    return journal;
}

uint64_t names_end(void) { return (uint64_t)raw(SYS_lseek, journal_open(), 0L, SEEK_END); }

void names_log(int kind, const char *first, const char *second, const char *held, uint64_t upto) {
    struct name_record record = {.magic = NAME_MAGIC, .kind = (uint32_t)kind, .upto = upto,
                                 .first_length = (uint32_t)strlen(first), .second_length = (uint32_t)strlen(second),
                                 .held_length = (uint32_t)strlen(held)};
    char bytes[sizeof record + 3 * PATH_MAX];
    char *end = bytes;
    end = (char *)memcpy(end, &record, sizeof record) + sizeof record;
    end = (char *)memcpy(end, first, record.first_length) + record.first_length;
    end = (char *)memcpy(end, second, record.second_length) + record.second_length;
    end = (char *)memcpy(end, held, record.held_length) + record.held_length;
    if (raw(SYS_write, journal_open(), bytes, end - bytes) != end - bytes) die("cannot append to the journal of names (errno %d)", errno);
    __atomic_fetch_add(&control->names, 1, __ATOMIC_SEQ_CST);
}

bool names_hold(const char *path, char held[PATH_MAX]) {
    struct stat stat;
    held[0] = 0;
    if (lstat(path, &stat) != 0 || S_ISDIR(stat.st_mode)) return false;
    uint64_t at = names_end();
    if (snprintf(held, PATH_MAX, "%s/held/%llu", undo_directory, (unsigned long long)at) >= PATH_MAX) die("undo path too long");
    raw(SYS_unlinkat, AT_FDCWD, held, 0);
    if (raw(SYS_linkat, AT_FDCWD, path, AT_FDCWD, held, 0) != 0)
        die("cannot hold %s (errno %d): FAULTFS_UNDO must be on the same file system as FAULTFS_DIR", path, errno);
    struct held *node = malloc(sizeof *node);
    if (!node) die("out of memory");
    *node = (struct held){strdup(path), strdup(held), at, stat.st_ino, held_links};
    held_links = node;
    return true;
}

static bool parent_is(const char *path, const char *directory) {
    size_t length = strlen(directory);
    return strncmp(path, directory, length) == 0 && path[length] == '/' && !strchr(path + length + 1, '/');
}

void names_directory_synced(const char *directory, uint64_t upto) {
    names_log(NAME_SYNCED, directory, "", "", upto);
    for (struct held **link = &held_links; *link;) {
        struct held *node = *link;
        if (node->at < upto && (!*directory || parent_is(node->path, directory))) {
            raw(SYS_unlinkat, AT_FDCWD, node->link, 0);
            undo_forget_inode(node->ino);
            *link = node->next;
            free(node->path), free(node->link), free(node);
        } else {
            link = &node->next;
        }
    }
}
