use proptest::prelude::*;

use super::{
    spellings::{FRAGMENT, Hex, Writer, escaped},
    *,
};

const KEY: &str = "sk-live-0123456789abcdefghijklmnopqrstuv";

fn redactor(secrets: &[&str]) -> Redactor {
    Redactor::new(secrets.iter().map(|secret| (*secret).to_owned())).unwrap()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn in_pieces(redactor: &Redactor, bytes: &[u8], cuts: &[usize]) -> Vec<u8> {
    let mut stream = redactor.stream();
    let mut shown = Vec::new();
    let mut rest = bytes;
    for cut in cuts {
        let (piece, after) = rest.split_at((*cut).min(rest.len()));
        shown.extend_from_slice(&stream.push(piece));
        rest = after;
    }
    shown.extend_from_slice(&stream.push(rest));
    shown.extend(stream.finish());
    shown
}

#[test]
fn secrets_are_replaced_anywhere() {
    let redactor = redactor(&["hunter22", "hunter22-and-more", "line one\nline two of it"]);
    for (text, shown) in [
        ("hunter22", "***"),
        ("a hunter22 b hunter22-and-more", "a *** b ***"),
        // One of two that overlap is no less a secret.
        ("hunter2hunter22", "hunter2***"),
        ("line one\nline two of it!", "***!"),
        (r"line one\nline two of it!", "***!"),
        ("  line two of it", "  ***"),
        ("hunter2", "hunter2"),
    ] {
        assert_eq!(redactor.text(text), shown);
    }
    assert_eq!(self::redactor(&["abcdefgh", "efghijkl"]).text("-abcdefghijkl-"), "-***-");
    assert_eq!(self::redactor(&[" 1234567 ", "", "\n"]).text("1234567 "), "1234567 ", "too short");
    assert_eq!(self::redactor(&["12345678\n"]).text("12345678"), "***", "as a file holds it");
}

#[test]
fn secrets_are_found_in_escaped_json() {
    let redactor = redactor(&["p\"w\\d/é\n<\u{1}>"]);
    for spelling in [
        r#"p\"w\\d/é\n<\u0001>"#,
        r#"p\"w\\d\/é\n<\u0001>"#,
        r#"p\"w\\d/\u00e9\n\u003c\u0001\u003e"#,
        r#"p\u0022w\u005Cd/\u00E9\u000A\u003C\u0001\u003E"#,
        r#"p\\\"w\\\\d/é\\n<\\u0001>"#,
        r#"\u0070\u0022\u0077\u005c\u0064\u002f\u00e9\u000a\u003c\u0001\u003e"#,
    ] {
        assert_eq!(redactor.text(&format!("[\"x{spelling}y\"]")), "[\"x***y\"]", "{spelling}");
    }
}

#[test]
fn secrets_are_found_in_urls_and_base64() {
    let redactor = redactor(&["pa+s/w d=é!", "key+0123456789/abcdefghijklmnopqrstu=="]);
    for spelling in ["pa%2Bs%2Fw%20d%3D%C3%A9%21", "pa%2bs%2fw%20d%3d%c3%a9%21", "pa%2Bs/w%20d%3D%C3%A9%21"] {
        assert_eq!(redactor.text(&format!("https://x.invalid/?a={spelling}&b")), "https://x.invalid/?a=***&b");
    }
    let shown = redactor.text("?key=key%2B0123456789%2Fabcdefghijklmnopqrstu%3D%3D&x").into_owned();
    assert_eq!(shown, "?key=***&x");
    // `printf %s SECRET | base64`, and with `u:` and `us:` before it, as in a header of HTTP.
    for (coded, left) in [
        ("cGErcy93IGQ9w6kh", ""),
        ("dTpwYStzL3cgZD3DqSE=", "dTp="),
        ("dXM6cGErcy93IGQ9w6kh", "dXM6"),
        ("dXNlOnBhK3MvdyBkPcOpISBtb3Jl", "dXNlOhISBtb3Jl"),
    ] {
        let shown = redactor.text(coded).into_owned();
        assert!(shown.contains("***") && !shown.contains("93IGQ") && !shown.contains("L3cgZ"), "{coded}: {shown}");
        assert!(shown.len() <= left.len() + 6, "{coded}: {shown}");
    }
    // As `base64` breaks its lines, through a token that is known by its parts.
    let long = self::redactor(&[KEY]).text("c2stbGl2ZS0wMTIzNDU2\nNzg5YWJjZGVmZ2hpamtsbW5vcHFyc3R1dg==").into_owned();
    assert_eq!(long, "***\n***g==");
}

#[test]
fn split_tokens_are_found_by_their_parts() {
    let redactor = redactor(&[KEY]);
    let text = format!("{{\"delta\":\"{}\"}}\n{{\"delta\":\"{}\"}}\n", &KEY[..20], &KEY[20..]);
    assert_eq!(redactor.text(&text), "{\"delta\":\"***\"}\n{\"delta\":\"***\"}\n");
    for at in 1..KEY.len() {
        for end in ["\n", "\r\n", "\\n"] {
            assert_eq!(redactor.text(&format!("<{}{end}{}>", &KEY[..at], &KEY[at..])), "<***>");
        }
        let parted = format!("{}\", then \"{}", &KEY[..at], &KEY[at..]);
        let shown = redactor.text(&parted).into_owned();
        assert!(shown.contains("***"), "{shown}");
        for window in KEY.as_bytes().windows(FRAGMENT) {
            assert!(!contains(shown.as_bytes(), window), "{shown}");
        }
    }
    // A short one is found as a whole, and with a line break in it.
    assert_eq!(self::redactor(&["s3cr3t-pw"]).text("s3cr3\nt-pw s3cr3 t-pw"), "*** s3cr3 t-pw");
    // Text that has words and lines is no token: its parts are common.
    let text = "type: service account of the project\nfor everybody who has it";
    let known = self::redactor(&[text]);
    assert_eq!(known.text("service account of the project"), "service account of the project");
}

#[test]
fn streams_hold_back_only_possible_secrets() {
    let mut stream = redactor(&["0123456789"]).stream();
    assert_eq!(*stream.push(b"abc"), *b"abc");
    assert_eq!(*stream.push(b"d012"), *b"d");
    assert_eq!(*stream.push(b"345"), *b"");
    assert_eq!(*stream.push(b"x"), *b"012345x");
    assert_eq!(*stream.push(b"0123456789"), *b"***");
    assert_eq!(*stream.push(b"01"), *b"");
    assert_eq!(stream.finish(), b"01");
    assert_eq!(stream.finish(), b"");
}

#[test]
fn events_faults_and_reports_are_redacted_completely() {
    let redactor = redactor(&[KEY]);
    let text = || format!("<{KEY}>");
    let input = serde_json::json!({ text(): [text(), { "a": text() }], "n": 1 });
    let back_off = crate::BackOff { attempt: None, delay_ms: None, reason: text() };
    for kind in [
        SessionEventKind::Started { session_id: text(), model: Some(text()) },
        SessionEventKind::Message { text: text() },
        SessionEventKind::ToolCall { id: text(), name: text(), input },
        SessionEventKind::ToolResult { id: text(), is_error: false, output: text() },
        SessionEventKind::BackOff(back_off),
        SessionEventKind::Raw { line: text() },
    ] {
        let shown = serde_json::to_string(&redactor.event(kind)).unwrap();
        assert!(shown.contains("<***>") && !shown.contains("sk-live"), "{shown}");
    }
    let fault = redactor.fault(Fault::new(crate::FaultClass::Crash, text()));
    assert_eq!(fault.message, "<***>");
    assert_eq!(redactor.report(Report::Note { text: text() }), Report::Note { text: "<***>".into() });
    assert!(!format!("{redactor:?}").contains("sk-"), "nor does it show them itself");
}

/// A secret that the mark and what is around it cannot make up.
fn secret() -> impl Strategy<Value = String> {
    "[^*\\s][^*]{6,40}[^*\\s]".prop_filter("long enough", |secret| secret.len() >= SHORTEST_SECRET)
}

/// As JSON writers escape: those of serde and of others, in any depth up to two.
fn spelt(secret: &str, depth: usize, habits: [usize; 4]) -> String {
    let hex = |index: usize| Hex::ALL[index % 3];
    let writer = Writer {
        slash: habits[0].is_multiple_of(2),
        control: hex(habits[1]),
        markup: hex(habits[2]),
        foreign: hex(habits[3]),
        all: Hex::No,
    };
    match depth {
        0 => secret.to_owned(),
        1 => escaped(secret, &writer),
        _ => {
            let inner = escaped(secret, &writer);
            let text = serde_json::to_string(&inner).unwrap();
            text[1..text.len() - 1].to_owned()
        }
    }
}

proptest! {
    #[test]
    fn no_secret_is_found_afterwards(
        secrets in prop::collection::vec(secret(), 1..4),
        around in prop::collection::vec(any::<String>(), 5),
        picks in prop::collection::vec((any::<prop::sample::Index>(), 0..3_usize, any::<[usize; 4]>()), 4),
        cuts in prop::collection::vec(0..30_usize, 0..40),
    ) {
        let redactor = Redactor::new(secrets.clone()).unwrap();
        let mut text = around[0].clone();
        let mut spellings: Vec<String> = secrets.clone();
        for ((pick, depth, habits), after) in picks.iter().zip(&around[1..]) {
            let picked: &String = pick.get(&secrets);
            let spelling = spelt(picked, *depth, *habits);
            text.push_str(&spelling);
            text.push_str(after);
            spellings.push(spelling);
        }
        let shown = redactor.bytes(text.as_bytes()).into_owned();
        for spelling in &spellings {
            prop_assert!(!contains(&shown, spelling.as_bytes()), "{spelling:?} in {:?}", String::from_utf8_lossy(&shown));
        }
        prop_assert!(std::str::from_utf8(&shown).is_ok());
        // However it comes in, the same comes out.
        prop_assert_eq!(in_pieces(&redactor, text.as_bytes(), &cuts), shown);
    }

    #[test]
    fn redacted_json_stays_valid(secret in secret(), before in any::<String>(), after in any::<String>()) {
        let text = format!("{before}{secret}{after}");
        let json = serde_json::to_string(&[&text]).unwrap();
        let redactor = Redactor::new([secret.clone()]).unwrap();
        let shown = redactor.text(&json).into_owned();
        let escaped = serde_json::to_string(&secret).unwrap();
        prop_assert!(!shown.contains(&escaped[1..escaped.len() - 1]));
    }

    #[test]
    fn bytes_without_secrets_are_unchanged(bytes in prop::collection::vec(any::<u8>(), 0..300), cuts in prop::collection::vec(0..30_usize, 0..20)) {
        // No piece of it is in bytes that are below `0` or above `z`.
        let bytes: Vec<u8> = bytes.into_iter().filter(|byte| !byte.is_ascii_alphanumeric()).collect();
        let redactor = redactor(&[KEY]);
        prop_assert!(matches!(redactor.bytes(&bytes), Cow::Borrowed(_)));
        prop_assert_eq!(in_pieces(&redactor, &bytes, &cuts), bytes);
    }

    #[test]
    fn incomplete_secrets_are_unchanged(pieces in prop::collection::vec(0..11_usize, 0..20), cuts in prop::collection::vec(0..7_usize, 0..60)) {
        let text: String = pieces.iter().map(|length| format!("{}~", &KEY[..*length])).collect();
        let redactor = redactor(&[KEY]);
        prop_assert_eq!(in_pieces(&redactor, text.as_bytes(), &cuts), text.as_bytes());
    }
}

#[test]
fn empty_redactors_copy_nothing() {
    let redactor = Redactor::default();
    assert!(redactor.is_empty() && redactor.stream().finish().is_empty());
    assert!(matches!(redactor.bytes(KEY.as_bytes()), Cow::Borrowed(_)));
    assert!(matches!(redactor.stream().push(KEY.as_bytes()), Cow::Borrowed(_)));
}

#[test]
fn near_matches_do_not_hide_secrets() {
    let redactor = redactor(&[&"a".repeat(40), KEY]);
    let bytes = "a".repeat(39).replace("aaaa", "aaab").repeat(50_000);
    assert_eq!(in_pieces(&redactor, bytes.as_bytes(), &vec![4096; bytes.len() / 4096]), bytes.as_bytes());
    let secrets = "a".repeat(1 << 20);
    assert_eq!(redactor.text(&secrets), MARK);
}
