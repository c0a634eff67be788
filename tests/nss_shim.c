/* NSS's softokn wants its settings in C_Initialize, which other programs have no way to give: this module does. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
typedef unsigned long (*call)();
struct list { unsigned char version[2]; call f[68]; };
struct arguments { void *mutexes[4]; unsigned long flags; char *parameters; void *reserved; };
static struct list mine;
static call initialize;
static unsigned long with_settings(void *ignored) {
    struct arguments all;
    (void)ignored;
    memset(&all, 0, sizeof all);
    all.flags = 2; /* CKF_OS_LOCKING_OK */
    all.parameters = getenv("NSS_SETTINGS");
    return initialize(&all);
}
unsigned long C_GetFunctionList(struct list **out) {
    struct list *theirs;
    void *library = dlopen("libsoftokn3.so", RTLD_NOW);
    if (!library) library = dlopen("nss/libsoftokn3.so", RTLD_NOW);
    if (!library) return 5;
    call get = (call)dlsym(library, "C_GetFunctionList");
    unsigned long rv = get(&theirs);
    if (rv) return rv;
    memcpy(&mine, theirs, sizeof mine);
    initialize = mine.f[0];
    mine.f[0] = (call)with_settings;
    *out = &mine;
    return 0;
}
