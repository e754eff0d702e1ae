//! The grants that the attempts of a run used, and the smallest policy that allows them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use host_model::{GrantItem, Grants, Redactor, Scenario, ScenarioId, policy_section};
use host_wasm::sandbox::UsedGrants;

/// Collects what attempts used, by scenario and the digest of its plugin: nothing is proposed for another plugin.
#[derive(Default)]
pub(super) struct RunAudit(Mutex<BTreeMap<(ScenarioId, String), Audited>>);

struct Audited {
    granted: Grants,
    uses: UsedGrants,
}

impl RunAudit {
    /// Adds what an attempt of `scenario`, of the plugin with this digest, used.
    pub(super) fn add(&self, scenario: &Scenario, digest: &str, uses: UsedGrants) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let audited = all
            .entry((scenario.id.clone(), digest.to_owned()))
            .or_insert_with(|| Audited { granted: scenario.grants.clone(), uses: UsedGrants::default() });
        audited.uses.add(uses);
    }

    /// The smallest policy that allows what was used, as TOML without what `redactor` knows.
    pub(super) fn policy(&self, redactor: &Redactor) -> String {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::from(
            "# Proposed by `host run --audit`: the grants that the scenarios of this run used. Review it before you use \
             it, and\n\
             # store it where the authors of the scenarios cannot change it. A section without `plugin` applies to all \
             builds.\n",
        );
        let mut named = BTreeSet::new();
        for ((id, digest), audited) in all.iter() {
            // A file has no two sections of one name; what stands before `::` only tells them apart.
            let again = !named.insert(id);
            let name = if again { format!("{digest}::{id}") } else { id.0.clone() };
            text.push('\n');
            text.push_str(&audited.section(&name, digest, redactor));
        }
        redactor.text(&text).into_owned()
    }
}

