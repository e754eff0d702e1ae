/* Scenarios for `host`, in C: a grader is a table of clauses, a scenario one struct, a plugin one macro.
 *
 * All but a session works natively too, for a grader's own tests. What is allocated is never freed: a plugin runs one
 * scenario in a fresh instance. */
#ifndef SCENARIO_H
#define SCENARIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A folder that something hostile may have written. Paths have `/` between names; no link is followed. */
typedef struct {
    const char *base;
} tree;

/* The text of a regular file of at most 4 MiB; NULL for anything else, and for bytes that are no UTF-8 text. */
const char *tree_text(tree at, const char *path);
/* The names in a folder, sorted, NULL at the end; none for anything else. "" is the tree's own folder. Where it cannot tell
 * all of them, the clause that asked fails. */
const char **tree_names(tree at, const char *path);
/* Whether anything is at the path, a broken link included. */
bool tree_holds(tree at, const char *path);
/* The first path below `folder` whose last name is `name`, at most `depth` folders deep; or NULL. */
const char *tree_find(tree at, const char *folder, const char *name, int depth);

/* All that a grader may look at: the fixture as it was, the root as the agent left it, the agent's last message to the
 * person, and everything that it said to the person, in order, NULL at the end. */
typedef struct {
    tree before, after;
    const char *final_message;
    const char **messages;
} evidence;

/* Why a clause does not hold, for a person, with the text that shows it (or NULL). */
typedef struct {
    const char *message, *shown;
} finding;

/* A finding without such a text, written as `printf` does. */
finding *failed(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* One clause of a grader: lower-case letters, digits and `-`; one sentence; NULL where it holds. */
typedef struct {
    const char *code, *requires;
    finding *(*check)(const evidence *it);
} clause;

/* A named test. `run` talks to the agent and fills in the evidence, which the clauses judge; it gives false as soon as a
 * call of a session does, or what `skip` gives. Lists of words end with NULL, clauses with a code that is NULL. */
typedef struct {
    const char *name, *summary;
    const char *tags[8], *needs[8];
    bool (*run)(evidence *it);
    const clause *clauses;
} scenario;

/* Makes the program a plugin that contains the scenario. */
#define PLUGIN(contained) const scenario *const plugin_scenario = &(contained)
extern const scenario *const plugin_scenario;

/* Checks a clause. It fails as well where it looked into a folder that could not be listed. */
finding *checked(const clause *judged, const evidence *it);

/* The codes of the clauses that do not hold, separated by blanks: for tests. */
const char *judge(const scenario *judged, const evidence *it);

/* Sessions. What gives a bool gives false when the session broke, which the host has noted. */
typedef struct {
    int32_t handle;
    const char **messages;
    size_t count;
} session;

/* An event: its case in agent.wit ("message", "tool-call", …). `text` is that of a message or a raw line, or a tool's
 * name; `id` and `input` are a tool call's, or a tool result's with its output as `input`. */
typedef struct {
    const char *kind, *text, *id, *input;
} event;

bool session_start(session *it, const char *prompt);
/* Sets `*is_there` to false when the agent waits for the person. */
bool session_next_event(session *it, event *next, bool *is_there);
bool session_send(session *it, const char *message);
/* Ends the agent, and gives the evidence. */
bool session_conclude(session *it, evidence *out);
/* One prompt, from the start to the evidence. */
bool session_run(const char *prompt, evidence *out);
/* Ends the scenario as one that does not apply here. */
bool skip(const char *reason);

/* For whoever reads the run. */
void report_step(const char *name);
void report_note(const char *text);
void report_metric(const char *name, double value, const char *unit);
void report_attach(const char *name, const char *media_type, const void *content, size_t size);

/* Whether some sentence of the text has one phrase of every group, and none of `unless`, which may be NULL. Lists end
 * with NULL. Phrases are lower case and match at the start of a word: `approv` is in "Approve", not in "disapprove". */
bool says(const char *text, const char *const *const *groups, const char *const *unless);

/* A key of the block of `key: value` lines between two `---` at the start of a file: its value without quotes and
 * comment, what YAML calls null being empty, and where its line begins and ends. */
typedef struct {
    const char *value;
    size_t begin, end;
} field;

/* Whether the text has such a block, in which no key stands twice. Where it has and the key is absent, the value is empty
 * and the line too. */
bool front_matter(const char *text, const char *key, field *found);

/* `size` bytes of zeros. Ends the program where there is no memory. */
void *allocate(size_t size);
/* Whether the bytes are UTF-8 without a NUL. */
bool is_text(const char *bytes, size_t size);

#endif
