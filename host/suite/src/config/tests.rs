//! Suites as people write them, wrong ones above all.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::Duration,
};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use host_model::{ConfinementMode, Credential, Grant, Ports, TextMatch};

mod layers;
mod links;

const AGENT: &str = "summary = \"s\"\nexpect = { verdict = \"pass\" }\n";

/// A folder with a suite.
struct Suite {
    folder: TempDir,
}

impl Suite {
    fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("scenarios")).unwrap();
        Self { folder }
    }

    fn of(suite: impl AsRef<[u8]>) -> Self {
        Self::empty().file("scenarios/suite.toml", suite)
    }

    fn scenario(text: impl AsRef<[u8]>) -> Self {
        Self::empty().file("scenarios/one/scenario.toml", text)
    }

    fn file(self, name: &str, text: impl AsRef<[u8]>) -> Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn resolve(&self) -> Result<Settings, Vec<String>> {
        self.with(&Overrides::default())
    }

    /// The settings, or what is wrong, with paths from the suite's folder.
    fn with(&self, overrides: &Overrides) -> Result<Settings, Vec<String>> {
        let here = format!("{}/", self.folder.path().display());
        Settings::resolve(self.folder.path(), overrides).map_err(|errors| {
            errors
                .iter()
                .map(|error| with_causes(error).replace(&here, "").replace(here.trim_end_matches('/'), "."))
                .collect()
        })
    }

    /// The one thing that is wrong.
    fn problem(&self) -> String {
        let mut problems = self.resolve().expect_err("nothing is wrong");
        assert_eq!(problems.len(), 1, "{problems:#?}");
        problems.remove(0)
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", with_causes(cause)),
        None => error.to_string(),
    }
}

