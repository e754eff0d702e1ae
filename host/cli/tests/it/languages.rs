//! `host new` in each language: from an empty folder to the proof, with the language's real tools and the commands that
//! the README in the folder gives. `make test-languages` installs the tools.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

use host_testing::{host_binary, plugin, repository};

const TOOLS: &str = "make test-languages installs them";

/// What an author of a scenario has: a folder, and the tools of a language.
struct Author {
    folder: TempDir,
    language: &'static str,
}

impl Author {
    /// In an empty folder.
    fn of(language: &'static str) -> Self {
        let folder = tempfile::Builder::new().prefix("host-test-").tempdir().unwrap();
        let author = Self { folder, language };
        fs::create_dir(author.path("tmp")).unwrap();
        author
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a scenario, and puts the tools where its README has them installed.
    fn writes(&self, name: &str) -> PathBuf {
        self.shell(self.folder.path(), &format!("host new {name} --lang {}", self.language));
        let folder = self.path(name);
        match self.language {
            "js" => link(&tools().join("node/node_modules"), &folder.join("node_modules")),
            // What it depends on is compiled once for all folders.
            "rust" => link(&made(tools().join("rust-target")), &folder.join("plugin/target")),
            _ => {}
        }
        folder
    }

    fn shell(&self, cwd: &Path, line: &str) -> String {
        let output = self.tries(cwd, line);
        let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{}: `{line}` ended with {}:\n{told}", self.language, output.status);
        told
    }

    fn tries(&self, cwd: &Path, line: &str) -> Output {
        let host = Path::new(host_binary()).parent().unwrap();
        let path = env::var("PATH").unwrap();
        let path = format!("{}:{}:{path}", host.display(), tools().join("python/bin").display());
        let mut command = Command::new("sh");
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HOST_")) {
            command.env_remove(name);
        }
        // The Rust of the plugins is not always the active one.
        let toolchain = repository().join("plugins/target/toolchain/env");
        let line = if self.language == "rust" { format!(". {}\n{line}", toolchain.display()) } else { line.to_owned() };
        command.args(["-euc", &line]).current_dir(cwd);
        command.env("PATH", path).env("TMPDIR", self.path("tmp")).env("GOTOOLCHAIN", "local");
        // Compilers, and the host, keep there what they need not do again.
        command.env("XDG_CACHE_HOME", made(tools().join("cache"))).env("CARGO_TARGET_DIR", "target");
        command.output().unwrap()
    }
}

fn tools() -> PathBuf {
    let folder = env::var_os("HOST_TEST_LANGUAGES").expect(TOOLS);
    PathBuf::from(folder)
}

