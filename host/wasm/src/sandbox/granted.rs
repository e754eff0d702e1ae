use std::{collections::BTreeMap, ffi::OsString};

use http::HeaderValue;

use host_model::{GrantItem, Grants, SHORTEST_SECRET, SecretHeader};

/// The grants of a scenario, with values from the host's environment. Empty by default.
#[derive(Default)]
pub struct Granted {
    grants: Grants,
    secrets: BTreeMap<String, String>,
    env: BTreeMap<String, String>,
}

/// A grant that cannot be fulfilled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// A secret is missing.
    #[error("the secret of `{item}` is missing: the variable `{name}` is not set; set it for `host`")]
    NoSecret {
        /// The variable.
        name: String,
        /// The grant.
        item: Box<GrantItem>,
    },
    /// A secret cannot be part of a header.
    #[error("the variable `{name}` cannot be used in a header: it has a line break or is not ASCII; correct it")]
    NoHeader {
        /// The variable.
        name: String,
    },
    /// A secret is too short to be redacted.
    #[error(
        "the secret in the variable `{name}` has fewer than {SHORTEST_SECRET} characters, too few to remove it from reports; \
         use a longer one"
    )]
    Short {
        /// The variable.
        name: String,
    },
    /// A variable is not UTF-8.
    #[error("the variable `{name}`, which is granted, is not UTF-8; correct it, or remove it from `env`")]
    NoText {
        /// The variable.
        name: String,
    },
}

impl Granted {
    /// Resolves `grants`; `variable` reads the host's environment. An unset variable of `env` is skipped.
    ///
    /// # Errors
    /// All grants that cannot be fulfilled.
    pub fn new(grants: &Grants, variable: &dyn Fn(&str) -> Option<OsString>) -> Result<Self, Vec<GrantError>> {
        let (mut secrets, mut env, mut problems) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        for item in grants.items() {
            match &item {
                GrantItem::Http(http) => {
                    let Some(header) = &http.header else { continue };
                    match secret(header, &item, variable) {
                        Ok(secret) => drop(secrets.insert(header.secret.clone(), secret)),
                        Err(problem) => problems.push(problem),
                    }
                }
                GrantItem::Env(name) => match variable(name).map(OsString::into_string) {
                    Some(Ok(value)) => drop(env.insert(name.clone(), value)),
                    Some(Err(_)) => problems.push(GrantError::NoText { name: name.clone() }),
                    None => {}
                },
                _ => {}
            }
        }
        let granted = Self { grants: grants.clone(), secrets, env };
        if problems.is_empty() { Ok(granted) } else { Err(problems) }
    }

    /// What is granted.
    #[must_use]
    pub fn grants(&self) -> &Grants {
        &self.grants
    }

    /// The variables that the component gets.
    #[must_use]
    pub fn env(&self) -> &BTreeMap<String, String> {
        &self.env
    }

    /// The secrets that the component must not see.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.secrets.values().map(String::as_str)
    }

    /// The value of a header with its secret; `None` for one that is not granted.
    pub(super) fn header(&self, header: &SecretHeader) -> Option<HeaderValue> {
        value(header, self.secrets.get(&header.secret)?)
    }
}

fn secret(
    header: &SecretHeader,
    item: &GrantItem,
    variable: &dyn Fn(&str) -> Option<OsString>,
) -> Result<String, GrantError> {
    let name = || header.secret.clone();
    let found = variable(&header.secret).filter(|value| !value.is_empty());
    let found = found.ok_or_else(|| GrantError::NoSecret { name: name(), item: Box::new(item.clone()) })?;
    let text = found.into_string().map_err(|_| GrantError::NoHeader { name: name() })?;
    // A variable that was read from a file ends with a newline.
    let secret = text.trim().to_owned();
    if secret.len() < SHORTEST_SECRET {
        return Err(GrantError::Short { name: name() });
    }
    value(header, &secret).map(|_| secret).ok_or_else(|| GrantError::NoHeader { name: name() })
}

fn value(header: &SecretHeader, secret: &str) -> Option<HeaderValue> {
    let printable = secret.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    let mut value = HeaderValue::from_str(&header.value.replacen("{}", secret, 1)).ok().filter(|_| printable)?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use host_model::HttpGrant;

    fn grants() -> Grants {
        let header = SecretHeader {
            name: "authorization".into(),
            secret: "API_KEY".into(),
            value: "Bearer {}".into(),
            cleartext: false,
        };
        let http = HttpGrant { to: "https://api.example.com".parse().unwrap(), header: Some(header) };
        [GrantItem::Http(http), GrantItem::Env("GIVEN".into()), GrantItem::Env("UNSET".into())].into_iter().collect()
    }

    fn granted(key: &'static str) -> Result<Granted, Vec<GrantError>> {
        Granted::new(&grants(), &|name| match name {
            "API_KEY" => Some(key.into()),
            "GIVEN" => Some("value".into()),
            _ => None,
        })
    }

    #[test]
    fn only_granted_variables_come_from_the_environment() {
        let granted = granted("s3cr3t-value\n").unwrap_or_else(|problems| panic!("{problems:?}"));
        assert_eq!(granted.env(), &[("GIVEN".to_owned(), "value".to_owned())].into());
        assert_eq!(granted.secrets().collect::<Vec<_>>(), ["s3cr3t-value"]);
        let header = grants().http[0].header.clone().unwrap();
        let value = granted.header(&header).unwrap();
        assert_eq!((value.as_bytes(), value.is_sensitive()), (&b"Bearer s3cr3t-value"[..], true));
        assert_eq!(granted.header(&SecretHeader { secret: "GIVEN".into(), ..header }), None);
    }

    #[test]
    fn errors_about_secrets_do_not_contain_their_values() {
        let message = |key| {
            let problems = granted(key).err().unwrap();
            problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        };
        assert!(message("").contains("the variable `API_KEY` is not set"));
        let problem = message("two\nlines");
        assert!(problem.contains("`API_KEY` cannot be used in a header") && !problem.contains("two"), "{problem}");
        assert!(message("short").contains("fewer than 8 characters"));
        assert!(message("schlüssel").contains("`API_KEY` cannot be used in a header"));
    }
}
