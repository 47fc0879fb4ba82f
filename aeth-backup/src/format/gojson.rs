//! JSON strings as Go's `encoding/json` writes them.

/// Appends `text` as a JSON string with Go's escapes: besides what JSON demands, `<`, `>`, `&`, U+2028 and
/// U+2029 are escaped, and what is not UTF-8 becomes `\ufffd`.
pub(super) fn string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            character(out, c);
        }
        // Go replaces byte by byte.
        for _ in chunk.invalid() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
    out.push(b'"');
}

fn character(out: &mut Vec<u8>, c: char) {
    let short = match c {
        '"' => b'"',
        '\\' => b'\\',
        '\u{8}' => b'b',
        '\u{c}' => b'f',
        '\n' => b'n',
        '\r' => b'r',
        '\t' => b't',
        '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
            let code = u32::from(c);
            out.extend_from_slice(b"\\u");
            for shift in [12, 8, 4, 0] {
                out.push(hex_digit(code >> shift));
            }
            return;
        }
        _ => {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// The lower-case digit of the low four bits.
pub(super) fn hex_digit(value: u32) -> u8 {
    let value = u8::try_from(value & 15).unwrap_or(0);
    if value < 10 { b'0' + value } else { b'a' + value - 10 }
}

#[cfg(test)]
mod tests {
    #[test]
    fn as_go_escapes() {
        let mut out = Vec::new();
        super::string(&mut out, "a\"\\<>&\u{2028}\u{1}\u{8}\t\u{7f}é".as_bytes());
        super::string(&mut out, b"\xff\xfeok");
        let expected =
            r#""a\"\\\u003c\u003e\u0026\u2028\u0001\b\t"#.to_owned() + "\u{7f}é\"" + r#""\ufffd\ufffdok""#;
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
