#include "scenario.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_TEXT = 4 << 20, MAX_NAMES = 20000, MAX_PATH = 4096 };

/* What is there, if every folder on the way is a real one and no name steps out; fills in the full path. */
static bool look(tree at, const char *path, struct stat *kind, char full[MAX_PATH]) {
    size_t length = strlen(at.base);
    if (length + strlen(path) + 2 > MAX_PATH) return false;
    strcpy(full, at.base);
    bool any = false;
    while (*path) {
        size_t name = strcspn(path, "/");
        if (name > 0) {
            bool steps = (name == 1 && path[0] == '.') || (name == 2 && path[0] == '.' && path[1] == '.');
            if (steps || (any && !S_ISDIR(kind->st_mode))) return false;
            if (full[length - 1] != '/') full[length++] = '/';
            memcpy(full + length, path, name);
            length += name;
            full[length] = 0;
            if (lstat(full, kind) != 0) return false;
            any = true;
        }
        path += name;
        if (*path == '/') path++;
    }
    return any || stat(full, kind) == 0;
}

const char *tree_text(tree at, const char *path) {
    struct stat kind;
    char full[MAX_PATH];
    if (!look(at, path, &kind, full) || !S_ISREG(kind.st_mode)) return NULL;
    FILE *file = fopen(full, "rb");
    if (!file) return NULL;
    char *content = allocate((size_t)MAX_TEXT + 2);
    size_t size = fread(content, 1, (size_t)MAX_TEXT + 1, file);
    bool broken = ferror(file);
    fclose(file);
    if (broken || size > MAX_TEXT || !is_text(content, size)) {
        free(content);
        return NULL;
    }
    return realloc(content, size + 1);
}

/* Of the clause that is being checked: see checked() in grading.c. */
char unlisted[512];

static void cannot_list(const char *path, const char *why) {
    if (!unlisted[0]) snprintf(unlisted, sizeof unlisted, "the folder `%s` cannot be listed whole: %s", path, why);
}

static int by_name(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

const char **tree_names(tree at, const char *path) {
    struct stat kind;
    char full[MAX_PATH];
    size_t count = 0;
    const char **names = allocate((MAX_NAMES + 1) * sizeof *names);
    bool is_folder = look(at, path, &kind, full) && S_ISDIR(kind.st_mode);
    DIR *folder = is_folder ? opendir(full) : NULL;
    if (is_folder && !folder && errno != ENOENT) cannot_list(path, strerror(errno));
    while (folder) {
        /* The end and an error look alike but for this. */
        errno = 0;
        struct dirent *entry = readdir(folder);
        if (!entry) {
            if (errno) cannot_list(path, strerror(errno));
            break;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        if (count == MAX_NAMES) {
            cannot_list(path, "it holds too many names");
            break;
        }
        names[count++] = strdup(entry->d_name);
    }
    if (folder) closedir(folder);
    qsort(names, count, sizeof *names, by_name);
    return realloc(names, (count + 1) * sizeof *names);
}

bool tree_holds(tree at, const char *path) {
    struct stat kind;
    char full[MAX_PATH];
    return look(at, path, &kind, full);
}

static const char *find(tree at, const char *folder, const char *name, int depth, int *budget) {
    for (const char **entry = tree_names(at, folder); *entry; entry++) {
        if ((*budget)-- == 0) {
            cannot_list(folder, "there are too many names");
            return NULL;
        }
        size_t size = strlen(folder) + strlen(*entry) + 2;
        char *path = allocate(size);
        snprintf(path, size, "%s/%s", folder, *entry);
        if (strcmp(*entry, name) == 0) return path;
        const char *deeper = depth > 0 ? find(at, path, name, depth - 1, budget) : NULL;
        if (deeper) return deeper;
    }
    return NULL;
}

const char *tree_find(tree at, const char *folder, const char *name, int depth) {
    int budget = MAX_NAMES;
    return find(at, folder, name, depth, &budget);
}

void *allocate(size_t size) {
    void *memory = calloc(1, size ? size : 1);
    if (!memory) abort();
    return memory;
}

bool is_text(const char *bytes, size_t size) {
    const unsigned char *at = (const unsigned char *)bytes, *end = at + size;
    while (at < end) {
        unsigned char first = *at++;
        int more = first < 0x80 ? 0 : first >= 0xc2 && first < 0xe0 ? 1 : first >= 0xe0 && first < 0xf0 ? 2 : 3;
        if (first == 0 || (first >= 0x80 && first < 0xc2) || first > 0xf4 || end - at < more) return false;
        /* No longer form than needed, no surrogate, nothing above the last code point. */
        if ((first == 0xe0 && *at < 0xa0) || (first == 0xed && *at > 0x9f) || (first == 0xf0 && *at < 0x90) ||
            (first == 0xf4 && *at > 0x8f))
            return false;
        while (more-- > 0)
            if ((*at++ & 0xc0) != 0x80) return false;
    }
    return true;
}
