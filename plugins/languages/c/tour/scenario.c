/* Every call of the contract, in C. */
#include "sdk/scenario.h"

#include <stdlib.h>
#include <string.h>

static finding *said(const evidence *it) {
    bool two = it->messages[0] && it->messages[1] && !it->messages[2];
    if (two && strcmp(it->messages[0], "one") == 0 && strcmp(it->final_message, "zwei, drü") == 0) return NULL;
    finding *found = failed("it said something else");
    found->shown = it->final_message;
    return found;
}

static bool run(evidence *it) {
    report_step("first stop");
    report_note("a note ü");
    report_metric("stops", 2.5, "count");
    report_attach("map.txt", "text/plain", "north\n", 6);
    session talk;
    if (!session_start(&talk, "begin")) return false;
    event next, call = {0}, result = {0}, raw = {0};
    for (bool is_there = true; is_there;) {
        if (!session_next_event(&talk, &next, &is_there)) return false;
        if (!is_there) break;
        if (strcmp(next.kind, "tool-call") == 0) call = next;
        if (strcmp(next.kind, "tool-result") == 0) result = next;
        if (strcmp(next.kind, "raw") == 0) raw = next;
    }
    if (!call.kind) return skip("there was no tool call");
    if (strcmp(call.text, "shell") != 0 || !strstr(call.input, "echo out")) abort();
    if (strcmp(result.id, call.id) != 0 || strcmp(result.input, "out\n") != 0) abort();
    if (strcmp(raw.text, "no event") != 0) abort();
    return session_send(&talk, "more") && session_conclude(&talk, it);
}

static const clause CLAUSES[] = {{"other-words", "It says what it should.", said}, {0}};

static const scenario SCENARIO = {
    .name = "tour-c", .summary = "Every call.", .needs = {"session"}, .run = run, .clauses = CLAUSES};

PLUGIN(SCENARIO);