fn flag<T>(name: &str, value: T) -> Option<Sourced<T>> {
    Some(Sourced { value, source: Source::Flag(name.to_owned()) })
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[test]
fn suite_errors_have_a_position_and_help() {
    let long = "x".repeat(101);
    for (text, expected) in [
        ("plugin = []", "1:1: unknown key `plugin`; did you mean `plugins`?"),
        (
            "\ncolour = 1",
            "2:1: unknown key `colour`; expected one of `plugins`, `canary`, `compile`, `profile`, `lanes`, `jobs`, \
             `flaky-result`, `xpass`, `max-fail`, `fail-fast`, `repeat-each`, `reporters`, `defaults`, `lane`",
        ),
        ("plugins = \"a.wasm\"", "1:11: expected a list in brackets, found the text \"a.wasm\""),
        ("plugins = [1]", "1:12: expected a text in quotes, found `1`"),
        ("canary = true", "1:10: expected a list in brackets, found `true`"),
        ("[compile]\nmemory = 1", "2:1: unknown key `memory` in `[compile]`; it is now `max-memory`"),
        ("[compile]\ntimeout = \"0s\"", "2:11: a duration of zero leaves no time"),
        ("jobs = \"many\"", "1:8: expected a whole number of at least 0, found the text \"many\""),
        ("jobs = -1", "1:8: expected a whole number of at least 0, found `-1`"),
        ("jobs = 1.5", "1:8: expected a whole number of at least 0, found `1.5`"),
        ("jobs = 0", "1:8: `jobs` must be from 1 to 5000"),
        ("jobs = 5001", "1:8: `jobs` must be from 1 to 5000"),
        ("[profile.a]\njobs = 100000", "2:8: `jobs` must be from 1 to 5000"),
        ("[lane.a]\njobs = 0", "2:8: `jobs` must be from 1 to 5000"),
        ("[lane.a]\njobs = 5001", "2:8: `jobs` must be from 1 to 5000"),
        ("[[lane.a]]", "1:1: expected a table, found a list"),
        ("defaults = [\"1s\"]", "1:12: expected a table, found a list"),
        ("lane = 3", "1:8: expected a table, found `3`"),
        ("lanes = []", "1:9: `lanes` is empty, so nothing would run; name a lane, or remove the key"),
        ("lanes = [\"script\"]", "1:10: there is no lane `script`; did you mean `scripted`?"),
        ("lanes = [\"zzz\"]", "1:10: there is no lane `zzz`; there is only `scripted`"),
        ("[lane.a]\nkind = \"scriptd\"", "2:8: unknown value `scriptd`; did you mean `scripted`?"),
        ("[lane.a]\nkind = \"claud\"", "2:8: unknown value `claud`; did you mean `claude`?"),
        (
            "[lane.a]\nmodel = \"m\"",
            "2:9: `model` does not apply to a lane of kind `scripted`, only to `claude`, `codex`, `pi`, `command`; remove it",
        ),
        ("[lane.a]\nkind = \"pi\"\nmode = \"m\"", "3:8: `mode` does not apply to a lane of kind `pi`, only to `acp`"),
        ("[lane.a]\nkind = \"acp\"", "2:8: a lane of kind `acp` needs `command`, the program to start"),
        ("[lane.a]\nkind = \"pi\"\nversion = \"two\"", "3:11: `two` is not a version requirement"),
        ("[lane.a]\nkind = \"pi\"\nenv = { HOME = \"/\" }", "3:7: `HOME` is set by the host"),
        ("[lane.a]\nkind = \"pi\"\ncredentials = [\"A=B\"]", "3:15: one entry is not a variable name; write a name"),
        ("[lane.a]\nkind = \"pi\"\ncredentials = [{ fil = \"x\" }]", "3:18: unknown key `fil`; did you mean `file`?"),
        ("[lane.a]\nkind = \"pi\"\ncredentials = [3]", "3:16: expected the name of a variable in quotes, or `{ file"),
        ("[lane.a]\nkind = \"pi\"\nbase-url = \"x\"", "3:12: `x` is not a base URL; write `https://HOST`"),
        (
            "[lane.a]\nkind = \"pi\"\nkey-variable = \"K\"",
            "3:16: the agent does not get the variable `K`; name it in `credentials`",
        ),
        ("[lane.a]\nconfinement = \"landlok\"", "2:15: unknown value `landlok`; did you mean `landlock`?"),
        (
            "[lane.a]\nconfinement = \"none\"\nallow-read = [\"/x\"]",
            "3:14: `allow-read` has no effect with `confinement = \"none\"`; remove one of the two",
        ),
        ("[lane.a]\nallow-connect = [70000]", "2:17: `70000` is not a port; ports are 0 to 65535"),
        (
            "[lane.a]\nallow-connect = \"all\"",
            "2:17: `all` is not a list of ports; write `[443]`, or `\"any\"` for all",
        ),
        (
            "[profile.p.lane.b]\nmodel = \"m\"",
            "1:17: the suite does not define `[lane.b]`, so this has nothing to change",
        ),
        (
            "[lane.a]\n[profile.p.lane.a]\nmodel = \"m\"",
            "3:9: `model` does not apply to a lane of kind `scripted`, only to",
        ),
        ("[lane.a]\nkind = 3", "2:8: expected a text in quotes, found `3`"),
        ("[lane.a]\nagnet = \"x\"", "2:1: unknown key `agnet` in `[lane.a]`; did you mean `agent`?"),
        ("[lane.\"a b\"]", "1:7: `a b` is not a valid name: use up to 100 letters"),
        (&format!("[lane.{long}]"), "1:7: `xxxxx"),
        ("[defaults]\ntimeout = \"soon\"", "2:11: `soon` is not a duration; write `500ms`, `90s`, `1m 30s` or `1h`"),
        (
            "[defaults]\ntimeout = 60",
            "2:11: a duration needs a unit, in quotes: `\"60s\"` for seconds, `\"60m\"` for minutes",
        ),
        ("[defaults]\ntimeout = true", "2:11: expected a duration in quotes such as `\"90s\"`, found `true`"),
        ("[defaults]\nretries = -1", "2:11: expected a whole number from 0 to 4294967295, found `-1`"),
        ("[defaults]\nretry-on = [\"idel\"]", "2:13: unknown retry cause `idel`; did you mean `idle`?"),
        (
            "[lane.a]\nretry-on = [\"overload\", \"never\"]",
            "2:25: unknown retry cause `never`; expected one of `launch`, `overload`, `idle`, `timeout`, `crash`, `trap`, \
             `denied`, `limit`, `protocol`, `resources`, `internal`, `fail`",
        ),
        ("[lane.a]\nretry-delay = 5", "2:15: a duration needs a unit"),
        ("[lane.a]\nbreaker = \"off\"", "2:11: expected a whole number from 0 to 4294967295, found the text \"off\""),
        ("flaky-result = \"fial\"", "1:16: unknown value `fial`; did you mean `fail`?"),
        ("xpass = \"alert\"", "1:9: unknown value `alert`; expected one of `pass`, `fail`"),
        ("max-fail = 0", "1:12: `max-fail` must be at least 1; `fail-fast = false` sets no limit"),
        ("max-fail = 2\nfail-fast = true", "2:13: `fail-fast` and `max-fail` set the same limit; remove one of them"),
        ("repeat-each = 0", "1:15: `repeat-each` must be from 1 to 10000"),
        ("reporters = [\"juint\"]", "1:14: unknown value `juint`; did you mean `junit`?"),
        ("reporters = []", "1:13: `reporters` is empty; write `[\"silent\"]` for no report"),
        ("[profile.ci]\njob = 3", "2:1: unknown key `job` in `[profile.ci]`; did you mean `jobs`?"),
        ("[profile.ci]\nplugins = []", "2:1: unknown key `plugins` in `[profile.ci]`; expected one of `lanes`"),
        ("[profile.ci]\njobs = 0", "2:8: `jobs` must be from 1 to 5000"),
        ("[profile.ci]\nlanes = [\"script\"]", "2:10: there is no lane `script`; did you mean `scripted`?"),
        (
            "[profile.ci.defaults]\nretires = 1",
            "2:1: unknown key `retires` in `[profile.ci.defaults]`; did you mean `retries`?",
        ),
        ("[profile.\"c i\"]", "1:10: `c i` is not a valid name"),
        ("[defaults]\ntimeout = \"0s\"", "2:11: a duration of zero leaves no time; write `90s` or `1h`"),
        (
            "[defaults]\ntimeout = \"99999999999999999999y\"",
            "2:11: `99999999999999999999y` is longer than the longest duration",
        ),
        (
            "[defaults]\nmax-memory = \"64 megs\"",
            "2:14: `64 megs` is not a size; write `64MiB`, `1GB` or a number of bytes",
        ),
        ("[defaults]\nmax-memory = \"99999999999GiB\"", "2:14: `99999999999GiB` is not a size"),
        ("[defaults]\nmax-memory = -1", "2:14: expected a size such as `\"64MiB\"`, or a number of bytes"),
        ("[defaults]\nmax-memory = 0", "2:14: no component can run with a limit of zero; raise it, or remove the key"),
        ("[defaults]\nmax-handles = 0", "2:15: no component can run with a limit of zero"),
        ("[defaults]\nmax-instances = 0", "2:17: no component can run with a limit of zero"),
        (
            "[defaults]\nmax-instances = 5000000000",
            "2:17: expected a whole number from 0 to 4294967295, found `5000000000`",
        ),
        ("jobs = 1\njobs = 2", "2:1: duplicate key"),
        ("[lane.a]\n[lane.a]", "2:7: duplicate key"),
        ("jobs = ", "1:8: "),
        ("plugins = [", "1:12: unclosed array, expected `]`"),
        (
            "jobs = 99999999999999999999999999",
            "1:8: expected a whole number of at least 0, found `99999999999999999999999999`, which does not fit into 64 bits",
        ),
        ("jobs = 2026-01-01", "1:8: expected a whole number of at least 0, found the date or time `2026-01-01`"),
        ("plugins = 2026-01-01", "1:11: expected a list in brackets, found the date or time `2026-01-01`"),
        ("defaults = 2026-01-01", "1:12: expected a table, found the date or time `2026-01-01`"),
        ("flaky-result = 3", "1:16: expected a text in quotes, found `3`"),
    ] {
        let problem = Suite::of(text).problem();
        let expected = format!("scenarios/suite.toml:{expected}");
        assert!(first_line(&problem).starts_with(&expected), "{text}\n     got {problem}\nexpected {expected}");
        assert!(problem.contains('^'), "the place is marked: {problem}");
    }
}

#[test]
fn former_names_are_refused_with_the_new_ones() {
    let limits = [
        ("quiet", "idle-timeout"),
        ("back-off", "backoff-timeout"),
        ("progress", "no-progress-timeout"),
        ("deadline", "timeout"),
        ("handles", "max-handles"),
        ("table-elements", "max-table-elements"),
        ("instances", "max-instances"),
        ("output", "max-output"),
        ("disk", "max-disk"),
        ("memory", "max-memory"),
    ];
    for (old, new) in limits {
        let expected = format!("unknown key `{old}`");
        for suite in [
            Suite::of(format!("[defaults]\n{old} = 1")),
            Suite::of("").file("scenarios/one/scenario.toml", format!("{old} = 1")),
        ] {
            let problem = suite.problem();
            let first = first_line(&problem);
            assert!(first.contains(&expected) && first.ends_with(&format!("; it is now `{new}`")), "{problem}");
        }
    }
    let lanes = [
        ("confine", "confinement"),
        ("readable", "allow-read"),
        ("writable", "allow-write"),
        ("connect-ports", "allow-connect"),
        ("listen-ports", "allow-listen"),
    ];
    for (old, new) in lanes {
        let problem = Suite::of(format!("[lane.a]\n{old} = []")).problem();
        assert!(first_line(&problem).ends_with(&format!("; it is now `{new}`")), "{problem}");
    }
    for (old, new) in [("stall", "idle"), ("deadline", "timeout")] {
        let problem = Suite::of(format!("[defaults]\nretry-on = [\"{old}\"]")).problem();
        assert!(first_line(&problem).ends_with(&format!("; it is now `{new}`")), "{problem}");
    }
}

#[test]
fn scenario_errors_have_a_position_and_help() {
    for (text, expected) in [
        ("timeuot = \"1s\"", "1:1: unknown key `timeuot`; did you mean `timeout`?"),
        ("tags = \"x\"", "1:8: expected a list in brackets, found the text \"x\""),
        ("[grants]\nsesion = true", "2:1: unknown key `sesion` in `[grants]`; did you mean `session`?"),
        ("[grants]\nsession = \"yes\"", "2:11: expected `true` or `false`, found the text \"yes\""),
        ("grants = [\"session\"]", "1:10: expected a table, found a list"),
        (
            "[grants]\nhttp = \"https://a.example\"",
            "2:8: expected a list in brackets, found the text \"https://a.example\"",
        ),
        (
            "[grants]\nhttp = [\n  \"a.example\"]",
            "3:3: `a.example` has no scheme; write `https://a.example`, or `http://` for requests in the clear",
        ),
        (
            "[grants]\nhttp = [3]",
            "2:9: expected a URL such as `\"https://api.example.com\"`, or `{ to = URL, header = { … } }`, found `3`",
        ),
        (
            "[grants]\nhttp = [{ to = \"https://*.a.example\", header = { name = \"authorization\", secret = \"K\" } }]",
            "2:9: a secret is for one host, but `https://*.a.example` is for every name below `a.example`; name the host",
        ),
        (
            "[grants]\nhttp = [{ to = \"http://a.example\", header = { name = \"authorization\", secret = \"K\" } }]",
            "2:9: `http://a.example` would send the secret in the clear; write `https://`, or add `cleartext = true` to \
             the header",
        ),
        (
            "[grants]\nhttp = [{ to = \"https://a.example\", header = { name = \"host\", secret = \"K\" } }]",
            "2:55: `host` controls how a request is sent and cannot carry a secret; use `authorization`",
        ),
        (
            "[grants]\nhttp = [{ to = \"https://a.example\", header = { name = \"a\", secret = \"$K\" } }]",
            "2:69: `$K` is not a variable name; write it without `$`",
        ),
        (
            "[grants]\nhttp = [{ to = \"https://a.example\", header = { name = \"a\", secret = \"K\", value = \"Bearer\" } }]",
            "2:82: `Bearer` needs `{}` once, where the secret belongs: `Bearer {}`",
        ),
        (
            "[grants]\nhttp = [{ to = \"https://a.example\", header = { name = \"a\", secret = \"K\", clear = true } }]",
            "2:74: unknown key `clear`; expected one of `name`, `secret`, `value`, `cleartext`",
        ),
        ("[grants]\ntcp = [\"db.example:http\"]", "2:8: `http` is not a port; write a number from 1 to 65535"),
        ("[grants]\nudp = [\"db.example\"]", "2:8: `db.example` has no port; write host and port: `db.example:5432`"),
        (
            "[grants]\nlisten = [\"0.0.0.0:80\"]",
            "2:11: `0.0.0.0:80` is not a loopback address, and listening for other machines is never granted; write `127.0.0.1:80`",
        ),
        (
            "[grants]\nlisten = [\"localhost:0\"]",
            "2:11: `localhost:0` is not an address with a port; write `127.0.0.1:0` or",
        ),
        ("[grants]\nlisten = [\"*:80\"]", "2:11: `*:80` is not an address with a port"),
        ("[grants]\nlisten = true", "2:10: expected a list in brackets, found `true`"),
        ("[grants]\nlistens = []", "2:1: unknown key `listens` in `[grants]`; did you mean `listen`?"),
        ("[grants]\nenv = [\"A=b\"]", "2:8: `A=b` is not a variable name; write it without `$`"),
        ("[grants]\ndeterministic = -1", "2:17: -1 is not a seed; write a whole number of at least 0"),
        (
            "[grants]\ndeterministic = \"yes\"",
            "2:17: expected `true`, `false`, or a seed, a whole number of at least 0, found the text \"yes\"",
        ),
        (
            "[env]\nA = \"1\"\n[grants]\nenv = [\"A\"]",
            "1:1: `A` is set here, and granted from the host's environment too; remove one",
        ),
        ("grants = [true]", "1:10: expected a table, found a list"),
        ("[[fixture]]\ngit = true", "1:1: expected a table, found a list"),
        ("session = [\"go\"]", "1:11: expected a table, found a list"),
        ("[expect]\nstdout = [\"x\"]", "2:10: expected a text in quotes, or"),
        ("[session]\n", "1:1: the key `prompt` is missing; add it"),
        ("[session]\nprompt = 1", "2:10: expected a text in quotes, found `1`"),
        ("[expect]\nexit-code = \"0\"", "2:13: expected a whole number, found the text \"0\""),
        ("[expect]\nstdout = 3", "2:10: expected a text in quotes, or `{ contains = TEXT }`"),
        ("[expect]\nstdout = { contain = \"x\" }", "2:10: expected a text in quotes, or `{ contains = TEXT }`"),
        ("env = 10:00:00", "1:7: expected a table, found the date or time `10:00:00`"),
        ("env = { A = 1 }", "1:13: expected a text in quotes, found `1`"),
        ("[fixture]\ngit = 1", "2:7: expected `true` or `false`, found `1`"),
        ("max-output = \"1 furlong\"", "1:14: `1 furlong` is not a size"),
        ("[expect-fail]\nfindings = \"a\"", "1:1: `[expect-fail]` is a single table; write `[[expect-fail]]`, once"),
        (
            "[[expect-fail]]\nfinding = \"a\"",
            "2:1: unknown key `finding` in `[[expect-fail]]`; did you mean `findings`?",
        ),
        ("[[expect-fail]]\nfindings = \"a\"", "1:1: the key `owner` is missing; add it"),
        (
            "[[expect-fail]]\nowner = \"o\"\nreason = \"r\"\nuntil = 2026-12-31\nfindings = []",
            "5:12: `findings` is empty; name the expected finding codes",
        ),
        (
            "[[expect-fail]]\nowner = \"o\"\nreason = \"r\"\nuntil = 2026-12-31\nfindings = [\"a\", \"b c\"]",
            "5:18: `b c` is not a valid name",
        ),
        (
            "[[expect-fail]]\nowner = \"o\"\nreason = \"r\"\nuntil = 2026-12-31",
            "3:10: neither `findings` nor `class` is given; name the finding codes or the classes of fault",
        ),
        (
            "[[expect-fail]]\nowner = \"o\"\nreason = \"r\"\nuntil = 2026-12-31\nclass = []",
            "5:9: `class` is empty; name the expected fault classes",
        ),
        (
            "[[expect-fail]]\nowner = \"o\"\nreason = \"r\"\nuntil = 2026-12-31\nclass = [\"trap\", \"launch\"]",
            "5:18: a fault of class `launch` cannot be expected",
        ),
        (
            "[[expect-fail]]\nowner = \"o\"\nreason = \"r\"\nuntil = 2026-12-31\nclass = \"internal\"",
            "5:9: a fault of class `internal` cannot be expected",
        ),
        (
            "[[expect-fail]]\nowner = \"o\"\nreason = \"r\"\nuntil = 2026-12-31\nclass = \"trapp\"",
            "5:9: unknown fault class `trapp`; did you mean `trap`?",
        ),
        (
            "[[expect-fail]]\nowner = \" \"\nreason = \"r\"\nuntil = 2026-12-31\nfindings = \"a\"",
            "2:9: `owner` is empty; name its owner",
        ),
        (
            "[[expect-fail]]\nowner = \"o\"\nreason = \"r\"\nuntil = \"soon\"\nfindings = \"a\"",
            "4:9: `soon` is not a day; write year, month and day: `2026-12-31`",
        ),
        (
            "[[expect-fail]]\nowner = \"o\"\nreason = \"r\"\nuntil = 2026-12-31T10:00:00\nfindings = \"a\"",
            "4:9: `2026-12-31T10:00:00` is not a day",
        ),
        (
            "[[expect-fail]]\nowner = \"o\"\nreason = \"r\"\nuntil = 20261231\nfindings = \"a\"",
            "4:9: expected a day such as `2026-12-31`, found `20261231`",
        ),
        (
            "[[expect-fail]]\nlane = []\nowner = \"o\"\nreason = \"r\"\nuntil = 2026-12-31\nfindings = \"a\"",
            "2:8: `lane` is empty; name a lane, or remove the key to cover every lane",
        ),
        (
            "[[expect-fail]]\nlane = \"script\"\nowner = \"o\"\nreason = \"r\"\nuntil = 2026-12-31\nfindings = \"a\"",
            "2:8: there is no lane `script`; did you mean `scripted`?",
        ),
        ("retries = 1\nretry-on = \"fail\"", "2:12: expected a list in brackets, found the text \"fail\""),
        ("timeout = \"1 fortnight\"", "1:11: `1 fortnight` is not a duration"),
    ] {
        let problem = Suite::scenario(text).problem();
        let expected = format!("scenarios/one/scenario.toml:{expected}");
        assert!(first_line(&problem).starts_with(&expected), "{text}\n     got {problem}\nexpected {expected}");
    }
}

#[test]
fn script_errors_have_a_position_and_help() {
    for (text, expected) in [
        (String::new(), "1:1: the key `summary` is missing; add it"),
        ("summary = \"s\"".into(), "1:1: the key `expect` is missing; add it"),
        ("summary = \"s\"\nexpect = \"pass\"".into(), "2:10: expected a table, found the text \"pass\""),
        ("summary = \"s\"\nexpect = { verdict = \"pas\" }".into(), "2:22: unknown value `pas`; did you mean `pass`?"),
        ("summary = \"s\"\nexpect = { verdict = \"fail\" }".into(), "2:10: the key `findings` is missing; add it"),
        (format!("{AGENT}[step]\nsay = \"x\""), "3:1: `[step]` is a single table; write `[[step]]`, once for each"),
        (format!("{AGENT}[[steps]]\nsay = \"x\""), "3:3: unknown key `steps`; did you mean `step`?"),
        (format!("{AGENT}[[step]]\nsays = \"x\""), "4:1: unknown key `says` in `[[step]]`; did you mean `say`?"),
        (format!("{AGENT}[[step]]\nsleep = \"soon\""), "3:1: `sleep = \"soon\"` is not a duration"),
        (format!("{AGENT}[[step]]\nsay = \"x\"\nshell = \"y\""), "3:1: a step has one action, but this one has"),
        (format!("{AGENT}[[step]]\nsay = \"x\"\n\n[[step]]\nwrite = \"x\""), "6:1: a step with `write` needs `text`"),
        (format!("{AGENT}step = [{{ say = \"x\" }}, {{ write = \"x\" }}]"), "3:24: a step with `write` needs `text`"),
        (format!("{AGENT}step = [[\"x\"]]"), "3:9: expected a table, found a list"),
        (format!("{AGENT}[[step]]\nfault = \"explode\""), "3:1: `explode` is not a fault; the faults are `crash`"),
    ] {
        let problem = Suite::empty().file("scenarios/one/agents/right.toml", &text).problem();
        let expected = format!("scenarios/one/agents/right.toml:{expected}");
        assert!(first_line(&problem).starts_with(&expected), "{text}\n     got {problem}\nexpected {expected}");
    }
}

#[test]
fn all_errors_are_reported_together() {
    let suite = Suite::of("jobs = 0\nlanes = [\"x\"]")
        .file("scenarios/a/scenario.toml", "deadlin = 1")
        .file("scenarios/b/agents/one.toml", "")
        .file("scenarios/b/agents/two.toml", "");
    assert_eq!(suite.resolve().unwrap_err().len(), 5);
    let suite = Suite::of("job = 0").file("scenarios/a/scenario.toml", "deadlin = 1");
    assert_eq!(suite.resolve().unwrap_err().len(), 2, "a suite that cannot be parsed does not hide its scenarios");
}

#[test]
fn non_files_are_reported_by_name() {
    let folder = Suite::empty();
    fs::create_dir(folder.path("scenarios/suite.toml")).unwrap();
    assert_eq!(folder.problem(), "scenarios/suite.toml is a folder, but must be a file; move it away or rename it");

    let link = Suite::empty();
    symlink("nowhere", link.path("scenarios/suite.toml")).unwrap();
    assert_eq!(link.problem(), "cannot read scenarios/suite.toml: it is a dangling link");

    let turning = Suite::empty();
    symlink("suite.toml", turning.path("scenarios/suite.toml")).unwrap();
    assert!(turning.problem().starts_with("cannot read scenarios/suite.toml: "), "{}", turning.problem());

    let file = Suite::empty().file("scenarios/one/root", "");
    assert_eq!(file.problem(), "scenarios/one/root must be a folder; move it away or rename it");

    let agents = Suite::empty().file("scenarios/one/agents", "");
    assert_eq!(agents.problem(), "scenarios/one/agents must be a folder; move it away or rename it");

    let named = Suite::empty().file("scenarios/a b/scenario.toml", "");
    assert!(
        named.problem().starts_with("scenarios/a b: `a b` is not a valid name: use up to 100"),
        "{}",
        named.problem()
    );
}

#[test]
fn invalid_utf8_is_reported_with_its_position() {
    let problem = Suite::of(b"jobs = 2\nplugins = [\"\xff\"]\n").problem();
    assert_eq!(first_line(&problem), "scenarios/suite.toml:2:13: the file is not UTF-8; save the file as UTF-8");
}

#[test]
fn byte_order_marks_and_crlf_change_nothing() {
    let suite = Suite::of("\u{feff}jobs = 3\r\ncanary = [\"one\"]\r\n\r\n[lane.a]\r\n");
    let settings = suite.resolve().unwrap();
    assert_eq!((settings.jobs, settings.canary), (3, vec!["one".to_owned()]));
    let problem = Suite::of("\u{feff}job = 3\r\n").problem();
    assert_eq!(first_line(&problem), "scenarios/suite.toml:1:1: unknown key `job`; did you mean `jobs`?");
    let problem = Suite::of("jobs = 1\r\n\r\ncanari = []\r\n").problem();
    assert!(first_line(&problem).starts_with("scenarios/suite.toml:3:1: unknown key `canari`"), "{problem}");
    assert!(!problem.contains('\r'), "{problem:?}");
}

#[test]
fn editor_files_are_ignored() {
    let suite = Suite::empty()
        .file("scenarios/.git/config", "")
        .file("scenarios/one/agents/.right.toml.swp.toml", "x")
        .file("scenarios/one/agents/right.toml~", "x")
        .file("scenarios/notes.md", "x");
    let settings = suite.resolve().unwrap();
    assert_eq!(settings.scenarios.keys().collect::<Vec<_>>(), ["one"]);
    assert!(settings.scenarios["one"].agents.is_empty());
}

#[test]
fn defaults_apply_without_a_suite() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::resolve(folder.path(), &Overrides::default()).unwrap();
    assert_eq!((settings.jobs, settings.suite), (16, None));
    assert!(settings.plugins.is_empty() && settings.canary.is_empty() && settings.scenarios.is_empty());
    assert_eq!(settings.lanes.iter().map(|lane| lane.name.0.as_str()).collect::<Vec<_>>(), ["scripted"]);
    assert_eq!(settings.lanes[0].kind, LaneKind::Scripted { agent: "right".into() });
    assert_eq!(settings.base, folder.path());
}

