use scenario_sdk::rehearsal;

use super::*;

#[test]
fn the_agents_get_the_verdicts_that_they_declare() {
    rehearsal::rehearse(&SCENARIO, grade);
}

#[test]
fn a_broken_root_is_a_finding_and_never_a_panic() {
    rehearsal::harass(&SCENARIO, grade);
}

#[test]
fn a_checkbox_is_told_from_a_bullet() {
    for line in ["- [ ] a", "  * [x] a", "+ [X]a", "-  [] a"] {
        assert!(is_checkbox(line), "{line}");
    }
    for line in ["- DONE: a [x]", "[ ] a", "- [link](x.md)", ""] {
        assert!(!is_checkbox(line), "{line}");
    }
}
