/* Faults at the border between a program and the kernel: a supervisor (ptrace, seccomp) that stops a program and all
 * that it starts at every system call that changes one folder, or writes to a pipe, and makes the N-th of them go wrong.
 * Because it stands at the kernel, it sees what stdio, SQLite or a vendor's module do as well. x86-64 Linux.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum mode { COUNT, KILL_BEFORE, KILL_AFTER, KILL_TORN, CHILD_BEFORE, CHILD_AFTER, FAIL_ONCE, FAIL_ON };

struct report {
    long points;     /* system calls seen that count, those after the fault included */
    int status;      /* of the program, as from waitpid */
    int hit;         /* whether the fault was met */
    char what[PATH_MAX + 64]; /* the call it was met at */
};

static const int calls[] = {SYS_write, SYS_pwrite64, SYS_writev, SYS_pwritev, SYS_rename, SYS_renameat, SYS_renameat2,
    SYS_link, SYS_linkat, SYS_symlink, SYS_symlinkat, SYS_unlink, SYS_unlinkat, SYS_rmdir, SYS_mkdir, SYS_mkdirat,
    SYS_fsync, SYS_fdatasync, SYS_sync_file_range, SYS_ftruncate, SYS_truncate, SYS_fallocate, SYS_open, SYS_openat,
    SYS_creat};
static const char *const names[] = {"write", "pwrite", "writev", "pwritev", "rename", "renameat", "renameat2", "link",
    "linkat", "symlink", "symlinkat", "unlink", "unlinkat", "rmdir", "mkdir", "mkdirat", "fsync", "fdatasync",
    "sync_file_range", "ftruncate", "truncate", "fallocate", "open", "openat", "creat"};
enum { CALLS = sizeof calls / sizeof *calls };

/* In the program to be: ask to be traced, have the calls reported, and wait for the supervisor. */
int traced(void) {
    struct sock_filter filter[CALLS + 3] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
    for (int i = 0; i < CALLS; i++)
        filter[1 + i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i], CALLS - i, 0);
    filter[1 + CALLS] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    filter[2 + CALLS] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
    struct sock_fprog program = {CALLS + 3, filter};
    if (ptrace(PTRACE_TRACEME, 0, 0, 0) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return errno;
    raise(SIGSTOP);
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) ? errno : 0;
}

static void text_at(pid_t pid, unsigned long at, char *to, size_t room) {
    size_t done = 0;
    while (done + sizeof(long) < room) {
        errno = 0;
        long word = ptrace(PTRACE_PEEKDATA, pid, at + done, 0);
        if (errno) break;
        memcpy(to + done, &word, sizeof word);
        if (memchr(&word, 0, sizeof word)) return;
        done += sizeof word;
    }
    to[done] = 0;
}

static void of_descriptor(pid_t pid, int fd, char *to, size_t room) {
    char link[64];
    if (fd == AT_FDCWD) snprintf(link, sizeof link, "/proc/%d/cwd", pid);
    else snprintf(link, sizeof link, "/proc/%d/fd/%d", pid, fd);
    ssize_t length = readlink(link, to, room - 1);
    to[length < 0 ? 0 : length] = 0;
}

static void of_path(pid_t pid, int at, unsigned long path, char *to, size_t room) {
    char name[PATH_MAX];
    text_at(pid, path, name, sizeof name);
    if (name[0] != '/') {
        of_descriptor(pid, at, to, room - 1);
        strncat(to, "/", room - strlen(to) - 1);
        strncat(to, name, room - strlen(to) - 1);
    } else snprintf(to, room, "%s", name);
}

/* What a call is about, and whether it changes anything there. */
static int about(pid_t pid, const struct user_regs_struct *r, char *to, size_t room) {
    switch (r->orig_rax) {
    case SYS_open: of_path(pid, AT_FDCWD, r->rdi, to, room); return (r->rsi & (O_CREAT | O_TRUNC)) != 0;
    case SYS_openat: of_path(pid, (int)r->rdi, r->rsi, to, room); return (r->rdx & (O_CREAT | O_TRUNC)) != 0;
    case SYS_rename: case SYS_link: case SYS_symlink: of_path(pid, AT_FDCWD, r->rsi, to, room); return 1;
    case SYS_renameat: case SYS_renameat2: case SYS_linkat: of_path(pid, (int)r->rdx, r->r10, to, room); return 1;
    case SYS_symlinkat: of_path(pid, (int)r->rsi, r->rdx, to, room); return 1;
    case SYS_unlink: case SYS_rmdir: case SYS_mkdir: case SYS_creat: case SYS_truncate:
        of_path(pid, AT_FDCWD, r->rdi, to, room); return 1;
    case SYS_unlinkat: case SYS_mkdirat: of_path(pid, (int)r->rdi, r->rsi, to, room); return 1;
    default: of_descriptor(pid, (int)r->rdi, to, room); return 1;
    }
}