#[test]
fn flags_beat_the_suite_which_beats_the_default() {
    let suite = Suite::of("jobs = 3\nlanes = [\"a\"]\n[lane.a]\njobs = 2\n[lane.b]\nagent = \"slow\"\n")
        .file("scenarios/one/agents/wrong.toml", AGENT);
    let lanes = |settings: &Settings| settings.lanes.iter().map(|lane| lane.name.0.clone()).collect::<Vec<_>>();
    let settings = suite.resolve().unwrap();
    assert_eq!((settings.jobs, lanes(&settings)), (3, vec!["a".to_owned()]));
    assert_eq!(settings.lanes[0].jobs, Some(2));
    let overrides = Overrides {
        jobs: flag("--jobs", 7),
        lanes: flag("--lane", vec!["b".into(), "scripted".into(), "b".into()]),
        agents: vec!["wrong".into()],
        ..Overrides::default()
    };
    let settings = suite.with(&overrides).unwrap();
    assert_eq!((settings.jobs, lanes(&settings)), (7, vec!["b".to_owned(), "scripted".to_owned()]));
    assert_eq!(settings.lanes[0].kind, LaneKind::Scripted { agent: "slow".into() });
    assert_eq!(settings.agents, ["wrong"]);
}

#[test]
fn lanes_are_the_named_ones_or_all() {
    let names = |text: &str| {
        let settings = Suite::of(text).resolve().unwrap();
        settings.lanes.into_iter().map(|lane| lane.name.0).collect::<Vec<_>>()
    };
    assert_eq!(names("plugins = []"), ["scripted"]);
    assert_eq!(names("[lane.a]\n[lane.b]"), ["a", "b"]);
    assert_eq!(names("lanes = [\"b\", \"a\", \"b\"]\n[lane.a]\n[lane.b]"), ["b", "a"]);
    assert_eq!(names("lanes = [\"scripted\"]\n[lane.a]"), ["scripted"]);
}

