/* The scenario `scenario-name`: the agent answers a letter. */
#include "sdk/scenario.h"

#include <string.h>

static const char PROMPT[] =
    "Read letter.txt, and write a short answer that greets its writer into answer.txt. Leave the letter as it is.";

static bool run(evidence *it) {
    report_step("the agent answers");
    return session_run(PROMPT, it);
}

static finding *greets_the_writer(const evidence *it) {
    const char *answer = tree_text(it->after, "answer.txt");
    if (!answer) return failed("there is no answer.txt");
    if (!strstr(answer, "Hello Ada")) return failed("answer.txt says \"%s\"", answer);
    return NULL;
}

static finding *keeps_the_letter(const evidence *it) {
    const char *before = tree_text(it->before, "letter.txt");
    const char *after = tree_text(it->after, "letter.txt");
    if (!before || !after || strcmp(before, after) != 0) return failed("letter.txt was changed or removed");
    return NULL;
}

static const clause CLAUSES[] = {
    {"no-answer", "`answer.txt` greets the writer of the letter.", greets_the_writer},
    {"letter-changed", "`letter.txt` is as it was.", keeps_the_letter},
    {0},
};

static const scenario SCENARIO = {
    .name = "scenario-name",
    .summary = "The agent answers the letter in the root.",
    .needs = {"session"},
    .run = run,
    .clauses = CLAUSES,
};

PLUGIN(SCENARIO);
