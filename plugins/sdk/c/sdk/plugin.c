/* What a plugin exports, and its conversation with the lane's agent: the canonical ABI of the world
 * `scenario:host/plugin`, by hand. Addresses have 32 bits, and the structs below the layout that wit/ asks for. */
#include "scenario.h"

#include <stdlib.h>
#include <string.h>

#ifdef __wasm__

#define IMPORT(interface, function)                                                                                    \
    __attribute__((import_module("scenario:host/" interface "@0.1.0"), import_name(function))) extern
#define EXPORT(function) __attribute__((export_name(function)))

typedef struct {
    const char *bytes;
    size_t size;
} text;

typedef struct {
    const void *items;
    size_t count;
} list;

/* The `result` of a call whose payload is not wider than 4 bytes. */
typedef struct {
    uint8_t failed;
    union {
        int32_t handle;
        struct {
            text class, message;
        } fault;
    };
} narrow_result;

/* result<option<event>, session-fault>, the payload of the event's kind being three words at most here. */
typedef struct {
    _Alignas(8) uint8_t failed;
    _Alignas(8) uint8_t is_there;
    _Alignas(8) uint64_t at_ms;
    uint8_t kind;
    _Alignas(8) union {
        text texts[3];
        struct {
            text id;
            uint8_t is_error;
            text output;
        } result;
        uint64_t words[8];
    };
} event_result;
_Static_assert(sizeof(event_result) == 96 && offsetof(event_result, texts) == 32, "the layout of next-event");

typedef struct {
    _Alignas(8) uint8_t failed;
    _Alignas(8) text final_message;
    uint64_t rest[11];
} conclusion_result;
_Static_assert(sizeof(conclusion_result) == 104, "the layout of conclude");

IMPORT("agent", "[static]session.start") void import_start(const char *, size_t, narrow_result *);
IMPORT("agent", "[method]session.next-event") void import_next_event(int32_t, event_result *);
IMPORT("agent", "[method]session.send") void import_send(int32_t, const char *, size_t, narrow_result *);
IMPORT("agent", "[method]session.conclude") void import_conclude(int32_t, conclusion_result *);
IMPORT("agent", "[resource-drop]session") void import_drop(int32_t);
IMPORT("report", "step") void import_step(const char *, size_t);
IMPORT("report", "note") void import_note(const char *, size_t);
IMPORT("report", "metric") void import_metric(const char *, size_t, double, const char *, size_t);
IMPORT("report", "attach") void import_attach(const char *, size_t, const char *, size_t, const void *, size_t);

EXPORT("cabi_realloc") void *cabi_realloc(void *old, size_t old_size, size_t align, size_t size) {
    (void)old_size, (void)align;
    void *memory = realloc(old, size ? size : 1);
    if (!memory) abort();
    return memory;
}

static text as_text(const char *string) { return (text){string, strlen(string)}; }

/* A NUL in it cuts it, which only an agent's own words can hold. */
static const char *as_string(text given) {
    char *string = allocate(given.size + 1);
    memcpy(string, given.bytes, given.size);
    return string;
}

bool session_start(session *it, const char *prompt) {
    narrow_result answer;
    import_start(prompt, strlen(prompt), &answer);
    *it = (session){.handle = answer.handle, .messages = allocate(sizeof *it->messages)};
    return !answer.failed;
}

static void keep(session *it, const char *message) {
    it->messages = realloc(it->messages, (it->count + 2) * sizeof *it->messages);
    if (!it->messages) abort();
    it->messages[it->count++] = message;
    it->messages[it->count] = NULL;
}

bool session_next_event(session *it, event *next, bool *is_there) {
    static const char *const KINDS[] = {"started", "message", "tool-call", "tool-result", "usage", "back-off", "raw"};
    enum { MESSAGE = 1, TOOL_CALL = 2, TOOL_RESULT = 3, RAW = 6 };
    event_result answer;
    import_next_event(it->handle, &answer);
    *is_there = !answer.failed && answer.is_there;
    if (!*is_there) return !answer.failed;
    *next = (event){.kind = KINDS[answer.kind]};
    if (answer.kind == MESSAGE || answer.kind == RAW) next->text = as_string(answer.texts[0]);
    if (answer.kind == MESSAGE) keep(it, next->text);
    if (answer.kind == TOOL_CALL) {
        next->id = as_string(answer.texts[0]);
        next->text = as_string(answer.texts[1]);
        next->input = as_string(answer.texts[2]);
    }
    if (answer.kind == TOOL_RESULT) {
        next->id = as_string(answer.result.id);
        next->input = as_string(answer.result.output);
    }
    return true;
}

static bool finish_turn(session *it) {
    event next;
    for (bool is_there = true; is_there;)
        if (!session_next_event(it, &next, &is_there)) return false;
    return true;
}

bool session_send(session *it, const char *message) {
    if (!finish_turn(it)) return false;
    narrow_result answer;
    import_send(it->handle, message, strlen(message), &answer);
    return !answer.failed;
}

