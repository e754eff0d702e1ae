//! The templates and SDKs that the binary holds: real files of `plugins/`, which are built and linted there.

use super::Language;

pub(super) struct Set {
    /// The folder below `plugins/`.
    #[cfg_attr(not(test), expect(dead_code, reason = "a test holds the lists to the folders"))]
    pub(super) folder: &'static str,
    /// What stands before their paths in what is written.
    pub(super) place: &'static str,
    pub(super) files: &'static [(&'static str, &'static str)],
}

macro_rules! set {
    ($folder:literal => $place:literal: $($path:literal),+ $(,)?) => {
        Set {
            folder: $folder,
            place: $place,
            files: &[$(($path, include_str!(concat!("../../../../../plugins/", $folder, "/", $path)))),+],
        }
    };
}

/// What the folder of a language is made of, besides `wit/`.
pub(super) fn sets(language: Language) -> Vec<&'static Set> {
    let mut sets = vec![&COMMON];
    sets.extend(match language {
        Language::Rust => vec![&RUST, &RUST_SDK, &RUST_PACKAGE],
        Language::C => vec![&C, &C_SDK],
        Language::Go => vec![&GO, &GO_SDK],
        Language::Js => vec![&JS, &JS_SDK],
        Language::Python => vec![&PYTHON, &PYTHON_SDK],
    });
    sets
}

/// How a plugin of a language is built and tested, a line each.
pub(super) fn commands(language: Language) -> &'static str {
    match language {
        Language::Rust => "  rustup target add wasm32-wasip2\n  make\n  make test\n",
        Language::C => "  pip install ziglang==0.17.0\n  make\n  make test\n",
        Language::Go => "  make\n  make test\n",
        Language::Js => "  npm install\n  npm run build\n  npm test\n",
        Language::Python => "  pip install componentize-py==0.25.1\n  make\n  make test\n",
    }
}

static COMMON: Set = set![
    "templates/common" => "":
    "scenarios/scenario-name/agents/paraphrase-polite.toml",
    "scenarios/scenario-name/agents/right.toml",
    "scenarios/scenario-name/agents/wrong-overwrites.toml",
    "scenarios/scenario-name/agents/wrong-silent.toml",
    "scenarios/scenario-name/root/letter.txt",
    "scenarios/scenario-name/scenario.toml",
    "scenarios/suite.toml",
];

static RUST: Set = set![
    "templates/rust" => "":
    ".gitignore",
    "Makefile",
    "README.md",
    "plugin/Cargo.toml",
    "plugin/src/lib.rs",
];

static RUST_SDK: Set = set![
    "sdk/src" => "plugin/sdk/src/":
    "bindings.rs",
    "diff.rs",
    "evidence.rs",
    "front_matter.rs",
    "git/history.rs",
    "git/mod.rs",
    "git/object.rs",
    "git/pack.rs",
    "git/reference.rs",
    "git/tests.rs",
    "grader.rs",
    "lib.rs",
    "markdown.rs",
    "rehearsal.rs",
    "rehearsal/damage.rs",
    "rehearsal/play.rs",
    "rehearsal/script.rs",
    "rehearsal/tests.rs",
    "report.rs",
    "scenario.rs",
    "session.rs",
    "shell.rs",
    "tree.rs",
    "tree/tests.rs",
    "wording.rs",
    "workers.rs",
];

static C: Set = set![
    "templates/c" => "":
    ".gitignore",
    "Makefile",
    "README.md",
    "plugin/scenario.c",
    "plugin/test_scenario.c",
];

static C_SDK: Set = set![
    "sdk/c" => "plugin/":
    "sdk/front_matter.c",
    "sdk/grading.c",
    "sdk/plugin.c",
    "sdk/scenario.h",
    "sdk/tree.c",
    "sdk/wording.c",
];

static GO: Set = set![
    "templates/go" => "":
    ".gitignore",
    "Makefile",
    "README.md",
    "plugin/go.mod",
    "plugin/scenario.go",
    "plugin/scenario_test.go",
];

static GO_SDK: Set = set![
    "sdk/go" => "plugin/":
    "sdk/abi.go",
    "sdk/exports.go",
    "sdk/front_matter.go",
    "sdk/grading.go",
    "sdk/scenario.go",
    "sdk/session.go",
    "sdk/session_native.go",
    "sdk/tree.go",
    "sdk/wording.go",
];

static JS: Set = set![
    "templates/js" => "":
    ".gitignore",
    "README.md",
    "package.json",
    "plugin/plugin.js",
    "plugin/scenario.js",
    "plugin/scenario.test.js",
];

static JS_SDK: Set = set![
    "sdk/js" => "plugin/":
    "scenario-sdk/build.js",
    "scenario-sdk/front-matter.js",
    "scenario-sdk/grading.js",
    "scenario-sdk/node.js",
    "scenario-sdk/plugin.js",
    "scenario-sdk/tree.js",
    "scenario-sdk/wording.js",
];

static PYTHON: Set = set![
    "templates/python" => "":
    ".gitignore",
    "Makefile",
    "README.md",
    "plugin/scenario.py",
    "plugin/test_scenario.py",
];

static PYTHON_SDK: Set = set![
    "sdk/python" => "plugin/":
    "scenario_sdk/__init__.py",
    "scenario_sdk/front_matter.py",
    "scenario_sdk/grading.py",
    "scenario_sdk/plugin.py",
    "scenario_sdk/wording.py",
];

/// What lies beside the SDK's sources: its manifest, and the versions that it is built with here.
static RUST_PACKAGE: Set = Set {
    folder: "",
    place: "plugin/",
    files: &[
        ("Cargo.lock", include_str!("../../../../../plugins/Cargo.lock")),
        ("sdk/Cargo.toml", include_str!("../../../../../plugins/sdk/Cargo.toml")),
    ],
};