impl Audited {
    fn section(&self, name: &str, digest: &str, redactor: &Redactor) -> String {
        // Nothing is used of it that could be seen; without it the run would be another.
        let fixed = self.granted.deterministic.map(GrantItem::Deterministic);
        let used: Grants = self.uses.used.iter().cloned().chain(fixed).collect();
        let denied = self.uses.denied.iter().map(|item| format!("denied, so not proposed: {item}"));
        let unused = self.granted.items().into_iter().filter(|item| !used.allows(item));
        let unused = unused.map(|item| format!("granted, but not used in this form: {item}"));
        // With `***` in the place of its secret it would grant nothing.
        let (shown, secret): (Vec<_>, Vec<_>) =
            used.items().into_iter().partition(|item| redactor.find(item.to_string().as_bytes()).is_empty());
        let secret = secret.iter().map(|item| format!("used, but contains a secret, so not proposed: {item}"));
        let cut = self.uses.cut;
        let cut =
            (cut > 0).then(|| format!("cut: {cut} more uses of other grants, which are not proposed or listed here"));
        policy_section(name, digest, &shown.into_iter().collect(), denied.chain(secret).chain(unused).chain(cut))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use host_model::HttpGrant;

    fn http(target: &str) -> GrantItem {
        GrantItem::Http(HttpGrant::to(target.parse().unwrap()))
    }

    #[test]
    fn used_grants_are_proposed_and_others_noted() {
        let audit = RunAudit::default();
        let grants = [GrantItem::Session, http("https://*.example.com")].into_iter().collect();
        let scenario = Scenario { grants, ..Scenario::named("one") };
        let uses = |used: &[GrantItem], denied: &[GrantItem]| UsedGrants {
            used: used.iter().cloned().collect(),
            denied: denied.iter().cloned().collect(),
            cut: 0,
        };
        audit.add(&scenario, "d1", uses(&[http("https://b.example.com")], &[http("https://evil.example")]));
        audit.add(&scenario, "d1", uses(&[http("https://a.example.com")], &[]));
        audit.add(&Scenario::named("two.x"), "d2", UsedGrants::default());
        let policy = audit.policy(&Redactor::default());
        let (_, sections) = policy.split_once("\n\n").unwrap();
        assert_eq!(
            sections,
            "[scenario.one]\nplugin = \"sha256:d1\"\n\n[scenario.one.grants]\nhttp = [\"https://a.example.com\", \
             \"https://b.example.com\"]\n# denied, so not proposed: http = [\"https://evil.example\"]\n\
             # granted, but not used in this form: session = true\n\
             # granted, but not used in this form: http = [\"https://*.example.com\"]\n\
             \n[scenario.\"two.x\"]\nplugin = \"sha256:d2\"\n"
        );
        let _: toml::Table = toml::from_str(&policy).unwrap();
    }

    #[test]
    fn scenarios_of_one_name_in_two_plugins_are_separate() {
        let audit = RunAudit::default();
        for (plugin, digest) in [("a", "d1"), ("b", "d2")] {
            let scenario = Scenario { id: ScenarioId(format!("{plugin}::one")), ..Scenario::named("one") };
            let used = [http(&format!("https://{plugin}.example.com"))].into();
            audit.add(&scenario, digest, UsedGrants { used, ..UsedGrants::default() });
        }
        let policy: toml::Table = toml::from_str(&audit.policy(&Redactor::default())).unwrap();
        for (plugin, digest) in [("a", "d1"), ("b", "d2")] {
            let section = &policy["scenario"][&format!("{plugin}::one")];
            assert_eq!(section["plugin"].as_str(), Some(&*format!("sha256:{digest}")));
            assert_eq!(section["grants"]["http"][0].as_str(), Some(&*format!("https://{plugin}.example.com")));
            assert_eq!(section["grants"]["http"].as_array().unwrap().len(), 1);
        }
    }

    #[test]
    fn proposals_are_separate_for_each_plugin() {
        let audit = RunAudit::default();
        for digest in ["d1", "d2", "d3"] {
            let used = [http(&format!("https://{digest}.example.com"))].into();
            audit.add(&Scenario::named("one"), digest, UsedGrants { used, ..UsedGrants::default() });
        }
        let policy: toml::Table = toml::from_str(&audit.policy(&Redactor::default())).unwrap();
        for (name, digest) in [("one", "d1"), ("d2::one", "d2"), ("d3::one", "d3")] {
            let section = &policy["scenario"][name];
            assert_eq!(section["plugin"].as_str(), Some(&*format!("sha256:{digest}")));
            assert_eq!(section["grants"]["http"].to_string(), format!("[\"https://{digest}.example.com\"]"));
        }
    }

    #[test]
    fn excess_uses_are_counted() {
        let audit = RunAudit::default();
        for _ in 0..2 {
            audit.add(&Scenario::named("one"), "d1", UsedGrants { cut: 3, ..UsedGrants::default() });
        }
        let policy = audit.policy(&Redactor::default());
        assert!(policy.contains("\n# cut: 6 more uses of other grants, which"), "{policy}");
        let _: toml::Table = toml::from_str(&policy).unwrap();
    }

    #[test]
    fn a_secret_in_a_host_name_is_not_proposed() {
        let secret = "Tok3n-Of-Someone";
        let audit = RunAudit::default();
        let uses = UsedGrants {
            used: [http(&format!("https://{secret}.used.example")), http("https://plain.example")].into(),
            denied: [http(&format!("https://x-{secret}.denied.example"))].into(),
            cut: 0,
        };
        let grants = [http(&format!("https://{secret}.granted.example"))].into_iter().collect();
        audit.add(&Scenario { grants, ..Scenario::named("one") }, "d1", uses);
        let policy = audit.policy(&Redactor::new([secret.to_owned()]).unwrap());
        // Names of hosts are in lower case here.
        assert!(!policy.to_lowercase().contains(&secret.to_lowercase()), "{policy}");
        for part in [
            "\nhttp = [\"https://plain.example\"]\n",
            "# denied, so not proposed: http = [\"https://x-***.denied.example\"]",
            "# used, but contains a secret, so not proposed: http = [\"https://***.used.example\"]",
            "# granted, but not used in this form: http = [\"https://***.granted.example\"]",
        ] {
            assert!(policy.contains(part), "{part}: {policy}");
        }
    }
}
