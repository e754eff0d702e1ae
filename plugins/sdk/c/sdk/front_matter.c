#include "scenario.h"

#include <ctype.h>
#include <string.h>

static bool is_rule(const char *line, size_t size) {
    while (size > 0 && isspace((unsigned char)line[size - 1])) size--;
    return size == 3 && memcmp(line, "---", 3) == 0;
}

static const char *value_of(const char *text, size_t size) {
    while (size > 0 && isspace((unsigned char)*text)) text++, size--;
    while (size > 0 && isspace((unsigned char)text[size - 1])) size--;
    const char *close = size > 1 && (*text == '"' || *text == '\'') ? memchr(text + 1, *text, size - 1) : NULL;
    if (close) {
        size = (size_t)(close - text) - 1;
        text++;
    } else if (size > 0 && *text == '#') {
        size = 0;
    } else {
        for (size_t at = 0; at + 1 < size; at++)
            if (text[at] == ' ' && text[at + 1] == '#') size = at;
        while (size > 0 && text[size - 1] == ' ') size--;
    }
    if ((size == 1 && *text == '~') || (size == 4 && memcmp(text, "null", 4) == 0)) size = 0;
    char *value = allocate(size + 1);
    memcpy(value, text, size);
    return value;
}

bool front_matter(const char *text, const char *key, field *found) {
    *found = (field){.value = ""};
    bool first = true, seen = false;
    size_t key_size = strlen(key);
    for (const char *line = text; *line;) {
        size_t size = strcspn(line, "\n");
        const char *next = line + size + (line[size] == '\n');
        if (first) {
            if (!is_rule(line, size)) return false;
        } else if (is_rule(line, size)) {
            return true;
        } else if (size > 0 && !isspace((unsigned char)*line) && *line != '#' && *line != '-') {
            size_t name = strcspn(line, ":\n");
            if (name >= size || (name + 1 < size && !isspace((unsigned char)line[name + 1]))) return false;
            if (name == key_size && memcmp(line, key, name) == 0) {
                if (seen) return false;
                seen = true;
                found->value = value_of(line + name + 1, size - name - 1);
                found->begin = (size_t)(line - text);
                found->end = (size_t)(next - text);
            }
        }
        first = false;
        line = next;
    }
    return false;
}
