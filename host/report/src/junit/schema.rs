//! The rules of the Jenkins xUnit plugin's schema (`junit-10.xsd`, in its form with `flakyFailure`): which elements and
//! attributes there may be, where, which are required, and where text may stand. Here they are in our own words, for
//! every test run; `.ci/junit-xsd` holds the same documents to the file itself, `host/cli/tests/fixtures/junit-10.xsd`.

use quick_xml::{
    Reader,
    events::{BytesStart, Event},
};

/// The attributes and children that an element may have.
struct Rule {
    required: &'static [&'static str],
    optional: &'static [&'static str],
    children: Children,
    text: bool,
}

enum Children {
    /// In any order, as many as they like.
    Any(&'static [&'static str]),
    /// At most one of each, in this order.
    Sequence(&'static [&'static str]),
}

const NONE: Children = Children::Any(&[]);

fn rule(element: &str) -> Option<Rule> {
    let rule = |required, optional, children, text| Rule { required, optional, children, text };
    Some(match element {
        "testsuites" => {
            rule(&[], &["name", "time", "tests", "failures", "errors"], Children::Any(&["testsuite"]), false)
        }
        "testsuite" => rule(
            &["name", "tests", "failures", "errors"],
            &["group", "time", "skipped", "timestamp", "hostname", "id", "package", "file", "log", "url"],
            Children::Any(&["testsuite", "properties", "testcase", "system-out", "system-err"]),
            false,
        ),
        "testcase" => rule(
            &["name"],
            &["time", "classname", "group"],
            Children::Any(&[
                "skipped",
                "error",
                "failure",
                "rerunFailure",
                "rerunError",
                "flakyFailure",
                "flakyError",
                "system-out",
                "system-err",
            ]),
            false,
        ),
        "failure" | "error" | "skipped" => rule(&[], &["type", "message"], NONE, true),
        "rerunFailure" | "rerunError" | "flakyFailure" | "flakyError" => {
            rule(&["type"], &["message"], Children::Sequence(&["stackTrace", "system-out", "system-err"]), true)
        }
        "stackTrace" | "system-out" | "system-err" => rule(&[], &[], NONE, true),
        "properties" => rule(&[], &[], Children::Any(&["property"]), false),
        "property" => rule(&["name", "value"], &[], NONE, false),
        _ => return None,
    })
}

/// An open element, and the children that it has had.
struct Open {
    name: String,
    rule: Rule,
    /// For a sequence: how far it is.
    next: usize,
}

/// The problem of `document`.
pub(super) fn problem(document: &str) -> Option<String> {
    check(document).err()
}

fn check(document: &str) -> Result<(), String> {
    if let Some(c) = document.chars().find(|c| !allowed(*c)) {
        return Err(format!("XML forbids {c:?}"));
    }
    let mut reader = Reader::from_str(document);
    let mut open: Vec<Open> = Vec::new();
    let mut roots = 0;
    loop {
        match reader.read_event().map_err(|error| error.to_string())? {
            Event::Decl(_) if roots == 0 => {}
            Event::Start(tag) => {
                let opened = enter(&tag, open.last_mut(), &mut roots)?;
                open.push(opened);
            }
            Event::Empty(tag) => drop(enter(&tag, open.last_mut(), &mut roots)?),
            Event::End(_) => drop(open.pop()),
            Event::Text(text) => {
                let text = text.decode().map_err(|error| error.to_string())?;
                if text.contains("]]>") || text.contains('<') {
                    return Err(format!("bare markup in {text:?}"));
                }
                if !text.trim().is_empty() && !open.last().is_some_and(|element| element.rule.text) {
                    return Err(format!("no text may stand here: {text:?}"));
                }
            }
            Event::GeneralRef(name) => {
                let name = name.decode().map_err(|error| error.to_string())?;
                if !matches!(&*name, "amp" | "lt" | "gt" | "quot" | "apos") {
                    return Err(format!("&{name};"));
                }
                if !open.last().is_some_and(|element| element.rule.text) {
                    return Err(format!("no text may stand here: &{name};"));
                }
            }
            Event::Eof if roots == 1 && open.is_empty() => return Ok(()),
            other => return Err(format!("{other:?}")),
        }
    }
}

