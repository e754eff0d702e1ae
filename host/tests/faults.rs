//! Each way in which an agent breaks gets its own class, and none is taken for a verdict.

mod support;

use host::model::{FaultClass, Verdict};
use support::{Suite, plain_module};

/// A way to break, the class that it must get, and words that its message must have.
const FAULTS: &[(&str, &str, FaultClass, &str)] = &[
    ("stall", "[[step]]\nfault = \"stall\"", FaultClass::Stall, "`quiet`"),
    ("silent", "[[step]]\nsleep = \"10m\"", FaultClass::Stall, "`quiet`"),
    ("overloaded", "[[step]]\nfault = \"overloaded\"\ndelay = \"50ms\"", FaultClass::Overload, "`back-off`"),
    ("crash", "[[step]]\nfault = \"crash\"", FaultClass::Crash, "70"),
    ("last-words", "[[step]]\nfault = \"crash\"\ntext = \"no more memory\"", FaultClass::Crash, "no more memory"),
    ("kill", "[[step]]\nfault = \"kill\"", FaultClass::Crash, "SIGKILL"),
    ("exit", "[[step]]\nfault = \"exit\"", FaultClass::Crash, "without"),
    ("half-line", "[[step]]\nfault = \"half-line\"", FaultClass::Crash, "without"),
    ("unauthorized", "[[step]]\nfault = \"unauthorized\"", FaultClass::Launch, "refuse"),
    ("impossible", "[[step]]\nreplace = \"nowhere\"\nfrom = \"a\"\nto = \"b\"", FaultClass::Protocol, "step 1"),
];

/// Ways that are odd but no fault.
const FORGIVEN: &[(&str, &str)] = &[
    ("garbage", "[[step]]\nfault = \"garbage\"\ncount = 100"),
    ("invalid-utf8", "[[step]]\nfault = \"invalid-utf8\""),
    ("huge-line", "[[step]]\nfault = \"huge-line\"\nbytes = 67108864"),
    ("flood", "[[step]]\nfault = \"flood\"\ncount = 50000"),
    ("deaf", "[[step]]\nfault = \"ignore-sigterm\""),
    ("daemon", "[[step]]\nfault = \"daemon\""),
    (
        "two-back-offs",
        "[[step]]\nback-off = \"busy\"\ndelay = \"100ms\"\n[[step]]\nback-off = \"busy\"\ndelay = \"100ms\"",
    ),
];

fn suite() -> Suite {
    let suite = Suite::new();
    suite.file("scenarios/suite.toml", "[defaults]\ndeadline = \"60s\"\nquiet = \"3s\"\nback-off = \"1s\"\n");
    suite.file("passes.wasm", plain_module("", ""));
    let end = "\n[[step]]\nsay = \"done\"\n";
    for (name, steps) in FAULTS.iter().map(|it| (it.0, it.1)).chain(FORGIVEN.iter().copied()) {
        suite.scenario(name, "plugin = \"passes.wasm\"\n[session]\nprompt = \"go\"\n[grants]\nsession = true\n");
        suite.agent(name, &format!("{steps}{end}"));
    }
    suite
}

#[test]
fn every_way_to_break_has_its_class_whatever_the_component_would_say() {
    let suite = suite();
    let finished = suite.host(["run", "passes.wasm", "--jobs", "8"]);
    finished.exits(110);
    for (name, _, class, words) in FAULTS {
        let fault = finished.fault(name);
        assert_eq!(fault.class, *class, "{name}: {fault}");
        assert!(fault.message.contains(words), "{name}: {fault}");
    }
    for (name, _) in FORGIVEN {
        assert_eq!(*finished.verdict(name), Verdict::Pass, "{name}\n{}", finished.told());
    }
    assert_eq!(suite.leftovers(), [""; 0]);
}
