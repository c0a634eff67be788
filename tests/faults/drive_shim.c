/* A drive that fails when it is told to. Below one folder, the N-th call of a kind fails, or changes what it carries:

   DRIVE_FAULT="FOLDER CALL N HOW NUMBER"
   CALL    open, write, fsync, rename, unlink, mkdir, read, or any of them
   HOW     once (this call fails with errno NUMBER), gone (so does every call from then on),
           flip (a bit of what is written or read changes), lose (what is written is not, and nobody is told)      */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { NONE, FAIL, FLIP, LOSE };
static char here[65536];
static int calls;
int drive_calls(void) { return calls; }

static int configured(char *folder, char *call, int *n, char *how, int *number) {
    char *said = getenv("DRIVE_FAULT");
    return said && sscanf(said, "%4095s %15s %d %15s %d", folder, call, n, how, number) == 5;
}
static int below(const char *path) {
    char folder[4096], call[16], how[16];
    int n, number;
    return configured(folder, call, &n, how, &number) && !strncmp(path, folder, strlen(folder));
}
static int fate(const char *name) {
    char folder[4096], call[16], how[16];
    int n, number;
    if (!configured(folder, call, &n, how, &number)) return NONE;
    if (strcmp(call, "any") && strcmp(call, name)) {
        if (strcmp(how, "gone") || calls < n) return NONE;
    } else calls++;
    int now = calls == n || (calls > n && !strcmp(how, "gone"));
    if (!now) return NONE;
    if (!strcmp(how, "flip")) return FLIP;
    if (!strcmp(how, "lose")) return LOSE;
    errno = number;
    return FAIL;
}
static int fd_here(int fd) { return fd >= 0 && fd < (int)sizeof here && here[fd]; }
#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static int opened(const char *name, const char *path, int flags, mode_t mode) {
    typedef int (*call)(const char *, int, ...);
    call real = (call)dlsym(RTLD_NEXT, name);
    int mine = below(path);
    if (mine && fate("open") == FAIL) return -1;
    int fd = real(path, flags, mode);
    if (fd >= 0 && fd < (int)sizeof here) here[fd] = mine;
    return fd;
}
int open(const char *path, int flags, ...) {
    va_list more; va_start(more, flags); mode_t mode = va_arg(more, mode_t); va_end(more);
    return opened("open", path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    va_list more; va_start(more, flags); mode_t mode = va_arg(more, mode_t); va_end(more);
    return opened("open64", path, flags, mode);
}
ssize_t write(int fd, const void *data, size_t size) {
    REAL(write);
    int what = fd_here(fd) ? fate("write") : NONE;
    if (what == FAIL) return -1;
    if (what == LOSE) return size;
    if (what != FLIP || !size) return real(fd, data, size);
    char *other = malloc(size);
    memcpy(other, data, size);
    other[size / 2] ^= 1;
    ssize_t written = real(fd, other, size);
    free(other);
    return written;
}
int fsync(int fd) {
    REAL(fsync);
    return fd_here(fd) && fate("fsync") == FAIL ? -1 : real(fd);
}
static ssize_t seen(const struct iovec *to, ssize_t got, int what) {
    if (what == FLIP && got > 0) ((char *)to[0].iov_base)[got / 2] ^= 1;
    return got;
}
ssize_t preadv64(int fd, const struct iovec *to, int count, off64_t at) {
    REAL(preadv64);
    int what = fd_here(fd) ? fate("read") : NONE;
    return what == FAIL ? -1 : seen(to, real(fd, to, count, at), what);
}
ssize_t preadv64v2(int fd, const struct iovec *to, int count, off64_t at, int flags) {
    REAL(preadv64v2);
    int what = fd_here(fd) ? fate("read") : NONE;
    return what == FAIL ? -1 : seen(to, real(fd, to, count, at, flags), what);
}
int rename(const char *from, const char *to) {
    REAL(rename);
    return below(to) && fate("rename") == FAIL ? -1 : real(from, to);
}
int unlink(const char *path) {
    REAL(unlink);
    return below(path) && fate("unlink") == FAIL ? -1 : real(path);
}
int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    return below(path) && fate("mkdir") == FAIL ? -1 : real(path, mode);
}
