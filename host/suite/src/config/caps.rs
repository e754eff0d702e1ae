//! `--policy FILE`: the most that scenarios may be granted, set by someone other than their authors.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use toml::Spanned;

use super::{
    error::ConfigError,
    grants::{GrantsTable, SourcedGrants},
    parse::parse,
    source::{FileText, ReadError, SourceError, SourceSpan, read, seen_from_here},
    value::Table,
};
use host_model::{GrantItem, Grants};

/// A policy, read.
#[derive(Clone, Debug, Default)]
pub struct Caps {
    /// Its file.
    pub path: PathBuf,
    everyone: Grants,
    /// By name; several for scenarios of one name in several plugins.
    scenarios: BTreeMap<String, Vec<ScenarioCaps>>,
}

#[derive(Clone, Debug)]
struct ScenarioCaps {
    grants: Grants,
    /// SHA-256 of the only plugin that this is for, in hexadecimal digits.
    plugin: Option<String>,
    place: SourceSpan,
}

/// A policy as written.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct PolicyFile {
    grants: Table<GrantsTable>,
    scenario: BTreeMap<Spanned<String>, Table<ScenarioTable>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct ScenarioTable {
    plugin: Option<Spanned<String>>,
    grants: Table<GrantsTable>,
}

impl Caps {
    /// Reads a policy.
    ///
    /// # Errors
    /// Everything that is wrong with it. A missing file is an error too: a run must not ignore a policy.
    pub fn read(path: &Path) -> Result<Self, Vec<ConfigError>> {
        let one = |error: ConfigError| vec![error];
        let missing = || ReadError::Io { path: path.to_owned(), source: std::io::ErrorKind::NotFound.into() };
        let text = read(path).and_then(|text| text.ok_or_else(missing)).map_err(|error| one(error.into()))?;
        let file = FileText { path: path.to_owned(), text };
        let written: PolicyFile = parse(&file.path, &file.text).map_err(|error| one(error.into()))?;
        let mut problems = Vec::new();
        let everyone = written.grants.0.read(&file, &mut problems).grants;
        let mut scenarios: BTreeMap<String, Vec<ScenarioCaps>> = BTreeMap::new();
        for (name, Table(table)) in &written.scenario {
            let plugin = table.plugin.as_ref().and_then(|plugin| {
                digest(plugin.get_ref()).map_err(|message| problems.push(file.error(plugin.span(), message))).ok()
            });
            let grants = table.grants.0.read(&file, &mut problems).grants;
            let place = file.place(name.span());
            // A run's name for one of several scenarios of a name. Only the digest identifies the plugin.
            let own = match name.get_ref().rsplit_once("::") {
                Some((_, own)) if table.plugin.is_some() => own,
                Some((_, own)) => {
                    let message =
                        format!("`{}` is one of several scenarios `{own}`: choose one by `plugin`", name.get_ref());
                    problems.push(file.error(name.span(), message));
                    continue;
                }
                None => name.get_ref(),
            };
            scenarios.entry(own.to_owned()).or_default().push(ScenarioCaps { grants, plugin, place });
        }
        if problems.is_empty() {
            Ok(Self { path: path.to_owned(), everyone, scenarios })
        } else {
            Err(problems.into_iter().map(ConfigError::from).collect())
        }
    }

    /// The grants that the scenario `name` of the plugin with this digest may have.
    #[must_use]
    pub fn allowed(&self, name: &str, digest: &str) -> Grants {
        let own = self.scenarios.get(name).into_iter().flatten().filter(|caps| caps.fits(digest));
        own.fold(self.everyone.clone(), |all, caps| all.and(&caps.grants))
    }

    /// The grants that any scenario of the plugin with this digest may have.
    #[must_use]
    pub fn allowed_to_plugin(&self, digest: &str) -> Grants {
        let own = self.scenarios.values().flatten().filter(|caps| caps.fits(digest));
        own.fold(self.everyone.clone(), |all, caps| all.and(&caps.grants))
    }

