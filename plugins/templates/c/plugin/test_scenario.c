#include "sdk/scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const tree FIXTURE = {"scenarios/scenario-name/root"};

static void put(const char *folder, const char *name, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (!text) {
        unlink(path);
        return;
    }
    FILE *file = fopen(path, "w");
    if (!file || fputs(text, file) < 0 || fclose(file) != 0) abort();
}

/* The grader gives these codes when the agent leaves these files. */
static void expect(const char *codes, const char *letter, const char *answer) {
    char root[] = "/tmp/grader-XXXXXX";
    if (!mkdtemp(root)) abort();
    put(root, "letter.txt", letter);
    put(root, "answer.txt", answer);
    evidence it = {.before = FIXTURE, .after = {root}, .final_message = ""};
    const char *found = judge(plugin_scenario, &it);
    put(root, "letter.txt", NULL);
    put(root, "answer.txt", NULL);
    rmdir(root);
    if (strcmp(found, codes) != 0) {
        fprintf(stderr, "found \"%s\", not \"%s\"\n", found, codes);
        exit(1);
    }
}

int main(void) {
    const char *letter = tree_text(FIXTURE, "letter.txt");
    if (!letter) abort();
    expect("", letter, "Hello Ada!\n");
    expect("no-answer", letter, NULL);
    expect("letter-changed", NULL, "Hello Ada!\n");
    puts("the grader is right");
    return 0;
}
