//! Builds the environment of an agent from scratch, and finds the secrets in it.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

use crate::{lane::SessionSpec, scripted_agent::CONFIG_DIR_VARIABLE};
use host_model::{AgentSettings, Credential, SHORTEST_SECRET};

/// Where an agent finds the system's programs. The host's own `PATH` is not passed on.
pub(crate) const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A variable of the host's own environment, if it is set and not empty.
pub(crate) fn host_variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The agent's whole environment, except for the session's marker.
pub(crate) fn agent_environment(
    settings: &AgentSettings,
    spec: &SessionSpec,
    own: Vec<(&'static str, OsString)>,
    credentials: Vec<(String, OsString)>,
) -> Vec<(OsString, OsString)> {
    let mut all: BTreeMap<OsString, OsString> = BTreeMap::new();
    all.insert("LANG".into(), "C.UTF-8".into());
    all.extend(own.into_iter().map(|(name, value)| (name.into(), value)));
    all.extend(settings.env.iter().map(|(name, value)| (name.into(), value.into())));
    all.extend(credentials.into_iter().map(|(name, value)| (name.into(), value)));
    // The variables above cannot have these names; see `AgentSettings::problems`.
    all.insert("PATH".into(), search_path(spec.bin.iter().chain(&settings.path)));
    all.insert("HOME".into(), spec.home.clone().into());
    all.insert("TMPDIR".into(), spec.tmp.clone().into());
    // The same name for all kinds, so that a scenario's programs can log outside of the root.
    all.insert(CONFIG_DIR_VARIABLE.into(), spec.config_dir.clone().into());
    all.into_iter().collect()
}

/// A `PATH` of `dirs` and the system's directories.
pub(crate) fn search_path<'a>(dirs: impl Iterator<Item = &'a PathBuf>) -> OsString {
    let mut path = OsString::new();
    for dir in dirs {
        path.push(dir);
        path.push(":");
    }
    path.push(SYSTEM_PATH);
    path
}