bool session_conclude(session *it, evidence *out) {
    if (!finish_turn(it)) return false;
    conclusion_result answer;
    import_conclude(it->handle, &answer);
    if (answer.failed) return false;
    import_drop(it->handle);
    const char *final = as_string(answer.final_message);
    if (it->count == 0 || strcmp(it->messages[it->count - 1], final) != 0) keep(it, final);
    *out = (evidence){{"/host/before"}, {"/"}, final, it->messages};
    return true;
}

void report_step(const char *name) { import_step(name, strlen(name)); }

void report_note(const char *text) { import_note(text, strlen(text)); }

void report_metric(const char *name, double value, const char *unit) {
    import_metric(name, strlen(name), value, unit, strlen(unit));
}

void report_attach(const char *name, const char *media_type, const void *content, size_t size) {
    import_attach(name, strlen(name), media_type, strlen(media_type), content, size);
}

static const char *skipped;

bool skip(const char *reason) {
    skipped = reason;
    return false;
}

typedef struct {
    text code, requires;
} clause_info;

typedef struct {
    text name, summary;
    list tags, needs, clauses;
} scenario_info;

typedef struct {
    text code, message;
    uint8_t has_evidence;
    text evidence;
} told_finding;

typedef struct {
    uint8_t which; /* pass, fail or skip */
    union {
        list findings;
        text reason;
    };
} verdict;

static list words(const char *const *given) {
    size_t count = 0;
    while (given[count]) count++;
    text *items = allocate(count * sizeof *items);
    for (size_t at = 0; at < count; at++) items[at] = as_text(given[at]);
    return (list){items, count};
}

static size_t clause_count(void) {
    size_t count = 0;
    while (plugin_scenario->clauses[count].code) count++;
    return count;
}

EXPORT("scenario:host/scenarios@0.1.0#list") const list *export_list(void) {
    static scenario_info info;
    static list infos = {&info, 1};
    size_t count = clause_count();
    clause_info *clauses = allocate(count * sizeof *clauses);
    for (size_t at = 0; at < count; at++) {
        const clause *declared = &plugin_scenario->clauses[at];
        clauses[at] = (clause_info){as_text(declared->code), as_text(declared->requires)};
    }
    info = (scenario_info){as_text(plugin_scenario->name), as_text(plugin_scenario->summary),
                           words(plugin_scenario->tags), words(plugin_scenario->needs), {clauses, count}};
    return &infos;
}

static list findings(const evidence *it) {
    enum { MAX_EVIDENCE = 4000 };
    size_t count = 0;
    told_finding *told = allocate(clause_count() * sizeof *told);
    for (const clause *next = plugin_scenario->clauses; next->code; next++) {
        finding *found = checked(next, it);
        if (!found) continue;
        told[count] = (told_finding){.code = as_text(next->code), .message = as_text(found->message)};
        if (found->shown) {
            text shown = as_text(found->shown);
            if (shown.size > MAX_EVIDENCE) shown.size = MAX_EVIDENCE;
            /* Not within a character. */
            while (shown.size > 0 && (found->shown[shown.size] & 0xc0) == 0x80) shown.size--;
            told[count].has_evidence = 1;
            told[count].evidence = shown;
        }
        count++;
    }
    return (list){told, count};
}

EXPORT("scenario:host/scenarios@0.1.0#run") const verdict *export_run(const char *name, size_t size) {
    enum { PASS, FAIL, SKIP };
    static verdict given;
    (void)name, (void)size; /* it is the only one that `list` gives */
    evidence it;
    if (!plugin_scenario->run(&it)) {
        /* After a session that broke, which the host has noted, what is returned does not count. */
        given = (verdict){.which = SKIP, .reason = as_text(skipped ? skipped : "the session broke")};
        return &given;
    }
    list found = findings(&it);
    given = (verdict){.which = found.count == 0 ? PASS : FAIL, .findings = found};
    return &given;
}

#else /* Natively there is no agent, and nobody to report to. */

bool session_start(session *it, const char *prompt) { return (void)it, (void)prompt, false; }

bool session_next_event(session *it, event *next, bool *is_there) {
    return (void)it, (void)next, (void)is_there, false;
}

bool session_send(session *it, const char *message) { return (void)it, (void)message, false; }

bool session_conclude(session *it, evidence *out) { return (void)it, (void)out, false; }

bool skip(const char *reason) { return (void)reason, false; }

void report_step(const char *name) { (void)name; }

void report_note(const char *text) { (void)text; }

void report_metric(const char *name, double value, const char *unit) { (void)name, (void)value, (void)unit; }

void report_attach(const char *name, const char *media_type, const void *content, size_t size) {
    (void)name, (void)media_type, (void)content, (void)size;
}

#endif

bool session_run(const char *prompt, evidence *out) {
    session it;
    return session_start(&it, prompt) && session_conclude(&it, out);
}
