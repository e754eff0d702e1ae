//! Text in XML.

use quick_junit::XmlString;

/// Text for XML. Terminal sequences and control characters were removed before; the two other forbidden characters are
/// escaped here.
pub(super) fn xml(text: &str) -> XmlString {
    XmlString::new(text.replace('\u{fffe}', "\\u{fffe}").replace('\u{ffff}', "\\u{ffff}"))
}
