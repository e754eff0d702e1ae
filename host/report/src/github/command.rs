//! Workflow commands: lines that the runner carries out.

/// `::name key=value,…::data`, escaped so that neither data nor values can end the line or pass for more properties.
pub(super) fn command(name: &str, properties: &[(&str, &str)], data: &str) -> String {
    let properties: Vec<_> = properties.iter().map(|(key, value)| format!("{key}={}", property(value))).collect();
    let space = if properties.is_empty() { "" } else { " " };
    format!("::{name}{space}{}::{}\n", properties.join(","), escaped(data))
}

fn escaped(data: &str) -> String {
    // The percent sign first: the others bring new ones.
    data.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(value: &str) -> String {
    escaped(value).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_and_properties_are_escaped() {
        assert_eq!(command("endgroup", &[], ""), "::endgroup::\n");
        assert_eq!(command("group", &[], "a: b, 100%\r\n::error::c"), "::group::a: b, 100%25%0D%0A::error::c\n");
        assert_eq!(
            command("error", &[("file", "C:\\a,b%0A"), ("title", "x::y\n")], "m"),
            "::error file=C%3A\\a%2Cb%250A,title=x%3A%3Ay%0A::m\n"
        );
    }
}