fn made(folder: PathBuf) -> PathBuf {
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn link(to: &Path, at: &Path) {
    assert!(to.is_dir(), "{} is not there: {TOOLS}", to.display());
    std::os::unix::fs::symlink(to, at).unwrap();
}

/// The commands of the README, without those that install what `.ci/languages` pins.
fn commands(folder: &Path) -> Vec<String> {
    let readme = fs::read_to_string(folder.join("README.md")).unwrap();
    let (_, block) = readme.split_once("```sh\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    let pinned = fs::read_to_string(repository().join(".ci/languages/requirements.txt")).unwrap();
    let mut commands: Vec<String> = block.lines().map(str::to_owned).collect();
    commands.retain(|line| {
        let package = line.strip_prefix("pip install ");
        assert!(package.is_none_or(|package| pinned.lines().any(|pin| pin == package)), "{line} is not what is tested");
        package.is_none() && !line.starts_with("npm install") && !line.starts_with("rustup ")
    });
    commands
}

/// Everything that the README says, in order.
fn follows_the_readme(language: &'static str) {
    let author = Author::of(language);
    let folder = author.writes("first");
    let said = commands(&folder).iter().map(|line| author.shell(&folder, line)).collect::<Vec<_>>();
    let [.., run, prove] = &said[..] else { panic!("the README says less than `host run` and `host prove`") };
    assert!(run.contains("PASS") && run.contains("1 passed"), "{run}");
    assert!(prove.contains("proved: 4 agents graded as expected, 2 clauses covered"), "{prove}");

    // What breaks is told by its class, and no verdict of the scenario's.
    let broken = "summary = \"s\"\nexpect = { verdict = \"fault\", class = \"crash\" }\n[[step]]\nfault = \"crash\"\n";
    fs::write(folder.join("scenarios/first/agents/broken.toml"), broken).unwrap();
    assert!(author.shell(&folder, "host prove").contains("5 agents graded as expected"));
    assert_eq!(fs::read_dir(author.path("tmp")).unwrap().count(), 0, "something was left behind");
}

#[test]
#[ignore = "needs the tools of the language: make test-languages"]
fn a_scenario_in_rust_builds_and_is_proved_as_it_stands() {
    follows_the_readme("rust");
}

#[test]
#[ignore = "needs the tools of the language: make test-languages"]
fn a_scenario_in_c_builds_and_is_proved_as_it_stands() {
    follows_the_readme("c");
}

#[test]
#[ignore = "needs the tools of the language: make test-languages"]
fn a_scenario_in_go_builds_and_is_proved_as_it_stands() {
    follows_the_readme("go");
}

#[test]
#[ignore = "needs the tools of the language: make test-languages"]
fn a_scenario_in_javascript_builds_and_is_proved_as_it_stands() {
    follows_the_readme("js");
}

#[test]
#[ignore = "needs the tools of the language: make test-languages"]
fn a_scenario_in_python_builds_and_is_proved_as_it_stands() {
    follows_the_readme("python");
}

/// Writes a scenario, puts one of `plugins/languages` in its place, builds it, and copies the component.
fn built(language: &'static str, kind: &str, to: &Path) {
    let author = Author::of(language);
    let name = format!("{kind}-{language}");
    let folder = author.writes(&name);
    for entry in fs::read_dir(repository().join("plugins/languages").join(language).join(kind)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.join("plugin").join(entry.file_name())).unwrap();
    }
    author.shell(&folder, if language == "js" { "npm run build" } else { "make" });
    let component = format!("build/{name}.wasm");
    fs::copy(folder.join(&component), to.join(&component)).unwrap();
}

const OTHERS: [&str; 4] = ["c", "go", "js", "python"];

/// A suite in which the scenario of this kind is there in each language, with the same data.
fn suite(kind: &str, data: &Path) -> Author {
    let author = Author::of("none");
    for folder in ["build", "scenarios"] {
        fs::create_dir(author.path(folder)).unwrap();
    }
    fs::write(author.path("scenarios/suite.toml"), "plugins = [\"build/*.wasm\"]\n").unwrap();
    for language in OTHERS {
        built(language, kind, author.folder.path());
        copy(data, &author.path("scenarios").join(format!("{kind}-{language}")));
    }
    author
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else if entry.file_name() == "scenario.toml" {
            let text = fs::read_to_string(entry.path()).unwrap();
            fs::write(to, text.lines().filter(|line| !line.starts_with("plugin = ")).collect::<Vec<_>>().join("\n"))
                .unwrap();
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
#[ignore = "needs the tools of the languages: make test-languages"]
fn the_same_scenario_in_five_languages_gives_the_same_verdicts_and_findings() {
    let data = repository().join("scenarios/gate");
    let author = suite("gate", &data);
    fs::copy(plugin("gate"), author.path("build/gate.wasm")).unwrap();
    copy(&data, &author.path("scenarios/gate"));
    let proof = author.shell(author.folder.path(), "host prove");
    let mut agents: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut scenario = "";
    for line in proof.lines() {
        match line.strip_prefix("  ") {
            None if line.starts_with("gate") => scenario = line,
            Some(line) if line.starts_with("ok ") => agents.entry(scenario).or_default().push(line),
            _ => {}
        }
    }
    let number = fs::read_dir(data.join("agents")).unwrap().count();
    assert_eq!(agents.keys().copied().collect::<Vec<_>>(), ["gate", "gate-c", "gate-go", "gate-js", "gate-python"]);
    for (scenario, judged) in &agents {
        assert_eq!(judged.len(), number, "{proof}");
        assert_eq!(judged, &agents["gate"], "{scenario}");
    }
    let count = 5 * number;
    assert!(proof.contains(&format!("proved: {count} agents graded as expected, 35 clauses covered")), "{proof}");
}

#[test]
#[ignore = "needs the tools of the languages: make test-languages"]
fn every_call_of_the_contract_is_there_in_each_language() {
    let author = suite("tour", &repository().join("plugins/languages/tour"));
    let proof = author.shell(author.folder.path(), "host prove");
    assert!(proof.contains("proved: 12 agents graded as expected"), "{proof}");
    author.shell(author.folder.path(), "host run");
    let run = author.path(".host/latest");
    let events: Vec<serde_json::Value> = fs::read_to_string(run.join("events.jsonl"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for language in OTHERS {
        let told: Vec<String> =
            events.iter().map(ToString::to_string).filter(|event| event.contains(language)).collect();
        let tells = |words: &[&str]| told.iter().any(|event| words.iter().all(|word| event.contains(word)));
        assert!(tells(&["first stop"]) && tells(&["a note ü"]) && tells(&["\"stops\"", "2.5", "count"]), "{told:#?}");
        let kept = author.shell(&run, &format!("cat scripted/tour-{language}/attempt-1/attachments/map.txt"));
        assert_eq!(kept, "north\n");
    }
}

/// A Go program whose heap is larger than what its linker leaves between data and the end of the first memory.
const LARGE_HEAP: &str = r#"package main

import (
	"fmt"
	"os"
	"time"
)

func main() {
	var kept [][]byte
	for round := range 64 {
		block := make([]byte, 1<<20)
		for at := range block {
			block[at] = 0xff
		}
		kept = append(kept, block)
		if time.Now().IsZero() || os.WriteFile("file", block[:round+1], 0o644) != nil {
			panic("WASI is broken")
		}
	}
	content, err := os.ReadFile("file")
	fmt.Println(len(kept), len(content), err, os.Args[1:], os.Getenv("COLOUR"))
}
"#;

#[test]
#[ignore = "needs the tools of the language: make test-languages"]
fn a_command_in_go_may_have_a_large_heap() {
    let author = Author::of("go");
    let at = |name: &str| author.path(name);
    fs::create_dir_all(at("scenarios/large")).unwrap();
    fs::write(at("main.go"), LARGE_HEAP).unwrap();
    let toml = "args = [\"a\"]\nenv = { COLOUR = \"red\" }\nexpect = { stdout = \"64 64 <nil> [a] red\\n\" }\n";
    fs::write(at("scenarios/large/scenario.toml"), toml).unwrap();
    author.shell(author.folder.path(), "GOOS=wasip1 GOARCH=wasm go build -o large.wasm main.go");
    author.shell(author.folder.path(), "host run large.wasm");
    // The component that is kept does the same.
    let keep = "mkdir kept && host componentize large.wasm -o kept/large.wasm && host run kept/large.wasm";
    author.shell(author.folder.path(), keep);
}