static int is_write(long nr) { return nr == SYS_write || nr == SYS_pwrite64; }

/* Let `main_` and all that it starts run, and have the `n`-th point (from 1) go wrong. `error` is what calls fail with;
 * KILL_TORN lets a write take only `error` of its bytes, counted from the end where negative. `pipes`: whether writes
 * to pipes are points too. COUNT calls `look`, if there is one, at each point, while the program stands still before the
 * call, with the call in `out->what`. Returns 0, or errno of the supervisor's own trouble. */
int supervise(pid_t main_, const char *folder, long n, int mode, long error, int pipes, void (*look)(void),
    struct report *out) {
    size_t depth = strlen(folder);
    pid_t leaving = 0; /* who is killed when its call returns */
    int status;
    memset(out, 0, sizeof *out);
    if (waitpid(main_, &status, 0) != main_ || !WIFSTOPPED(status)) return ECHILD;
    long options = PTRACE_O_TRACESECCOMP | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE
        | PTRACE_O_TRACEEXEC | PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL;
    if (ptrace(PTRACE_SETOPTIONS, main_, 0, options)) return errno;
    ptrace(PTRACE_CONT, main_, 0, 0);
    for (pid_t pid; (pid = waitpid(-1, &status, __WALL)) > 0;) {
        if (WIFEXITED(status) || WIFSIGNALED(status)) {
            if (pid == main_) out->status = status;
            continue;
        }
        int sig = WSTOPSIG(status), event = status >> 16;
        if (sig == (SIGTRAP | 0x80)) { /* the call of the fault has returned */
            if (pid == leaving) {
                if (mode != CHILD_AFTER) kill(main_, SIGKILL);
                kill(pid, SIGKILL);
                leaving = 0;
            }
            ptrace(PTRACE_CONT, pid, 0, 0);
        } else if (event == PTRACE_EVENT_SECCOMP) {
            struct user_regs_struct r;
            char where[PATH_MAX + 16] = "";
            if (ptrace(PTRACE_GETREGS, pid, 0, &r)) continue;
            int changes = about(pid, &r, where, sizeof where), pipe = !strncmp(where, "pipe:", 5);
            int inside = !strncmp(where, folder, depth) && (where[depth] == '/' || !where[depth]);
            if (!changes || !(inside || (pipes && pipe))) {
                ptrace(PTRACE_CONT, pid, 0, 0);
                continue;
            }
            long point = ++out->points;
            int here = point == n || (mode == FAIL_ON && point > n && n > 0);
            if ((here && !out->hit) || look) {
                const char *name = "?";
                for (int i = 0; i < CALLS; i++) if (calls[i] == (long)r.orig_rax) name = names[i];
                snprintf(out->what, sizeof out->what, "%s%s %s", pid == main_ ? "" : "child: ", name,
                    inside ? where + depth : where);
                out->hit = here;
            }
            if (look) look();
            if (!here || mode == COUNT) ptrace(PTRACE_CONT, pid, 0, 0);
            else if (mode == KILL_BEFORE || mode == CHILD_BEFORE) {
                if (mode == KILL_BEFORE) kill(main_, SIGKILL);
                kill(pid, SIGKILL);
            } else if (mode == KILL_AFTER || mode == CHILD_AFTER) {
                leaving = pid;
                ptrace(PTRACE_SYSCALL, pid, 0, 0);
            } else if (mode == KILL_TORN) {
                long left = error < 0 ? (long)r.rdx + error : error;
                if (is_write(r.orig_rax) && left >= 0 && left < (long)r.rdx) {
                    r.rdx = left;
                    ptrace(PTRACE_SETREGS, pid, 0, &r);
                    leaving = pid;
                    ptrace(PTRACE_SYSCALL, pid, 0, 0);
                } else {
                    out->hit = 0; /* nothing to tear: the run goes on to its end */
                    ptrace(PTRACE_CONT, pid, 0, 0);
                }
            } else if (pipe) ptrace(PTRACE_CONT, pid, 0, 0);
            else { /* FAIL_ONCE, FAIL_ON: skip the call */
                r.orig_rax = -1;
                r.rax = -error;
                ptrace(PTRACE_SETREGS, pid, 0, &r);
                ptrace(PTRACE_CONT, pid, 0, 0);
            }
        } else if (event || sig == SIGTRAP || sig == SIGSTOP) ptrace(PTRACE_CONT, pid, 0, 0);
        else ptrace(PTRACE_CONT, pid, 0, sig);
    }
    return errno == ECHILD ? 0 : errno;
}
