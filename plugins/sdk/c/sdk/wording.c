#include "scenario.h"

#include <ctype.h>
#include <string.h>

static bool is_letter(char sign) { return isalnum((unsigned char)sign) || (sign & 0x80); }

static bool has(const char *sentence, const char *phrase) {
    for (const char *at = sentence; (at = strstr(at, phrase)); at++)
        if (at == sentence || !is_letter(*phrase) || !is_letter(at[-1])) return true;
    return false;
}

static bool has_any(const char *sentence, const char *const *phrases) {
    for (; phrases && *phrases; phrases++)
        if (has(sentence, *phrases)) return true;
    return false;
}

static bool matches(const char *sentence, const char *const *const *groups, const char *const *unless) {
    for (; *groups; groups++)
        if (!has_any(sentence, *groups)) return false;
    return !has_any(sentence, unless);
}

/* The sign at `*text`, in lower case and without emphasis (0) or typography; steps over it. */
static char plain(const char **text) {
    const char *at = *text;
    if (strncmp(at, "\xe2\x80", 2) == 0) {
        bool single = at[2] == '\x98' || at[2] == '\x99', twofold = at[2] == '\x9c' || at[2] == '\x9d';
        if (single || twofold) {
            *text += 3;
            return single ? '\'' : '"';
        }
    }
    *text += 1;
    return *at == '*' || *at == '_' || *at == '`' ? 0 : (char)tolower((unsigned char)*at);
}

static bool starts_an_item(const char *line) {
    size_t digits = strspn(line, "0123456789");
    return *line == 0 || strchr("-*+#>|", *line) || (digits > 0 && (line[digits] == '.' || line[digits] == ')'));
}

static bool ends_a_sentence(const char *sentence, size_t size) {
    while (size > 0 && strchr("\"')", sentence[size - 1])) size--;
    return size > 0 && strchr(".!?;", sentence[size - 1]);
}

bool says(const char *text, const char *const *const *groups, const char *const *unless) {
    /* One sentence at a time: plain, in lower case, one blank between words. An item, a heading or an empty line
     * ends one too. */
    char *sentence = allocate(strlen(text) + 2);
    size_t size = 0;
    while (*text) {
        text += strspn(text, " \t\r");
        size_t line = strcspn(text, "\n");
        bool heading = *text == '#';
        const char *end = text + line;
        if (line == 0 || starts_an_item(text)) {
            if (size > 0 && matches(sentence, groups, unless)) return true;
            sentence[size = 0] = 0;
        }
        while (text < end) {
            size_t before = size;
            if (size > 0) sentence[size++] = ' ';
            size_t word = size;
            while (text < end && !isspace((unsigned char)*text)) {
                char sign = plain(&text);
                if (sign) sentence[size++] = sign;
            }
            if (size == word) size = before;
            sentence[size] = 0;
            text += strspn(text, " \t\r");
            if (size > word && ends_a_sentence(sentence, size)) {
                if (matches(sentence, groups, unless)) return true;
                sentence[size = 0] = 0;
            }
        }
        if (heading && size > 0) {
            if (matches(sentence, groups, unless)) return true;
            sentence[size = 0] = 0;
        }
        if (*text == '\n') text++;
    }
    return size > 0 && matches(sentence, groups, unless);
}
