#include "scenario.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

finding *failed(const char *format, ...) {
    va_list values;
    va_start(values, format);
    int size = vsnprintf(NULL, 0, format, values);
    va_end(values);
    char *message = allocate((size_t)size + 1);
    va_start(values, format);
    vsnprintf(message, (size_t)size + 1, format, values);
    va_end(values);
    finding *found = allocate(sizeof *found);
    found->message = message;
    return found;
}

/* What tree.c says of a folder that could not be listed whole; empty where all could. */
extern char unlisted[];

finding *checked(const clause *judged, const evidence *it) {
    unlisted[0] = 0;
    finding *found = judged->check(it);
    return unlisted[0] ? failed("%s", unlisted) : found;
}

const char *judge(const scenario *judged, const evidence *it) {
    size_t size = 1;
    for (const clause *next = judged->clauses; next->code; next++) size += strlen(next->code) + 1;
    char *codes = allocate(size);
    for (const clause *next = judged->clauses; next->code; next++) {
        if (!checked(next, it)) continue;
        if (*codes) strcat(codes, " ");
        strcat(codes, next->code);
    }
    return codes;
}
