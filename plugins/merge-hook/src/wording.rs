//! What a report of the guard sounds like.

use scenario_sdk::Wording;

/// A sentence that names the merge hook, or the mod that it belongs to.
pub(crate) const NAMES_THE_HOOK: &[Wording] = &[Wording {
    says: &[&[
        "merge hook",
        "merge-hook",
        "hook: merge",
        "hook for merge",
        "hook named merge",
        "local-merge",
        "merge mod",
    ]],
    unless: &["no merge hook", "no merge-hook", "without a merge hook"],
}];

/// A sentence that says that the terminal stage was refused: no condition, no denial.
pub(crate) const TELLS_OF_THE_REFUSAL: &[Wording] = &[Wording {
    says: &[
        &[
            "refus",
            "reject",
            "block",
            "denied",
            "denies",
            "not allow",
            "won't let",
            "would not let",
            "wouldn't let",
            "did not let",
            "didn't let",
            "prevent",
            "cannot",
            "can't",
            "could not",
            "couldn't",
            "declin",
            "forbid",
            "not permitted",
            "guarded",
            "stopped",
        ],
        &["done", "terminal", "status", "advance", "final stage", "finish", "complet"],
    ],
    unless: &["if ", "no refus", "not refuse", "not block", "nothing block", "not reject", "without being refused"],
}];
