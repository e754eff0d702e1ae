use std::{collections::BTreeMap, path::PathBuf};

use super::{LaneKind, version_requirement};

/// Variables that the host alone sets for an agent: they keep its files within the attempt.
pub const RESERVED_VARIABLES: [&str; 8] = [
    "PATH",
    "HOME",
    "TMPDIR",
    "HOST_SESSION",
    "HOST_AGENT_CONFIG_DIR",
    "CLAUDE_CONFIG_DIR",
    "CODEX_HOME",
    "PI_CODING_AGENT_DIR",
];

/// The APIs that Pi speaks.
const APIS: [&str; 3] = ["anthropic-messages", "openai-responses", "openai-completions"];
const HTTPS: u16 = 443;

/// Something about an agent that cannot be meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentProblem {
    /// The key of the lane's table that it is about.
    pub key: &'static str,
    /// A sentence for a person.
    pub what: String,
}

/// How a lane's agent is started: a program that the host did not bring. Paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentSettings {
    /// Its kind.
    pub kind: LaneKind,
    /// The program: a path, or a name that is looked up in `path` and then where the system has its programs. The
    /// kind's own name when absent; the kind `command` has none.
    pub command: Option<String>,
    /// Folders that come before the system's in the agent's `PATH`.
    pub path: Vec<PathBuf>,
    /// The model, in the agent's words; what the agent takes by itself when absent.
    pub model: Option<String>,
    /// Further arguments. They come after the kind's own and before the prompt; of the kind `command` they are all,
    /// and may hold `{prompt}`, `{prompt-file}` and `{model}`.
    pub args: Vec<String>,
    /// Further variables of its environment, literally.
    pub env: BTreeMap<String, String>,
    /// Which versions will do, as cargo writes requirements (`>=2.1, <3`, `>=2025.09.18`); any when absent.
    pub version: Option<String>,
    /// What it logs in with. Nothing of it reaches anything but the agent.
    pub credentials: Vec<Credential>,
    /// Whether a credential that is missing is a fault of class `launch`; else the lane is skipped.
    pub required: bool,
    /// The model's provider, where it is not the agent's own.
    pub provider: Option<Provider>,
    /// The mode that a session of the kind `acp` is put into; when absent, the one that asks for nothing, where the
    /// agent has one that is known.
    pub mode: Option<String>,
    /// A folder that is copied to the config dir before the agent starts. What is there already stays.
    pub config_seed: Option<PathBuf>,
}

/// Something to log in with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A variable of the host's environment; the agent gets it under the same name.
    Variable(String),
    /// A file.
    File {
        /// Where the user has it.
        from: PathBuf,
        /// Where the agent looks for it, within its config dir.
        to: String,
    },
}

/// A provider of models.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provider {
    /// Its name to the agent (codex: `model_provider`; pi: `--provider`); `host` when absent and a URL is given.
    pub name: Option<String>,
    /// The base URL of its API, without the `/v1` that the APIs of Anthropic and OpenAI begin with.
    pub base_url: Option<String>,
    /// The API it speaks, in pi's words: `anthropic-messages`, `openai-responses` or `openai-completions`. The other
    /// kinds know one only.
    pub api: Option<String>,
    /// The variable that holds its key: one of the credentials.
    pub key_variable: Option<String>,
}

impl AgentSettings {
    /// An agent of `kind` as its program is without any configuration.
    #[must_use]
    pub fn new(kind: LaneKind) -> Self {
        Self {
            kind,
            command: None,
            path: Vec::new(),
            model: None,
            args: Vec::new(),
            env: BTreeMap::new(),
            version: None,
            credentials: Vec::new(),
            required: true,
            provider: None,
            mode: None,
            config_seed: None,
        }
    }

