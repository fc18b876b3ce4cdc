/* The page shared with the test: which writes and syncs fail, how slow a sync is, and what was counted. */
#include "faultfs.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct control *control;

void control_open(const char *undo) {
    char path[PATH_MAX + 16];
    snprintf(path, sizeof path, "%s/control", undo);
    int fd = (int)raw(SYS_openat, AT_FDCWD, path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || raw(SYS_ftruncate, fd, 4096) != 0) die("cannot open %s (errno %d)", path, errno);
    long page = raw(SYS_mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    raw(SYS_close, fd);
    if (page == -1) die("cannot map %s (errno %d)", path, errno);
    control = (struct control *)page;
    if (control->magic != CONTROL_MAGIC) {
        *control = (struct control){.magic = CONTROL_MAGIC, .writes_until_fault = -1, .syncs_until_fault = -1};
    }
}

static int fault(int64_t *until, int64_t *left, int64_t error) {
    int64_t remaining = __atomic_load_n(until, __ATOMIC_SEQ_CST);
    if (remaining < 0) return 0;
    if (remaining > 0) {
        __atomic_fetch_sub(until, 1, __ATOMIC_SEQ_CST);
        return 0;
    }
    int64_t faults = __atomic_load_n(left, __ATOMIC_SEQ_CST);
    if (faults == 0) {
        __atomic_store_n(until, -1, __ATOMIC_SEQ_CST);
        return 0;
    }
    if (faults > 0) __atomic_fetch_sub(left, 1, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&control->faults, 1, __ATOMIC_SEQ_CST);
    return (int)error;
}

int control_write_fault(bool grows) {
    if (control->write_errno == ENOSPC && !grows) return 0;
    return fault(&control->writes_until_fault, &control->write_faults_left, control->write_errno);
}

int control_sync_fault(void) {
    return fault(&control->syncs_until_fault, &control->sync_faults_left, control->sync_errno);
}
