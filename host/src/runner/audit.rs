//! What the attempts of a run used, and the smallest policy that allows it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use crate::{
    model::{GrantItem, Grants, Scenario, policy_section},
    sandbox::UsedGrants,
};

/// Collects over attempts.
#[derive(Default)]
pub(super) struct RunAudit(Mutex<BTreeMap<String, Audited>>);

struct Audited {
    digest: String,
    granted: Grants,
    uses: UsedGrants,
}

impl RunAudit {
    /// Adds what an attempt of `scenario`, of the plugin with this digest, used.
    pub(super) fn add(&self, scenario: &Scenario, digest: &str, uses: UsedGrants) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let audited = all.entry(scenario.name.clone()).or_insert_with(|| Audited {
            digest: digest.to_owned(),
            granted: scenario.grants.clone(),
            uses: UsedGrants::default(),
        });
        audited.uses.used.extend(uses.used);
        audited.uses.denied.extend(uses.denied);
    }

    /// The smallest policy that allows what was used, as TOML.
    pub(super) fn policy(&self) -> String {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::from(
            "# Proposed by `host run --audit`: what the scenarios of this run used, and nothing else. Read it before you \
             use it,\n# and keep it where those whom it binds cannot change it. Without `plugin` a section holds for other builds too.\n",
        );
        for (name, audited) in all.iter() {
            text.push('\n');
            text.push_str(&audited.section(name));
        }
        text
    }
}

impl Audited {
    fn section(&self, name: &str) -> String {
        // Nothing is used of it that could be seen; without it the run would be another.
        let fixed = self.granted.deterministic.map(GrantItem::Deterministic);
        let used: Grants = self.uses.used.iter().cloned().chain(fixed).collect();
        let denied = self.uses.denied.iter().map(|item| format!("denied, so not proposed: {item}"));
        let unused = self.granted.items().into_iter().filter(|item| !used.allows(item));
        let unused = unused.map(|item| format!("granted, but not used as it stands: {item}"));
        policy_section(name, &self.digest, &used, denied.chain(unused))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::HttpGrant;

    fn http(target: &str) -> GrantItem {
        GrantItem::Http(HttpGrant::to(target.parse().unwrap()))
    }

    #[test]
    fn what_was_used_is_proposed_and_the_rest_is_told() {
        let audit = RunAudit::default();
        let grants = [GrantItem::Session, http("https://*.example.com")].into_iter().collect();
        let scenario = Scenario { grants, ..Scenario::named("one") };
        let uses = |used: &[GrantItem], denied: &[GrantItem]| UsedGrants {
            used: used.iter().cloned().collect(),
            denied: denied.iter().cloned().collect(),
        };
        audit.add(&scenario, "d1", uses(&[http("https://b.example.com")], &[http("https://evil.example")]));
        audit.add(&scenario, "d1", uses(&[http("https://a.example.com")], &[]));
        audit.add(&Scenario::named("two.x"), "d2", UsedGrants::default());
        let policy = audit.policy();
        let (_, sections) = policy.split_once("\n\n").unwrap();
        assert_eq!(
            sections,
            "[scenario.one]\nplugin = \"sha256:d1\"\n\n[scenario.one.grants]\nhttp = [\"https://a.example.com\", \
             \"https://b.example.com\"]\n# denied, so not proposed: http = [\"https://evil.example\"]\n# granted, but not \
             used as it stands: session = true\n# granted, but not used as it stands: http = [\"https://*.example.com\"]\n\
             \n[scenario.\"two.x\"]\nplugin = \"sha256:d2\"\n"
        );
        let _: toml::Table = toml::from_str(&policy).unwrap();
    }
}