fn enter(tag: &BytesStart<'_>, parent: Option<&mut Open>, roots: &mut usize) -> Result<Open, String> {
    let name = String::from_utf8(tag.name().as_ref().to_vec()).map_err(|error| error.to_string())?;
    let rule = rule(&name).ok_or_else(|| format!("<{name}> is no element"))?;
    match parent {
        None if name == "testsuites" || name == "testsuite" => *roots += 1,
        None => return Err(format!("<{name}> is no root")),
        Some(parent) => {
            let fits = match &parent.rule.children {
                Children::Any(any) => any.contains(&name.as_str()),
                Children::Sequence(all) => {
                    let found = all[parent.next..].iter().position(|child| *child == name);
                    parent.next += found.map_or(0, |at| at + 1);
                    found.is_some()
                }
            };
            if !fits {
                return Err(format!("<{name}> must not stand here in <{}>", parent.name));
            }
        }
    }
    let mut seen = Vec::new();
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|error| error.to_string())?;
        let key = String::from_utf8(attribute.key.as_ref().to_vec()).map_err(|error| error.to_string())?;
        let value = String::from_utf8(attribute.value.to_vec()).map_err(|error| error.to_string())?;
        if !rule.required.contains(&key.as_str()) && !rule.optional.contains(&key.as_str()) {
            return Err(format!("<{name}> has no attribute `{key}`"));
        }
        if value.contains(['<', '\n', '\r', '\t']) {
            return Err(format!("`{key}` of <{name}> does not survive a reader: {value:?}"));
        }
        if key == "time" && !value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            return Err(format!("`{value}` is no time"));
        }
        seen.push(key);
    }
    if let Some(missing) = rule.required.iter().find(|key| seen.iter().all(|seen| seen != *key)) {
        return Err(format!("<{name}> lacks `{missing}`"));
    }
    Ok(Open { name, rule, next: 0 })
}

fn allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{fffd}' | '\u{10000}'..)
}

#[test]
fn the_rules_detect_violations() {
    let suite = |inner: &str| {
        format!("<testsuites><testsuite name='a' tests='1' failures='0' errors='0'>{inner}</testsuite></testsuites>")
    };
    let case = |inner: &str| suite(&format!("<testcase name='a'>{inner}</testcase>"));
    for good in [
        "<testsuites/>".into(),
        suite(""),
        case("<failure message='m'>text &amp; more</failure><system-out>x</system-out>"),
        case("<flakyError type='t'><stackTrace/><system-out/></flakyError>"),
        case("<flakyFailure type='t' message='m'/><flakyError type='t'/><system-out/>"),
        case("<failure/><rerunFailure type='t'><stackTrace>x</stackTrace></rerunFailure><rerunError type='t'/>"),
        case("<skipped type='xfail' message='m'>text</skipped>"),
    ] {
        assert_eq!(problem(&good), None, "{good}");
    }
    for (bad, problem_is) in [
        ("<testsuites skipped='0'/>".into(), "<testsuites> has no attribute `skipped`"),
        ("<testsuites><testsuite name='a'/></testsuites>".into(), "<testsuite> lacks `tests`"),
        ("<testsuites/><testsuites/>".into(), "Eof"),
        ("<testcase name='a'/>".into(), "<testcase> is no root"),
        (case("text"), "no text may stand here: \"text\""),
        (case("<properties/>"), "<properties> must not stand here in <testcase>"),
        (case("<flakyError/>"), "<flakyError> lacks `type`"),
        (case("<rerunFailure message='m'/>"), "<rerunFailure> lacks `type`"),
        (case("<rerunError type='t'><failure/></rerunError>"), "<failure> must not stand here in <rerunError>"),
        (case("<skipped reason='r'/>"), "<skipped> has no attribute `reason`"),
        (
            case("<flakyError type='t'><system-out/><stackTrace/></flakyError>"),
            "<stackTrace> must not stand here in <flakyError>",
        ),
        (case("<system-out>]]></system-out>"), "bare markup in \"]]>\""),
        (case("<system-out>&#0;</system-out>"), "&#0;"),
        (case("<system-out>\u{1b}</system-out>"), "XML forbids '\\u{1b}'"),
        (case("<passed/>"), "<passed> is no element"),
    ] {
        assert_eq!(problem(&bad).as_deref(), Some(problem_is), "{bad}");
    }
    assert!(problem("<testsuites>").is_some(), "unclosed");
}
