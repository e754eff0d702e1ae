use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    json::tree::{BUDGET, MAX_TEXT},
    text::truncate_text,
};

const WANTED: WantedFields =
    WantedFields { facts: &["type", "id", "usage.*", "list.name"], texts: &["text", "list.text"] };

/// The lines of a stream.
pub(crate) fn lines(wanted: &'static WantedFields, stream: &[u8]) -> Vec<OutputLine> {
    in_pieces(wanted, &Redactor::default(), [stream])
}

fn in_pieces<'a>(
    wanted: &'static WantedFields,
    redactor: &Redactor,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Vec<OutputLine> {
    let mut reader = JsonLineSplitter::new(wanted, 64, redactor.clone());
    let mut found = Vec::new();
    for mut piece in pieces {
        while !piece.is_empty() {
            let (used, line) = reader.feed(piece);
            piece = &piece[used..];
            found.extend(line);
        }
    }
    found.extend(reader.take_rest());
    found
}

/// The only line of `stream`, which must be JSON.
fn read(stream: impl AsRef<[u8]>) -> ParsedJson {
    let found = lines(&WANTED, stream.as_ref());
    match &found[..] {
        [OutputLine { content: LineContent::Json(read), .. }] => read.clone(),
        other => panic!("{}: {other:?}", String::from_utf8_lossy(stream.as_ref())),
    }
}