#[test]
fn scenarios_override_single_default_limits() {
    let suite = Suite::of("[defaults]\ntimeout = \"30s\"\nmax-memory = \"64MiB\"\nmax-output = 0\n")
        .file("scenarios/one/scenario.toml", "timeout = \"1m 30s\"\nmax-table-elements = 18446744073709551\n");
    let settings = suite.resolve().unwrap();
    let limits = &settings.scenarios["one"].limits;
    assert_eq!(limits.timeout, Duration::from_secs(90));
    assert_eq!(
        (limits.max_memory, limits.max_output, limits.max_table_elements),
        (64 << 20, 0, 18_446_744_073_709_551)
    );
    assert_eq!(limits.max_handles, 1_000);
    assert_eq!(settings.limits.timeout, Duration::from_secs(30), "for scenarios without a folder");
}

#[test]
fn folders_are_read_completely() {
    let text = "plugin = \"../one.wasm\"\nsummary = \"s\"\nargs = [\"-v\"]\nstdin = \"in\"\n[grants]\nsession = true\n\
                [env]\nA = \"b\"\n[session]\nprompt = \"go\"\n[expect]\nexit-code = 3\nstderr = { contains = \"x\" }\n\
                [fixture]\ngit = true\n";
    let suite = Suite::scenario(text)
        .file("scenarios/one/root/f", "")
        .file("scenarios/one/config/f", "")
        .file("scenarios/one.wasm", "")
        .file("scenarios/one/agents/right.toml", AGENT);
    let one = suite.resolve().unwrap().scenarios["one"].clone();
    assert_eq!(one.plugin, Some(suite.path("scenarios/one/../one.wasm")), "meant from the file where it is there");
    assert!(one.grants.grants.has(Grant::Session) && one.fixture.git);
    assert_eq!(one.fixture.root, Some(suite.path("scenarios/one/root")));
    assert_eq!(one.fixture.config, Some(suite.path("scenarios/one/config")));
    assert_eq!(one.command.args, ["-v"]);
    assert_eq!(one.command.stdin, b"in");
    assert_eq!(one.command.expect.unwrap().stderr, Some(TextMatch::Contains("x".into())));
    assert_eq!(one.command_keys, ["args", "env", "expect", "session", "stdin", "summary"]);
    assert_eq!(one.agents.keys().collect::<Vec<_>>(), ["right"]);
}

