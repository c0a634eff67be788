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

enum mode { COUNT, KILL, CHILD_BEFORE, CHILD_AFTER, FAIL_ONCE, FAIL_ON };

struct report {
    long points;     /* system calls seen that count, those after the fault included */
    int status;      /* of the program, as from waitpid */
    int hit;         /* whether the fault was met */
    char what[PATH_MAX + 64]; /* the call it was met at */
};

static const int calls[] = {SYS_write, SYS_pwrite64, SYS_writev, SYS_pwritev, SYS_rename, SYS_renameat, SYS_renameat2,
    SYS_link, SYS_linkat, SYS_symlink, SYS_symlinkat, SYS_unlink, SYS_unlinkat, SYS_rmdir, SYS_mkdir, SYS_mkdirat,
    SYS_fsync, SYS_fdatasync, SYS_sync_file_range, SYS_ftruncate, SYS_truncate, SYS_fallocate, SYS_open, SYS_creat,
    SYS_openat};
static const char *const names[] = {"write", "pwrite", "writev", "pwritev", "rename", "renameat", "renameat2", "link",
    "linkat", "symlink", "symlinkat", "unlink", "unlinkat", "rmdir", "mkdir", "mkdirat", "fsync", "fdatasync",
    "sync_file_range", "ftruncate", "truncate", "fallocate", "open", "creat", "openat"};
enum { CALLS = sizeof calls / sizeof *calls };

/* In the program to be: ask to be traced, have the calls reported, and wait for the supervisor. An openat that neither
 * makes nor empties a file is let through: an interpreter that starts makes thousands. */
int traced(void) {
    enum { ALLOW = CALLS + 3, TRACE };
    struct sock_filter filter[] = {[0] = BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        [CALLS] = BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 2),
        [CALLS + 1] = BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        [CALLS + 2] = BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_CREAT | O_TRUNC, 1, 0),
        [ALLOW] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        [TRACE] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE)};
    for (int i = 1; i < CALLS; i++)
        filter[i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i - 1], TRACE - 1 - i, 0);
    struct sock_fprog program = {TRACE + 1, filter};
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

static const char *name_of(long nr) {
    for (int i = 0; i < CALLS; i++) if (calls[i] == nr) return names[i];
    return "?";
}

/* A write that is had in pieces, so that one can look at what a cut in it leaves. */
struct tearing {
    pid_t pid; /* who writes; 0: nobody */
    unsigned long done;
    struct user_regs_struct call; /* as the program made it */
};

static int can_be_torn(const struct user_regs_struct *r) {
    return (r->orig_rax == SYS_write || r->orig_rax == SYS_pwrite64) && r->rdx > 1;
}

/* Where the next piece ends: with the first byte, in the middle, before the last byte, at the end. */
static unsigned long cut(const struct tearing *t) {
    unsigned long all = t->call.rdx, middle = all / 2;
    return t->done < 1 ? 1 : t->done < middle ? middle : t->done < all - 1 ? all - 1 : all;
}

/* Have the next piece written, by the call that is about to be made. */
static void piece(const struct tearing *t) {
    struct user_regs_struct r = t->call;
    r.rsi += t->done;
    r.rdx = cut(t) - t->done;
    if (r.orig_rax == SYS_pwrite64) r.r10 += t->done;
    ptrace(PTRACE_SETREGS, t->pid, 0, &r);
    ptrace(PTRACE_SYSCALL, t->pid, 0, 0);
}

/* A piece was written: 1 if more are to come, and the call is then made once more; else it returns as if made once. */
static int torn(struct tearing *t) {
    struct user_regs_struct r;
    ptrace(PTRACE_GETREGS, t->pid, 0, &r);
    int more = (long)r.rax > 0 && (t->done += r.rax) < t->call.rdx;
    unsigned long result = t->done ? t->done : r.rax;
    r = t->call;
    if (more) r.rip -= 2; /* the length of the instruction */
    r.rax = more ? r.orig_rax : result;
    ptrace(PTRACE_SETREGS, t->pid, 0, &r);
    return more;
}

/* Let `main_` and all that it starts run, and have the `n`-th point (from 1) go wrong. `error` is what calls fail with.
 * `pipes`: whether writes to pipes are points too. COUNT calls `look`, if there is one, at each point, while the program
 * stands still before the call, with the call in `out->what`; and in the midst of each of its own writes of a file.
 * Returns 0, or errno of the supervisor's own trouble. */
int supervise(pid_t main_, const char *folder, long n, int mode, long error, int pipes, void (*look)(int torn),
    struct report *out) {
    size_t depth = strlen(folder);
    pid_t leaving = 0; /* who is killed when its call returns */
    struct tearing tear = {0};
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
        if (sig == (SIGTRAP | 0x80)) { /* a call that matters has returned */
            if (pid == leaving) {
                kill(pid, SIGKILL);
                leaving = 0;
            } else if (pid == tear.pid) {
                if (torn(&tear)) look(1);
                else tear.pid = 0;
            }
            ptrace(PTRACE_CONT, pid, 0, 0);
        } else if (event == PTRACE_EVENT_SECCOMP && pid == tear.pid) piece(&tear);
        else if (event == PTRACE_EVENT_SECCOMP) {
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
                snprintf(out->what, sizeof out->what, "%s%s %s", pid == main_ ? "" : "child: ",
                    name_of((long)r.orig_rax), inside ? where + depth : where);
                out->hit = here;
            }
            if (look) look(0);
            if (look && inside && pid == main_ && can_be_torn(&r)) {
                tear = (struct tearing){pid, 0, r};
                piece(&tear);
            } else if (!here || mode == COUNT) ptrace(PTRACE_CONT, pid, 0, 0);
            else if (mode == KILL || mode == CHILD_BEFORE) {
                if (mode == KILL) kill(main_, SIGKILL);
                kill(pid, SIGKILL);
            } else if (mode == CHILD_AFTER) {
                leaving = pid;
                ptrace(PTRACE_SYSCALL, pid, 0, 0);
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