    /// The problems of these settings.
    #[must_use]
    pub fn problems(&self) -> Vec<AgentProblem> {
        let mut problems = Vec::new();
        let mut add = |key: &'static str, what: String| problems.push(AgentProblem { key, what });
        let credentials = self.credentials.iter().filter_map(Credential::variable).map(|name| ("credentials", name));
        for (key, name) in self.env.keys().map(|name| ("env", name)).chain(credentials) {
            if RESERVED_VARIABLES.contains(&name.as_str()) {
                add(key, format!("`{name}` is set by the host, to keep the agent within its attempt; remove it"));
            } else if key == "env" && (name.is_empty() || name.contains(['=', '\0'])) {
                add(key, format!("`{}` is not a variable name", name.escape_debug()));
            }
        }
        let named = |name: &String| {
            let is_word = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            is_word && !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit())
        };
        // Not shown: it may be the secret itself.
        if self.credentials.iter().filter_map(Credential::variable).any(|name| !named(name)) {
            let what = "one entry is not a variable name; write a name such as `ANTHROPIC_API_KEY`, without a value";
            add("credentials", what.to_owned());
        }
        for (name, _) in self.env.iter().filter(|(_, value)| value.contains('\0')) {
            add("env", format!("the value of `{name}` contains a NUL character, which no variable can"));
        }
        let words = self.args.iter().map(|arg| ("args", arg));
        for (key, word) in words.chain(self.model.iter().map(|model| ("model", model))) {
            if word.contains('\0') {
                let word = word.escape_debug();
                add(key, format!("`{word}` contains a NUL character, which no argument can"));
            }
        }
        for credential in &self.credentials {
            if let Credential::File { to, .. } = credential
                && (to.is_empty() || !is_plain(to))
            {
                add("credentials", format!("`{}` is not a path within the config dir", to.escape_debug()));
            }
        }
        if let Some(requirement) = &self.version
            && let Err(error) = version_requirement(requirement)
        {
            let requirement = requirement.escape_debug();
            add("version", format!("`{requirement}` is not a version requirement ({error}); write `>=2.1, <3`"));
        }
        if let Some(provider) = &self.provider {
            self.look_at(provider, &mut add);
        }
        if matches!(self.kind, LaneKind::Command | LaneKind::Acp) && self.command.is_none() {
            add("kind", format!("a lane of kind `{}` needs `command`, the program to start", self.kind));
        }
        problems
    }

    fn look_at(&self, provider: &Provider, add: &mut impl FnMut(&'static str, String)) {
        let plain = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
        if let Some(name) = provider.name.as_deref().filter(|name| name.is_empty() || !plain(name)) {
            let name = name.escape_debug();
            add("provider", format!("`{name}` is not a provider name: use letters, digits, - and _"));
        }
        if let (Some(url), None) = (&provider.base_url, provider.port()) {
            let url = url.escape_debug();
            add("base-url", format!("`{url}` is not a base URL; write `https://HOST` or `http://HOST:PORT`"));
        }
        if let Some(api) = provider.api.as_deref().filter(|api| !APIS.contains(api)) {
            add("api", format!("there is no API `{}`; there are `{}`", api.escape_debug(), APIS.join("`, `")));
        }
        if let Some(variable) = &provider.key_variable {
            let given = self.credentials.iter().filter_map(Credential::variable).chain(self.env.keys());
            if !given.into_iter().any(|name| name == variable) {
                let variable = variable.escape_debug();
                add(
                    "key-variable",
                    format!("the agent does not get the variable `{variable}`; name it in `credentials` too"),
                );
            }
        }
    }

    /// Where its agents connect to when the lane does not say: to their provider. A `command` may do without.
    #[must_use]
    pub fn usual_ports(&self) -> Vec<u16> {
        match self.provider.as_ref().and_then(Provider::port) {
            Some(port) => vec![port],
            None if matches!(self.kind, LaneKind::Scripted | LaneKind::Command) => Vec::new(),
            None => vec![HTTPS],
        }
    }
}

