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

const char *judge(const scenario *judged, const evidence *it) {
    size_t size = 1;
    for (const clause *next = judged->clauses; next->code; next++) size += strlen(next->code) + 1;
    char *codes = allocate(size);
    for (const clause *next = judged->clauses; next->code; next++) {
        if (!next->check(it)) continue;
        if (*codes) strcat(codes, " ");
        strcat(codes, next->code);
    }
    return codes;
}
