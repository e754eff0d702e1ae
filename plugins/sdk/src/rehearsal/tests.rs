use std::fs;

use super::*;

fn fixture() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("item.md"), "one\n").unwrap();
    folder
}

fn script(steps: &str) -> Script {
    toml::from_str(&format!("summary = \"s\"\nexpect = {{ verdict = \"pass\" }}\n{steps}")).unwrap()
}

#[test]
fn a_script_is_carried_out_in_a_copy_of_the_fixture() {
    let fixture = fixture();
    let script = script(
        "[[step]]\nsay = \"hello\"\n[[step]]\nsleep = \"9h\"\n[[step]]\nappend = \"item.md\"\ntext = \"two\\n\"\n\
         [[step]]\nreplace = \"item.md\"\nfrom = \"one\"\nto = \"1\"\n[[step]]\nwrite = \"new/a\"\ntext = \"b\"\n\
         [[step]]\nshell = \"git log --oneline | wc -l\"\n[[step]]\nsay = \"bye\"\n",
    );
    let performance = play(fixture.path(), &script).unwrap();
    let evidence = performance.evidence();
    assert_eq!(evidence.before.text("item.md").unwrap(), "one\n");
    assert_eq!(evidence.after.text("item.md").unwrap(), "1\ntwo\n");
    assert_eq!(evidence.after.text("new/a").unwrap(), "b");
    assert_eq!(evidence.session.messages(), ["hello", "bye"]);
    let shell = evidence.session.tool_calls().find(|call| call.name == "shell").unwrap();
    assert_eq!(evidence.session.tool_output(&shell.id).unwrap().trim(), "1");
}

#[test]
fn a_step_that_does_nothing_is_an_error() {
    for (step, error) in [
        ("replace = \"item.md\"\nfrom = \"absent\"\nto = \"x\"", "stands in `item.md` 0 times"),
        ("shell = \"exit 3\"", "failed"),
        ("append = \"absent.md\"\ntext = \"x\"", "absent.md"),
    ] {
        let found = play(fixture().path(), &script(&format!("[[step]]\n{step}\n"))).unwrap_err();
        assert!(found.starts_with("step 1: ") && found.contains(error), "{found}");
    }
}

#[test]
fn an_unknown_step_is_an_error() {
    let text = "summary = \"s\"\nexpect = { verdict = \"pass\" }\n[[step]]\nsays = \"x\"\n";
    assert!(toml::from_str::<Script>(text).is_err());
}