impl Provider {
    /// The name that the agent knows it by, if it is not the agent's own.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref().or_else(|| self.base_url.as_ref().map(|_| "host"))
    }

    /// The port of its base URL; `None` if there is none that can be understood.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        let url = self.base_url.as_deref()?;
        let (usual, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
            (Some(rest), _) => (HTTPS, rest),
            (None, Some(rest)) => (80, rest),
            (None, None) => return None,
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        // Colons in brackets are of an address.
        let after = host.rsplit(']').next().unwrap_or_default();
        match after.rsplit_once(':') {
            Some((_, port)) => port.parse().ok(),
            None => (!host.is_empty()).then_some(usual),
        }
    }
}

impl Credential {
    /// The variable, if it is one.
    #[must_use]
    pub fn variable(&self) -> Option<&String> {
        match self {
            Self::Variable(name) => Some(name),
            Self::File { .. } => None,
        }
    }
}

/// Whether a relative path stays below where it begins.
fn is_plain(path: &str) -> bool {
    use std::path::{Component, Path};
    Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_need_no_configuration() {
        for kind in [LaneKind::Scripted, LaneKind::Claude, LaneKind::Codex, LaneKind::Pi] {
            assert_eq!(AgentSettings::new(kind).problems(), []);
        }
    }

    #[test]
    fn agent_problems_are_reported_together() {
        let mut settings = AgentSettings::new(LaneKind::Command);
        settings.env = [("HOME", "/root"), ("A=B", "x"), ("NUL", "a\0b")].map(|(k, v)| (k.into(), v.into())).into();
        settings.credentials = vec![
            Credential::Variable("CODEX_HOME".into()),
            Credential::Variable("FINE_KEY".into()),
            Credential::Variable("sk-not-a-name".into()),
            Credential::File { from: "/k".into(), to: "../auth.json".into() },
            Credential::File { from: "/k".into(), to: "deep/auth.json".into() },
        ];
        settings.args = vec!["--fine".into(), "a\0b".into()];
        settings.version = Some("two".into());
        settings.provider = Some(Provider { name: Some("a.b".into()), ..Provider::default() });
        let problems = settings.problems();
        let told = [
            "without a value",
            "`A=B`",
            "`HOME` is set by the host",
            "`CODEX_HOME`",
            "NUL character",
            "`../auth.json`",
            "`two`",
            "`a.b`",
        ];
        for word in told.into_iter().chain(["needs `command`", "no argument"]) {
            assert!(problems.iter().any(|problem| problem.what.contains(word)), "{word}: {problems:#?}");
        }
        assert_eq!(problems.len(), 10, "{problems:#?}");
        assert!(!format!("{problems:?}").contains("sk-not"), "it may be the secret: {problems:#?}");
    }

    #[test]
    fn usual_ports_come_from_the_base_url() {
        let ports = |kind: LaneKind, url: Option<&str>| {
            let provider = Provider { base_url: url.map(str::to_owned), ..Provider::default() };
            AgentSettings { provider: Some(provider), ..AgentSettings::new(kind) }.usual_ports()
        };
        for (url, port) in [
            ("https://api.example", 443),
            ("http://api.example/v1", 80),
            ("http://127.0.0.1:8080/m", 8080),
            ("http://[::1]:81", 81),
            ("https://[::1]/x:9", 443),
            ("https://me:secret@api.example:9", 9),
        ] {
            assert_eq!(ports(LaneKind::Claude, Some(url)), [port], "{url}");
        }
        assert_eq!(ports(LaneKind::Pi, None), [443]);
        assert_eq!(ports(LaneKind::Command, None), [0; 0]);
        for url in ["", "api.example", "ftp://x", "http://", "http://x:port", "http://x:99999"] {
            let provider = Provider { base_url: Some(url.into()), ..Provider::default() };
            let settings = AgentSettings { provider: Some(provider), ..AgentSettings::new(LaneKind::Claude) };
            assert!(settings.problems()[0].what.contains("is not a base URL"), "{url}");
        }
    }
}