/// The credentials that are variables, with their values.
///
/// # Errors
/// Lists all missing credentials.
pub(crate) fn credentials(
    settings: &AgentSettings,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Vec<(String, OsString)>, String> {
    let mut found = Vec::new();
    let mut missing = Vec::new();
    for credential in &settings.credentials {
        match credential {
            Credential::Variable(name) => match variable(name) {
                Some(value) => found.push((name.clone(), value)),
                None => missing.push(format!("the environment variable `{name}` is not set")),
            },
            Credential::File { from, .. } => {
                if let Err(error) = host_fs::read(from) {
                    missing.push(format!("cannot read {}: {error}", from.display()));
                }
            }
        }
    }
    if missing.is_empty() { Ok(found) } else { Err(format!("a credential is missing: {}", missing.join("; "))) }
}

/// Describes which credentials of a lane are missing; `None` if all are present. [`AgentSettings::required`] decides
/// what that means.
#[must_use]
pub fn missing_credentials(settings: &AgentSettings) -> Option<String> {
    credentials(settings, host_variable).err()
}

/// The values a lane's agent logs in with, which must not appear anywhere: the values of variables and the contents of
/// files, and of JSON files also each string, of other files each value and each word with a digit. Values shorter than
/// 8 characters are left out.
#[must_use]
pub fn secrets(settings: &AgentSettings) -> Vec<String> {
    secrets_from(settings, host_variable)
}

/// The variables whose values are too short to be redacted.
#[must_use]
pub fn short_secrets(settings: &AgentSettings) -> Vec<String> {
    let variables = settings.credentials.iter().filter_map(Credential::variable);
    variables.filter(|name| host_variable(name).is_some_and(|value| value.len() < SHORTEST_SECRET)).cloned().collect()
}

fn secrets_from(settings: &AgentSettings, variable: impl Fn(&str) -> Option<OsString>) -> Vec<String> {
    let values = |credential: &Credential| match credential {
        Credential::Variable(name) => {
            variable(name).map(|value| value.to_string_lossy().into_owned()).into_iter().collect()
        }
        Credential::File { from, .. } => secrets_in(from),
    };
    let mut secrets: Vec<String> = settings.credentials.iter().flat_map(values).collect();
    secrets.retain(|secret| secret.len() >= SHORTEST_SECRET);
    secrets.sort();
    secrets.dedup();
    secrets
}

fn secrets_in(file: &Path) -> Vec<String> {
    let Ok(content) = host_fs::read(file) else { return Vec::new() };
    let content = String::from_utf8_lossy(&content);
    let mut texts = vec![content.trim().to_owned()];
    match serde_json::from_str(&content) {
        Ok(json) => texts.extend(texts_in(json)),
        Err(_) => texts.extend(content.lines().flat_map(words_in).map(str::to_owned)),
    }
    texts
}

fn texts_in(json: serde_json::Value) -> Vec<String> {
    let mut texts = Vec::new();
    let mut waiting = vec![json];
    while let Some(value) = waiting.pop() {
        match value {
            serde_json::Value::String(text) => texts.push(text),
            serde_json::Value::Array(values) => waiting.extend(values),
            serde_json::Value::Object(values) => waiting.extend(values.into_iter().map(|(_, value)| value)),
            _ => {}
        }
    }
    texts
}

/// Possible secrets in a line of a file that is not JSON (`key = "value"`, `NAME=value`, `name: value`, `password
/// value`): the value, and every word with a digit.
fn words_in(line: &str) -> Vec<&str> {
    let quotes = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | ';');
    let value = line.split_once(['=', ':']).map(|(_, value)| value.trim_matches(quotes));
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let words = line.split(quotes).map(|word| match word.split_once('=') {
        // A trailing `=` may be base64 padding.
        Some((name, value)) if !name.is_empty() && name.chars().all(is_name) && !value.trim_matches('=').is_empty() => {
            value
        }
        _ => word,
    });
    value.into_iter().chain(words.filter(|word| word.contains(|c: char| c.is_ascii_digit()))).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use host_model::LaneKind;

    fn given(name: &str) -> Option<OsString> {
        (name == "KEY").then(|| "sk-12345678".into())
    }

    #[test]
    fn missing_credentials_are_reported_without_values() {
        let mut settings = AgentSettings::new(LaneKind::Claude);
        settings.credentials = vec![Credential::Variable("KEY".into())];
        assert_eq!(credentials(&settings, given), Ok(vec![("KEY".into(), "sk-12345678".into())]));
        settings.credentials.push(Credential::Variable("OTHER".into()));
        settings.credentials.push(Credential::File { from: "/nowhere/auth.json".into(), to: "auth.json".into() });
        let problem = credentials(&settings, given).unwrap_err();
        assert!(problem.contains("`OTHER`") && problem.contains("/nowhere/auth.json"), "{problem}");
        assert!(!problem.contains("sk-"), "{problem}");
    }

    #[test]
    fn secrets_of_a_json_file_are_its_texts() {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("auth.json");
        fs::write(&from, r#"{"mode":"key","tokens":[{"access":"aaaa-bbbb-cccc"}],"n":12345678901}"#).unwrap();
        let mut settings = AgentSettings::new(LaneKind::Codex);
        settings.credentials = vec![Credential::Variable("KEY".into()), Credential::File { from, to: "x".into() }];
        let secrets = secrets_from(&settings, given);
        assert!(secrets.contains(&"sk-12345678".to_owned()) && secrets.contains(&"aaaa-bbbb-cccc".to_owned()));
        assert_eq!(secrets.len(), 3, "the whole file too, and nothing short: {secrets:?}");
    }

    #[test]
    fn secrets_of_other_files_are_their_values() {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("credentials");
        let lines = [
            "[default]",
            "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/abcdefghij==",
            "export TOKEN=\"tok-0123456789abcdef\"",
            "machine api.invalid login somebody password hunter2222",
            "url: https://user:pass-word@api.invalid/",
            "phrase: correct horse battery staple",
        ];
        fs::write(&from, [lines.join("\n").as_bytes(), b"\n\xff\xfe binary\n"].concat()).unwrap();
        let mut settings = AgentSettings::new(LaneKind::Codex);
        settings.credentials = vec![Credential::File { from, to: "x".into() }];
        let secrets = secrets_from(&settings, given);
        for secret in [
            "wJalrXUtnFEMI/K7MDENG/abcdefghij==",
            "tok-0123456789abcdef",
            "hunter2222",
            "https://user:pass-word@api.invalid/",
            "correct horse battery staple",
        ] {
            assert!(secrets.iter().any(|known| known == secret), "{secret}: {secrets:?}");
        }
        for word in ["password", "somebody", "[default]", "api.invalid"] {
            assert!(!secrets.iter().any(|known| known == word), "{word}");
        }
    }
}