    /// The variables whose values it lets the host send as secrets.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let all = [&self.everyone].into_iter().chain(self.scenarios.values().flatten().map(|caps| &caps.grants));
        all.flat_map(|grants| &grants.http).filter_map(|http| Some(http.header.as_ref()?.secret.as_str()))
    }

    /// Requested grants of the scenario `name` that are not allowed, with both positions.
    pub(crate) fn excess(&self, asked: &SourcedGrants, name: &str, digest: &str) -> Vec<(GrantItem, SourceError)> {
        let allowed = self.allowed(name, digest);
        let beyond = asked.places.iter().filter(|(item, _)| !allowed.allows(item));
        beyond.map(|(item, place)| (item.clone(), place.error(self.refusal(item, name, digest)))).collect()
    }

    fn refusal(&self, item: &GrantItem, name: &str, digest: &str) -> String {
        let policy = seen_from_here(&self.path);
        let caps = self.scenarios.get(name).map(Vec::as_slice).unwrap_or_default();
        let elsewhere = caps.first().filter(|_| !caps.iter().any(|caps| caps.fits(digest)));
        let elsewhere = elsewhere.map(|caps| format!(" ({} is for another plugin)", caps.place)).unwrap_or_default();
        let secret = match item {
            GrantItem::Http(http) if http.header.is_some() => " with this secret",
            _ => "",
        };
        format!(
            "`{}` requests more than the policy {policy} allows{elsewhere}: `{item}`; remove it here, or allow it{secret} \
             there, under `[grants]` or `[scenario.{name}.grants]`",
            item.grant()
        )
    }
}

impl ScenarioCaps {
    fn fits(&self, digest: &str) -> bool {
        self.plugin.as_ref().is_none_or(|plugin| plugin == digest)
    }
}

/// The hexadecimal digits of `sha256:…`, as `host inspect` shows them. Other tools use capitals.
fn digest(written: &str) -> Result<String, String> {
    let digits = written
        .strip_prefix("sha256:")
        .filter(|digits| digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let wrong = || {
        let shown = written.escape_debug();
        format!("`{shown}` is not a digest; write the one that `host inspect PLUGIN` shows: `sha256:` and 64 digits")
    };
    digits.map(str::to_ascii_lowercase).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Caps, Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.toml");
        std::fs::write(&path, text).unwrap();
        Caps::read(&path).map_err(|errors| {
            let here = format!("{}/", folder.path().display());
            errors.iter().map(|error| error.to_string().replace(&here, "").lines().next().unwrap().to_owned()).collect()
        })
    }

    #[test]
    fn policies_combine_common_and_own_grants() {
        let digest = "ab".repeat(32);
        let text = format!(
            "[grants]\nsession = true\n[scenario.one.grants]\nenv = [\"A\"]\n[scenario.two]\nplugin = \
             \"sha256:{digest}\"\ngrants.env = [\"B\"]"
        );
        let caps = read_text(&text).unwrap();
        let may = |name: &str, digest: &str, variable: &str| {
            let allowed = caps.allowed(name, digest);
            assert!(allowed.session, "{name}");
            allowed.allows(&GrantItem::Env(variable.into()))
        };
        assert!(may("one", &digest, "A") && may("one", "other", "A") && !may("one", &digest, "B"));
        assert!(may("two", &digest, "B") && !may("two", "other", "B") && !may("other", &digest, "B"));
        assert_eq!(caps.allowed_to_plugin("other").env, ["A".to_owned()].into());
        assert_eq!(caps.allowed_to_plugin(&digest).env, ["A".to_owned(), "B".to_owned()].into());
    }

    #[test]
    fn equal_names_in_two_plugins_have_own_sections() {
        let (one, two) = ("ab".repeat(32), "cd".repeat(32));
        let section = |label: &str, digest: &str| {
            format!("[scenario.\"{label}::s\"]\nplugin = \"sha256:{digest}\"\ngrants.env = [\"{label}\"]\n")
        };
        let caps = read_text(&(section("a", &one) + &section("b", &two))).unwrap();
        assert_eq!(caps.allowed("s", &one).env, ["a".to_owned()].into());
        let capitals = read_text(&section("a", &one.to_uppercase())).unwrap();
        assert_eq!(capitals.allowed("s", &one).env, ["a".to_owned()].into());
        assert_eq!(caps.allowed("s", &two).env, ["b".to_owned()].into());
        assert_eq!(caps.allowed("s", "other").env, [].into());
    }

    #[test]
    fn missing_and_invalid_policies_are_reported_with_position() {
        let gone = Caps::read(Path::new("nowhere/policy.toml")).unwrap_err();
        assert!(gone[0].to_string().contains("cannot read nowhere/policy.toml"), "{gone:?}");
        for (text, expected) in [
            ("[grant]", "policy.toml:1:2: unknown key `grant`; did you mean `grants`?"),
            (
                "[scenario.a]\nplugin = \"abc\"",
                "policy.toml:2:10: `abc` is not a digest; write the one that `host inspect \
             PLUGIN` shows: `sha256:` and 64 digits",
            ),
            ("[scenario.\"a::s\"]", "policy.toml:1:11: `a::s` is one of several scenarios `s`: choose one by `plugin`"),
            (
                "[grants]\nhttp = [\"example.com\"]",
                "policy.toml:2:9: `example.com` has no scheme; write \
             `https://example.com`, or `http://` for requests in the clear",
            ),
        ] {
            assert_eq!(read_text(text).unwrap_err(), [expected]);
        }
    }
}