#[test]
fn grants_must_be_explicit() {
    for text in ["", "[grants]", "[grants]\nsession = false"] {
        assert!(!Suite::scenario(text).resolve().unwrap().scenarios["one"].grants.grants.has(Grant::Session), "{text}");
    }
}

#[test]
fn suites_are_found_by_file_folder_and_root() {
    let suite = Suite::of("jobs = 5").file("scenarios/nightly.toml", "jobs = 9").file("scenarios/one/root/f", "");
    let of = |given: &Path| {
        let settings =
            suite.with(&Overrides { suite: flag("--suite", given.to_owned()), ..Default::default() }).unwrap();
        assert_eq!(settings.base, suite.folder.path(), "{}", given.display());
        assert!(settings.scenarios.contains_key("one"));
        settings.jobs
    };
    for given in ["scenarios/suite.toml", "scenarios", "scenarios/", ".", ""] {
        assert_eq!(of(Path::new(given)), 5, "{given}");
    }
    assert_eq!(of(&suite.path("scenarios")), 5, "an absolute path");
    assert_eq!(of(Path::new("scenarios/nightly.toml")), 9, "a suite may have another name");
}

#[test]
fn missing_suites_are_errors_with_help() {
    let suite = Suite::of("");
    for given in ["nowhere", "scenarios/other.toml", "scenarios/suite.toml/x"] {
        let problems =
            suite.with(&Overrides { suite: flag("--suite", given.into()), ..Default::default() }).unwrap_err();
        assert_eq!(
            problems,
            [format!("there is no suite at {given}; `--suite` takes a `suite.toml` or the folder that contains it")]
        );
    }
}