#[test]
fn unusual_strings_are_parsed() {
    for (written, expected) in [
        (&br#""half \ud83d""#[..], "half \u{fffd}"),
        (br#""\ude00 other half""#, "\u{fffd} other half"),
        (br#""\ud83d\ude00\ud83d!""#, "😀\u{fffd}!"),
        (br#""\ud83d\ud83d\ude00\ud83d""#, "\u{fffd}😀\u{fffd}"),
        (br#""\ud83dA\n""#, "\u{fffd}A\n"),
        (b"\"\xff\xfea\xc3\"", "\u{fffd}\u{fffd}a\u{fffd}"),
        (b"\"\0\x01\x1b[0m\r\t\"", "\0\u{1}\u{1b}[0m\r\t"),
        (br#""\x41\'\u12\u00zz\/""#, "\\x41'\\u12\\u00zz/"),
        (br#""""#, ""),
    ] {
        let stream = [b"{\"text\":", written, b"}\n"].concat();
        assert_eq!(read(&stream).value, json!({ "text": expected }), "{}", String::from_utf8_lossy(written));
    }
}

#[test]
fn unusual_numbers_and_words_are_parsed() {
    for (written, expected) in [
        ("-0", json!(0)),
        ("18446744073709551615", json!(u64::MAX)),
        ("-9223372036854775808", json!(i64::MIN)),
        ("123456789012345678901234567890", json!(123456789012345678901234567890_f64)),
        ("1e999", json!("1e999")),
        ("-1e999", json!("-1e999")),
        ("1e-999", json!(0.0)),
        ("007", json!(7)),
        (".5", json!(0.5)),
        ("NaN", json!(null)),
        ("-Infinity", json!(null)),
        ("True", json!(true)),
        ("null", json!(null)),
        ("2.50", json!(2.5)),
    ] {
        assert_eq!(read(format!("{{\"n\":[{written},{written}]}}\n")).value, json!({ "n": [expected, expected] }));
    }
    assert_eq!(read("{\"id\": 1e2 }\n").id.as_deref(), Some("1e2"));
    assert_eq!(read("{\"id\":123456789012345678901,\"x\":{\"id\":1}}").id.as_deref(), Some("123456789012345678901"));
    assert_eq!(read("{\"id\":\"7\",\"x\":{\"id\":1}}").id, None);
}

#[test]
fn text_around_json_is_ignored() {
    let value = r#"{"type":"x"}"#;
    for around in [
        "\u{feff}@\r\n",
        "\x1b]0;a title { \" \x07@\n",
        "\x1b]9;4;0;\x1b\\@\x1b[0m\r\n",
        "\x1b[?25l\x1b[2K\x1b[1G@ \x1b[0m\n",
        "\x1bP+q\x1b\\\x1b(B@\n",
        "\0\0\x08 \t@\0\n",
        "Loading… 50%\r@\n",
        "Loading\x1b[2K@\n",
        "@",
        "\r\n\n  \n@\n\n",
    ] {
        let stream = around.replace('@', value);
        let found = lines(&WANTED, stream.as_bytes());
        let [line] = &found[..] else { panic!("{around:?}: {found:?}") };
        assert_eq!(String::from_utf8_lossy(&line.bytes), value, "{around:?}");
        assert!(matches!(&line.content, LineContent::Json(read) if read.value == json!({ "type": "x" })), "{around:?}");
    }
}

#[test]
fn several_values_and_other_text_share_a_line() {
    let stream = "{\"a\":1}{\"b\":2} \x1b[0m[3] and text {\"no\":1}\nplain {\"no\":2}\n[INFO] no list\n7\n{\"c\":";
    let found = lines(&WANTED, stream.as_bytes());
    let shown: Vec<String> = found
        .iter()
        .map(|line| match &line.content {
            LineContent::Json(read) => read.value.to_string(),
            LineContent::Text => format!("text {}", String::from_utf8_lossy(&line.bytes)),
            LineContent::Incomplete => format!("half {}", String::from_utf8_lossy(&line.bytes)),
            LineContent::Damaged(_) => "damaged".to_owned(),
        })
        .collect();
    assert_eq!(
        shown,
        [
            r#"{"a":1}"#,
            r#"{"b":2}"#,
            "[3]",
            "text  and text {\"no\":1}",
            "text plain {\"no\":2}",
            "text [INFO] no list",
            "text 7",
            "half {\"c\":",
        ]
    );
}

#[test]
fn small_errors_are_tolerated() {
    assert_eq!(read("{\"a\":[1,2,],\"b\":{},}\n").value, json!({ "a": [1, 2], "b": {} }));
    assert_eq!(read("{\"type\":\"a\",\"type\":\"b\"}\n").value, json!({ "type": "b" }));
    assert_eq!(read("{ \"a\" :\r\t\0 1 }\n").value, json!({ "a": 1 }));
}

#[test]
fn damage_ends_with_its_line() {
    for (damaged, before) in [
        (r#"{"type":"a","text":"b" "c"}"#, json!({ "type": "a", "text": "b" })),
        (r#"{"type":"a","list":[{"name":"n"} x"#, json!({ "type": "a", "list": [{ "name": "n" }] })),
        (r#"{"type":"a","text":"never ends"#, json!({ "type": "a" })),
        (r#"{"type":"a","list":[1}"#, json!({ "type": "a", "list": [1] })),
        ("{nothing}", json!({})),
        (r#"{"type":"a", ?, "id" : 7 }"#, json!({ "type": "a", "id": 7 })),
        (r#"{"type":"a", ?, "id":"x"}  "#, json!({ "type": "a", "id": "x" })),
        (r#"{"type":"a", ?, "sub":{"id":7}}"#, json!({ "type": "a" })),
    ] {
        let found = lines(&WANTED, format!("{damaged}\n{{\"type\":\"next\"}}\n").as_bytes());
        let [first, second] = &found[..] else { panic!("{damaged}: {found:?}") };
        let LineContent::Damaged(read) = &first.content else { panic!("{damaged}: {first:?}") };
        assert_eq!((&read.value, first.length), (&before, damaged.len() as u64), "{damaged}");
        assert!(matches!(&second.content, LineContent::Json(_)), "{damaged}");
    }
}

/// The size of a value in bytes.
fn weight(value: &Value) -> usize {
    value.to_string().len()
}

/// Parses a line of `count` times `piece` between `start` and `end`.
fn long(start: &str, piece: &str, count: usize, end: &str) -> ParsedJson {
    let block = piece.repeat((64 << 10) / piece.len());
    let blocks = (count * piece.len()).div_ceil(block.len());
    let pieces = std::iter::once(start.as_bytes())
        .chain(std::iter::repeat_n(block.as_bytes(), blocks))
        .chain([end.as_bytes(), b"\n"]);
    let found = in_pieces(&WANTED, &Redactor::default(), pieces);
    match &found[..] {
        [OutputLine { content: LineContent::Json(read), .. }] => read.clone(),
        other => panic!("{start}: {} lines", other.len()),
    }
}

const LONG: usize = 16 << 20;

#[test]
fn long_lines_keep_wanted_fields() {
    let needed = r#""type":"t","id":5,"text":"words","usage":{"in":1},"list":[{"name":"n","text":"more"}]"#;
    let string = "x".repeat(64);
    for (start, piece, end) in [
        ("\"bulk\":\"", string.as_str(), "\""),
        ("\"bulk\":\"", "\\n\\u00e9", "\""),
        ("\"bulk\":[0", ",0", "]"),
        ("\"bulk\":[{}", ",{\"a\":[\"b\",{}]}", "]"),
        ("\"bulk\":{\"\":0", ",\"k\":{\"k\":\"v\"}", "}"),
        ("\"bulk\":[\"\"", ",\"a text of some length, of which there are many\"", "]"),
    ] {
        for order in 0..2 {
            let (head, tail) = match order {
                0 => (format!("{{{needed},{start}"), format!("{end}}}")),
                _ => (format!("{{{start}"), format!("{end},{needed}}}")),
            };
            let read = long(&head, piece, LONG / piece.len(), &tail);
            let mut value = read.value;
            assert!(weight(&value) < 3 * BUDGET, "{start}: {}", weight(&value));
            assert!(read.omitted_bytes > 0 || !piece.contains('x'), "{start}");
            value.as_object_mut().unwrap().remove("bulk");
            let expected: Value = serde_json::from_str(&format!("{{{needed}}}")).unwrap();
            assert_eq!(value, expected, "{start} {order}");
        }
    }
}

#[test]
fn wanted_fields_are_bounded() {
    let read_text = long("{\"text\":\"", "y", LONG, "\",\"type\":\"t\"}");
    let text = read_text.value["text"].as_str().unwrap();
    assert!(text.len() < MAX_TEXT + 40 && text.ends_with(" bytes in all]"), "{}", text.len());
    assert_eq!(read_text.value["type"], "t");
    for (start, piece, end) in [
        ("{\"list\":[{\"name\":\"first\"}", ",{\"name\":\"n\",\"text\":\"words\"}", "],\"type\":\"t\"}"),
        ("{\"usage\":{\"a\":{}", ",\"b\":[1,\"text\"]", "},\"type\":\"t\"}"),
        ("{\"list\":[{\"name\":\"first\"}", ",[[[]]]", "],\"type\":\"t\"}"),
    ] {
        let read = long(start, piece, LONG / piece.len(), end);
        assert!(weight(&read.value) < 3 * BUDGET, "{start}: {}", weight(&read.value));
        assert_eq!(read.value["type"], "t", "{start}");
        assert!(read.omitted_bytes > 0 || piece.contains("usage") || start.contains("usage"), "{start}");
    }
}

#[test]
fn deep_nesting_is_skipped() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let depth = 100_000;
        let stream =
            format!("{{\"deep\":{}1{},\"type\":\"t\",\"text\":\"words\"}}\n", open.repeat(depth), close.repeat(depth));
        let read = read(&stream);
        assert_eq!((&read.value["type"], &read.value["text"]), (&json!("t"), &json!("words")));
        assert!(read.value["deep"].to_string().contains("nested too deep") && read.omitted_bytes > 0);
    }
}

#[test]
fn secrets_are_redacted_before_cutting() {
    let redactor = Redactor::new(["s3cr3t-value-of-the-lane".to_owned()]).unwrap();
    let before = "x".repeat(MAX_TEXT - 10);
    let stream = format!("{{\"text\":\"{before}s3cr3t-value-of-the-lane\"}}\n");
    let found = in_pieces(&WANTED, &redactor, [stream.as_bytes()]);
    let LineContent::Json(read) = &found[0].content else { panic!("{found:?}") };
    let text = read.value["text"].as_str().unwrap();
    assert!(text.starts_with(&before) && !text.contains("s3cr"), "{}", &text[MAX_TEXT - 20..]);
}

#[test]
fn texts_are_shortened_evenly_with_a_note() {
    let (a, b) = ("a".repeat(1_500_000), "b".repeat(1_200_000));
    let value = read(format!("{{\"small\":\"s\",\"a\":\"{a}\",\"b\":\"{b}\",\"c\":\"c\"}}\n")).value;
    let shortened = |text: &str| truncate_text(&text.as_bytes()[..256 << 10], text.len() as u64, usize::MAX);
    assert_eq!(value, json!({ "small": "s", "a": shortened(&a), "b": shortened(&b), "c": "c" }));
}

/// Parts of streams that reach every state.
fn part() -> impl Strategy<Value = Vec<u8>> {
    let known: Vec<&'static [u8]> = vec![
        b"{",
        b"}",
        b"[",
        b"]",
        b":",
        b",",
        b"\"",
        b"\\",
        b"\\u",
        b"d83d",
        b"\\ude00",
        b"\\n",
        b"\"type\":",
        b"\"a\"",
        b"1e5",
        b"-",
        b"true",
        b"NaN",
        b"\n",
        b"\r",
        b" ",
        b"\0",
        b"\x1b",
        b"\x1b[2K",
        b"\x1b]0;t",
        b"\x07",
        b"\xef\xbb\xbf",
        b"\xff",
        b"word",
        b"{\"id\":7}",
        b"{\"type\":\"t\",\"text\":\"\\ud83d\\ude00\"}\n",
        b"\"id\":8}",
    ];
    prop_oneof![
        6 => prop::sample::select(known).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ]
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC*|.*".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(".{0,4}|type|list|name", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn chunk_boundaries_do_not_matter(
        parts in prop::collection::vec(part(), 0..40),
        sizes in prop::collection::vec(1_usize..5, 1..60),
    ) {
        let stream = parts.concat();
        let whole = lines(&WANTED, &stream);
        let mut pieces = Vec::new();
        let mut rest = &stream[..];
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, other) = rest.split_at((*size).min(rest.len()));
            pieces.push(piece);
            rest = other;
        }
        prop_assert_eq!(in_pieces(&WANTED, &Redactor::default(), pieces), whole);
    }

    #[test]
    fn valid_json_is_unchanged(value in any_json()) {
        let value = json!({ "value": value });
        let read = read(format!("{value}\n"));
        prop_assert_eq!(read.omitted_bytes, 0);
        // A negative zero is a zero.
        prop_assert_eq!(read.value.to_string().replace("-0.0", "0.0"), value.to_string().replace("-0.0", "0.0"));
    }

    #[test]
    fn long_lines_do_not_depend_on_chunks(
        texts in prop::collection::vec((1_usize..700_000, any::<bool>()), 1..8),
        size in 1_usize..90_000,
    ) {
        let members: Vec<String> =
            texts.iter().enumerate().map(|(at, (length, escaped))| {
                let piece = if *escaped { "\\u00e9\\n" } else { "x" };
                format!("\"m{at}\":\"{}\"", piece.repeat(length / piece.len()))
            }).collect();
        let stream = format!("{{{},\"type\":\"t\"}}\n", members.join(","));
        let whole = lines(&WANTED, stream.as_bytes());
        prop_assert_eq!(in_pieces(&WANTED, &Redactor::default(), stream.as_bytes().chunks(size)), whole);
    }
}