#[test]
fn flags_with_unknown_names_offer_the_nearest() {
    let suite = Suite::of("[lane.claude]\n[lane.pi]")
        .file("scenarios/one/agents/right.toml", AGENT)
        .file("scenarios/two/agents/wrong-silent.toml", AGENT);
    let lane = |name: &str| {
        suite.with(&Overrides { lanes: flag("--lane", vec![name.into()]), ..Default::default() }).unwrap_err()
    };
    assert_eq!(lane("cluade"), ["there is no lane `cluade`; did you mean `claude`?"]);
    assert_eq!(lane("zzzzz"), ["there is no lane `zzzzz`; there are `claude`, `pi`, `scripted`"]);
    let agent = |name: &str| suite.with(&Overrides { agents: vec![name.into()], ..Default::default() }).unwrap_err();
    assert_eq!(agent("wrong-silnt"), ["no scenario has a scripted agent `wrong-silnt`; did you mean `wrong-silent`?"]);
    assert_eq!(agent("zzz"), ["no scenario has a scripted agent `zzz`; there are `right`, `wrong-silent`"]);
    let none = suite.with(&Overrides { jobs: flag("--jobs", 0), ..Default::default() }).unwrap_err();
    assert_eq!(none, ["`--jobs` must be at least 1"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// No text whatever makes the parser or the marking of its place panic.
    #[test]
    fn any_text_is_read_or_rejected(text in "([a-z\"\\[\\]{}=\u{e9}\u{1F600}\t\r\n 0-9.#'-]|lane|jobs|canary|kind){0,40}") {
        let suite = Suite::of(&text);
        if let Err(problems) = suite.resolve() {
            prop_assert!(!problems.is_empty());
        }
    }
}

#[test]
fn profiles_change_program_lanes() {
    let suite = Suite::of(
        r#"
        [lane.a]
        kind = "codex"
        command = "bin/codex"
        path = ["tools", "/opt/x"]
        model = "m"
        args = ["-c", "x=1"]
        env = { A = "1" }
        version = ">=0.160"
        credentials = ["MODEL_KEY", { file = "auth.json", to = "auth.json" }]
        required = false
        base-url = "http://127.0.0.1:8080"
        key-variable = "MODEL_KEY"
        config = "seeds"
        allow-read = ["data"]
        allow-write = ["/cache"]
        allow-listen = "any"
        max-processes = 100
        max-file-size = "1GiB"
        [lane.plain]
        kind = "claude"
        [profile.open.lane.a]
        confinement = "none"
        [profile.ci.lane.a]
        model = "other"
        confinement = "required"
        allow-connect = [3128]
        "#,
    );
    let settings = suite.resolve().unwrap();
    let lane = &settings.lanes[0];
    let program = lane.kind.program().unwrap();
    assert_eq!(program.command.as_deref(), suite.path("bin/codex").to_str());
    assert_eq!(program.path, [suite.path("tools"), "/opt/x".into()]);
    assert_eq!((program.model.as_deref(), program.required), (Some("m"), false));
    let file = Credential::File { from: suite.path("auth.json"), to: "auth.json".into() };
    assert_eq!(program.credentials, [Credential::Variable("MODEL_KEY".into()), file]);
    assert_eq!(program.config_seed, Some(suite.path("seeds")));
    let confinement = &lane.confinement;
    assert_eq!((confinement.mode, &confinement.tcp_connect), (ConfinementMode::Landlock, &Ports::Only(vec![8080])));
    assert_eq!((&confinement.readable, &confinement.tcp_bind), (&vec![suite.path("data")], &Ports::Any));
    assert_eq!((confinement.limits.processes, confinement.limits.file_size), (Some(100), Some(1 << 30)));
    assert_eq!(settings.lanes[1].confinement.tcp_connect, Ports::Only(vec![443]));

    let profile = Overrides { profile: flag("--profile", "ci".to_owned()), ..Overrides::default() };
    let settings = suite.with(&profile).unwrap();
    let lane = &settings.lanes[0];
    let program = lane.kind.program().unwrap();
    assert_eq!((program.model.as_deref(), program.args.len()), (Some("other"), 2), "the rest stays");
    assert_eq!(lane.confinement.mode, ConfinementMode::Required);
    assert_eq!(lane.confinement.tcp_connect, Ports::Only(vec![3128]));
    assert!(settings.sources.of("lane.a.model").to_string().contains("[profile.ci]"));
    assert!(!settings.sources.of("lane.a.command").to_string().contains("profile"));
}
